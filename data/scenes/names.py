"""The words of the drawn world: six categories as in Broden, `NAMES[category][id]`, id 0 = "" (unlabelled).

    NAMES["object"][ids["tree"]] == "tree"    # with ids = IDS["object"]

The categories are those of Bau et al., "Network Dissection" (2017), table 1. "scene" is one id for a whole image,
the others are one id for a pixel.
"""

from describer.data.scenes.palette import COLOR_TERMS

STUFF = ("sky", "water", "grass", "sand", "road", "snow", "mountain", "hill", "sidewalk", "path", "wall", "pier")
THINGS = (
    "house", "building", "tower", "tree", "palm", "cactus", "bush", "flower", "boat", "car", "bus", "bicycle",
    "airplane", "person", "dog", "sheep", "bird", "ball", "sun", "moon", "cloud", "lamp", "fence", "flag", "balloon",
    "kite", "bench", "umbrella", "tent", "snowman", "rock",
)  # fmt: skip
PARTS = (
    "roof", "facade", "window", "door", "chimney", "wheel", "headlight", "sail", "hull", "mast", "trunk", "crown",
    "petal", "stem", "head", "hair", "body", "arm", "leg", "tail", "wing", "beak", "hat", "shirt", "pole", "basket",
    "canopy", "seat", "envelope", "cloth",
)  # fmt: skip
MATERIALS = (
    "air", "water", "grass", "sand", "asphalt", "snow", "stone", "brick", "wood", "glass", "metal", "plaster",
    "foliage", "cloth", "skin", "fur", "rubber", "feather", "light", "tile",
)  # fmt: skip
TEXTURES = ("plain", "striped", "dotted", "checkered", "zigzag", "grid", "wavy")
SCENES = (
    "beach", "lake", "harbour", "city street", "night city", "village", "park", "forest", "mountain", "desert",
    "snow field", "meadow", "street wall", "open sky",
)  # fmt: skip

PIXEL_CATEGORIES = ("object", "part", "material", "texture", "color")
NAMES: dict[str, tuple[str, ...]] = {
    "object": ("", *STUFF, *THINGS),
    "part": ("", *PARTS),
    "material": ("", *MATERIALS),
    "texture": ("", *TEXTURES),
    "color": COLOR_TERMS,
    "scene": ("", *SCENES),
}
IDS: dict[str, dict[str, int]] = {
    category: {name: index for index, name in enumerate(names)} for category, names in NAMES.items()
}
