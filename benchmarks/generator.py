"""Compiles the load generator (`benchmarks/generator/*.c`) and runs it on its core.

The program is compiled on the spot with the system's compiler and kept in the cache directory under
a hash of its sources. Nothing here decides what is measured.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import platformdirs

from benchmarks import targets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SOURCES: Final = Path(__file__).with_name("generator")
FLAGS: Final = ("-std=c11", "-O2", "-Wall", "-Wextra")
LIBRARIES: Final = ("-lssl", "-lcrypto", "-lm")

INSTALL: Final = "apt-get install gcc libc6-dev libssl-dev"
"""What a compiler and the headers of OpenSSL come with on Debian."""

GRACE_S: Final = 60.0
"""To connect and to wait for the last arrivals, beside what was asked for: a thousand pairs log in
at a slow server in 10 s here."""

BOTTLENECK: Final = 0.7
"""Above this share of its core the generator may be what limits a rate; such rows are marked."""


class GeneratorError(Exception):
    """The generator cannot be compiled, or ended with a failure."""


def compiler() -> str | None:
    """Find the system's C compiler."""
    return os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")


def compiled(cache: Path | None = None) -> Path:
    """Compile the generator unless this version of it is there already; give the program.

    Raises:
        GeneratorError: there is no compiler, or it fails, for instance without OpenSSL's headers.
    """
    program = compiler()
    if program is None:
        raise GeneratorError(f"the load generator needs a C compiler: {INSTALL}")
    directory = cache or Path(platformdirs.user_cache_dir("jim-messenger"))
    target = directory / f"generator-{_digest()}"
    if not target.exists():
        directory.mkdir(parents=True, exist_ok=True)
        _compile(program, target)
    return target


def _compile(program: str, target: Path) -> None:
    unfinished = target.with_suffix(f".{os.getpid()}")
    command = [program, *FLAGS, "-o", str(unfinished), *map(str, _sources(".c")), *LIBRARIES]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        hint = f" (OpenSSL's headers: {INSTALL})" if "openssl/" in result.stderr else ""
        raise GeneratorError(f"the load generator does not compile{hint}:\n{result.stderr}")
    unfinished.replace(target)


def _sources(*suffixes: str) -> list[Path]:
    return sorted(path for path in SOURCES.iterdir() if path.suffix in suffixes)


def _digest() -> str:
    digest = hashlib.sha256(repr((FLAGS, LIBRARIES)).encode())
    for path in _sources(".c", ".h"):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def arguments(values: Mapping[str, object]) -> list[str]:
    """Spell options: `{"logins_at_once": 8}` becomes `["--logins-at-once", "8"]`."""
    words = [(f"--{name.replace('_', '-')}", value) for name, value in values.items()]
    return [str(part) for pair in words for part in pair]


def results(output: str) -> list[dict[str, Any]]:
    """Parse what the generator prints: a JSON object on each line.

    Raises:
        GeneratorError: a line is none.
    """
    try:
        return [json.loads(line) for line in output.splitlines() if line]
    except ValueError as error:
        raise GeneratorError(f"not a result: {output!r}") from error


def run(program: Path, values: Mapping[str, object], seconds: float) -> list[dict[str, Any]]:
    """Run a workload that takes about `seconds`; give its rounds.

    A round that lost messages is among them, with their number in `lost`.

    Raises:
        GeneratorError: it failed, for instance because the server hung up.
    """
    command = [str(program), *arguments(values)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + GRACE_S,
            preexec_fn=_pinned,
        )
    except subprocess.TimeoutExpired as error:
        raise GeneratorError(f"no end after {error.timeout:.0f} s") from error
    rounds = results(done.stdout)
    if done.returncode and not any(found.get("lost") for found in rounds):
        raise GeneratorError(done.stderr.strip() or f"ended with {done.returncode}")
    return rounds


def idle(program: Path, values: Mapping[str, object]) -> Iterator[int]:
    """Open idle connections in the steps of `values["idle"]`; yield their number after each.

    Raises:
        GeneratorError: it failed before the last step.
    """
    process = subprocess.Popen(
        [str(program), *arguments(values)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_pinned,  # noqa: PLW1509 - no threads here
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            for _ in str(values["idle"]).split(","):
                line = process.stdout.readline()
                if not line:
                    raise GeneratorError(process.stderr.read().strip())
                yield int(json.loads(line)["connections"])
                process.stdin.write("\n")
                process.stdin.flush()
        finally:
            process.kill()


def _pinned() -> None:
    targets.pin(targets.LOAD_CORE)
