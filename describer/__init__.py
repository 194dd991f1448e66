"""Says in words what every unit of a neural network responds to.

from describer.data import load_images, load_target
from describer.probe import probe
from describer.captioner import Captioner

target = load_target("torchvision:resnet50")
images = load_images("photos/", target.preprocess)
for layer, exemplars in probe(target, images, ["layer4"]).items():
    descriptions = Captioner.carried().describe(exemplars)
"""

from pathlib import Path

__version__ = "0.1.0"

# In a checkout data/, eval/, search/ and training/ lie beside this folder; in a wheel, inside it.
_here = Path(__file__).resolve().parent
if not (_here / "data").is_dir():
    __path__.append(str(_here.parent))
