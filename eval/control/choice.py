"""Units chosen by the words of their descriptions, by hand, or at random as a rival.

    chosen = choose_units(Atlas.open("atlas"), "brown", top=20)
    chosen[0].id, chosen[0].text, chosen[0].score          # "layer3:57", "brown", 0.06
    near = searched_units(atlas, "dark things", top=20)    # by PMI, whatever the descriptions say
    rivals = random_units(atlas, chosen, seed=0)           # as many of each layer, none of the chosen

A description answers a query when it says all of its words; what a logical form denies (NOT brown) it does not say.
What a query denies no description of the unit may say.
Units told by labelled pixels come first, by IoU, then captions, by PMI: only IoU says how much of the thing a unit has.
Words withdrawn as not reliable count too, and are told as such: what an edit does is measured, whatever was said. So
do the next best concepts of a unit, by the IoU that the atlas's dissection keeps: it may draw grass, and be green.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from describer.atlas import Atlas
from describer.data.nouns import singular
from describer.errors import AtlasError, DescriberError
from describer.search.dissection import Dissection
from describer.search.iou import global_ious

NEXT_BEST = 5
"Concepts of a unit, by IoU, that count as said of it, as many as a caption keeps, if they have FAIR of the best IoU."
FAIR = 0.25
ALL = 1_000_000
"As many units as a query finds."
DENIED = re.compile(r'\bNOT (?:"[^"]*"|[^\s()]+)')
WORD = re.compile(r"[^\W_]+")
PASSED_OVER = frozenset({"and", "or", "a", "an", "the"})
"Words that neither a query nor a description says."


@dataclass(frozen=True)
class Trust:
    """What the judge found of a text, on images that no exemplar is from."""

    r: float | None
    "Pearson's r of what the text foretells and what the unit answers"
    low: float | None
    high: float | None
    "its 95 % interval"
    q: float
    "p adjusted for all units of the layer"
    reliable: bool
    "whether the text foretells more than chance does; if not it was withdrawn"


@dataclass(frozen=True)
class Chosen:
    """One unit and why it was chosen."""

    layer: str
    unit: int
    text: str | None
    "the description that answers the query"
    method: str
    score: float | None
    "IoU of a concept or form, PMI (nats) of a caption"
    withdrawn: bool = False
    "whether the text was found not reliable"
    trust: Trust | None = None
    "None: not judged"

    @property
    def id(self) -> str:
        """The name of the unit, "layer:unit"."""
        return f"{self.layer}:{self.unit}"


def choose_units(
    atlas: Atlas, query: str, top: int = 20, min_score: float | None = None, layers: Sequence[str] = ()
) -> list[Chosen]:
    """At most `top` units whose descriptions say the words of the query, best first.

    AtlasError with the nearest descriptions where none does, and where every unit does. A unit of which any description
    says what the query denies is left out; a form can be asked for as it stands.
    """
    wanted = asked(query)
    best: dict[str, Chosen] = {}
    if not wanted:
        raise AtlasError(f"A query must have words. Got {query!r}. Ask for something, such as brown.")
    rows = [row for row in atlas.units() if not layers or any(fnmatchcase(row["layer"], p) for p in layers)]
    if not rows:
        message = f"A unit must be in {', '.join(layers) or 'the atlas'}. Got none described"
        raise AtlasError(f"{message}. It has: {', '.join(atlas.layers) or 'no layers'}.")
    n_units, denied = {row["id"] for row in rows}, _denied(query, rows)
    for row in rows:
        if wanted <= words(said(row)):
            each = _chosen(row)
            best[each.id] = min(best.get(each.id, each), each, key=_rank)
    for each in _next_best(atlas, wanted, layers):
        best.setdefault(each.id, each)
    best = {name: each for name, each in best.items() if name not in denied}
    if best and len(best) == len(n_units) and len(n_units) > top:
        message = f"A query must tell units apart. Got {query!r}, which all {len(best)} units answer"
        raise AtlasError(f"{message}. Ask for something more special.")
    found = sorted((c for c in best.values() if min_score is None or (c.score or 0.0) >= min_score), key=_rank)
    if best and not found:
        message = f"A unit must have the least score {min_score}. Got {len(best)} that answer {query!r}"
        raise AtlasError(f"{message}, the best {max(c.score or 0.0 for c in best.values()):.3f}. Lower --min-score.")
    if not found:
        near = ", ".join(_nearest(atlas, query, rows)) or "none"
        message = f"A unit must answer the query. Got {query!r}, which none of {len(n_units)} does"
        raise AtlasError(f"{message}. The nearest descriptions: {near}. Say one of these, or find units by meaning.")
    return found[:top]


def _denied(query: str, rows: Sequence[Mapping[str, Any]]) -> set[str]:
    """The units of which some description says all words of a part that the query denies."""
    parts = [part for told in DENIED.findall(query) if (part := words(told.removeprefix("NOT")))]
    return {row["id"] for row in rows if any(part <= words(said(row)) for part in parts)}


def _nearest(atlas: Atlas, query: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Of all that is said, concepts and single words too, what is spelt most like the query."""
    texts = {text for row in rows if (text := row["description"] or row.get("withdrawn"))}
    laid = dissected(atlas)
    names = set(concept_names(laid)) if laid else set()
    single = {word for text in texts for word in WORD.findall(DENIED.sub(" ", text).lower())} - PASSED_OVER
    return get_close_matches(query, sorted(texts | names | single), 3, 0.0)


@dataclass(frozen=True, eq=False)
class BestConcepts:
    """A layer's units beside all concepts."""

    layer: str
    units: list[int]
    ious: Float[np.ndarray, "units concepts"]
    among: Bool[np.ndarray, "units concepts"]
    "whether the concept is among the unit's first by IoU, with a fair share of that of the first"


def best_concepts(atlas: Atlas, laid: Dissection, layers: Sequence[str] = ()) -> Iterator[BestConcepts]:
    """Of every layer that was laid over concepts, which of them are the best for each unit."""
    for layer in atlas.layers:
        if not laid.has(layer) or (layers and not any(fnmatchcase(layer, pattern) for pattern in layers)):
            continue  # may be described after the concepts were laid over the others
        units = laid.layer(layer)
        ious = global_ious(laid.table, units.counts)
        ranked = -np.sort(-ious, axis=1)[:, :NEXT_BEST]
        least = np.maximum(ranked[:, -1], FAIR * ranked[:, 0])[:, None]
        yield BestConcepts(layer, units.exemplars.unit_ids.tolist(), ious, (ious > 0) & (ious >= least))


def concept_names(laid: Dissection) -> list[str]:
    """The names of all concepts, without their category."""
    return [_plain(name) for name in laid.table.names]


def _next_best(atlas: Atlas, wanted: set[str], layers: Sequence[str]) -> list[Chosen]:
    """Units of which a concept that says all words is among the first by IoU."""
    laid, found = dissected(atlas), list[Chosen]()
    names = concept_names(laid) if laid else []
    says = np.array([wanted <= words(name) for name in names], bool)
    if laid is None or not says.any():
        return found
    for each in best_concepts(atlas, laid, layers):
        best = np.where(each.among & says, each.ious, 0.0)
        for row in np.flatnonzero(best.any(1)).tolist():
            column = int(best[row].argmax())
            found.append(Chosen(each.layer, each.units[row], names[column], "next best", float(best[row, column])))
    return found


def _plain(concept: str) -> str:
    """The name of a concept without its category."""
    return concept.replace("_", " ").rpartition(":")[2]


def dissected(atlas: Atlas) -> Dissection | None:
    """The atlas's units laid over concepts, the last such; None where there is none."""
    folders = sorted((atlas.path / "concepts").glob("*/about.json"))
    return Dissection.open(folders[-1].parent) if folders else None


def searched_units(
    atlas: Atlas, query: str, top: int = 20, min_score: float | None = None, layers: Sequence[str] = ()
) -> list[Chosen]:
    """At most `top` units whose exemplars make the query likeliest, by PMI and cosine, whatever their descriptions say.

    Whether they make it likely is not asked: of blurred pictures PMI is below 0 although the order is right.
    """
    from describer.search.index import search

    hits = search(atlas, query, k=top, layers=tuple(layers))
    kept = [hit for hit in hits if min_score is None or hit.score >= min_score]
    if not kept:
        message = f"A unit must reach the least score {min_score}. Got {len(hits)} that do not"
        raise AtlasError(f"{message}. Lower --min-score.")
    return [Chosen(hit.layer, hit.unit, hit.description, hit.by, hit.score) for hit in kept]


WAYS = {"words": choose_units, "meaning": searched_units}
"How units are found for a query: by what their descriptions say, or by what the captioner makes of their exemplars."


def _chosen(row: Mapping[str, Any]) -> Chosen:
    score = row["iou"] if row["iou"] is not None else row["pmi"]
    text = row["description"] or row.get("withdrawn")
    withdrawn = text != row["description"]
    return Chosen(row["layer"], row["unit"], text, row["method"], score, withdrawn, _trust(row))


def _trust(row: Mapping[str, Any]) -> Trust | None:
    if row.get("q") is None:
        return None
    return Trust(row["score"], row["low"], row["high"], row["q"], bool(row["reliable"]))


def _rank(chosen: Chosen) -> tuple[bool, float, str, int]:
    return chosen.method == "caption", -(chosen.score or 0.0), chosen.layer, chosen.unit


def _standing(chosen: Chosen) -> tuple[bool, bool, tuple[bool, float, str, int]]:
    return chosen.text is None, chosen.withdrawn, _rank(chosen)


def said(row: Mapping[str, Any]) -> str:
    """What a row's description says of its unit, without what it denies."""
    return DENIED.sub(" ", row["description"] or row.get("withdrawn") or "")


def words(text: str) -> set[str]:
    """The words of a text in lower case and the singular, without articles."""
    return {singular(word) for word in WORD.findall(text.lower())} - PASSED_OVER


def asked(query: str) -> set[str]:
    """The words that a query asks for, without what it denies."""
    return words(DENIED.sub(" ", query))


def refuse_beside_units(units: str | None, how: str, min_score: float | None, layers: Sequence[str]) -> None:
    """DescriberError where units are chosen by hand and something else chooses too."""
    given = {"--how": how != "words", "--min-score": min_score is not None, "--layers": bool(layers)}
    if units is not None and any(given.values()):
        got = ", ".join(name for name, is_given in given.items() if is_given)
        raise DescriberError(f"--units must be all that chooses units. Got {got} too. Leave one out.")


def named_units(atlas: Atlas, text: str) -> list[Chosen]:
    """The units between the commas of "layer2:3,layer2:5", in words that were not withdrawn where there are such.

    AtlasError for a unit that the atlas has not.
    """
    found = []
    for name in dict.fromkeys(part.strip() for part in text.split(",") if part.strip()):
        layer, unit = atlas.locate(name)
        rows = [row for row in atlas.units(layer) if row["unit"] == unit]
        found.append(min(map(_chosen, rows), key=_standing) if rows else Chosen(layer, unit, None, "", None))
    if not found:
        raise AtlasError("--units must name units. Got none. Write such as layer2:3,layer2:5.")
    return found


def told_units(atlas: Atlas) -> dict[tuple[str, int], Chosen]:
    """(layer, unit) -> the best of the descriptions that it has; units without any are left out."""
    best: dict[tuple[str, int], Chosen] = {}
    for each in (_chosen(row) for row in atlas.units() if row["description"]):
        best[each.layer, each.unit] = min(best.get((each.layer, each.unit), each), each, key=_rank)
    return best


def random_units(atlas: Atlas, chosen: Sequence[Chosen], seed: int, besides: Sequence[Chosen] = ()) -> list[Chosen]:
    """As many units of each layer as were chosen, or as many as are left; AtlasError where none is.

    None of them was chosen or is of those `besides`. None is dead, unless a layer has only such left.
    """
    found: list[Chosen] = []
    for layer, number in Counter(each.layer for each in chosen).items():
        others = _left(atlas, layer, (*chosen, *besides))
        drawn = np.random.default_rng((seed, len(found))).choice(others, min(number, len(others)), replace=False)
        found += [Chosen(layer, int(unit), None, "random", None) for unit in sorted(drawn)]
    if not found:
        message = f"{', '.join(by_layer(chosen))} must have units that were not chosen, to compare. Got none"
        raise AtlasError(f"{message}. Choose fewer.")
    return found


def random_draws(
    atlas: Atlas, chosen: Sequence[Chosen], seed: int, draws: int, besides: Sequence[Chosen] = ()
) -> list[list[Chosen]]:
    """So many draws of `random_units`; an empty list where no unit is left."""
    if not any(_left(atlas, layer, (*chosen, *besides)) for layer in by_layer(chosen)):
        return []
    return [random_units(atlas, chosen, seed * 1000 + draw, besides) for draw in range(draws)]


def _left(atlas: Atlas, layer: str, taken: Sequence[Chosen]) -> list[int]:
    """The layer's other units that are not dead; the dead ones where there are no others."""
    exemplars, numbers = atlas.exemplars(layer), {each.unit for each in taken if each.layer == layer}
    is_dead = {
        unit: dead
        for unit, dead in zip(exemplars.unit_ids.tolist(), exemplars.dead.tolist(), strict=True)
        if unit not in numbers
    }
    return [unit for unit, dead in is_dead.items() if not dead] or list(is_dead)


def by_layer(chosen: Sequence[Chosen]) -> dict[str, tuple[int, ...]]:
    """layer -> its chosen units, in the order in which they were chosen."""
    return {
        layer: tuple(c.unit for c in chosen if c.layer == layer) for layer in dict.fromkeys(c.layer for c in chosen)
    }
