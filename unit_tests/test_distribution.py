"""What is shipped: the wheel is complete and works by itself; the locks fit the project."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

import jim

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
COMMANDS = ("jim", "jim-server", "jim-launch")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("dist")
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)], cwd=ROOT)
    (path,) = directory.iterdir()
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that holds the wheel, and sees the dependencies of this one."""
    directory = tmp_path_factory.mktemp("installed")
    venv.create(directory, with_pip=True, symlinks=os.name != "nt")
    scripts = directory / ("Scripts" if os.name == "nt" else "bin")
    pip = [str(scripts / "python"), "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    run([*pip, "--disable-pip-version-check", str(wheel)], cwd=directory)
    (site,) = directory.glob("[Ll]ib/**/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return scripts


def run(command: list[str], cwd: Path, **variables: str) -> str:
    result = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | variables,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=50,
        check=False,
    )
    assert result.returncode == 0, (command, result.stdout, result.stderr)
    return result.stdout


def test_the_wheel_holds_the_package_and_its_data(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    source = {
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.py", "*.mo", "*.sql", "py.typed")
        for path in (ROOT / "jim").rglob(pattern)
    }
    assert source - names == set()
    assert "jim/locale/ru/LC_MESSAGES/jim.mo" in names
    assert "jim/py.typed" in names
    assert any(re.fullmatch(r"jim/storage/sqlite/migrations/\w+\.sql", name) for name in names)


def test_the_wheel_holds_nothing_else(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert tops == {"jim", f"jim_messenger-{jim.__version__}.dist-info"}


@pytest.mark.e2e
@pytest.mark.parametrize("command", COMMANDS)
def test_installed_commands_say_their_version(
    installed: Path, command: str, tmp_path: Path
) -> None:
    assert jim.__version__ in run([str(installed / command), "--version"], cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.e2e
@pytest.mark.parametrize("command", COMMANDS)
def test_installed_commands_help_in_english_and_russian(
    installed: Path, command: str, tmp_path: Path
) -> None:
    program = str(installed / command)
    assert "usage:" in run([program, "--help"], cwd=tmp_path, LANG="en_US.UTF-8")
    shown = run([program, "--help"], cwd=tmp_path, LANG="ru_RU.UTF-8")
    assert "использование:" in shown
    assert "показать эту справку и выйти" in shown


@pytest.mark.e2e
def test_the_installed_package_is_the_one_of_the_wheel(installed: Path, tmp_path: Path) -> None:
    program = [str(installed / "python"), "-c", "import jim; print(jim.__file__)"]
    assert Path(run(program, cwd=tmp_path).strip()).is_relative_to(installed.parent)


@pytest.mark.e2e
def test_installed_programs_check_themselves(installed: Path, tmp_path: Path) -> None:
    run([str(installed / "jim-server"), "--check-config"], cwd=tmp_path)
    run([str(installed / "jim-launch"), "--dry-run"], cwd=tmp_path)


def requirement_names(requirements: list[str]) -> set[str]:
    names = (re.match(r"[\w.-]+", requirement) for requirement in requirements)
    return {re.sub(r"[-_.]+", "-", name.group(0)).lower() for name in names if name}


def locked(name: str) -> dict[str, list[str]]:
    """Return the hashes of each package of a requirements file."""
    found: dict[str, list[str]] = {}
    package = ""
    for line in (ROOT / "requirements" / name).read_text(encoding="utf-8").splitlines():
        if match := re.match(r"([\w.-]+)==", line):
            package = match.group(1)
            found[package] = []
        elif match := re.search(r"--hash=(sha256:[0-9a-f]{64})", line):
            found[package].append(match.group(1))
        else:
            assert line.lstrip().startswith("#"), line
    return found


def test_every_dependency_is_locked_with_hashes() -> None:
    runtime, dev = locked("runtime.txt"), locked("dev.txt")
    wanted = requirement_names(PROJECT["project"]["dependencies"])
    tools = requirement_names(PROJECT["dependency-groups"]["dev"])
    assert wanted - runtime.keys() == set()
    assert (wanted | tools) - dev.keys() == set()
    assert tools & runtime.keys() == set()
    for package, hashes in dev.items():
        assert hashes, package
        assert runtime.get(package, hashes) == hashes


def test_the_scanner_is_locked_with_hashes_apart_from_everything_else() -> None:
    scanner = locked("sslyze.txt")
    assert "sslyze" in scanner
    assert all(scanner.values())
    assert "sslyze" not in locked("dev.txt")


def test_both_kinds_of_lock_name_the_same_files() -> None:
    text = (ROOT / "uv.lock").read_text(encoding="utf-8")
    packages = {entry["name"]: entry for entry in tomllib.loads(text)["package"]}
    project = packages.pop(PROJECT["project"]["name"])
    assert {entry["name"] for entry in project["dependencies"]} == requirement_names(
        PROJECT["project"]["dependencies"]
    )
    for name, hashes in locked("dev.txt").items():
        files = [*packages[name].get("wheels", []), packages[name].get("sdist", {})]
        assert {file["hash"] for file in files if file} == set(hashes), name


def test_locked_files_are_public() -> None:
    text = (ROOT / "uv.lock").read_text(encoding="utf-8")
    hosts = set(re.findall(r"\w+://[^/\"\s]+", text))
    assert hosts == {"https://pypi.org", "https://files.pythonhosted.org"}
    sources = set(re.findall(r"source = (\{[^}]*\})", text))
    assert sources == {'{ registry = "https://pypi.org/simple" }', '{ editable = "." }'}
