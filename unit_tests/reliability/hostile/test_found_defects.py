"""Defects that the hostile runs have found, each reproduced as small as it could be made."""

from __future__ import annotations

import json
import time

import msgspec
import pytest

from jim.client.console import notices, view
from jim.client.events import MissingNotice
from jim.core.limits import Limits
from jim.protocol import messages as m

TERMS = json.loads(
    m.encode_terms(
        m.Terms(
            versions=[1],
            server="jim/0",
            limits=Limits().announced(),
            policy=m.Policy(registration="open", plain=False, waiting_messages=1, waiting_days=1),
        )
    )
)


def test_honest_terms_are_taken() -> None:
    assert m.parse_terms(json.dumps(TERMS)).limits == Limits().announced()


@pytest.mark.parametrize("levels", [2_000, 500_000])
def test_terms_nested_deeply_are_refused_as_unreadable(levels: int) -> None:
    bomb = '{"later":' + "[" * levels + "]" * levels + "}"
    with pytest.raises(msgspec.DecodeError):
        m.parse_terms(bomb)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window", -1),
        ("message_burst", 10**400),
        ("byte_burst", 2**53),
        ("bytes_per_second", 10**400),
        ("messages_per_second", -1.0),
        ("messages_per_second", 1e300),
        ("ping_s", -1),
        ("text_bytes", -1),
        ("frame_bytes", 2**64),
    ],
)
def test_terms_with_numbers_that_nobody_can_keep_to_are_refused(name: str, value: float) -> None:
    limits = {**TERMS["limits"], name: value}
    with pytest.raises(msgspec.DecodeError):
        m.parse_terms(json.dumps({**TERMS, "limits": limits}))


def test_a_time_that_only_some_systems_can_show_is_shown_on_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A server may date a message anywhere up to 2^53-1; Windows knows no year after 3000."""
    system = time.localtime

    def as_windows(seconds: float) -> time.struct_time:
        if seconds > 32_535_215_999:
            raise OSError(22, "Invalid argument")
        return system(seconds)

    monkeypatch.setattr(time, "localtime", as_windows)
    assert view.stamp(m.MAX_INTEGER, 0).startswith(("3000-01-01", "2999-12-31"))
    told = MissingNotice("mailbox_full", m.MAX_INTEGER, 1)
    assert notices.notice(told, "alice", view.Look())
