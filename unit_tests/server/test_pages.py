from __future__ import annotations

from jim.core.limits import Limits
from jim.protocol.messages import ClientMessage
from jim.server import pages
from jim.server.arguments import FLAGS
from jim.server.commands import COMMANDS
from jim.server.settings import Settings
from tools import generate_docs


def test_every_setting_and_every_limit_has_a_row() -> None:
    rows = pages.settings_table()
    assert all(f"| `{name}` |" in rows for name in Settings.__struct_fields__ if name != "limits")
    rows = pages.limits_table()
    assert all(f"| `{name}` |" in rows for name in Limits.__struct_fields__)
    assert "Total for the TLS handshake." in rows


def test_every_setting_has_a_flag() -> None:
    assert set(FLAGS) == set(Settings.__struct_fields__) - {"limits"}


def test_every_message_of_a_client_has_a_row_in_the_command_table() -> None:
    assert set(COMMANDS) == set(ClientMessage.__args__)


def test_the_pages_of_the_documentation_are_up_to_date() -> None:
    assert [p.name for p, text in generate_docs.wanted() if generate_docs.current(p) != text] == []
