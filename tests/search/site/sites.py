"""A small atlas with hostile words and labelled examples, for the tests of the pages."""

import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from describer.atlas import Atlas
from describer.description import Candidate, Description, Meaning
from describer.exemplars import Exemplars
from describer.responses import Responses
from describer.search.examples import KINDS, N_EXAMPLES
from describer.search.site.finding import Found
from describer.search.site.library import Library
from describer.search.site.trying import Model
from tests.describer.worlds import LAYERS, Squares, make_exemplars, make_manifest

HOSTILE = "<script>alert(1)</script> \"'>&{{7*7}}</title><img src=x onerror=alert(2)>\u2028"
"What a description of a stranger's atlas may hold."
DISSECTION = "0123456789abcdef"
SIDE = 11
"Cells of the masks of labelled pictures."


def write_atlas(path: Path) -> Path:
    """An atlas of LAYERS told by captions, its unit 3 with hostile ones, and formulas of the layer stem."""
    with Atlas.create(path, make_manifest()) as atlas:
        for layer in LAYERS:
            exemplars = make_exemplars(layer)
            atlas.write_exemplars(exemplars, Squares())
            atlas.write_descriptions(layer, "caption", [_caption(exemplars, row) for row in range(len(exemplars))])
        stem = make_exemplars("stem")
        atlas.write_descriptions("stem", "formula", [_formula(int(unit)) for unit in stem.unit_ids])
    _write_examples(path, stem)
    return path


def write_judged_atlas(path: Path) -> Path:
    """An atlas of the layers stem and body.0 whose texts were judged on 11 images: odd units have reliable ones."""
    layers = ("stem", "body.0")
    with Atlas.create(path, make_manifest(layers=layers)) as atlas:
        for layer in layers:
            exemplars, chance = make_exemplars(layer), torch.Generator().manual_seed(7)
            n, images = len(exemplars), torch.arange(100, 122, 2)
            rows = [torch.rand(size, len(images), generator=chance) for size in (n, n, 3, 3)]
            atlas.write_judging(
                Responses(layer, exemplars.unit_ids, images, *rows), make_exemplars(layer, 1), Squares()
            )
            atlas.write_exemplars(exemplars, Squares())
            atlas.write_descriptions(layer, "caption", [_judged(exemplars, row) for row in range(n)])
    return path


def _judged(exemplars: Exemplars, row: int) -> Description:
    """The higher the unit the higher r; the text of unit 0 is hostile, unit 5 has three meanings."""
    layer, unit = exemplars.layer, int(exemplars.unit_ids[row])
    if exemplars.dead[row]:
        return Description(layer, unit, None, "caption")
    reliable, text = unit % 2 == 1, HOSTILE if unit == 0 else f"{unit} towers"
    scores = {"pmi": 5.0 - unit, "score": unit / 10, "low": unit / 10 - 0.05, "high": unit / 10 + 0.05, "p": 0.01}
    scores["q"] = 0.02 if reliable else 0.5
    judged = {"score": 0.4, "low": 0.3, "high": 0.5, "p": 0.3, "q": 0.4, "reliable": False, "withdrawn": "low sheds"}
    several = Meaning("tall towers", 0.6, 1.0), Meaning(HOSTILE, 0.3, None), Meaning(None, 0.1, 1.0, **judged)
    meanings = several if unit == 5 else ()
    told, taken_back = (text, None) if reliable else (None, text)
    verdict = {"reliable": reliable, "withdrawn": taken_back}
    return Description(layer, unit, told, "caption", scores, meanings=meanings, **verdict)


def _caption(exemplars: Exemplars, row: int) -> Description:
    unit = int(exemplars.unit_ids[row])
    if exemplars.dead[row] or unit == 2:
        return Description(exemplars.layer, unit, None, "caption")
    text = HOSTILE if unit == 3 else f"{('green', 'red')[unit % 2]} squares of {exemplars.layer}"
    n_best = tuple(Candidate(t, -3.0 - i, -8.0, 1.0 - i, "phrase") for i, t in enumerate((text, HOSTILE, "things")))
    scores = {"log_prob": -3.0, "log_prior": -8.0, "pmi": 1.0 + unit / 7, HOSTILE: 1.0}
    return Description(exemplars.layer, unit, text, "caption", scores, n_best)


def _formula(unit: int) -> Description:
    form = f"water AND NOT color:{unit}"
    return Description("stem", unit, form, "formula", {"iou": 0.05 * (unit + 1), "length": 2.0}, formula=form)


def _write_examples(path: Path, exemplars: Exemplars) -> None:
    """Labelled pictures of the formulas of a layer, as a dissection keeps them."""
    folder = path / "concepts" / DISSECTION
    (folder / "thumbnails").mkdir(parents=True)
    (folder / "about.json").write_text(json.dumps({"concepts": "squares"}))
    chance, units = np.random.default_rng(0), len(exemplars)
    tensors = {"unit_ids": exemplars.unit_ids, "width": torch.tensor(SIDE)}
    for number, kind in enumerate(KINDS):
        images = torch.arange(units * N_EXAMPLES).reshape(units, N_EXAMPLES) + 100 * number
        images[:, 2] = -1
        masks = chance.random((units, N_EXAMPLES, SIDE, SIDE)) > 0.5
        tensors |= {f"{kind}.images": images, f"{kind}.pixels": torch.ones_like(images)}
        tensors[f"{kind}.bits"] = torch.from_numpy(np.packbits(masks, axis=-1))
        for image in images[:, :2].flatten().tolist():
            Squares().image(image).resize((112, 112)).save(folder / "thumbnails" / f"{image}.jpg")
    save_file(tensors, folder / "stem.formula-examples.safetensors")


class WordFinder:
    """Finds units whose words hold all of the query's, or, for a picture, those that have an exemplar of its red."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def by_text(self, text: str, k: int, layer: str, how: str, least: float | None = None) -> list[Found]:
        cards = [card for each in self._library.overview() for card in each.cards if layer in ("", each.name)]
        high = [
            card for card in cards if least is None or (card.text and card.score is not None and card.score >= least)
        ]
        return [Found(card, how) for card in high if all(w in (card.text or "") for w in text.split())][:k]

    def by_picture(self, picture: Image.Image, k: int, layer: str, model: Model) -> list[Found]:
        red = np.asarray(picture)[0, 0, 0]
        cards = [card for each in self._library.overview() for card in each.cards if layer in ("", each.name)]
        return [Found(card, f"red {red}") for card in cards if card.unit == red % 7][:k]

    def ready(self) -> str:
        return "words"

    def like(self, layer: str, unit: int, k: int) -> list[Found]:
        return [Found(card, "") for card in self._library.cards(layer) if card.unit == (unit + 2) % 3][:k]


class Markup(HTMLParser):
    """What a page holds: addresses, elements, and text outside of them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.ids: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        self.ids += [name for name in [found.get("id")] if name]
        self.links += [found[name] or "" for name in ("href", "src", "action") if name in found]


def files_of(page: Path) -> Iterator[Path]:
    """The files that a page of a folder leads to."""
    for link in Markup(page.read_text(encoding="utf-8")).links:
        parts = urlsplit(link)
        assert not parts.scheme and not parts.netloc and not parts.path.startswith("/"), link
        if parts.path:
            yield (page.parent / unquote(parts.path)).resolve()
