# long module: one machine, every event and every effect
"""The outbox: what is sent, in which order, under which number, and what the answers mean.

Numbers are never kept with a message here: the messages of the outbox always have the numbers that
follow the last confirmed one, without a gap, in the order in which they were written. The store
numbers its rows by the same rule in its own transactions, so both agree without telling each other.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec import Struct

from jim.client.sync.common import MAX_FRUITLESS, Disconnect
from jim.errors import DevicesChanged, MailboxFull, NumberGap, WireError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_NOTHING: Mapping[int, str] = MappingProxyType({})


class Payload(Struct, frozen=True):
    """What goes out for a message: sealed for each device, or plain.

    Attributes:
        ciphertexts: device to ciphertext, None for a plain text.
        text: the plain text, empty for a sealed one.
        only: it is for one device alone.
    """

    ciphertexts: dict[str, str] | None
    text: str = ""
    only: bool = False


class Row(Struct):
    """A message that is not confirmed.

    Attributes:
        message_id: its id in the store; ids grow in the order of writing.
        to: the addressee.
        payload: what goes out, None until it has been sealed.
        released: marked as possibly transmitted, durably before it is; others can be taken back.
        fresh: written while this process ran, so no earlier life of the store can have sent it.
        mark: what the server gives back of it; another message never has it, in no life.
        stale: the server refused the payload because the devices are others by now.
        sealing: its payload is being made, so that it cannot be taken back.
        given_up: that payload is let go of in the store, whatever comes of it.
    """

    message_id: int
    to: str
    payload: Payload | None = None
    released: bool = False
    fresh: bool = False
    mark: str = ""
    stale: bool = False
    sealing: bool = False
    given_up: bool = False


class Transmit(Struct, frozen=True):
    """Send `msg` on the present connection."""

    request_id: int
    n: int
    to: str
    payload: Payload
    mark: str = ""


class Seal(Struct, frozen=True):
    """Make the payloads of messages and mark these as possibly transmitted, both at once. Blocking.

    Those that are `stale` were certainly not stored: they are sealed anew, for the devices that
    there are now. `Outbox.sealed` takes what has come of it.
    """

    message_ids: list[int]
    stale: list[int] = []


class Confirm(Struct, frozen=True, gc=False):
    """The server stored the message: keep its place, and `n` as the last confirmed number."""

    message_id: int
    n: int
    seq: int
    time_ms: int


class Refuse(Struct, frozen=True):
    """Fail the message and move every later row down by one number, at once. Blocking.

    If it was sealed, what is sealed behind it is so no more.
    """

    message_id: int
    code: str


class Requeue(Struct, frozen=True):
    """The server lost what it had stored after `after_n`.

    Queue the confirmed messages of this device with greater numbers again, and confirm only
    `after_n`. Blocking; `Outbox.requeued` takes the rows.
    """

    after_n: int


class Restart(Struct, frozen=True):
    """The device used numbers that this store does not know of.

    Fail the `unknown` messages with `unknown_outcome`, confirm `last_n`, and number every other
    queued row on from there, also rows that the outbox was not told of yet. Blocking.
    """

    last_n: int
    unknown: list[int]


OutboxEffect = Transmit | Seal | Confirm | Refuse | Requeue | Restart | Disconnect
BLOCKING = (Seal, Refuse, Requeue, Restart)


class _Flight(Struct, gc=False):
    """A transmission without an answer yet, under the number that it carried."""

    row: Row
    n: int


class Outbox:
    """The messages that the server has not confirmed, and what of them is on its way."""

    def __init__(self, confirmed: int, rows: Iterable[Row], window: int) -> None:
        """Start from the durable state: the last confirmed number, and the rows after it."""
        self.confirmed = confirmed
        self.window = window
        self.rows: deque[Row] = deque(rows)
        self._online = False
        self._blocked = 0
        self._sent = 0
        self._rewinding = False
        self._rewinds = 0
        self._unsealable = False
        """The last `Seal` came to nothing: what it lacked cannot be had on this connection."""
        self._in_flight: dict[int, _Flight] = {}
        self._last_request = 0

    @property
    def highest(self) -> int:
        """The highest number that a message has."""
        return self.confirmed + len(self.rows)

    @property
    def sends_at_once(self) -> bool:
        """Whether a message written now would go out at once, so that it may be sealed now."""
        return (
            self._online
            and not self._rewinding
            and self._sent == len(self.rows)
            and len(self._in_flight) < self.window
        )

    # --- the front end --------------------------------------------------------------------------

    def queued(self, rows: Sequence[Row]) -> list[OutboxEffect]:
        """Take rows that are new in the store, in order."""
        self.rows.extend(rows)
        return self._pump()

    def cancel(self, message_id: int, code: str) -> list[OutboxEffect]:
        """Take a message back; no effect means that it may be on its way already."""
        for index, row in enumerate(self.rows):
            if row.message_id == message_id and not row.released and not row.sealing:
                del self.rows[index]
                return [self._block(Refuse(message_id, code))]
        return []

    # --- the store ------------------------------------------------------------------------------

    def done(self) -> list[OutboxEffect]:
        """Go on after a blocking effect has become durable."""
        self._blocked -= 1
        return self._pump()

    def sealed(
        self, payloads: Mapping[int, Payload], failed: Mapping[int, str] = _NOTHING
    ) -> list[OutboxEffect]:
        """Go on after `Seal`, with what has become durable; `failed` says what never can be sealed.

        A message that is in neither stays as it was: it is tried again with the next connection.
        What was given up meanwhile, because one before it was refused, is asked for once more.
        """
        effects: list[OutboxEffect] = []
        for row in list(islice(self.rows, self._sent + self.window)):  # no other can be meant
            if row.message_id in payloads:
                row.payload = None if row.given_up else payloads[row.message_id]
                row.released, row.stale = True, False
            elif row.message_id in failed:
                self.rows.remove(row)
                effects.append(self._block(Refuse(row.message_id, failed[row.message_id])))
            row.sealing = row.given_up = False
        self._unsealable = not payloads and not failed
        return [*effects, *self.done()]

    def retry(self) -> list[OutboxEffect]:
        """Try again to seal what could not be sealed on this connection so far."""
        self._unsealable = False
        return self._pump()

    def requeued(self, rows: Sequence[Row]) -> list[OutboxEffect]:
        """Go on after `Requeue`, with the rows that it has queued again, in order."""
        self.rows.extendleft(reversed(rows))
        return self.done()

    # --- the connection -------------------------------------------------------------------------

    def welcomed(self, last_n: int, last_mark: str = "") -> list[OutboxEffect]:
        """Bring both sides together at the start of a connection.

        Must be called only when no effect on the store is pending. `last_mark` is the mark of the
        message that the server has under `last_n`, empty if it does not know it.

        What the server has and we have not confirmed is transmitted again like the rest: it repeats
        the answer, which is how we learn sequence and time.
        """
        self._online = True
        self._unsealable = False
        self._rewinds = 0
        if last_n < self.confirmed:
            self.confirmed = last_n
            return [self._block(Requeue(last_n))]
        if self.is_foreign(last_n, last_mark):
            return [self._restart(last_n)]
        return self._pump()

    def disconnected(self) -> None:
        """Forget the connection; what was on its way has an unknown outcome until the next one."""
        self._online = False
        self._in_flight.clear()
        for row in self.rows:
            row.stale = False  # whether it was stored after all, the next welcome tells
        self._start_over()

    def stored(self, request_id: int, n: int, seq: int, time_ms: int) -> list[OutboxEffect]:
        """Take the server's confirmation of a transmission."""
        flight = self._in_flight.pop(request_id, None)
        if flight is None:
            return []
        if flight.n != n or not self._is_next(flight):
            return [Disconnect("a confirmation out of order")]
        return [self._confirm(seq, time_ms), *self._pump()]

    def refused(self, request_id: int, error: WireError) -> list[OutboxEffect]:
        """Take the server's refusal of a transmission."""
        flight = self._in_flight.pop(request_id, None)
        if flight is None:
            return []
        if isinstance(error, NumberGap):
            return self._gap(flight, error)
        if isinstance(error, DevicesChanged) and flight.row.payload is not None:
            if self._is_fruitless(flight):
                return self._refuse(flight, error.code)
            return self._reseal()
        if (error.retryable or error.fatal) and not isinstance(error, MailboxFull):
            return self._rewind()
        return self._refuse(flight, error.code)

    # --- decisions ------------------------------------------------------------------------------

    def is_foreign(self, last_n: int, last_mark: str) -> bool:
        """Tell whether somebody else used our numbers: an earlier or another life of this store.

        The last one decides for all. Messages keep their order and change their numbers only when
        one before them is dropped, so what still has its number has all before it as they were.
        """
        if not self.confirmed <= last_n <= self.highest:
            return last_n > self.highest
        stored = list(islice(self.rows, last_n - self.confirmed))
        if not stored:
            return False
        if last_mark and stored[-1].mark != last_mark:
            return True
        return any(not row.released for row in stored)

    def unknown(self) -> list[int]:
        """Give the messages of which nobody knows whether another life of this store sent them."""
        return [row.message_id for row in self.rows if row.released or not row.fresh]

    def _restart(self, last_n: int) -> OutboxEffect:
        """Keep what certainly was never sent; of the rest nobody knows."""
        unknown = self.unknown()
        self.rows = deque(row for row in self.rows if row.fresh and not row.released)
        self.confirmed = last_n
        return self._block(Restart(last_n, unknown))

    def _gap(self, flight: _Flight, error: NumberGap) -> list[OutboxEffect]:
        expected = error.fields.get("expected")
        if not isinstance(expected, int) or expected <= self.confirmed:
            return [Disconnect("the server does not stand where it said")]
        if flight.n < expected and self._is_next(flight):
            # Stored so long ago that the answer is forgotten: its place stays unknown.
            return [self._confirm(0, 0), *self._pump()]
        return self._rewind()

    def _refuse(self, flight: _Flight, code: str) -> list[OutboxEffect]:
        """Drop a message that cannot be stored; the later ones move up to its number.

        They are sealed anew, for what they are sealed as does not say yet that nothing will come
        with the counts of this one. None of them is stored: the server takes numbers in order.
        `Refuse` lets go of the same payloads in the store.
        """
        index = next(i for i, row in enumerate(self.rows) if row is flight.row)
        for row in islice(self.rows, index + 1, None):
            row.given_up = row.sealing
            if row.payload is not None and row.payload.ciphertexts is not None:
                row.payload, row.stale = None, False
        del self.rows[index]
        self._rewinding = True
        self._rewinds = 0
        return [self._block(Refuse(flight.row.message_id, code))]

    def _is_fruitless(self, flight: _Flight) -> bool:
        """Tell whether the server wants other devices than it shows, however often it is asked.

        It will never take this message, which must not hold up those to everybody else.
        """
        return self._rewinds >= MAX_FRUITLESS and not self._rewinding and self._is_next(flight)

    def _reseal(self) -> list[OutboxEffect]:
        """Let everything be sealed anew that was on its way: the server refuses all of it.

        It takes numbers in their order alone. A plain text needs no other devices.
        """
        for row in islice(self.rows, self._sent):
            row.stale = row.payload is not None and row.payload.ciphertexts is not None
        return self._rewind()

    def _rewind(self) -> list[OutboxEffect]:
        """Start again at the first unconfirmed message, once every transmission has its answer.

        Waiting for the answers keeps old and new transmissions of a number apart.
        """
        if not self._rewinding:
            self._rewinding = True
            self._rewinds += 1
            if self._rewinds > MAX_FRUITLESS:
                return [Disconnect("the server refuses what it should accept")]
        return self._pump()

    def _confirm(self, seq: int, time_ms: int) -> Confirm:
        row = self.rows.popleft()
        self._sent -= 1
        self.confirmed += 1
        self._rewinds = 0
        return Confirm(row.message_id, self.confirmed, seq, time_ms)

    def _pump(self) -> list[OutboxEffect]:
        """Transmit what the window allows."""
        if self._rewinding and not self._in_flight:
            self._start_over()
        effects: list[OutboxEffect] = []
        if not self._online or self._rewinding:
            return effects
        while not self._blocked and self._sent < len(self.rows):
            free = self.window - len(self._in_flight)
            if free <= 0:
                break
            row = self.rows[self._sent]
            if row.payload is not None and not row.stale:
                effects.append(self._transmit(row, row.payload))
            elif self._unsealable:
                break
            else:
                effects.append(self._seal(free))
        return effects

    def _transmit(self, row: Row, payload: Payload) -> Transmit:
        self._sent += 1
        self._last_request += 1
        n = self.confirmed + self._sent
        self._in_flight[self._last_request] = _Flight(row, n)
        return Transmit(self._last_request, n, row.to, payload, row.mark)

    def _seal(self, free: int) -> OutboxEffect:
        coming = [
            row
            for row in islice(self.rows, self._sent, self._sent + free)
            if row.payload is None or row.stale
        ]
        for row in coming:
            row.sealing = True
        stale = [row.message_id for row in coming if row.stale]
        return self._block(Seal([row.message_id for row in coming], stale))

    def _block(self, effect: OutboxEffect) -> OutboxEffect:
        self._blocked += 1
        return effect

    def _start_over(self) -> None:
        self._sent = 0
        self._rewinding = False

    def _is_next(self, flight: _Flight) -> bool:
        """Tell whether it is the first unconfirmed message, under its present number."""
        first = self.rows[0] if self.rows else None
        return flight.row is first and flight.n == self.confirmed + 1
