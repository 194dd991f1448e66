"""`python -m describer.eval.planted [card|real] ...`; without a verb, how often planted concepts are named."""

import sys

import typer

from describer.eval.planted import naming


def main() -> None:
    """Runs the verb that comes first, or `naming`."""
    typer.run(naming.main)


if __name__ == "__main__":
    main()
