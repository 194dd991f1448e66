"""The verb of games: translate; `describer.cli` takes it over.

    describer translate colors --out colors.png

Nothing heavy is imported until the verb runs.
"""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command(epilog="\b\nExample: describer translate colors --out colors.png")
def translate(
    game: Annotated[str, typer.Argument(metavar="GAME", help="colors, context, birds, driving", show_default=False)],
    seeds: Annotated[int, typer.Option(metavar="N", min=1, help="players, each with a seed of their own")] = 3,
    n_games: Annotated[int, typer.Option("--games", metavar="N", min=1, help="test games of each seed")] = 1000,
    data: Annotated[
        str | None, typer.Option(metavar="DIR", help="recorded games; default: $DESCRIBER_DATA or ../shared/data")
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="train also the players that are carried along")] = False,
    out: Annotated[Path | None, typer.Option(metavar="PNG", help="write a picture of the examples here")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object a line")] = False,
) -> None:
    """Translate what agents say in a game.

    Agents invented their messages; each becomes what a person says to make a listener believe the same, and back.
    """
    from describer import terminal
    from describer.eval.games import play
    from describer.eval.games.printing import print_report, save_picture

    with terminal.progress_bars() as progress:
        report = play(game, range(seeds), n_games, progress, data, fresh)
    if as_json:
        terminal.print_json(report.json_rows())
    else:
        print_report(report)
    if out is not None:
        save_picture(report, out)
