"""A disk that reports errors, and one that is slow: strace answers chosen system calls for it.

After an error nobody knows what is on the disk, so the server has to end with a text that says why,
and acknowledge nothing more. Where a flush was answered with an error it did not happen; the power
is cut then, so that whoever was told ✓ nevertheless loses the message and is found out.
"""

from __future__ import annotations

from signal import SIGTERM
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from reliability.faults.cycles import Plan
from reliability.faults.model import Fault, Report, Result, Stopwatch
from reliability.rig import shelf
from reliability.rig.disk import Disk
from reliability.rig.programs import PLAIN, Launch
from reliability.rig.scene import POKE_S, Scene
from reliability.rig.server import Server
from reliability.rig.tracing import Trace

if TYPE_CHECKING:
    from pathlib import Path

CAST: Final = ("anna", "boris")

FAILING_WITHIN_S: Final = 20.0
"""From the start of traffic to the end of the server: the error comes within a second or two."""

ENDING_S: Final = 8.0
"""From the error to the end of the server: it leaves at once, or drains for 5 s if it was told to
end before."""

CLOSING_ACKS: Final = 20
"""Before a server is closed whose checkpoint is to fail: so that it has something to write."""

FLUSH_S: Final = 0.3
"""Of the slow disk: a laptop disk that is busy."""

SLOW_S: Final = 3.0
"""Of traffic on the slow disk: ten flushes."""

ASKED: Final = 9
"""Times that somebody asks the server something meanwhile; the median counts, because this
machine may be busy for a moment."""


class Error(Struct, frozen=True):
    """An error to report.

    Attributes:
        name: of the fault.
        call: the system call.
        code: what it answers.
        complaint: what the server has to say, as a part of its text.
        last: the highest number of the call that fails; the first ones belong to the start.
        at_checkpoint: the same for the database file, while a small one is written back.
        cut: nothing that was not flushed may be seen afterwards.
    """

    name: str
    call: str
    code: str
    complaint: str
    last: int
    at_checkpoint: int
    cut: bool = False


FSYNC_EIO: Final = Error("fsync_eio", "fdatasync", "EIO", "cannot write", 30, 1, cut=True)
WRITE_EIO: Final = Error("write_eio", "pwrite64", "EIO", "cannot write", 300, 12)
WRITE_ENOSPC: Final = Error("write_enospc", "pwrite64", "ENOSPC", "the disk is full", 300, 12)


def run_fsync_eio(
    cycles: int, seed: int, directory: Path, report: Report, launch: Launch = PLAIN
) -> Result:
    """Have a flush fail in each cycle, on a disk that then loses what was not flushed.

    `launch` is where a test plants a bug in the server.
    """
    with Disk(directory) as disk:
        return _run_error(FSYNC_EIO, cycles, seed, directory, report, disk, launch)


def run_write_eio(cycles: int, seed: int, directory: Path, report: Report) -> Result:
    """Have a write fail in each cycle."""
    return _run_error(WRITE_EIO, cycles, seed, directory, report)


def run_write_enospc(cycles: int, seed: int, directory: Path, report: Report) -> Result:
    """Have a write find no room in each cycle."""
    return _run_error(WRITE_ENOSPC, cycles, seed, directory, report)


def _run_error(
    error: Error,
    cycles: int,
    seed: int,
    directory: Path,
    report: Report,
    disk: Disk | None = None,
    launch: Launch = PLAIN,
) -> Result:
    watch, result = Stopwatch(), Result()
    data_dir = disk.path / "data" if disk is not None else None
    server = Server(directory / "server", data_dir=data_dir, launch=launch)
    with Scene(directory, seed, server=server, cast=CAST) as scene:
        places = iter(_places(error, cycles))
        plan = Plan(scene, error.name, cycles, report)
        plan.run(result, lambda: _fail_once(scene, error, next(places), disk))
    result.details = f"at {error.call} 1 to {error.last}, every third time of a checkpoint"
    result.seconds_s = watch.seconds_s
    return result


class _Place(Struct, frozen=True):
    k: int
    is_checkpoint: bool


def _places(error: Error, cycles: int) -> list[_Place]:
    """Spread the calls that fail; every third one is in the database file, not in its log."""
    return [
        _Place(1 + i // 3 % error.at_checkpoint, is_checkpoint=True)
        if i % 3 == 2
        else _Place(1 + i * error.last // cycles, is_checkpoint=False)
        for i in range(cycles)
    ]


def _fail_once(scene: Scene, error: Error, place: _Place, disk: Disk | None) -> None:
    """Start a server that an error waits for, and a healthy one afterwards."""
    server, ledger = scene.server, scene.ledger
    server.stop()
    trace = _trace(scene, error, place)
    server.launch_with(prefix=trace.prefix)
    server.start(wait=False)
    scene.start_traffic()
    if place.is_checkpoint:
        server.wait_until_up()
        scene.wait_online()
        before = ledger.acks
        ledger.wait(lambda: ledger.acks >= before + CLOSING_ACKS, FAILING_WITHIN_S)
        server.program.signal(SIGTERM)
    status = _await_end(scene, trace)
    scene.stop_traffic()
    ledger.fault(error.name, f"{error.call} {place.k}", fired=trace.fired() > 0)
    _check_end(scene, error, status, must_fail=not place.is_checkpoint)
    if disk is not None:
        disk.cut()
        disk.power_up()
    _check_shelf(scene)
    server.launch_with()
    scene.heal()
    server.start()
    scene.wait_online()


def _await_end(scene: Scene, trace: Trace) -> int:
    """Wait for the server to end, while people try to connect; give how it ended.

    One that goes on after the error is killed.
    """
    server, ledger = scene.server, scene.ledger
    give_up_s = ledger.now_s() + FAILING_WITHIN_S
    while server.is_up and ledger.now_s() < give_up_s:
        if trace.answered():
            give_up_s = min(give_up_s, ledger.now_s() + ENDING_S)
        scene.poke()
        ledger.wait(lambda: not server.is_up, POKE_S)
    if not server.is_up:
        return server.wait()
    ledger.odd("the server goes on after the error" if trace.answered() else "there was no error")
    return server.kill()


def _trace(scene: Scene, error: Error, place: _Place) -> Trace:
    """Let the error wait in the log, or in the database, which is written at a checkpoint."""
    database = scene.server.database
    wanted = database if place.is_checkpoint else database.with_name(database.name + "-wal")
    return Trace(
        file=scene.directory / "trace",
        calls=(error.call,),
        inject=f"{error.call}:error={error.code}:when={place.k}",
        paths=(wanted,),
    )


def _check_end(scene: Scene, error: Error, status: int, *, must_fail: bool) -> None:
    """See that the server did not go on, and said why.

    A checkpoint that fails loses nothing: the log stays as it is. The server may ignore it.
    """
    said = scene.server.complaint
    if must_fail and status != 1:
        scene.ledger.odd(f"the server ended with {status} after {error.code} of {error.call}")
    if status == 1 and (error.complaint not in said or str(scene.server.database) not in said):
        scene.ledger.odd(f"the server does not say what is wrong: {said!r}")
    if status not in (0, 1):
        scene.ledger.odd(f"the server ended with {status}: {said!r}")


def _check_shelf(scene: Scene) -> None:
    for person in scene.people:
        person.sync()
    found = shelf.read(scene.server.database, scene.directory / "copy")
    for text in shelf.broken_promises(scene.ledger, found):
        scene.ledger.odd(text)


def run_slow_disk(cycles: int, seed: int, directory: Path, report: Report) -> Result:
    """Let each flush take its time: nothing is lost, and what needs no disk is answered at once."""
    watch, result = Stopwatch(), Result()
    asked_s: list[float] = []
    with Scene(directory, seed, cast=CAST) as scene:
        plan = Plan(scene, "slow_disk", cycles, report)
        plan.run(result, lambda: _be_slow(scene, asked_s))
    shown = f"{max(asked_s, default=0) * 1000:.0f} ms" if asked_s else "never"
    result.details = f"flushes of {FLUSH_S * 1000:.0f} ms; what needs no disk answered in {shown}"
    result.seconds_s = watch.seconds_s
    return result


def _be_slow(scene: Scene, asked_s: list[float]) -> None:
    server = scene.server
    server.stop()
    trace = Trace(
        file=scene.directory / "trace",
        calls=("fdatasync",),
        inject=f"fdatasync:delay_enter={FLUSH_S * 1_000_000:.0f}",
    )
    server.launch_with(prefix=trace.prefix)
    server.start()
    scene.wait_online()
    scene.start_traffic()
    took_s = sorted(_asked(scene) for _ in range(ASKED))
    asked_s.append(took_s[ASKED // 2])
    if asked_s[-1] > FLUSH_S / 2:
        scene.ledger.odd(f"with a slow disk an answer takes {asked_s[-1]:.2f} s")
    scene.stop_traffic()
    server.kill()
    scene.ledger.fault("slow_disk", fired=trace.fired() > 0)
    server.launch_with()
    scene.heal()
    server.start()
    scene.wait_online()


def _asked(scene: Scene) -> float:
    scene.ledger.wait(lambda: False, SLOW_S / ASKED)
    answer = scene.chance.choice(scene.people).ask()
    if answer.error:
        scene.ledger.odd(f"with a slow disk nobody answers: {answer.error}")
    return answer.took_s


FAULTS: Final = (
    Fault(
        name="fsync_eio",
        description="a flush fails (EIO), then the power",
        run=run_fsync_eio,
        needs=("root", "strace", "mkfs.ext4", "losetup"),
        short=6,
    ),
    Fault(
        name="write_eio",
        description="a write fails (EIO)",
        run=run_write_eio,
        needs=("strace",),
        short=6,
    ),
    Fault(
        name="write_enospc",
        description="a write finds no room on the disk (ENOSPC)",
        run=run_write_enospc,
        needs=("strace",),
        short=6,
    ),
    Fault(
        name="slow_disk",
        description="each flush takes 0.3 s",
        run=run_slow_disk,
        needs=("strace",),
        short=2,
    ),
)
