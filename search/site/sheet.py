"""What the pages show of one unit, gathered from an atlas: words, scores with what they mean, exemplars, examples.

sheet = Library("atlas").sheet("layer4", 483)     # see library.py
sheet.tellings[0].text, sheet.tellings[0].facts[0].value
"""

from dataclasses import dataclass

from describer.unittable import Row

MEANINGS = {
    "pmi": (
        "PMI",
        "{:.2f} nats",
        "log p(words | exemplars) less a part of log p(words): what the exemplars add to them",
    ),
    "log_prob": ("log p(words | exemplars)", "{:.2f}", "what the captioner gives the words, having seen the exemplars"),
    "log_prior": ("log p(words)", "{:.2f}", "what the language model gives the words by themselves"),
    "evidence": (
        "evidence",
        "{:.2f} nats",
        "what the exemplars one by one speak for, beyond what the whole layer does",
    ),
    "iou": ("IoU", "{:.3f}", "pixels where the unit is high and the words hold, of those where either does"),
    "chance_iou": ("IoU by chance", "{:.3f}", "the best such form for masks laid on other pictures"),
    "p_value": ("p", "{:.2g}", "how often chance does as well"),
    "upper_bound": ("bound", "{:.3f}", "no form of this length has a higher IoU"),
    "category_iou": ("IoU within the category", "{:.3f}", "over pictures with labels of the category"),
    "detection_accuracy": ("fires where it holds", "{:.1%}", "of the pixels the words hold for"),
    "coverage": ("holds where it fires", "{:.1%}", "of the pixels the unit fires on"),
    "concept_iou": ("IoU of one concept", "{:.3f}", "the best that a single concept reaches"),
    "length": ("length", "{:.0f}", "concepts in the form"),
    "form_score": ("score of the search", "{:.3f}", "IoU, less for every concept beyond the first"),
}
"score -> its name, how it is written, what it means"
MEASURES = {
    "r": "how well the words foretell what the unit does on other images, 1 at best, with its 95 % interval",
    "PMI": "how much the exemplars speak for the words, in nats",
    "IoU": "pixels where the unit is high and the words hold, of those where either does",
}
"what a card's score is -> what it means"
LONGEST = 400
"Characters of a text that are shown; what a method says is a phrase, and a page must stay small."


@dataclass(frozen=True)
class Fact:
    """One number about a unit."""

    name: str
    value: str
    meaning: str = ""


@dataclass(frozen=True)
class Shown:
    """A picture with the outline of a mask."""

    image: int
    outline: str
    "path of an SVG picture; empty: nowhere above the threshold"
    activation: float | None = None


@dataclass(frozen=True)
class Examples:
    """Labelled pictures of one kind."""

    dissection: str
    "the folder they lie in"
    kind: str
    told: str
    shown: tuple[Shown, ...]


@dataclass(frozen=True)
class Verdict:
    """How well a text foretells what the unit does on images it was not made from; see docs/trust.md."""

    r: float
    "Pearson's r of what a listener expects from the text and what the unit answers"
    low: float
    high: float
    "its 95 % interval"
    p: float
    q: float
    "p adjusted for all units of the layer"
    reliable: bool
    withdrawn: str | None
    "the text that was taken back"

    @property
    def interval(self) -> str:
        """r with its interval, in words."""
        return f"{self.r:.2f} ({self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True)
class Meant:
    """One of several meanings of a unit."""

    words: str | None
    "None: no description of it can be relied on"
    share: float
    "of the unit's activation, 0..1"
    verdict: Verdict | None
    "None: not judged"


@dataclass(frozen=True)
class Telling:
    """What one method says of the unit."""

    method: str
    text: str | None
    facts: tuple[Fact, ...]
    candidates: tuple[dict[str, object], ...] = ()
    "text, log_prob, log_prior and pmi of what was weighed, best first"
    examples: tuple[Examples, ...] = ()
    verdict: Verdict | None = None
    "None: not judged"
    meanings: tuple[Meant, ...] = ()
    "where there are several; the largest share first"

    @property
    def has_evidence(self) -> bool:
        """Whether the candidates were weighed by evidence too."""
        return bool(self.candidates) and all(each.get("evidence") is not None for each in self.candidates)


@dataclass(frozen=True)
class Evidence:
    """What a unit answers on the images that judge its descriptions, of which no exemplar is one."""

    n_images: int
    shown: tuple[Shown, ...]
    "those with the highest mean over places, that mean as `activation`; only pictures that the atlas has"
    middle: float
    "half of the images have a lower mean"


@dataclass(frozen=True)
class Beside:
    """Another unit, as a link with its words."""

    layer: str
    unit: int
    text: str | None
    likeness: float | None = None


@dataclass(frozen=True)
class UnitSheet:
    """All that the page of a unit shows."""

    layer: str
    unit: int
    dead: bool
    threshold: float | None
    peak: float | None
    "highest activation over the probe set"
    exemplars: tuple[Shown, ...]
    tellings: tuple[Telling, ...]
    levels: tuple[float, ...]
    "quantiles of the unit's peaks over all probe images, evenly spaced; empty where the atlas has none"
    previous: int | None
    following: int | None
    position: int
    "its place among the units of the layer, from 1"
    n_units: int
    neighbours: tuple[Beside, ...] = ()
    "those that fire on the same pictures"
    similar: tuple[Beside, ...] = ()
    "those that mean the same; the search knows them, not the atlas"
    evidence: Evidence | None = None
    "None: the atlas was made without a judge"

    @property
    def id(self) -> str:
        """The name of the unit, "layer:unit"."""
        return f"{self.layer}:{self.unit}"

    @property
    def told(self) -> str | None:
        """The words of the first method that has some."""
        return next((telling.text for telling in self.tellings if telling.text), None)

    @property
    def headline(self) -> str:
        """The words, or why there are none."""
        return self.told or silence(self.dead, bool(self.tellings))

    @property
    def pictures(self) -> list[int]:
        """The images of the probe set that are shown, each once."""
        judging = self.evidence.shown if self.evidence else ()
        return list(dict.fromkeys(shown.image for shown in (*self.exemplars, *judging)))

    @property
    def example_pictures(self) -> list[tuple[str, int]]:
        """(dissection, image) of the labelled pictures, each once."""
        examples = (each for telling in self.tellings for each in telling.examples)
        return list(dict.fromkeys((each.dissection, shown.image) for each in examples for shown in each.shown))


def silence(dead: bool, described: bool) -> str:
    """Why a unit has no words."""
    if dead:
        return "dead unit"
    return "no reliable description" if described else "not described yet"


def cut(text: str | None) -> str | None:
    """A text of bounded length."""
    return text if text is None or len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def score_of(row: Row) -> tuple[float | None, str]:
    """What units are ordered by, and what it is: r of a judge, else the form's own score, PMI or IoU."""
    if verdict_of(row) is not None:
        return row["score"], "r"
    name = next((name for name in ("score", "pmi", "iou") if row[name] is not None), None)
    return (None, "") if name is None else (row[name], "PMI" if name == "pmi" else "IoU")


def verdict_of(row: Row) -> Verdict | None:
    """What the judge found of a row, or of one meaning in it; None where nothing was judged."""
    if row["q"] is None:
        return None
    numbers = (row["score"], row["low"], row["high"], row["p"], row["q"])
    return Verdict(*numbers, reliable=bool(row["reliable"]), withdrawn=cut(row["withdrawn"]))


def meanings_of(row: Row) -> tuple[Meant, ...]:
    """The meanings of a row that has several."""
    return tuple(Meant(cut(each["text"]), float(each["share"]), verdict_of(each)) for each in row["meanings"])


def facts_of(row: Row) -> tuple[Fact, ...]:
    """The scores a row has, with what they mean."""
    scores = {**(row["scores"] or {}), **{name: row[name] for name in MEANINGS if row.get(name) is not None}}
    known = [Fact(title, form.format(scores[n]), why) for n, (title, form, why) in MEANINGS.items() if n in scores]
    others = [Fact(cut(n) or "", f"{v:.3g}") for n, v in scores.items() if n not in MEANINGS and v is not None]
    return tuple(known + others)
