"""The layers hold; and each contract fails, by its name, on a breach that is planted for it."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

# contract id -> breaches: the module to plant and what it imports against the rule
BREACHES = {
    "layers": [
        ("jim/core/planted.py", "import jim.common"),
        ("jim/protocol/planted.py", "import jim.core"),
        ("jim/bus/planted.py", "import jim.storage"),
        ("jim/server/planted.py", "import jim.client"),
        ("jim/log_config/planted.py", "import jim.decorators"),
        ("jim/client/planted.py", "from jim import launch"),
        ("jim/errors.py", "from jim.i18n import _ as planted"),
    ],
    "purity": [
        ("jim/protocol/planted.py", "import asyncio"),
        ("jim/core/planted.py", "def now():\n    import time"),
        ("jim/client/sync/planted.py", "from random import random"),
        ("jim/core/planted.py", "from jim.decorators import log_calls  # which imports logging"),
    ],
    "cryptography": [
        ("jim/server/planted.py", "from nacl.signing import SigningKey"),
        ("jim/planted.py", "import cryptography.x509"),
        ("jim/client/planted.py", "import pyrage"),
        ("jim/client/planted.py", "def get():\n    import keyring"),
    ],
    "adapters": [
        ("jim/server/planted.py", "import jim.storage"),
        ("jim/server/planted.py", "import jim.bus"),
    ],
    "client": [("jim/client/planted.py", "import jim.storage")],
    "screen": [("jim/client/planted.py", "import prompt_toolkit")],
}

CASES = [(contract, *breach) for contract, breaches in BREACHES.items() for breach in breaches]


def contract_names() -> dict[str, str]:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = settings["tool"]["importlinter"]["contracts"]
    return {contract["id"]: contract["name"] for contract in contracts}


def broken_contracts(tree: Path) -> set[str]:
    """Run import-linter on a tree and return the ids of the contracts that it calls broken."""
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    result = subprocess.run(
        [sys.executable, "-c", program, "--no-cache", "--no-logo"],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    report = squeezed(result.stdout)
    verdicts = {key: squeezed(name) for key, name in contract_names().items()}
    kept = {key for key, name in verdicts.items() if f"{name}KEPT" in report}
    broken = {key for key, name in verdicts.items() if f"{name}BROKEN" in report}
    assert kept | broken == verdicts.keys(), result.stdout + result.stderr
    assert (result.returncode != 0) == bool(broken)
    return broken


def squeezed(text: str) -> str:
    """Drop the spaces: import-linter wraps and pads the names of contracts as it likes."""
    return "".join(text.split())


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the source, to plant breaches in."""
    ignore = shutil.ignore_patterns("__pycache__", "*.mo", "*.po")
    shutil.copytree(ROOT / "jim", tmp_path / "jim", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_tree_keeps_every_contract(tree: Path) -> None:
    assert broken_contracts(tree) == set()


def test_each_contract_has_a_breach() -> None:
    assert BREACHES.keys() == contract_names().keys()


@pytest.mark.parametrize(("contract", "module", "breach"), CASES)
def test_a_breach_is_found(tree: Path, contract: str, module: str, breach: str) -> None:
    planted = tree / module
    text = planted.read_text(encoding="utf-8") if planted.exists() else ""
    planted.write_text(f"{text}\n\n{breach}\n", encoding="utf-8")
    assert contract in broken_contracts(tree)


# import-linter sees which modules are imported, not which function of datetime is called.
_CLOCKS = {"now", "utcnow", "today"}
_PURE = ["jim/protocol", "jim/core", "jim/client/sync"]


def clock_reads(source: str) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in _CLOCKS
    ]


def test_pure_modules_call_no_clock_of_datetime() -> None:
    modules = [
        path
        for place in _PURE
        for path in ([ROOT / place] if place.endswith(".py") else (ROOT / place).rglob("*.py"))
    ]
    assert len(modules) > len(_PURE)
    found = {str(path): clock_reads(path.read_text(encoding="utf-8")) for path in modules}
    assert {path: lines for path, lines in found.items() if lines} == {}


def test_a_clock_of_datetime_would_be_found() -> None:
    assert clock_reads("import datetime\nx = datetime.datetime.now()") == [2]
