"""`cae`: the application, and the one place where errors become sentences and exit codes."""

import atexit
import errno
import gc
import os
import sys
from collections.abc import Iterable
from importlib import import_module
from typing import Annotated

import typer

from cae_cli.early import fork_for_suspect
from cae_cli.streams import complain, escape_what_cannot_be_written, flush_output
from cae_core import version as release
from cae_core.errors import CaeError, OptionError, first_line
from cae_core.foreign_text import visible

__all__ = ["COMMANDS", "application", "main"]

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 0, 1, 2, 130

COMMANDS = (
    "demo",
    "convert",
    "contract",
    "generate",
    "calibrate",
    "verify",
    "scan",
    "compare",
    "queries",
    "report",
    "statement",
    "seal",
    "judge",
    "inspect",
    "pool",
    "study",
    "doctor",
)
"""Each is the module of this name in `cae_cli.commands`, in the order in which ``cae --help`` lists them."""


def application(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """Return the application with these commands; the modules of the others are not imported."""
    app = typer.Typer(
        name="cae",
        help="Decide whether a suspect classifier is derived from a source model, by conferrable adversarial examples.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="markdown",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_common)
    for name in names:
        module = import_module(f"cae_cli.commands.{name}")
        if hasattr(module, "app"):
            app.add_typer(module.app, name=name)
        else:
            app.command(name, cls=getattr(module, "COMMAND_CLASS", None))(module.run)
    return app


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer passes it by position
    if wanted:
        typer.echo(f"cae {release.__version__}")
        raise typer.Exit


def _common(
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[  # noqa: ARG001 - its callback does it
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    if debug:
        os.environ["CAE_DEBUG"] = "1"


def main() -> None:
    """Run the command line: 0 done, 1 could not do it, 2 usage, 130 interrupted; see each command for more."""
    escape_what_cannot_be_written()
    # the interpreter's last collections walk through all that was imported, for nothing: a tenth of a short command
    atexit.register(gc.freeze)
    code = _outcome()
    lost = flush_output()
    if lost is not None:
        complain(f"cae: {_unprinted(lost)}")
    sys.exit(code or (EXIT_OK if lost is None else EXIT_FAILED))


def _outcome() -> int:
    """Run the command and return the exit code; the border at which every exception becomes a sentence."""
    try:
        given = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), None)
        if given == "verify":
            fork_for_suspect(sys.argv[sys.argv.index(given) + 1 :])
        app = application((given,)) if given in COMMANDS else application()
        app()
    except SystemExit as left:
        if isinstance(getattr(left.__context__, "__cause__", None), KeyboardInterrupt):  # no command has told it
            complain("cae: interrupted.")
        return left.code if isinstance(left.code, int) else EXIT_OK if left.code is None else EXIT_FAILED
    except KeyboardInterrupt:
        complain("cae: interrupted.")
        return EXIT_INTERRUPTED
    except Exception as error:
        if os.environ.get("CAE_DEBUG"):
            raise
        complain(f"cae: {_sentence(error)}")
        return EXIT_USAGE if isinstance(error, OptionError) else EXIT_FAILED
    return EXIT_OK


def _sentence(error: Exception) -> str:
    match error:
        case CaeError():
            return str(error)
        case OSError(filename=None):
            return _unprinted(error)
        case OSError():
            return f"{visible(os.fsdecode(error.filename))}: {error.strerror or error}."
        case MemoryError():
            return "this takes more memory than there is. Give smaller files, or fewer images at a time."
        case RecursionError():
            return "a file is nested more deeply than any program of this kind would write it."
        case _:
            what = f"{type(error).__name__}: {first_line(error)}"
            return (
                f"this is a fault of cae itself ({what}), and nothing that it says can be relied on. "
                "Run it again as `cae --debug ...` to see where it happened, and report that."
            )


def _unprinted(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EBADF, errno.EPIPE, errno.EIO):
        return f"what should be printed could not be written ({error.strerror}), and is not complete."
    return f"the system refused something ({first_line(error)})."
