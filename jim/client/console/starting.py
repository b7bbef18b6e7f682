"""Start a client as soon as the account is free."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from jim.errors import AccountInUse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

BRIEF_S: Final = 5.0
"""How long a command such as `jim send` is waited for that has the account right now."""

AGAIN_S: Final = 0.1
"""Between two looks whether it has ended: short beside its own start, which takes longer."""


class Startable(Protocol):
    """A client that has not been started."""

    async def start(self) -> None:
        """Start it, once.

        Raises:
            AccountInUse: another process has the account.
        """


ClientT = TypeVar("ClientT", bound=Startable)
RestT = TypeVar("RestT")


async def started(
    make: Callable[[], Awaitable[tuple[ClientT, RestT]]],
) -> tuple[ClientT, RestT]:
    """Start a client; a short command that has the account just now is waited for.

    `make` gives a new one for each try, and what was done with it before its start (subscribing to
    its events, as nothing must be missed).

    Raises:
        JimError: of the start; `AccountInUse` after `BRIEF_S`.
    """
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + BRIEF_S
    while True:
        client, rest = await make()
        try:
            await client.start()
        except AccountInUse:
            if loop.time() > deadline_s:
                raise
            await asyncio.sleep(AGAIN_S)
        else:
            return client, rest
