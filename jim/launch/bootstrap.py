"""Start a program of a checkout, whatever Python the user typed.

The scripts my_server.py, my_client.py and launcher.py call `run` and nothing else. It needs no
dependency and no recent Python, because telling that those are missing is half of its job. The
other half: `make setup` and `make run` put everything into `.venv`, and a user who then types
`python my_client.py` means that environment. Whoever works in a virtual environment of their own
has chosen, and keeps it.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

OLDEST_PYTHON = (3, 11)


def run(module: str) -> int:
    """Import `module`, call its main() and return the exit status.

    Args:
        module: the dotted name of a module with `main() -> int`.
    """
    checkout = Path(__file__).resolve().parents[2]
    python = _project_python(checkout)
    if python is not None:
        return _start_again(python)
    if sys.version_info < OLDEST_PYTHON:
        return _refuse(checkout, _too_old())
    try:
        main = importlib.import_module(module).main
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in ("", "jim"):
            raise
        return _refuse(checkout, _lacking(missing))
    return int(main() or 0)


def _project_python(checkout: Path) -> Path | None:
    """Return the Python of `.venv`, unless we run in it or in another chosen environment."""
    environment = checkout / ".venv"
    if sys.prefix != sys.base_prefix or not (environment / "pyvenv.cfg").is_file():
        return None
    python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    return python if python.exists() else None


def _start_again(python: Path) -> int:
    command = [str(python), *sys.argv]
    if os.name == "nt":  # there, exec makes a new process that the shell does not wait for
        return subprocess.call(command)  # noqa: S603
    sys.stdout.flush()
    return os.execv(command[0], command)  # noqa: S606


def _too_old() -> str:
    from jim.i18n import _  # noqa: PLC0415

    needed = ".".join(str(part) for part in OLDEST_PYTHON)
    return _("JIM needs Python {version} or newer.").format(version=needed)


def _lacking(package: str) -> str:
    from jim.i18n import _  # noqa: PLC0415

    return _("JIM needs the package {name}, which is missing.").format(name=package)


def _refuse(checkout: Path, reason: str) -> int:
    from jim.i18n import _  # noqa: PLC0415

    advice = _("Run `make setup` in {directory} once.").format(directory=checkout)
    sys.stderr.write(f"{reason} {advice}\n")
    return 1
