"""The pages as HTML, the same ones for the server and for the folder of files; links decide where they lead.

    pages = Pages(library)
    pages.unit(ServerLinks(), library.sheet("layer4", 483))

Every value is escaped by Jinja; scripts and styles are files beside, so that the content security policy can forbid
all others.
"""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from describer import __version__
from describer.search.site.cards import Card
from describer.search.site.charts import layer_map, peaks_chart
from describer.search.site.finding import ORDERS, WAYS, Found
from describer.search.site.grid import KINDS, GridQuery, n_pages, page_of
from describer.search.site.library import COARSE, IN_GRID, Library
from describer.search.site.links import FileLinks, Links
from describer.search.site.outlines import SIDE
from describer.search.site.sheet import MEASURES, UnitSheet

HERE = Path(__file__).parent
TEMPLATES, ASSETS = HERE / "templates", HERE / "static"
ASSET_NAMES = ("site.css", "site.js", "search.js", "icon.svg")
"What pages may load; nothing else of the folder is passed on."
POLICY = (
    "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"The content security policy of a server's pages: nothing but what the server itself has."


LATENTS = "latents:"
"Begins the name of the images that a generator draws itself."


class Pages:
    """Renders the pages of one atlas."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        self._templates.globals["measures"] = MEASURES
        self._templates.filters["grouped"] = lambda number: f"{number:,}"

    def home(self, links: Links, found: Sequence[Found] | None = None, **asked: str) -> str:
        """The first page; with `found` that of a search."""
        layers = self._library.overview()
        scores = {layer.name: [card.score if card.text else None for card in layer.cards] for layer in layers}
        known = [score for of_layer in scores.values() for score in of_layer if score is not None]
        bounds = (min(known), max(known)) if known else (0.0, 1.0)
        maps = {name: layer_map(of_layer, bounds) for name, of_layer in scores.items()}
        thumbs = self._thumbs([each.card for each in found or ()])
        results = None if found is None else list(zip(found, thumbs, strict=True))
        told = {"q": "", "layer": "", "how": "fused", "least": "", "fault": "", "picture": ""} | asked
        meta = self._library.meta
        told["generator"] = meta.model.name if meta.images.name.startswith(LATENTS) else ""
        told["folder"] = self._library.path.name
        return self._page(
            "home.html", links, layers=layers, maps=maps, results=results, ways=WAYS, orders=ORDERS, **told
        )

    def layer(self, links: Links, name: str, query: GridQuery) -> str:
        """One page of a layer's grid; AtlasError where there is no such layer."""
        entry = self._library.entry(name)
        cards, n_chosen, n_units = self._chosen(name, query)
        shown = list(zip(cards, self._thumbs(cards), strict=True))
        return self._page(
            "layer.html",
            links,
            entry=entry,
            cards=shown,
            query=query,
            n_units=n_units,
            n_chosen=n_chosen,
            n_pages=n_pages(n_chosen),
            kinds=KINDS,
            layers=[each.name for each in self._library.meta.layers],
        )

    def _chosen(self, layer: str, query: GridQuery) -> tuple[list[Card], int, int]:
        """The cards of one page, how many units the reader asked for, and how many there are."""
        units = None if query.asked else self._library.in_order(layer, query.by_score)
        if units is not None:  # a large layer, of which no other unit need be read
            cards = self._library.cards_of([(layer, unit) for unit in page_of(units, query.page)])
            return cards, len(units), len(units)
        everything = self._library.cards(layer, query.method or None)
        chosen = query.chosen(everything)
        return page_of(chosen, query.page), len(chosen), len(everything)

    def unit(self, links: Links, sheet: UnitSheet, **tried: Any) -> str:
        """The page of a unit; `tried` is what it makes of a reader's picture."""
        chart = peaks_chart(sheet)
        told = {"tried": None, "tried_picture": "", "fault": ""} | tried
        return self._page("unit.html", links, sheet=sheet, chart=chart, **told)

    def fault(self, links: Links, status: int, text: str) -> str:
        """A page that says what went wrong."""
        return self._page("fault.html", links, status=status, text=text)

    def other(self, template: str, links: Links, **values: Any) -> str:
        """A page of another template."""
        return self._page(template, links, **values)

    def _thumbs(self, cards: Sequence[Card]) -> list[Any]:
        return self._library.shown_of([(card.layer, card.unit) for card in cards], IN_GRID, COARSE)

    def _page(self, template: str, links: Links, **values: Any) -> str:
        policy = file_policy() if isinstance(links, FileLinks) else ""
        meta = self._library.meta
        return self._templates.get_template(template).render(
            links=links, meta=meta, side=SIDE, version=__version__, policy=policy, title=self.title, **values
        )

    @cached_property
    def title(self) -> str:
        """What the atlas is of, in short."""
        name = self._library.meta.model.name
        return name if len(name) <= 60 else f"…{name[-59:]}"


def file_policy() -> str:
    """The policy of pages that are opened as files; it stands in the page, where frame-ancestors has no effect."""
    return POLICY.removesuffix("; frame-ancestors 'none'")
