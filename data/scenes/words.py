"""How people word concepts: `wordings("color:red&part:roof")` is ["red roofs", "roofs that are red"].

A key is a formula over labels, the same for every wording (see `keys`):

    object:tree                    pixels labelled tree               "trees"
    color:red&part:roof            pixels that are both               "red roofs"
    object:sky|object:water        pixels of either, sky above        "sky above water"
    object:boat@object:water       things that stand on something     "boats on water"
    object:ball(texture:dotted)    whole things that are mostly so    "dotted balls"
    scene:beach, light:night       whole pictures                     "beaches", "night scenes"

All wordings are noun phrases in lower case without a full stop.
"""

from functools import lru_cache

OBJECT_WORDS: dict[str, tuple[str, ...]] = {
    "sky": ("sky", "the sky"), "water": ("water", "the water"), "grass": ("grass", "grassy ground"),
    "sand": ("sand", "sandy ground"), "road": ("roads", "the road", "streets"), "snow": ("snow", "snowy ground"),
    "mountain": ("mountains", "mountain peaks"), "hill": ("hills", "rolling hills"),
    "sidewalk": ("sidewalks", "pavement"),
    "path": ("paths", "footpaths"), "wall": ("walls", "a wall"), "pier": ("piers", "the quay"),
    "house": ("houses", "homes"), "building": ("buildings", "city buildings"), "tower": ("towers",),
    "tree": ("trees",), "palm": ("palm trees", "palms"), "cactus": ("cacti", "cactus plants"),
    "bush": ("bushes", "shrubs"),
    "flower": ("flowers",), "boat": ("boats",), "car": ("cars",), "bus": ("buses",), "bicycle": ("bicycles", "bikes"),
    "airplane": ("airplanes", "planes"), "person": ("people", "persons"), "dog": ("dogs",), "sheep": ("sheep",),
    "bird": ("birds",), "ball": ("balls",), "sun": ("the sun", "suns"), "moon": ("the moon", "moons"),
    "cloud": ("clouds",), "lamp": ("street lamps", "lamp posts"), "fence": ("fences", "picket fences"),
    "flag": ("flags",),
    "balloon": ("hot air balloons", "balloons"), "kite": ("kites",), "bench": ("benches", "park benches"),
    "umbrella": ("umbrellas", "parasols"), "tent": ("tents",), "snowman": ("snowmen",), "rock": ("rocks", "stones"),
}  # fmt: skip
SINGULAR = {"palm": "palm tree", "lamp": "street lamp", "balloon": "hot air balloon", "sun": "sun", "moon": "moon"}
PART_WORDS: dict[str, tuple[str, ...]] = {
    "roof": ("roofs",), "facade": ("walls", "house fronts"), "window": ("windows",), "door": ("doors",),
    "chimney": ("chimneys",), "wheel": ("wheels",), "headlight": ("headlights",), "sail": ("sails",),
    "hull": ("hulls",),
    "mast": ("masts",), "trunk": ("trunks", "tree trunks"), "crown": ("leaves", "leafy crowns"),
    "petal": ("petals", "blossoms"),
    "stem": ("stems",), "head": ("heads",), "hair": ("hair",), "body": ("bodies",), "arm": ("arms",),
    "leg": ("legs",),
    "tail": ("tails",), "wing": ("wings",), "beak": ("beaks",), "hat": ("hats",), "shirt": ("shirts", "clothes"),
    "pole": ("poles", "posts"), "basket": ("baskets",), "canopy": ("canopies",), "seat": ("seats",),
    "envelope": ("balloon envelopes",), "cloth": ("pieces of cloth",),
}  # fmt: skip
MATERIAL_WORDS: dict[str, tuple[str, ...]] = {
    "air": ("sky and clouds", "the open air"), "water": ("water",), "grass": ("grass",), "sand": ("sand",),
    "asphalt": ("asphalt", "asphalt surfaces"), "snow": ("snow",), "stone": ("stone", "stone surfaces"),
    "brick": ("bricks", "brick surfaces", "things made of brick"),
    "wood": ("wood", "wooden things", "things made of wood"),
    "glass": ("glass", "glass panes"), "metal": ("metal", "metal things", "things made of metal"),
    "plaster": ("plaster", "plastered walls"), "foliage": ("foliage", "leaves and plants"),
    "cloth": ("cloth", "fabric"),
    "skin": ("skin",), "fur": ("fur", "fur and hair"), "rubber": ("rubber", "rubber things"),
    "feather": ("feathers",),
    "light": ("lights", "shining things"), "tile": ("tiles", "roof tiles"),
}  # fmt: skip
MADE_OF = {
    "wood": "wooden",
    "brick": "brick",
    "stone": "stone",
    "metal": "metal",
    "glass": "glass",
    "plaster": "plastered",
}
TEXTURE_WORDS: dict[str, tuple[str, ...]] = {
    "plain": ("plain surfaces", "smooth surfaces"),
    "striped": ("stripes", "striped objects", "striped patterns", "striped things"),
    "dotted": ("dots", "dotted objects", "dotted patterns", "polka dots"),
    "checkered": ("checkered objects", "checkered patterns", "checkered things"),
    "zigzag": ("zigzag patterns", "zigzag lines", "things with zigzags"),
    "grid": ("grid patterns", "grids", "things with a grid"),
    "wavy": ("wavy patterns", "wavy lines", "things with wavy lines"),
}  # fmt: skip
SCENE_WORDS: dict[str, tuple[str, ...]] = {
    "beach": ("beaches", "beach scenes"), "lake": ("lakes", "lake scenes"), "harbour": ("harbours", "harbour scenes"),
    "city street": ("city streets", "city street scenes"), "night city": ("cities at night", "city streets at night"),
    "village": ("villages", "village scenes"), "park": ("parks", "park scenes"),
    "forest": ("forests", "forest scenes"),
    "mountain": ("mountain scenes", "mountain landscapes"), "desert": ("deserts", "desert scenes"),
    "snow field": ("snow fields", "snowy landscapes"), "meadow": ("meadows", "meadow scenes"),
    "street wall": ("walls along sidewalks", "scenes in front of a wall"), "open sky": ("open skies", "wide open sky"),
}  # fmt: skip
LIGHT_WORDS: dict[str, tuple[str, ...]] = {
    "day": ("daytime scenes", "scenes in daylight"), "cloudy": ("cloudy scenes", "gray days"),
    "sunset": ("sunset scenes", "scenes at sunset"), "night": ("night scenes", "scenes at night"),
}  # fmt: skip
VARIANT_WORDS: dict[str, tuple[str, ...]] = {
    "conifer": ("conifers", "fir trees"), "lighthouse": ("lighthouses",),
    "stone tower": ("castle towers", "stone towers"),
    "sailboat": ("sailboats", "sailing boats"), "ship": ("ships",), "rowing boat": ("rowing boats",),
    "van": ("vans",),
    "tulip": ("tulips",), "flying bird": ("flying birds", "birds in flight"), "setting sun": ("the setting sun",),
    "crescent moon": ("crescent moons",), "full moon": ("full moons",),
}  # fmt: skip
SUPPORT_WORDS = {
    "sky": "in the sky", "water": "on water", "grass": "on grass", "sand": "on sand", "road": "on the road",
    "snow": "in the snow", "sidewalk": "on the sidewalk", "path": "on a path", "pier": "on a pier",
}  # fmt: skip

PLAIN = {"object": OBJECT_WORDS, "part": PART_WORDS, "material": MATERIAL_WORDS, "texture": TEXTURE_WORDS,
         "scene": SCENE_WORDS, "light": LIGHT_WORDS}  # fmt: skip


def plural(category: str, name: str) -> str:
    """Return the first wording of an object or part without an article."""
    return PLAIN[category][name][0].removeprefix("the ")


def singular(name: str) -> str:
    """Return an object's name with its indefinite article, or the definite one for sun and moon."""
    word = SINGULAR.get(name, name)
    return f"{'the' if name in ('sun', 'moon') else 'an' if word[0] in 'aeiou' else 'a'} {word}"


def adjective(category: str, name: str) -> str:
    """Return a colour, texture or material before a noun: "red", "striped", "wooden"."""
    if category == "material":
        return MADE_OF.get(name, name)
    return {"grid": "grid-patterned", "zigzag": "zigzag-patterned"}.get(name, name)


UNCOUNTED = ("hair", "sky", "water", "grass", "sand", "snow")
PATTERN_NOUNS = {"striped": "stripes", "dotted": "dots", "zigzag": "zigzags", "wavy": "wavy lines"}


def _wording_of_part(part: str, owner: str) -> list[str]:
    parts, owners = plural("part", part), plural("object", owner)
    single = SINGULAR.get(owner, owner)
    return [f"{parts} of {owners}", f"people's {parts}" if owner == "person" else f"{single} {parts}"]


def _wording_of_look(category: str, look: str, noun_category: str, noun: str) -> list[str]:
    head = plural(noun_category, noun)
    if noun == "person":
        return [f"people in {look}"] if category == "color" else [f"people in {adjective(category, look)} clothes"]
    texts = [f"{adjective(category, look)} {head}"]
    if category == "color" and noun not in UNCOUNTED:
        texts.append(f"{head} that are {look}")
    elif look in PATTERN_NOUNS:
        texts.append(f"{head} with {PATTERN_NOUNS[look]}")
    elif category == "texture" and look != "plain":
        texts.append(f"{head} with a {look} pattern")
    return texts


def _wording_of_form(key: str) -> list[str]:
    """Return the wordings of a key of one of the forms "a|b", "a@b" and "a(look)"."""
    if "|" in key:
        over, under = (plural("object", term.split(":")[1]) for term in key.split("|"))
        return [f"{over} above {under}", f"{over} over {under}", f"{under} under the {over}"]
    if "@" in key:
        name, support = (term.split(":")[1] for term in key.split("@"))
        return [f"{words.removeprefix('the ')} {SUPPORT_WORDS[support]}" for words in OBJECT_WORDS[name][:2]]
    name, look = key[7:-1].split("(")
    category, value = look.split(":")
    return list(VARIANT_WORDS[value]) if category == "variant" else _wording_of_look(category, value, "object", name)


@lru_cache(maxsize=4096)
def wordings(key: str) -> tuple[str, ...]:
    """Return every wording of a concept key, the most usual first."""
    if any(sign in key for sign in "|@("):
        return tuple(_wording_of_form(key))
    if "&" in key:
        category, look, noun_category, noun = key.replace("&", ":").split(":")
        pair = (
            _wording_of_part(look, noun)
            if category == "part"
            else _wording_of_look(category, look, noun_category, noun)
        )
        return tuple(pair)
    category, name = key.split(":")
    if category == "color":
        return f"{name} objects", f"{name} things", f"{name} areas", f"the color {name}"
    return PLAIN[category][name]
