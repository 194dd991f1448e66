"""The verbs that search and share atlases: `describer search`, `index`, `push` and `pull`; light until one runs.

describer search atlas "dog faces" -k 10 --out grid.png
describer index atlas                            # before the first search, so that it answers at once
describer push atlas hf:me/my-atlas
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from describer.errors import AtlasError

if TYPE_CHECKING:
    from describer.search.query import Hit

app = typer.Typer()

SHOWN = {
    "pmi": ("PMI", "pmi", "{:.2f}"),
    "cosine": ("cosine", "cosine", "{:.3f}"),
    "bm25": ("BM25", "bm25", "{:.2f}"),
    "rank": ("rank", "rank", "{:.4g}"),
    "activation": ("activation", "activation", "{:.3g}"),
    "shared": ("shared", "shared", "{:.2f}"),
}
"What was measured -> heading, part and form of its column."
SCORES = {"reranked": "{:.2f}", "fused": "{:.4f}"}
"What hits are ordered by -> form of its column, where it is made of several of these."
Json = Annotated[bool, typer.Option("--json", help="one JSON object a line")]
Repo = Annotated[str, typer.Argument(metavar="hf:REPO", help="such as hf:me/my-atlas", show_default=False)]


@app.command(epilog='\b\nExample: describer search atlas "dog faces" -k 10 --out grid.png')
def search(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="ATLAS... [TEXT]", help="folders made by describe, then what to look for", show_default=False
        ),
    ],
    k: Annotated[int, typer.Option("-k", metavar="N", help="units to show")] = 10,
    image: Annotated[
        Path | None, typer.Option(metavar="FILE", help="a picture: units that fire on it", show_default=False)
    ] = None,
    unit: Annotated[
        str | None, typer.Option(metavar="LAYER:UNIT", help="a unit: its neighbours", show_default=False)
    ] = None,
    layer: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="only these, repeated or with commas")] = None,
    method: Annotated[str | None, typer.Option(metavar="METHODS", help="only described by these; with commas")] = None,
    min_score: Annotated[
        float | None, typer.Option(metavar="X", help="only descriptions of this score: r if judged, else PMI or IoU")
    ] = None,
    formula: Annotated[
        bool | None, typer.Option("--formula/--no-formula", help="only units with, or without, a formula")
    ] = None,
    how: Annotated[
        Literal["reranked", "fused", "words", "meaning"], typer.Option(metavar="WAY", help="how texts order units")
    ] = "reranked",
    neighbours: Annotated[
        Literal["meaning", "coactivation"], typer.Option(metavar="KIND", help="what makes units neighbours")
    ] = "meaning",
    describer: Annotated[
        str | None, typer.Option(metavar="DIR", help="captioner: folder or hub name; default: the carried one")
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="for --image: the model, if it lies in a Python file")
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="PNG", help="draw the units with their exemplars here")] = None,
    as_json: Json = False,
) -> None:
    """Search units by words, by a picture or by another unit.

    The first search makes an index in the atlas.
    """
    from describer import terminal
    from describer.data.targets import load_target
    from describer.search.index import Searcher

    atlases, text = split_words(words)
    quiet()
    with terminal.progress_bars() as progress:
        searcher = Searcher(atlases, describer, progress)
        if model is not None:
            target = load_target(model)
            searcher.targets[target.fingerprint] = target
        hits = searcher.search(
            text,
            image=image,
            unit=unit,
            k=k,
            layers=[part for each in layer or [] for part in each.split(",")],
            methods=[part.strip() for part in method.split(",")] if method else [],
            min_score=min_score,
            has_formula=formula,
            how=how,
            neighbours=neighbours,
        )
    if as_json:
        terminal.print_json(hit.as_json() for hit in hits)
    elif hits:
        print_hits(hits, len(atlases) > 1)
    else:
        terminal.note("No unit fits. Try other words, or fewer filters.")
    if hits and all(hit.by == "reranked" and hit.parts["pmi"] < 0 for hit in hits):
        terminal.note("The exemplars of these units speak against the text (PMI below 0).")
    if out is not None and hits:
        from describer.picture import save_picture
        from describer.search.hitsheet import hit_sheet

        title = " · ".join(str(part) for part in (text, image, unit) if part is not None)
        save_picture(hit_sheet(hits, searcher, title), out)
        terminal.note(f"Picture: {out}")


@app.command(epilog="\b\nExample: describer index atlas")
def index(
    atlases: Annotated[
        list[Path], typer.Argument(metavar="ATLAS...", help="folders made by describe", show_default=False)
    ],
    describer: Annotated[
        str | None, typer.Option(metavar="DIR", help="captioner: folder or hub name; default: the carried one")
    ] = None,
) -> None:
    """Make the index that search uses.

    The first search or `serve` makes it too; made before, they answer at once. Prints how many units it holds.
    """
    from describer import terminal
    from describer.search.index import Searcher

    quiet()
    with terminal.progress_bars() as progress:
        made = Searcher(list(atlases), describer, progress).indexes
    terminal.print_lines(*(f"{each.name}: {len(each.tables)} units indexed" for each in made))


def split_words(words: Sequence[str]) -> tuple[list[str], str | None]:
    """The atlases and the text: the last word is the text unless it is a folder with an atlas."""
    *atlases, last = words
    text: str | None = last
    if (Path(last) / "atlas.json").is_file():
        atlases, text = [*atlases, last], None
    if not atlases:
        raise AtlasError(f"a search must have an atlas. Got only {last!r}. Name its folder before the text.")
    return atlases, text


def print_hits(hits: "Sequence[Hit]", several: bool) -> None:
    """One line a unit: name, words, what the units are ordered by, and all else that was measured of some of them."""
    from describer import terminal

    columns = [column for name, column in SHOWN.items() if any(name in hit.parts for hit in hits)]
    columns = [*([("score", "score", SCORES[hits[0].by])] if hits[0].by in SCORES else []), *columns]
    heads = [*([("atlas", "left")] if several else []), ("unit", "left"), ("description", "text")]
    terminal.print_table([*heads, *((heading, "right") for heading, _, _ in columns)], _cells(hits, several, columns))


def _cells(hits: "Iterable[Hit]", several: bool, columns: Sequence[tuple[str, str, str]]) -> list[list[str]]:
    rows = []
    for hit in hits:
        row = [hit.atlas] if several else []
        silent = f"(not reliable: {hit.withdrawn})" if hit.withdrawn else "(no reliable description)"
        row += [hit.id, hit.description or silent]
        measured = {**hit.parts, "score": hit.score}
        rows.append(row + [form.format(measured[name]) if name in measured else "" for _, name, form in columns])
    return rows


def quiet() -> None:
    """No bars of transformers beside ours."""
    from transformers.utils import logging

    logging.disable_progress_bar()


@app.command(epilog="\b\nExample: describer push atlas hf:me/my-atlas")
def push(
    atlas: Annotated[Path, typer.Argument(metavar="ATLAS", help="folder made by describe", show_default=False)],
    repo: Repo,
    private: Annotated[bool, typer.Option("--private", help="only you may see it, where it is new")] = False,
) -> None:
    """Share an atlas as a Hugging Face dataset.

    Needs a token that may write: huggingface-cli login, or HF_TOKEN.
    """
    from describer import terminal
    from describer.search.share import push as push_atlas

    with terminal.progress_bars() as progress:
        address = push_atlas(atlas, repo, private=private, progress=progress)
    terminal.print_lines(address)


@app.command(epilog="\b\nExample: describer pull hf:me/my-atlas atlas")
def pull(
    repo: Repo,
    atlas: Annotated[Path, typer.Argument(metavar="ATLAS", help="folder to make", show_default=False)],
    revision: Annotated[str | None, typer.Option(metavar="NAME", help="branch, tag or commit")] = None,
) -> None:
    """Get an atlas that was shared."""
    from describer import terminal
    from describer.search.share import pull as pull_atlas

    with terminal.progress_bars() as progress:
        pulled: Any = pull_atlas(repo, atlas, revision=revision, progress=progress)
    rows = pulled.units()
    terminal.print_lines(*terminal.told_by_method(rows), f"Go on with: describer units {atlas}")
