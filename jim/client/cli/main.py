"""From the command line to an exit status: choose the parser, run what was asked, map errors."""

from __future__ import annotations

import io
import os
import sys

from jim import i18n
from jim.client.cli.parsers import parse
from jim.common.exits import INTERRUPTED_STATUS, PIPE_STATUS, forget_stdout
from jim.common.interrupts import ending_at_once
from jim.errors import JimError
from jim.i18n import _

FAILURE_STATUS = 1
"""As `explain.Exit.FAILURE`, which is not imported before something has failed."""


def main(arguments: list[str] | None = None) -> int:
    """Run the client; the status is one of `jim.client.console.explain.Exit`.

    Raises:
        SystemExit: argparse has shown a help text (0) or a usage error (2).
    """
    with ending_at_once():
        return _main(sys.argv[1:] if arguments is None else arguments)


def _main(given: list[str]) -> int:
    i18n.set_language(_language(given))
    i18n.install_argparse()
    try:
        _open_streams()
        options = parse(given)
        status = int(options.run(options))
        sys.stdout.flush()
    except JimError as error:
        status = _failed(error)
    except BrokenPipeError:
        forget_stdout()
        status = PIPE_STATUS
    except OSError as error:
        forget_stdout()
        status = _unwritable(error)
    except KeyboardInterrupt:
        status = INTERRUPTED_STATUS
    return status


def _open_streams() -> None:
    """Give closed streams somewhere to go, and let no character stop the output half way."""
    if sys.stdin is None:
        sys.stdin = open(os.devnull, encoding="utf-8")  # noqa: PTH123, SIM115 - open to the end
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _language(arguments: list[str]) -> str | None:
    """Find --lang before the parser is made, so that the parser speaks it too."""
    for place, argument in enumerate(arguments):
        if argument.startswith("--lang="):
            return argument.partition("=")[2]
        if argument == "--lang" and place + 1 < len(arguments):
            return arguments[place + 1]
    return None


def _failed(error: JimError) -> int:
    from jim.client.cli.output import complain
    from jim.client.console.explain import explain, startup_exit

    complain(explain(error))
    return startup_exit(error)


def _unwritable(error: OSError) -> int:
    """Report an output that cannot be written; everything else has an error class of its own."""
    from jim.client.cli.output import complain

    complain(_("The output cannot be written: {reason}").format(reason=error.strerror or error))
    return FAILURE_STATUS
