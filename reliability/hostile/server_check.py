"""Part two: everything at a live server, before the login and after it, and at its front door."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from typing import TYPE_CHECKING, Final

from jim.core.limits import Limits
from jim.core.names import normalise
from jim.errors import WIRE_ERRORS, NameInvalid
from jim.protocol import messages as m
from jim.protocol.codec import encode
from reliability.hostile import corpus, torture
from reliability.hostile.report import Section
from reliability.hostile.wire import Account, Babble, Silence, Wire

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from reliability.hostile.server import AttackedServer
    from reliability.hostile.torture import Case

CODES: Final = frozenset(WIRE_ERRORS) - {"internal"}
"""What a server may answer; an `internal` error is one that nobody foresaw."""

QUIT: Final = "quit"
AFTER: Final = "after"
"""Id of the honest request behind every case: its answer says that the session goes on."""

CASES_A_SESSION: Final = Limits().malformed_frames - 2
"""After the login so many useless frames are borne with; the rest is room for odd ones."""

AT_ONCE: Final = 8
"""Attackers at the same time, so that their sessions overlap."""

SEGMENT_FRAMES: Final = 1000
ENDLESS_BYTES: Final = 8 << 20
"""Of a frame that never ends: 32 times what a logged-in client may send. Who gets rid of all of it
writes to somebody who takes anything."""

UNSENT_BYTES: Final = 256 << 10
"""Of it in our own kernel: left to itself, Linux keeps 4 MiB and more while the server is busy
(measured), which would look as if that had taken it."""

DOOR_S: Final = 20.0
"""From an opening that is no TLS to the end of the connection: the server allows 15 s (`login_s`)
for everything before the login."""

_HELLO: Final = encode(m.Hello(id=AFTER, v=m.VERSION, cnonce=bytes(32)))


class Attack:
    """The attackers of one server, and what they saw."""

    def __init__(self, port: int, every: int = 1) -> None:
        """Take the server's port; use every `every`-th case."""
        self._port = port
        self._every = every
        self._numbers = itertools.count(1)

    # --- before the login -------------------------------------------------------------------------

    async def before_login(self) -> Section:
        """Send each case as the first frame of a connection of its own."""
        section = Section("server, before the login")
        cases = torture.client_cases(Limits().login_frame_bytes)[:: self._every]
        await self._share(cases, lambda case: self._first_frame(case, section))
        return section

    async def _first_frame(self, case: Case, section: Section) -> None:
        section.cases += 1
        with _noting(section, case.name):
            wire = await Wire.connect(self._port)
            try:
                wire.send_raw(case.frame + b"\n" + _HELLO)
                answers = await wire.until(lambda message: getattr(message, "id", None) == AFTER)
                judge(answers, wire, case.name, section)
            finally:
                wire.close()

    # --- after the login --------------------------------------------------------------------------

    async def after_login(self) -> Section:
        """Send the cases in sessions that are logged in, each followed by an honest probe."""
        section = Section("server, after the login")
        cases = torture.client_cases(Limits().frame_bytes)[:: self._every]
        rounds = [cases[start : start + CASES_A_SESSION]
                  for start in range(0, len(cases), CASES_A_SESSION)]  # fmt: skip
        accounts: asyncio.Queue[Account] = asyncio.Queue()
        for _ in range(AT_ONCE):
            accounts.put_nowait(Account(f"mallory{next(self._numbers)}"))

        async def visit(chunk: list[Case]) -> None:
            account = await accounts.get()
            await self._session(account, chunk, section)
            accounts.put_nowait(account)

        await self._share(rounds, visit)
        return section

    async def _session(self, account: Account, cases: list[Case], section: Section) -> None:
        left = cases
        while left:
            rest = left[1:]
            with _noting(section, left[0].name):
                rest = await self._one_session(account, left, section)
            left = rest

    async def _one_session(
        self, account: Account, cases: list[Case], section: Section
    ) -> list[Case]:
        """Send cases until the session ends; gives those that it did not come to."""
        wire = await Wire.connect(self._port)
        try:
            await wire.log_in(account)
            for place, case in enumerate(cases):
                section.cases += 1
                wire.send_raw(case.frame + b"\n" + encode(m.Probe(id=AFTER)))
                answers = await wire.until(_is_pong)
                judge(answers, wire, case.name, section)
                if wire.is_over:
                    return cases[place + 1 :]
            return []
        finally:
            wire.close()

    # --- whole streams ----------------------------------------------------------------------------

    async def streams(self) -> Section:
        """Send frames in odd pieces, without an end, or with too much at once."""
        section = Section("server, streams")
        for name, act in {
            "every byte in a record of its own": self._bytewise,
            "many frames in one segment": self._many,
            "no newline at the end": self._unfinished,
            "a frame without an end": self._endless,
            "a frame without an end, after the login": self._endless_inside,
            "more useless frames than borne with": self._useless,
            "gone in the middle of everything": self._hangs_up,
        }.items():
            section.cases += 1
            with _noting(section, name):
                await act(section)
                await self._check_entrance()
        return section

    async def _check_entrance(self) -> None:
        """See that the server still lets an honest client in, and answers it.

        Raises:
            Silence: it does not answer.
            ConnectionError: it does not let it in.
        """
        wire = await self._logged_in()
        wire.send(m.Probe(id=AFTER))
        answers = await wire.until(_is_pong)
        wire.close()
        if not (answers and _is_pong(answers[-1])):
            raise ConnectionError(f"afterwards an honest probe gets {answers[-1:]}")

    async def _logged_in(self) -> Wire:
        wire = await Wire.connect(self._port)
        await wire.log_in(Account(f"mallory{next(self._numbers)}"))
        return wire

    async def _bytewise(self, section: Section) -> None:
        wire = await self._logged_in()
        frames = b"".join(
            encode(message) + b"\r\n\n"
            for message in (
                m.Probe(id=1), m.Presence(id=2), m.Receipts(id=3, names=["ж"]), m.Probe(id=AFTER)
            )
        )  # fmt: skip
        await wire.send_slowly(frames)
        waiting = {1, 2, 3, AFTER}

        def is_last(message: m.ServerMessage) -> bool:
            waiting.discard(getattr(message, "id", 0))  # replies may overtake each other
            return not waiting

        judge(await wire.until(is_last), wire, "bytewise", section)
        if waiting:
            section.violate(f"bytewise: no answer to {waiting}")
        wire.close()

    async def _many(self, section: Section) -> None:
        wire = await self._logged_in()
        wire.send(*(m.Probe(id=number) for number in range(SEGMENT_FRAMES)), m.Probe(id=AFTER))
        answers = await wire.until(_is_pong)
        if len(answers) != SEGMENT_FRAMES + 1:
            section.violate(f"{len(answers)} answers to {SEGMENT_FRAMES + 1} probes in one segment")
        wire.close()

    async def _unfinished(self, section: Section) -> None:
        del section
        for frame in (
            b"{",
            b'{"action":"probe","id":1}',
            b"\xf0\x9f",
            b'{"action":"msg","message":"',
        ):
            wire = await self._logged_in()
            wire.send_raw(frame)
            await wire.drain()
            wire.close()

    async def _endless(self, section: Section) -> None:
        await self._flood(await Wire.connect(self._port), section)

    async def _endless_inside(self, section: Section) -> None:
        await self._flood(await self._logged_in(), section)

    @staticmethod
    async def _flood(wire: Wire, section: Section) -> None:
        """Send one frame for ever; the server has to end it long before it has taken everything."""
        sent_bytes = 0
        wire.limit_unsent(UNSENT_BYTES)
        while sent_bytes < ENDLESS_BYTES and not wire.is_closing:
            wire.send_raw(b"[" * (1 << 16))
            sent_bytes += 1 << 16
            await wire.drain()
            await asyncio.sleep(0)
        section.figures["endless_sent_bytes"] = max(
            sent_bytes, section.figures.get("endless_sent_bytes", 0)
        )
        if sent_bytes >= ENDLESS_BYTES:
            section.violate(f"of an endless frame the server has taken {sent_bytes} bytes")
        answers = await wire.until(lambda _: False)
        section.count("ended" if wire.is_over else "NOT ENDED")
        for answer in answers:
            if isinstance(answer, m.ErrorReply) and answer.code != "frame_too_long":
                section.violate(f"an endless frame was answered {answer.code}")
        wire.close()

    async def _useless(self, section: Section) -> None:
        wire = await self._logged_in()
        wire.send_raw(b"{}\n" * 100)
        answers = await wire.until(lambda _: False)
        refusals = [answer for answer in answers if isinstance(answer, m.ErrorReply)]
        last = answers[-1] if answers else None
        if len(refusals) != Limits().malformed_frames or not isinstance(last, m.Goodbye):
            section.violate(f"100 useless frames: {len(refusals)} refusals, {last!r}")
        wire.close()

    async def _hangs_up(self, section: Section) -> None:
        del section
        for _ in range(20):
            wire = await self._logged_in()
            wire.send(m.Sync(id=1, after=0), *(m.Presence(id=n) for n in range(2, 40)))
            wire.send(
                *(m.Msg(id=99 + n, n=n, to="nobody", message="x" * 9_000) for n in range(1, 9))
            )
            await wire.drain()
            wire.close()

    # --- names, and the front door ----------------------------------------------------------------

    async def names(self) -> Section:
        """Claim every naughty string as a name, with a good proof."""
        section = Section("server, naughty names")
        texts = corpus.naughty_strings()[:: self._every]
        await self._share(texts, lambda text: self._claim(text, section))
        return section

    async def _claim(self, text: str, section: Section) -> None:
        section.cases += 1
        try:
            wanted: str | None = normalise(text)
        except NameInvalid:
            wanted = None
        with _noting(section, f"name {text[:40]!r}"):
            wire = await Wire.connect(self._port)
            try:
                exchange = await wire.greet()
                account = Account(text or "x", wanted or text or "x")
                account.name = text
                wire.send(wire.registration(account, exchange))
                answer = await wire.receive()
            finally:
                wire.close()
            code = getattr(answer, "code", type(answer).__name__.lower())
            section.count(code)
            if isinstance(answer, m.Welcome) and answer.name != wanted:
                section.violate(f"{text!r} became {answer.name!r} instead of {wanted!r}")
            if not isinstance(answer, m.Welcome) and code not in CODES:
                section.violate(f"{text!r} was answered {code}")

    async def front_door(self) -> Section:
        """Say to the port what is no TLS, or only looks like it."""
        section = Section("server, front door")
        hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"
        openings = {
            "nothing": b"",
            "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            "plain JIM": b'{"action":"hello","id":1,"v":1}\n',
            "plain torture": b"\xff\xfe\x00[[[{{{",
            "the start of TLS": hello,
            "TLS and zeros": hello + bytes(600),
            "TLS of an odd length": b"\x16\x03\x01\xff\xff" + bytes(70_000),
            "an alert": b"\x15\x03\x01\x00\x02\x02\x28",
            "only the first byte": b"\x16",
            "a megabyte": b"x" * (1 << 20),
        }
        for name, opening in openings.items():
            section.cases += 1
            with _noting(section, name):
                await self._knock(opening, section)
        with _noting(section, "afterwards"):
            await self._check_entrance()
        return section

    async def _knock(self, opening: bytes, section: Section) -> None:
        """Say something and wait for the server to hang up.

        Raises:
            TimeoutError: it does not.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        answer = b""
        try:
            async with asyncio.timeout(DOOR_S):
                with contextlib.suppress(OSError):  # hung up without having read it all
                    writer.write(opening)
                    writer.write_eof()
                    while more := await reader.read(1 << 16):
                        answer += more
        finally:
            writer.transport.abort()
        section.count("answered" if answer else "closed")

    # --- how --------------------------------------------------------------------------------------

    @staticmethod
    async def _share(things: Sequence[object], act: Callable[..., Awaitable[None]]) -> None:
        """Do something with each thing, `AT_ONCE` at a time."""
        waiting = iter(things)

        async def work() -> None:
            for thing in waiting:
                await act(thing)

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))


@contextlib.contextmanager
def _noting(section: Section, name: str) -> Iterator[None]:
    """Make a violation of what the server must not make its clients see."""
    try:
        yield
    except Silence:
        section.violate(f"{name}: no answer")
    except Babble as error:
        section.violate(f"{name}: the server sent what is no message: {error}")
    except (OSError, TimeoutError) as error:
        section.violate(f"{name}: {type(error).__name__}: {error}")


def judge(answers: list[m.ServerMessage], wire: Wire, name: str, section: Section) -> None:
    """Hold the answers to one case against what the protocol promises."""
    for answer in answers:
        if isinstance(answer, m.ErrorReply):
            section.count(answer.code)
            if answer.code not in CODES:
                section.violate(f"{name}: answered {answer.code}: {answer.error}")
        elif isinstance(answer, m.Goodbye):
            section.count(f"goodbye {answer.code}")
            if answer.code not in CODES | {QUIT}:
                section.violate(f"{name}: goodbye {answer.code}")
    last = answers[-1] if answers else None
    said_why = isinstance(last, m.Goodbye) or (isinstance(last, m.ErrorReply) and last.fatal)
    if wire.is_over and not said_why:
        section.violate(f"{name}: closed without a word")


def _is_pong(message: m.ServerMessage) -> bool:
    return isinstance(message, m.Pong) and message.id == AFTER


def check_health(server: AttackedServer, before_bytes: int, bound_bytes: int) -> Section:
    """Look at the server from outside after everything: alive, silent, and no bigger."""
    section = Section("server, health", cases=1)
    after_bytes = server.rss_bytes()
    section.figures["rss_before_mb"] = before_bytes / 1e6
    section.figures["rss_after_mb"] = after_bytes / 1e6
    if not server.is_up:
        section.violate("the server has ended")
    if after_bytes - before_bytes > bound_bytes:
        section.violate(f"its memory has grown by {(after_bytes - before_bytes) / 1e6:.1f} MB")
    for line in server.suspicious_lines():
        section.violate(f"in its log: {line[:200]}")
    return section
