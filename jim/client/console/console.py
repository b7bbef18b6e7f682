"""What line, plain and pipe mode share: a client, its reactions, and intentions one after another.

It knows no terminal; the mode decides where lines come from. Intentions run in the order typed,
beside the prompt: none of them blocks it, also not while the server has never been reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Final

from jim.client.console import actions, view
from jim.client.console.dialogue import Doubt, Hint, Reply, Run, Send
from jim.client.console.explain import Exit, code_exit, exit_code, startup_exit
from jim.client.console.newcomer import Newcomer
from jim.client.console.reactions import Reactions
from jim.client.console.starting import started
from jim.client.console.trusting import Trusting
from jim.errors import JimError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from jim.client.console.dialogue import Intention
    from jim.client.console.library import Messenger
    from jim.client.console.reactions import Screen
    from jim.client.console.session import Session
    from jim.client.events import Event

NOTED_S: Final = 1.0
"""For noting that the last thing shown was shown: one transaction, once the screen has taken it."""

BETWEEN_S: Final = 2.0
"""For what goes between devices, at the end: nobody sees it, and it may go out the next time. Two
seconds are a few round trips of a bad link."""

CLOSE_S: Final = 3.0
"""To say goodbye to the server; whatever is not out by then is in the outbox on disk."""


class Console:
    """One account at work behind one screen."""

    def __init__(self, screen: Screen, session: Session, *, pipe: bool = False) -> None:
        """Begin without a client.

        Args:
            screen: where lines go.
            session: how to open the client.
            pipe: nobody watches: of own messages only failures are told, and every command waits
                for those before it. For a person only sending keeps its order; /help answers even
                while the first message waits for a server that has never been reached.
        """
        self.screen = screen
        self.seen = Reactions(screen, session.open_shown)
        self.trusting = Trusting(self.seen.questions)
        self._session = session
        self.client: Messenger | None = None
        self.newcomer = Newcomer()
        self._pipe = pipe
        self._refusals: list[Exit] = []
        self._sent: list[int] = []
        self._waiting = 0
        self._hurry = asyncio.Event()
        self._intentions: asyncio.Queue[Intention] = asyncio.Queue()
        self._opened = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to open the client and to run intentions, both in the background."""
        self._tasks += [
            asyncio.create_task(self._listen(), name="events"),
            asyncio.create_task(self._work(), name="intentions"),
            asyncio.create_task(self._tell_states(), name="states"),
        ]

    def submit(self, intention: Intention) -> asyncio.Task[None] | None:
        """Run an intention after those before it; a hint is shown at once.

        Returns:
            The task, if the intention waits for no other and was begun at once.
        """
        intention = self._answered(intention)
        if isinstance(intention, Hint):
            look = self.screen.look
            self.screen.report([p for text in intention.lines for p in view.paragraph(text, look)])
        elif isinstance(intention, Run) and not self._pipe:
            task = asyncio.create_task(self._perform(intention))
            self._tasks.append(task)
            return task
        elif intention is not None:
            self._waiting += isinstance(intention, Send)
            self._intentions.put_nowait(intention)
        return None

    def _answered(self, intention: Intention) -> Intention:
        """Turn a bare answer into what it does, and a doubt into what there is to say."""
        questions = self.seen.questions
        if isinstance(intention, Reply):
            return questions.take(intention.answer)
        if isinstance(intention, Doubt):
            return questions.doubt(intention.typed)
        if isinstance(intention, Send):
            questions.sent(intention.text)
        return intention

    @property
    def waiting(self) -> int:
        """Messages that were typed and are not even in the outbox yet."""
        return self._waiting

    @property
    def unsent(self) -> int:
        """Messages that were typed and that the server has not stored."""
        return self._waiting + self.seen.own.queued

    def hurry(self) -> None:
        """End the waiting of `flush_or_hurry`."""
        self._hurry.set()

    async def flush_or_hurry(self, timeout_s: float) -> None:
        """Wait as `flush` does, but not after `hurry` was called."""
        ways = {
            asyncio.ensure_future(self.flush(timeout_s)),
            asyncio.ensure_future(self._hurry.wait()),
        }
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()

    async def flush(self, timeout_s: float) -> bool:
        """Wait until every own message is stored or failed; say whether that is so.

        Those of earlier runs count too; of this run's, the outcome has been shown afterwards.
        """
        try:
            async with asyncio.timeout(timeout_s):
                await self._intentions.join()
                if self.client is None:
                    return False
                for number in self._sent:
                    self.seen.own_changed(await self.client.wait_stored(number))
                stored = await self.client.flush(timeout_s)
                if stored:  # what others have not collected goes to a new device of theirs, say
                    await self.client.flush(min(timeout_s, BETWEEN_S), everything=True)
                return stored
        except (TimeoutError, JimError):
            return False

    async def aclose(self) -> None:
        """Close the client within `CLOSE_S`, then end everything but what the screen may need.

        Once the screen has been written, `seen.close` ends that too.
        """
        self.seen.closing = True
        if self.seen.has_notes:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._note_shown(), NOTED_S)
        if self.client is not None:
            with contextlib.suppress(TimeoutError, JimError):
                await asyncio.wait_for(self.client.aclose(), CLOSE_S)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _note_shown(self) -> None:
        await self.screen.flushed()
        await self.seen.noted()

    @property
    def exit_code(self) -> Exit:
        """What has gone wrong so far: the end of the client first, then the first own message."""
        if self.seen.fatal is not None:
            return startup_exit(self.seen.fatal)
        failed = [code_exit(message.error_code or "") for message in self.seen.own.failed]
        return next(iter([*self._refusals, *failed]), Exit.OK)

    async def _listen(self) -> None:
        """Open the client and take its events until they end."""
        try:
            client, stream = await self._open()
            self._opened.set()
            async for event in stream:
                await self.seen.take(event, client)
        except JimError as error:
            name = self.client.name if self.client is not None else ""
            self.seen.end(error, name)
        finally:
            self._opened.set()

    async def _open(self) -> tuple[Messenger, AsyncIterator[Event]]:
        """Open the client; a short command that has the account just now is waited for."""

        async def made() -> tuple[Messenger, AsyncIterator[Event]]:
            self.client = client = await self._session.open_client()
            return client, client.events()

        return await started(made)

    async def _work(self) -> None:
        while True:
            intention = await self._intentions.get()
            try:
                await self._perform(intention)
            finally:
                self._waiting -= isinstance(intention, Send)
                self._intentions.task_done()

    async def _perform(self, intention: Intention) -> None:
        await self._opened.wait()
        if self.client is None or self.seen.fatal is not None:
            return
        try:
            if isinstance(intention, Send):
                async for message in actions.send(self.client, intention, self.screen):
                    self._sent.append(message.message_id)
            elif isinstance(intention, Run):
                self.screen.show(await actions.run(self.client, intention, self))
        except JimError as error:
            self._explain(error, intention)

    def _explain(self, error: JimError, intention: Intention) -> None:
        if error is self.seen.fatal:
            return  # said already
        if isinstance(intention, Send):
            self._refusals.append(exit_code(error))
            self.screen.report(view.refused(intention.to, intention.text, error, self.screen.look))
        else:
            self.screen.report(view.command_error(error, self.screen.look))

    async def _tell_states(self) -> None:
        """Tell what became of own messages, each time some of it has settled."""
        while True:
            due = self.seen.own.next_due()
            delay = None if due is None else max(0.0, due - time.monotonic())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.seen.states_changed.wait(), delay)
            self.seen.states_changed.clear()
            shown = self.seen.own.due(time.monotonic(), self.screen.look)
            if shown and not self._pipe:
                self.screen.show(shown)
