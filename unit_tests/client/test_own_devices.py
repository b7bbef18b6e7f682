"""A device takes itself, or another one, out of its account."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from jim.client.own_devices import OwnDevices
from jim.errors import Revoked


@pytest.mark.parametrize("device", ["this", "other"])
async def test_the_server_may_hang_up_before_it_answers(
    monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    account: Any = SimpleNamespace(record=SimpleNamespace(device="this"))
    nobody: Any = None
    own = OwnDevices(account, nobody, lambda: None)

    async def make(_: str) -> object:
        return object()

    async def hang_up(_: object) -> None:
        raise Revoked

    monkeypatch.setattr(own, "_revocation", make)
    monkeypatch.setattr(own, "_extend", hang_up)
    if device == "this":
        await own.revoke(device)
    else:
        with pytest.raises(Revoked):
            await own.revoke(device)
