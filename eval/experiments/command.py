"""Runs an experiment as a command line: its result on stdout, a fault in one line on stderr with exit code 2.

    if __name__ == "__main__":
        run(main)                                   # one typer function
        run(command(compare=…, scenes=…))           # or several by name

DESCRIBER_TRACEBACK=1 shows where a fault came from.
"""

import os
import sys
import warnings
from collections.abc import Callable
from typing import Any

import typer

from describer.errors import DescriberError


def command(**verbs: Callable[..., Any]) -> typer.Typer:
    """A command line of these functions; a single one needs no name."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    for name, verb in verbs.items():
        app.command(name)(verb)
    return app


def run(experiment: Callable[..., Any]) -> None:
    """Reads the arguments, runs the experiment and exits: 0 done, 2 a fault of the input, told in one line."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # of weights
    app = experiment if isinstance(experiment, typer.Typer) else command(main=experiment)
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # of libraries; stderr is for progress and faults
    try:
        app()
    except DescriberError as fault:
        if os.environ.get("DESCRIBER_TRACEBACK"):
            raise
        sys.stderr.write(f"describer: {' '.join(str(fault).split())}\n")
        sys.exit(2)
