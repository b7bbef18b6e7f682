"""A client's process: the real outbox, inbox, errands and store, and the courier's work in steps.

What the store is told is done at once; that jobs of its thread and answers of the network overtake
each other is what `reliability.simulate` and `reliability.virtual` are for.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from jim.client import rotation, sync
from jim.client.errands import Errands
from jim.client.events import BEHIND, RESTORED, Message, MissingNotice
from jim.client.sending import wire_message
from jim.client.store import Draft
from jim.errors import ConnectFailed, JimError, WireError
from jim.protocol import messages as m
from reliability.sealed.papers import Papers

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from jim.client.account_store import AccountStore
    from jim.client.mailbox import Frame, Kept, News
    from reliability.sealed.machine import Machine
    from reliability.sealed.server import Server

WINDOW: Final = 3
"""Messages outstanding: small, so that a short schedule fills it."""

MOST_FRAMES: Final = 3
"""Frames of one read, which share a transaction."""

Push = m.DevicesChange | m.KeysLeft


class Client:
    """One process of one device, from its start to its death."""

    def __init__(self, machine: Machine, server: Server) -> None:
        """Take up what is on the disk."""
        self.machine, self.server = machine, server
        self.name = machine.name
        self.is_online = False
        self._errands = Errands(self, self._tell)  # type: ignore[arg-type]
        self._papers = Papers(machine, self)
        self._up: deque[sync.Transmit] = deque()
        self._down: deque[tuple[int, m.Stored | WireError]] = deque()
        self._pushed: deque[Push] = deque()
        self._effects: deque[sync.OutboxEffect] = deque()
        run(self.load())

    @property
    def device(self) -> str:
        """The device that this machine is now."""
        return self.machine.device

    async def load(self) -> None:
        """Take up what is on the disk; the device may be another one than before."""
        store = self.machine.disk.store
        standing, found = store.standing(), store.queued_after(0)
        self._noticed = standing.highest_id
        self._outbox = sync.Outbox(standing.confirmed_n, [row for row, _ in found], WINDOW)
        self._inbox = sync.Inbox(standing.epoch, standing.position)
        self._next = standing.position
        """The last position that came over the present connection."""

    # --- what the errands see of account, writer and link -----------------------------------------

    @property
    def writer(self) -> Client:
        """The errands' way to the store."""
        return self

    async def write(self, work: Callable[[AccountStore], Any]) -> Any:
        """Run a transaction."""
        return self.machine.disk.change(work, self._committed)

    async def read(self, work: Callable[[AccountStore], Any]) -> Any:
        """Read from the store."""
        return work(self.machine.disk.store)

    async def request(self, question: Any) -> m.ServerMessage:
        """Ask the server, unless the connection does not last so long.

        Raises:
            ConnectFailed: it was lost with the question, or with the answer.
            WireError: the server says so.
        """
        lost = self.machine.network.loses()
        if not self.is_online or lost == "question":
            self.lose()
            raise ConnectFailed("the question was lost")
        answer = self.server.answer(self.device, question)
        if lost == "answer":
            self.lose()
            raise ConnectFailed("the answer was lost")
        return answer

    def _committed(self, result: object) -> None:
        """Show what an errand has brought, or note what was decided; most have nothing to show."""
        if not isinstance(result, list):
            return
        self._see([new for new in result if isinstance(new, MissingNotice)])
        decided = [each for each in result if isinstance(each, Message) and each.is_stored]
        self.server.book.confirmed(self.machine, decided)

    def _tell(self, news: Sequence[News]) -> None:
        """Take what the errands tell; the disk has told it already."""

    def _see(self, news: Sequence[News]) -> None:
        for new in news:
            if isinstance(new, MissingNotice):
                self.server.book.noticed(self.machine, new)
            elif isinstance(new, Message):
                self.server.book.shown(self.machine, new)

    # --- the front end ----------------------------------------------------------------------------

    def write_text(self, to: str, text: str) -> None:
        """Queue a text, sealed at once if it can go out at once."""
        draft = Draft(to, text, self.server.now_ms)
        released = self._outbox.sends_at_once
        self.machine.disk.change(
            lambda store: store.enqueue(draft, released=released),
            lambda _: self.server.book.written(self.machine, to, text),
        )
        self._notice()

    def _notice(self) -> None:
        found = self.machine.disk.store.queued_after(self._noticed)
        if found:
            self._noticed = found[-1][1].message_id
            rows = [row for row, _ in found]
            for row in rows:
                row.fresh = True
            self._carry_out(self._outbox.queued(rows))

    # --- the connection ---------------------------------------------------------------------------

    def connect(self) -> bool:
        """Log in and do what keeper and courier do then; False if nobody lets us in."""
        welcome = self.server.log_in(self)
        if welcome is None:
            return bool(run(rotation.finish(self._papers, self)))  # type: ignore[arg-type]
        self.is_online, self._errands.link = True, self  # type: ignore[assignment]
        if self._is_replaced(welcome):
            self.lose()
            return True
        self._meet(welcome)
        if not self.is_online:
            return True
        if self.machine.disk.store.chain_seq(self.name) < welcome.chain_seq:
            run(self._errands.look_at_all([self.name]))
        run(self._errands.offer_keys(welcome.one_time_keys))
        self._ask_receipts()
        self._notice()
        return True

    def _is_replaced(self, welcome: m.Welcome) -> bool:
        """Replace a device whose store has gone back, and tell whether this connection ends."""
        try:
            if not run(rotation.is_due(self._papers, self, welcome)):  # type: ignore[arg-type]
                return False
            run(rotation.rotate(self, self._papers, self, welcome))  # type: ignore[arg-type]
        except JimError as error:
            self.server.book.trace.append(f"{self.machine} is not replaced yet: {error}")
        return True

    def _meet(self, welcome: m.Welcome) -> None:
        """Go on where both stand."""
        inbox = self._inbox.welcomed(welcome.epoch, welcome.position, welcome.acked, BEHIND)
        outbox = self._outbox.welcomed(welcome.last_n, _mark(welcome))
        for effect in inbox:
            if isinstance(effect, sync.MoveCursor):
                self.machine.disk.change(partial(_move_cursor, effect))
            elif isinstance(effect, sync.AskFrom):
                self._next = effect.after
                self.server.ack(self.device, effect.after)
                self._inbox.answered()
        self._carry_out(outbox)

    # --- what rotation sees of courier and link ---------------------------------------------------

    async def ask(self, question: Any) -> m.ServerMessage:
        """Ask the server, as `request`."""
        return await self.request(question)

    async def calm(self) -> None:
        """Wait until nothing is on its way to the store: it never is between two steps."""

    async def strayed(self, welcome: m.Welcome) -> str:
        """Tell by which code another life of this store has been at work, empty if none has."""
        if self._outbox.is_foreign(welcome.last_n, _mark(welcome)):
            return RESTORED
        return BEHIND if self._inbox.cursor < welcome.acked else ""

    def settle(self, last_n: int, last_mark: str) -> sync.Settled:
        """Decide about the messages of a device that sends no more."""
        return sync.settle(self._outbox, last_n, last_mark)

    def decided(self, messages: Iterable[Message]) -> None:
        """Take what was decided; the disk has told it already."""

    # --- what a connection begins with ------------------------------------------------------------

    def _ask_receipts(self) -> None:
        names = self.machine.disk.store.undelivered()
        if not names or not self.is_online:
            return
        try:
            reply = run(self.request(m.Receipts(id="", names=names)))
        except ConnectFailed:
            return
        for name, seq in reply.delivered.items():
            self.machine.disk.change(lambda store, n=name, s=seq: store.delivered(n, s))  # type: ignore[misc]
        self._look_at_known(reply.chains)

    def _look_at_known(self, chains: dict[str, int]) -> None:
        for name, seq in chains.items():
            if 0 <= self.machine.disk.store.chain_seq(name) < seq:
                run(self._errands.look_at_all([name]))
        self._notice()

    def lose(self) -> None:
        """Forget the connection and all that was on it."""
        self.is_online, self._errands.link = False, None
        self.server.gone(self.device)
        self._up.clear()
        self._down.clear()
        self._pushed.clear()
        self._outbox.disconnected()
        # What was taken and not kept comes again (`Intake.lose`).
        self._inbox.received = self._inbox.cursor

    def cut(self, number: int) -> None:
        """Lose the connection while a part of what was sent still arrives."""
        for _ in range(number % (len(self._up) + 1)):
            self._serve()
        self.lose()

    def push(self, message: Push) -> None:
        """Take something that the server says by itself."""
        self._pushed.append(message)

    # --- what may happen next ---------------------------------------------------------------------

    def move(self, number: int) -> bool:
        """Let something get further, the first of four that can; tell whether there was one."""
        moves = (self._serve, self._hear, self._take_push, self._receive)
        first = number % len(moves)
        return any(moves[(first + place) % len(moves)]() for place in range(len(moves)))

    def _serve(self) -> bool:
        """Let a message arrive at the server."""
        if not self._up:
            return False
        effect = self._up.popleft()
        answer = self.server.take(self.device, wire_message(effect))
        self._down.append((effect.request_id, answer))
        return True

    def _hear(self) -> bool:
        """Let an answer arrive."""
        if not self._down:
            return False
        request_id, answer = self._down.popleft()
        if isinstance(answer, m.Stored):
            effects = self._outbox.stored(request_id, answer.n, answer.seq, answer.time)
        else:
            effects = self._outbox.refused(request_id, answer)
        self._carry_out(effects)
        return True

    def _take_push(self) -> bool:
        if not self._pushed:
            return False
        pushed = self._pushed.popleft()
        if isinstance(pushed, m.KeysLeft):
            run(self._errands.offer_keys(pushed.one_time_keys))
        else:
            self._look_at_known({pushed.name: pushed.chain_seq})
        return True

    def _receive(self) -> bool:
        """Take a few frames as intake does: kept up to one that lacks a chain, then asked for."""
        if not self.is_online:
            return False
        frames = [
            frame
            for frame in self.server.frames(self.device, self._next)[:MOST_FRAMES]
            if self._inbox.frame(frame.position)[0] is sync.Decision.KEEP
        ]
        if not frames:
            return False
        self._next = frames[-1].position
        fresh: frozenset[str] = frozenset()
        while frames:
            kept = self.machine.disk.change(
                partial(_keep, frames, self.server.now_ms, fresh), lambda kept: self._see(kept.news)
            )
            if kept.position:
                fresh = frozenset()
                self._kept(kept.position)
            frames = [frame for frame in frames if frame.position > kept.position]
            if not kept.lacking:
                continue
            found = run(self._errands.look_at_all([kept.lacking]))
            if not found or not self.is_online:
                self.lose()
                break
            fresh |= found
        self._notice()
        return True

    def _kept(self, position: int) -> None:
        for effect in self._inbox.stored(position):
            if isinstance(effect, sync.Acknowledge) and self.is_online:
                self.server.ack(self.device, effect.position)

    # --- effects ----------------------------------------------------------------------------------

    def retry(self) -> None:
        """Try again to seal what the server gave no keys for, as after half a minute."""
        if self.is_online:
            self._carry_out(self._outbox.retry())

    def _carry_out(self, effects: Iterable[sync.OutboxEffect]) -> None:
        """Carry out effects in their order, and behind them what they lead to."""
        is_running = bool(self._effects)
        self._effects.extend(effects)
        if is_running:
            return
        while self._effects:
            self._effects.extend(self._effect(self._effects[0]))
            self._effects.popleft()

    def _effect(self, effect: sync.OutboxEffect) -> list[sync.OutboxEffect]:
        disk, book = self.machine.disk, self.server.book
        if isinstance(effect, sync.Transmit):
            if self.is_online:
                [row] = [row for row in self._outbox.rows if row.mark == effect.mark]
                book.transmitted(self.machine, row.message_id, effect)
                self._up.append(effect)
            return []
        if isinstance(effect, sync.Disconnect):
            self.lose()
            return []
        if isinstance(effect, sync.Seal):
            stale = {row.to for row in self._outbox.rows if row.message_id in effect.stale}
            done, _ = run(self._errands.seal(effect, sorted(stale)))
            return self._outbox.sealed(done.payloads, done.failed)
        if isinstance(effect, sync.Confirm):
            disk.change(
                lambda store: store.confirm(effect),
                lambda confirmed: book.confirmed(self.machine, confirmed),
            )
            return []
        if isinstance(effect, sync.Requeue):
            found = disk.change(lambda store: store.requeue(effect))
            return self._outbox.requeued([row for row, _ in found])
        if isinstance(effect, sync.Refuse):
            disk.change(lambda store: store.refuse(effect))
        else:
            disk.change(lambda store: store.restart(effect))
        return self._outbox.done()


def run(errand: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never has to wait, for its disk and its server answer at once.

    Raises:
        RuntimeError: it did wait.
    """
    try:
        errand.send(None)
    except StopIteration as ended:
        return ended.value
    raise RuntimeError("an errand has waited for something")


def _mark(welcome: m.Welcome) -> str:
    return welcome.last_mark if isinstance(welcome.last_mark, str) else ""


def _move_cursor(effect: sync.MoveCursor, store: AccountStore) -> None:
    store.move_cursor(effect.epoch, effect.position)


def _keep(frames: Sequence[Frame], now_ms: int, fresh: frozenset[str], store: AccountStore) -> Kept:
    return store.keep(frames, now_ms, fresh)
