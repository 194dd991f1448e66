"""`python -m describer.eval.planted [card|real] ...`; without a verb, how often planted concepts are named."""

import sys
from collections.abc import Callable

import typer

from describer.errors import DescriberError
from describer.eval.planted import naming, verbs

VERBS: dict[str, Callable[..., None]] = {"card": verbs.card, "real": verbs.real}


def main() -> None:
    """Runs the verb that comes first, or `naming`; a fault is one line and exit code 2."""
    verb = VERBS.get(sys.argv[1]) if len(sys.argv) > 1 else None
    if verb is not None:
        del sys.argv[1]
    try:
        typer.run(verb or naming.main)
    except DescriberError as fault:
        sys.stderr.write(f"{fault}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
