from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from jim.client.cli import link
from jim.client.events import HistoryMoved

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import pytest

    from jim.client import Client
    from jim.client.events import Event


class Linked:
    """A new device whose name is still on its way to the others."""

    def __init__(self) -> None:
        self.is_introduced = False
        self.error = None

    async def flush(self, timeout_s: float | None = None, *, everything: bool = False) -> bool:
        assert timeout_s is not None, "an offline device must not be waited for without end"
        assert everything, "a name is no message of the user's"
        self.is_introduced = True
        return True

    async def events(self) -> AsyncIterator[Event]:
        for done in (0, 64, 100):
            yield HistoryMoved("d", incoming=True, done=done, total=100, ended=done == 100)


def test_the_new_device_leaves_when_the_others_know_its_name(
    capsys: pytest.CaptureFixture[str],
) -> None:
    linked = Linked()
    taking = link._take_history(cast("Client", cast("Any", linked)), linked.events(), None)
    assert asyncio.run(taking) == 0
    assert linked.is_introduced
    assert "100" in capsys.readouterr().out
