"""The weights the package carries; ``carried:NAME`` is a model named here. Beside each lies a model card."""

from describer.scenenet import carried_classifier

TARGETS = {"scenes": carried_classifier}
