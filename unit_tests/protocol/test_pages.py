from __future__ import annotations

from typing import get_args

import pytest

from jim.errors import WIRE_ERRORS
from jim.protocol import messages as m
from jim.protocol import pages
from jim.protocol.session import State


def test_every_wire_error_has_a_row_with_its_code_and_number() -> None:
    page = pages.errors_page()
    for code, cls in WIRE_ERRORS.items():
        assert f"| `{code}` | {cls.response} |" in page
    assert page.count("| `") == len(WIRE_ERRORS) + page.partition("never travel")[2].count("| `")


def test_every_message_has_a_section_with_its_fields_as_on_the_wire() -> None:
    page = pages.commands_page()
    both = (*get_args(m.ClientMessage), *get_args(m.ServerMessage))
    assert page.count("\n### ") == len(both)
    assert "| `from` | text, length up to 128 | yes |" in page
    assert "`sender`" not in page
    assert "| `client` | text, length up to 64 |  |" in page
    assert "Possible in: challenged." in page


def test_the_diagram_has_every_state() -> None:
    page = pages.states_page()
    assert page.startswith("```mermaid\n")
    assert all(state.value in page for state in State)


@pytest.mark.parametrize("name", sorted(pages.PAGES))
def test_a_page_can_be_printed(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert pages.main([name]) == 0
    assert capsys.readouterr().out == pages.PAGES[name]()


def test_an_unknown_page_is_a_mistake_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert pages.main(["nonsense"]) == 2
    assert "errors|commands|states" in capsys.readouterr().err
