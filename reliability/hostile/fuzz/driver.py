"""Feed a target: with atheris where it is installed, else by seeded mutation of the seed corpus.

atheris (libFuzzer) looks at which code an input reaches and keeps what reaches more; it exists for
CPython up to 3.13 on Linux (x86-64). The fall-back knows nothing of the code: it changes and joins
seeds, the same way for the same number, on every platform. A seed corpus is a text file, one input
a line in base64.
"""

from __future__ import annotations

import base64
import importlib
import importlib.util
import os
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

TARGETS: Final = {
    "codec": "bytes and chunks from either side through jim.protocol.codec",
    "session": "three peers against the real server session, handlers and hub",
    "sync": "the client's outbox and inbox against a server that answers anything",
}
"""Name of the module in this package to what it fuzzes."""

SEEDS: Final = Path(__file__).parents[1] / "seeds"
MAX_BYTES: Final = {"codec": 4096, "session": 400, "sync": 400}
"""The longest input of each target: libFuzzer's own default, and about a hundred steps of a
schedule. Longer schedules cost time in proportion and reach nothing that shorter ones do not."""

TOKENS: Final = tuple(
    text.encode("utf-8", "surrogatepass")
    for text in (
        *('{"action":"', '"id":', '"n":', '"position":', "}\n{", "\\u0000", "\\ud800", "\udfff"),
        *("NaN", "1e999", "9007199254740993", "-1", "null", "[[[[", "\r\n", "\x00", "\ufeff"),
        *("msg", "hello", "auth", "sync", "ack", "probe", "stored", "welcome", "error"),
    )
)
"""Put in by the fall-back: what it would hardly find by chance."""


class Failure(Struct, frozen=True):
    """An input that breaks a property; `content` is as small as it could be made."""

    content: bytes
    trace: str


class Outcome(Struct, frozen=True):
    """What a run of the fall-back came to."""

    target: str
    runs: int
    seconds: float
    failure: Failure | None


def load_seeds(target: str) -> list[bytes]:
    """Read the committed seed corpus of a target."""
    lines = (SEEDS / f"{target}.txt").read_text(encoding="ascii").split()
    return [base64.b64decode(line) for line in lines]


def has_atheris() -> bool:
    """Tell whether atheris can be imported here."""
    return importlib.util.find_spec("atheris") is not None


def load_target(name: str) -> Callable[[bytes], None]:
    """Import a target's `run`."""
    run: Callable[[bytes], None] = importlib.import_module(f"reliability.hostile.fuzz.{name}").run
    return run


# --- the fall-back ------------------------------------------------------------------------------


def mutated(chance: random.Random, seeds: Sequence[bytes]) -> bytes:
    """Make an input: a seed, changed in a few places, sometimes joined with another one."""
    content = bytearray(chance.choice(seeds))
    if chance.random() < 0.2:
        other = chance.choice(seeds)
        content[chance.randrange(len(content) + 1) :] = other[chance.randrange(len(other) + 1) :]
    for _ in range(1 << chance.randrange(5)):
        _change(chance, content)
    return bytes(content)


def _change(chance: random.Random, content: bytearray) -> None:
    place = chance.randrange(len(content) + 1)
    end = min(len(content), place + (1 << chance.randrange(5)))
    kind = chance.randrange(8)
    if kind == 0:
        del content[place:end]
    elif kind == 1:
        content[place:place] = content[place:end]
    elif kind == 2:
        content[place:place] = chance.choice(TOKENS)
    elif kind == 3:
        content[place:place] = chance.randbytes(1 + chance.randrange(8))
    elif kind == 4:
        content[place:place] = bytes([chance.randrange(16), chance.randrange(16)])
    elif place < len(content):
        content[place] = chance.randrange(16) if kind == 5 else chance.randrange(256)


def fuzz(
    target: str,
    runs: int,
    *,
    seed: int = 1,
    limit_s: float | None = None,
    run: Callable[[bytes], None] | None = None,
    tell: Callable[[int], None] | None = None,
) -> Outcome:
    """Run the seeds, then mutations of them, until `runs`, the time limit, or a failure.

    `tell` is called after each of them with how many there were.
    """
    run = run or load_target(target)
    seeds = load_seeds(target)
    chance = random.Random(f"{target} {seed}")
    began_s = time.monotonic()
    done = 0
    while done < runs:
        content = seeds[done] if done < len(seeds) else mutated(chance, seeds)[: MAX_BYTES[target]]
        trace = attempt(run, content)
        done += 1
        now_s = time.monotonic()
        if trace is not None:
            failure = _shrunk(run, content, trace)
            return Outcome(target, done, now_s - began_s, failure)
        if tell is not None:
            tell(done)
        if limit_s is not None and now_s - began_s >= limit_s:
            break
    return Outcome(target, done, time.monotonic() - began_s, None)


def attempt(run: Callable[[bytes], None], content: bytes) -> str | None:
    """Run one input; gives the traceback of what it raised."""
    try:
        run(content)
    except Exception:  # noqa: BLE001 - whatever it is, it is what we look for
        return traceback.format_exc()
    return None


def _shrunk(run: Callable[[bytes], None], content: bytes, trace: str) -> Failure:
    """Leave out pieces, halves first, as long as the input still breaks something."""
    size = max(1, len(content) // 2)
    while size:
        place = 0
        while place < len(content):
            shorter = content[:place] + content[place + size :]
            found = attempt(run, shorter)
            if found is None:
                place += size
            else:
                content, trace = shorter, found
        size //= 2
    return Failure(content, trace)


# --- atheris ------------------------------------------------------------------------------------


def fuzz_with_atheris(
    target: str,
    runs: int,
    *,
    seed: int,
    corpus: Path | None,
    tell: Callable[[Outcome], None],
) -> None:
    """Run libFuzzer in this process, which ends with it: 0, or not 0 after a failure.

    Args:
        target: what to fuzz.
        runs: inputs to try.
        seed: number of the campaign.
        corpus: directory where inputs that reach new code are kept; it is filled with the seeds.
        tell: called once, after the last input or the first failure. Nothing of this program runs
            after libFuzzer.
    """
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["jim"]):
        run = load_target(target)
    keep = corpus or Path(tempfile.mkdtemp(prefix="jim-fuzz-"))
    keep.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(load_seeds(target)):
        (keep / f"seed-{number:04d}").write_bytes(content)
    options = [
        f"-runs={runs}",
        f"-seed={seed}",
        f"-max_len={MAX_BYTES[target]}",
        f"-artifact_prefix={keep}/",
    ]
    sys.stdout.write(f"{target}: atheris, corpus and failures in {keep}, process {os.getpid()}\n")
    sys.stdout.flush()
    counted = counting(target, run, runs, tell)
    atheris.Setup([sys.argv[0], *options, "-print_final_stats=1", str(keep)], counted)
    atheris.Fuzz()


def counting(
    target: str, run: Callable[[bytes], None], runs: int, tell: Callable[[Outcome], None]
) -> Callable[[bytes], None]:
    """Make a target that tells what it came to, after `runs` inputs or the first that breaks it."""
    began_s = time.monotonic()
    done = 0

    def counted(content: bytes) -> None:
        nonlocal done
        done += 1
        failure = None
        try:
            run(content)
        except BaseException:
            failure = Failure(content, traceback.format_exc())
            raise
        finally:
            if failure is not None or done == runs:
                tell(Outcome(target, done, time.monotonic() - began_s, failure))

    return counted
