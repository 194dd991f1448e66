"""Faults of the command line: one line on stderr and exit code 2, never a traceback unless it is asked for.

    app = typer.Typer(cls=Verbs)

Light to import, as every verb's --help needs it. DESCRIBER_TRACEBACK=1 shows where a fault came from.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from describer.errors import DescriberError

UsageError: Any = typer.BadParameter.__mro__[1]  # typer carries its own click since 0.26: this is the right one in all


class Verbs(TyperGroup):
    """A group whose faults are one line each."""

    def main(self, args: Sequence[str] | None = None, *_: Any, **extra: Any) -> Any:
        """Run a verb and exit: 0 done, 2 a fault of the input, 130 stopped by the user."""
        extra["standalone_mode"] = False
        try:
            sys.exit(super().main(list(sys.argv[1:] if args is None else args) or ["--help"], **extra) or 0)
        except UsageError as fault:
            context = getattr(fault, "ctx", None)
            verb = context.command_path.split()[1:] if context else []
            _tell(f"{fault.format_message()} See: {' '.join(['describer', *verb])} --help")  # type: ignore[attr-defined]
            sys.exit(2)

    def invoke(self, ctx: Any) -> Any:
        """The verb itself."""
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except DescriberError as fault:
            if os.environ.get("DESCRIBER_TRACEBACK"):
                traceback.print_exc()
            _tell(" ".join(str(fault).split()))
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            going_on = ctx.invoked_subcommand in ("describe", "demo", "train")
            _tell("stopped; the same command goes on from here" if going_on else "stopped")
            raise typer.Exit(130) from None
        except BrokenPipeError:  # the reader (head, less) has seen enough; nothing may be said at exit either
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None


def _tell(line: str) -> None:
    sys.stderr.write(f"describer: {line}\n")
