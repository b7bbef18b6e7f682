"""Lines become intentions; nothing that is not meant as a text is ever sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jim import i18n
from jim.client.console.commands import Action
from jim.client.console.dialogue import (
    HISTORY_LENGTH,
    MAX_HISTORY,
    Dialogue,
    Hint,
    Intention,
    Run,
    Send,
    Stage,
)


def said(*lines: str, literal: bool = False) -> list[Intention]:
    dialogue = Dialogue(literal=literal)
    return [dialogue.feed(line, ["bob", "пётр"]) for line in lines]


def test_the_seeds_dialogue_with_its_prompts() -> None:
    i18n.set_language("ru")
    dialogue = Dialogue()
    prompts = []
    last: Intention = None
    for line in ("1", "bob", "привет"):
        prompts.append(dialogue.prompt)
        last = dialogue.feed(line)
    assert prompts == [
        "Введите команду или ее номер: ",
        "Введите получателя сообщения: ",
        "Введите текст сообщения: ",
    ]
    assert last == Send("bob", "привет")
    assert dialogue.stage is Stage.COMMAND


@pytest.mark.parametrize(
    ("line", "sent"),
    [
        ("/msg bob hi there", Send("bob", "hi there")),
        ("@bob hi there", Send("bob", "hi there")),
        ("@bob two\nlines", Send("bob", "two\nlines")),
        ("/ьып bob привет", Send("bob", "привет")),
        ("@ищи hello", Send("bob", "hello")),
    ],
)
def test_a_message_in_one_line(line: str, sent: Send) -> None:
    assert said(line) == [sent]


def test_what_is_missing_is_asked_for() -> None:
    assert said("@bob", "hi") == [None, Send("bob", "hi")]
    assert said("/msg bob", "hi") == [None, Send("bob", "hi")]
    assert said("/msg", "bob", "hi") == [None, None, Send("bob", "hi")]


@pytest.mark.parametrize("line", ["hello bob", "/unknown x", "@", "@ bob", "exit now", "bob: hi"])
def test_a_bare_text_is_never_sent(line: str) -> None:
    (intention,) = said(line)
    assert isinstance(intention, Hint)


def test_a_text_that_begins_with_a_slash_needs_two_of_them() -> None:
    *_, hint, sent = said("1", "bob", "/etc/hosts is gone", "//etc/hosts is gone")
    assert isinstance(hint, Hint)
    assert "//" in hint.lines[-1]
    assert sent == Send("bob", "/etc/hosts is gone")


def test_in_a_pipe_a_text_is_taken_as_it_stands() -> None:
    assert said("1", "bob", "/quit", literal=True)[-1] == Send("bob", "/quit")
    assert said("1", "bob", "//x", literal=True)[-1] == Send("bob", "//x")
    assert said("1", "bob", " indented ", literal=True)[-1] == Send("bob", " indented ")
    assert said("1", "", "to nobody", "3", literal=True)[-2:] == [
        Send("", "to nobody"),
        Run(Action.QUIT),
    ]


def test_a_command_in_the_middle_of_a_dialogue_runs_and_the_question_stays() -> None:
    dialogue = Dialogue()
    dialogue.feed("1")
    assert dialogue.feed("/who") == Run(Action.WHO)
    assert dialogue.stage is Stage.RECIPIENT
    dialogue.feed("bob")
    assert dialogue.feed("/status") == Run(Action.STATUS)
    assert dialogue.feed("text") == Send("bob", "text")


@pytest.mark.parametrize("lines", [("1", ""), ("1", "bob", ""), ("1", "bob", "  ")])
def test_an_empty_answer_gives_the_dialogue_up(lines: tuple[str, ...]) -> None:
    dialogue = Dialogue()
    last: Intention = None
    for line in lines:
        last = dialogue.feed(line)
    assert isinstance(last, Hint)
    assert dialogue.stage is Stage.COMMAND


@pytest.mark.parametrize(
    ("line", "run"),
    [
        ("/history bob", Run(Action.HISTORY, "bob", HISTORY_LENGTH)),
        ("/history @bob 5", Run(Action.HISTORY, "bob", 5)),
        ("/history bob 999999", Run(Action.HISTORY, "bob", MAX_HISTORY)),
        ("/история ищи", Run(Action.HISTORY, "bob", HISTORY_LENGTH)),
        ("/cancel 3", Run(Action.CANCEL, number=3)),
        ("/resend #12", Run(Action.RESEND, number=12)),
        ("/devices", Run(Action.DEVICES)),
        ("/вумшсуы", Run(Action.DEVICES)),
        ("/remove 7e4q", Run(Action.REMOVE, text="7e4q")),
        ("/удалить 7e4q да", Run(Action.REMOVE, text="7e4q да")),
        ("/rename 7e4q my  laptop ", Run(Action.RENAME, text="7e4q my  laptop")),
        ("/who", Run(Action.WHO)),
        ("2", Run(Action.HELP)),
        ("3", Run(Action.QUIT)),
        ("", None),
    ],
)
def test_commands_with_and_without_arguments(line: str, run: Intention) -> None:
    assert said(line) == [run]


@pytest.mark.parametrize(
    "line",
    ["/history", "/history bob x", "/cancel", "/resend x", "/cancel ²", "/cancel " + "9" * 99],
)
def test_wrong_arguments_get_the_form_shown(line: str) -> None:
    (hint,) = said(line)
    assert isinstance(hint, Hint)
    assert line.partition(" ")[0] in hint.lines[0]


def test_a_dialogue_can_be_given_up() -> None:
    dialogue = Dialogue()
    assert not dialogue.reset()
    dialogue.feed("1")
    assert dialogue.reset()
    assert dialogue.stage is Stage.COMMAND


@given(st.lists(st.text() | st.sampled_from(["1", "2", "/msg bob", "@bob", ""]), max_size=8))
def test_what_is_sent_was_typed_as_a_text(lines: list[str]) -> None:
    dialogue = Dialogue()
    for line in lines:
        stage = dialogue.stage
        intention = dialogue.feed(line, ["bob"])
        if isinstance(intention, Send):
            assert stage is Stage.TEXT or line.strip().startswith(("@", "/", "."))
            assert intention.text in line
