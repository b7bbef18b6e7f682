"""The table of commands finds what people type, on either layout, and suggests the rest."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jim.client.console.commands import (
    COMMANDS,
    Action,
    Command,
    Invocation,
    Unknown,
    completions,
    parse,
    resolve_name,
)
from jim.client.console.keyboard import to_jcuken, to_qwerty


def action_of(line: str) -> Action | None:
    found = parse(line)
    return found.command.action if isinstance(found, Invocation) else None


@pytest.mark.parametrize(
    ("line", "action"),
    [
        ("1", Action.MESSAGE),
        ("1.", Action.MESSAGE),
        ("message", Action.MESSAGE),
        ("  Message ", Action.MESSAGE),
        ("сообщение", Action.MESSAGE),
        ("2", Action.HELP),
        ("help", Action.HELP),
        ("справка", Action.HELP),
        ("3", Action.QUIT),
        ("exit", Action.QUIT),
        ("ВЫХОД", Action.QUIT),
        ("/quit", Action.QUIT),
        ("/выход", Action.QUIT),
    ],
)
def test_the_seeds_commands(line: str, action: Action) -> None:
    assert action_of(line) is action


@pytest.mark.parametrize(
    ("line", "action"),
    [
        ("руьз", None),
        ("рудз", Action.HELP),
        ("учше", Action.QUIT),
        ("УЧШЕ", Action.QUIT),
        ("/йгше", Action.QUIT),
        (".йгше", Action.QUIT),
        ("ds[jl", Action.QUIT),
        ("DS{JL", Action.QUIT),
        ("cghfdrf", Action.HELP),
        ("ьуыыфпу", Action.MESSAGE),
        ("/cjj,otybt", Action.MESSAGE),
        ("/ьып", Action.MESSAGE),
    ],
)
def test_a_command_typed_on_the_wrong_layout_is_found(line: str, action: Action | None) -> None:
    assert action_of(line) is action


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.action.value)
def test_every_form_of_every_command_is_found_on_both_layouts(command: Command) -> None:
    for form in [*command.slash, *command.words]:
        for typed in (form, form.upper(), to_jcuken(form), to_qwerty(form)):
            found = parse(typed)
            assert isinstance(found, Invocation), typed
            assert found.command is command, typed


def test_a_slash_form_takes_arguments_and_a_word_does_not() -> None:
    assert parse("/msg bob  hi  there") == Invocation(COMMANDS[0], "bob  hi  there")
    assert isinstance(parse("exit the building"), Unknown)
    assert isinstance(parse("3 apples"), Unknown)


@pytest.mark.parametrize(
    ("line", "suggestion"),
    [
        ("mesage", "message"),
        ("hepl", "help"),
        ("рудзз", "help"),
        ("/qiut", "/quit"),
        ("/histori bob", "/history"),
        ("сообщене", "сообщение"),
        ("/йгшее", "/quit"),
        ("qqqqqqq", ""),
    ],
)
def test_an_unknown_command_gets_the_nearest_one_suggested(line: str, suggestion: str) -> None:
    found = parse(line)
    assert isinstance(found, Unknown)
    assert found.suggestion == suggestion


@given(st.text())
def test_any_line_is_empty_a_command_or_unknown(line: str) -> None:
    found = parse(line)
    assert (found is None) == (not line.strip())


@given(st.text("абвгдеёжзийклмнопрстуфхцчшщъыьэюя"))
def test_the_layouts_are_inverse(text: str) -> None:
    assert to_jcuken(to_qwerty(text)) == text


def test_no_form_belongs_to_two_commands_not_even_on_the_other_layout() -> None:
    owners: dict[str, Action] = {}
    for command in COMMANDS:
        for form in [*command.slash, *command.words, command.number]:
            for typed in {form, to_qwerty(form), to_jcuken(form)} - {""}:
                assert owners.setdefault(typed, command.action) is command.action, typed


def test_a_known_name_on_the_wrong_layout_is_found_and_an_unknown_one_left_alone() -> None:
    known = ["bob", "пётр"]
    assert resolve_name("bob", known) == "bob"
    assert resolve_name("ищи", known) == "bob"
    assert resolve_name("g`nh", known) == "пётр"
    assert resolve_name("ищи", []) == "ищи"
    assert resolve_name("Carol", known) == "Carol"


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("/q", ["/quit"]),
        ("mes", ["message"]),
        ("вы", ["выход"]),
        ("@b", ["@bob"]),
        ("/msg b", ["bob"]),
        ("/history ", ["bob", "carol"]),
        ("/msg bob b", []),
        ("/who b", []),
        ("zzz", []),
    ],
)
def test_tab_offers_commands_and_names(line: str, found: list[str]) -> None:
    assert completions(line, ["bob", "carol"]) == found


DEVICES = [("a" * 16, "laptop"), ("b" * 16, "old phone"), ("c" * 16, "")]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("/remove ", ["a" * 16, "laptop", "b" * 16, "old phone", "c" * 16]),
        ("/remove b", ["b" * 16]),
        ("/удалить LAP", ["laptop"]),
        ("/rename old", ["old phone"]),
        ("/rename old p", ["phone"]),
        ("/куьщму old p", ["phone"]),
        ("/rename old phone n", []),
        ("/devices a", []),
    ],
)
def test_tab_completes_ids_and_names_of_devices(line: str, found: list[str]) -> None:
    assert completions(line, ["bob"], DEVICES) == found
