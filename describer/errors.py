"""Every fault a user can cause, each told in one sentence: what was wanted, what came, what to do.

DescriberError
├── TargetError        a target model or layer that cannot be used
├── ImagesError        images, latents or concepts that cannot be read
├── ActivationError    activations that cannot be ranked (NaN, wrong shape)
├── AtlasError         an atlas that is missing, foreign, older or not writable
├── WeightsError       weights that are missing, pickled or of another shape
├── RecipeError        a training recipe that cannot be carried out
├── ConceptsError      labels, concepts or masks that do not fit together
└── FormulaError       a logical form that cannot be read or evaluated
"""


class DescriberError(Exception):
    """A fault of the input, told in one sentence; the command line prints it and exits with 2."""


class TargetError(DescriberError):
    """A target model or layer that cannot be used."""


class ImagesError(DescriberError):
    """Images, latents or concepts that cannot be read."""


class ActivationError(DescriberError):
    """Activations that cannot be ranked."""


class AtlasError(DescriberError):
    """An atlas that is missing, foreign, older or not writable."""


class WeightsError(DescriberError):
    """Weights that are missing, pickled or of another shape."""


class RecipeError(DescriberError):
    """A training recipe that cannot be carried out."""


class ConceptsError(DescriberError):
    """Labels, concepts or masks that do not fit together."""


class FormulaError(DescriberError):
    """A logical form that cannot be read or evaluated."""
