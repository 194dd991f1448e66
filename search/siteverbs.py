"""The verbs of the pages: serve, export, annotate; `describer.cli` takes them over.

    describer serve atlas                            # http://127.0.0.1:8000
    describer export atlas site                      # site/index.html opens without a server

Nothing heavy is imported until a verb runs.
"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()

AtlasPath = Annotated[Path, typer.Argument(metavar="ATLAS", help="folder made by describe", show_default=False)]
Host = Annotated[str, typer.Option(metavar="NAME", help="address to listen on; others reach it then")]
Port = Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0: any that is free")]


@app.command(epilog="\b\nExample: describer serve atlas --port 8080")
def serve(
    atlas: AtlasPath,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    model: Annotated[
        str | None, typer.Option(metavar="MODEL", help="for pictures to try; default: what the atlas names")
    ] = None,
) -> None:
    """Show an atlas in the browser.

    Pages to browse and search, on this machine alone unless --host says otherwise.
    """
    from describer import terminal
    from describer.search.site.app import serve as answer

    answer(atlas, host, port, model, terminal.note)


@app.command(epilog="\b\nExample: describer export atlas site")
def export(
    atlas: AtlasPath,
    site: Annotated[Path, typer.Argument(metavar="SITE", help="folder to write, or to go on with", show_default=False)],
) -> None:
    """Write an atlas's pages as files.

    They open without a server, search included; stopped or killed, the same command goes on. Prints the first page.
    """
    from describer import terminal
    from describer.search.site.export import export_site

    with terminal.progress_bars() as progress:
        first = export_site(atlas, site, progress)
    terminal.print_lines(str(first))


@app.command(epilog="\b\nExample: describer annotate atlas --layer layer4")
def annotate(
    atlas: AtlasPath,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="keep the sentences here; default: ATLAS-annotations")
    ] = None,
    layer: Annotated[list[str] | None, typer.Option(metavar="LAYER", help="of these layers only; repeated")] = None,
    guidelines: Annotated[
        Path | None, typer.Option(metavar="FILE", help="what people are asked, a line a point", show_default=False)
    ] = None,
    crowd: Annotated[
        Path | None, typer.Option("--import", metavar="CSV", help="take in what a crowd has written, and stop")
    ] = None,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="DIR", help="write what was said for `train`, and stop")
    ] = None,
    host: Host = "127.0.0.1",
    port: Port = 8000,
) -> None:
    """Collect people's sentences on units.

    Everything is kept at once; with --export it is written in the MILANNOTATIONS layout, which `train` reads. --import
    reads results of Mechanical Turk (Input.layer, Input.unit, Answer.summary, WorkerId) or layer,unit,summary.
    """
    from describer import terminal
    from describer.search.site import annotate as site

    folder = out or atlas.with_name(f"{atlas.resolve().name}-annotations")
    if crowd is not None:
        from describer.search.site.crowd import import_crowd

        terminal.note(f"{crowd}: {import_crowd(atlas, folder, crowd).told}.")
        if export is None:
            return None
    if export is not None:
        return terminal.print_lines(*(str(path) for path in site.export_annotations(atlas, folder, export)))
    asked = site.read_guidelines(guidelines) if guidelines else site.GUIDELINES
    return site.annotate(atlas, folder, layer or [], asked, host, port, terminal.note)
