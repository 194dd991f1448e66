"""The weights the package carries; ``carried:NAME`` is a model named here. Beside each lies a model card."""

from describer.scenegan import carried_generator
from describer.scenenet import carried_classifier

TARGETS = {"gan": carried_generator, "scenes": carried_classifier}
