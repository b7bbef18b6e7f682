"""The scripts of a checkout start from anywhere, with whatever Python the user typed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from unit_tests.launch.conftest import CHECKOUT

pytestmark = pytest.mark.e2e

PLAIN_PYTHON = Path(sys.base_prefix) / ("python.exe" if os.name == "nt" else "bin/python3")
STAND_IN = "import sys\ndef main():\n    print(sys.prefix, sys.argv[1:])\n    return 6\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the real scripts and bootstrap, whose client only says where it runs."""
    place = tmp_path / "my clone"
    (place / "jim/client").mkdir(parents=True)
    for name in ("my_client.py", "jim/__init__.py", "jim/i18n.py"):
        shutil.copy(CHECKOUT / name, place / name)
    (place / "jim/launch").mkdir()
    for name in ("__init__.py", "bootstrap.py"):
        shutil.copy(CHECKOUT / "jim/launch" / name, place / "jim/launch" / name)
    (place / "jim/client/cli.py").write_text(STAND_IN)
    return place


def run(python: Path, script: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), str(script), "10.0.0.1", "-n", "bob"],
        check=False,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=30,
    )


def test_it_runs_from_any_directory_and_keeps_arguments_and_status(
    checkout: Path, tmp_path: Path
) -> None:
    done = run(PLAIN_PYTHON, checkout / "my_client.py", tmp_path)
    assert (done.returncode, done.stderr) == (6, "")
    assert done.stdout.endswith("['10.0.0.1', '-n', 'bob']\n")


def test_it_uses_the_environment_that_make_has_set_up(checkout: Path, tmp_path: Path) -> None:
    venv.create(checkout / ".venv", symlinks=os.name != "nt")
    done = run(PLAIN_PYTHON, checkout / "my_client.py", tmp_path)
    assert done.returncode == 6
    assert done.stdout.startswith(str(checkout / ".venv"))


def test_an_environment_that_the_user_chose_is_kept(checkout: Path, tmp_path: Path) -> None:
    venv.create(checkout / ".venv", symlinks=os.name != "nt")
    venv.create(tmp_path / "own", symlinks=os.name != "nt")
    python = tmp_path / "own" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    done = run(python, checkout / "my_client.py", tmp_path)
    assert done.stdout.startswith(str(tmp_path / "own"))


def test_a_missing_package_is_one_clear_line(checkout: Path, tmp_path: Path) -> None:
    (checkout / "jim/client/cli.py").write_text("import no_such_package.inner\n")
    done = run(PLAIN_PYTHON, checkout / "my_client.py", tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "JIM needs the package no_such_package, which is missing. "
        f"Run `make setup` in {checkout} once.\n"
    )


def test_an_error_of_our_own_is_not_hidden(checkout: Path, tmp_path: Path) -> None:
    (checkout / "jim/client/cli.py").write_text("import jim.no_such_module\n")
    done = run(PLAIN_PYTHON, checkout / "my_client.py", tmp_path)
    assert "Traceback" in done.stderr
    assert "jim.no_such_module" in done.stderr


@pytest.mark.parametrize("script", ["my_server.py", "my_client.py", "launcher.py"])
def test_the_real_scripts_show_their_help(script: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(CHECKOUT / script), "--help"],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage:" in done.stdout
