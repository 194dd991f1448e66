"""The drawn world: small scenes with exact labels in six categories and words that are true of them.

    scene = draw_scene(seed=0, index=7)           # picture, label maps, scene kind, captions
    phrases(scene)                                # noun phrases, each with the mask it is true of
    SceneSet(1000, seed=0).image(7)               # the same picture, as PIL
    NAMES["object"][5]                            # the name of a label

Everything follows from (seed, index, size); no file is read and nothing is downloaded.
"""

from describer.data.scenes.grammar import Phrase as Phrase
from describer.data.scenes.grammar import captions as captions
from describer.data.scenes.grammar import phrases as phrases
from describer.data.scenes.keys import keys_of as keys_of
from describer.data.scenes.keys import mask_of as mask_of
from describer.data.scenes.names import IDS as IDS
from describer.data.scenes.names import NAMES as NAMES
from describer.data.scenes.names import PIXEL_CATEGORIES as PIXEL_CATEGORIES
from describer.data.scenes.scene import Scene as Scene
from describer.data.scenes.scene import Thing as Thing
from describer.data.scenes.scene import draw_scene as draw_scene
from describer.data.scenes.sceneset import SceneSet as SceneSet
from describer.data.scenes.words import wordings as wordings

__all__ = [
    "IDS",
    "NAMES",
    "PIXEL_CATEGORIES",
    "Phrase",
    "Scene",
    "SceneSet",
    "Thing",
    "captions",
    "draw_scene",
    "keys_of",
    "mask_of",
    "phrases",
    "wordings",
]
