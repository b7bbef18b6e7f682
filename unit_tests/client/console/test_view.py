"""What events look like; remote text is harmless and cannot imitate anything."""

from __future__ import annotations

import time

import pytest

from jim import errors, i18n
from jim.client.console import status, view
from jim.client.console.commands import COMMANDS
from jim.client.console.explain import (
    Exit,
    code_exit,
    exit_code,
    explain,
    explain_code,
    startup_exit,
)
from jim.client.console.lines import Line, as_text
from jim.client.console.states import SETTLE_S, OwnStates
from jim.client.console.status import Link
from jim.client.console.text import cell_width
from jim.client.console.view import Look
from jim.client.events import FirstContact, MessageState
from unit_tests.support.fake_client import WORDS, message

LINE, PIPE, PLAIN = Look(width=80), Look(one_line=True, words=True), Look(words=True)
NOW = time.time_ns() // 1_000_000


def texts(lines: list[Line]) -> list[str]:
    return [as_text(line) for line in lines]


def test_an_incoming_message_reads_as_the_seeds() -> None:
    i18n.set_language("ru")
    shown = view.incoming(message(text="текст"), LINE, NOW)
    assert texts(shown) == ["Сообщение от пользователя bob: текст"]


def test_later_lines_are_indented_so_that_they_imitate_nothing() -> None:
    attack = message(text="hi\nMessage from carol: send money\n" + "x" * 100)
    first, *rest = texts(view.incoming(attack, LINE, NOW))
    assert first == "Message from bob: hi"
    assert rest
    assert all(line.startswith("  ") for line in rest)


def test_a_pipe_gets_one_line_for_a_message() -> None:
    shown = texts(view.incoming(message(text="a\nb\r\nc\x1b[2J"), PIPE, NOW))
    assert shown == ["Message from bob: a\\nb\\nc‹1B›[2J"]


def test_a_message_that_waited_shows_its_time() -> None:
    late = message(time_ms=NOW - 3_600_000)
    (shown,) = texts(view.incoming(late, LINE, NOW))
    assert view.stamp(late.time_ms, NOW) in shown
    (piped,) = texts(view.incoming(late, PIPE, NOW))
    assert piped == "Message from bob: hi"


@pytest.mark.parametrize("width", [20, 40, 80])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    look = Look(width=width)
    own = message(5, outgoing=True, text="длинный текст " * 20, state=MessageState.DELIVERED)
    failed = message(
        6, outgoing=True, text="x" * 99, state=MessageState.FAILED, error_code="mailbox_full"
    )
    waiting = Link("waiting", 10.0, errors.ConnectFailed(reason="refused"))
    shown = [
        *view.incoming(message(text="слово " * 50), look, NOW),
        *view.own_state(own, look),
        *view.own_state(failed, look),
        *view.greeting_help(look),
        *view.full_help(look),
        *view.first_contact(FirstContact("h:1", "abcd " * 8, "pin"), look),
        *view.recovery_words(WORDS, "alice", look),
        *status.lost(waiting, look),
        *view.error(errors.NameTaken(), look, "alice"),
    ]
    wide = [text for text in texts(shown) if cell_width(text) > width]
    assert wide == [] or width < 40  # below 40 only the table of the words and the commands
    assert cell_width(status.bar(waiting, 1.0, 3, own, width)) <= width


def test_states_of_own_messages_in_marks_and_in_words() -> None:
    stored = message(7, outgoing=True, state=MessageState.STORED)
    assert texts(view.own_state(stored, LINE)) == ["✓ bob: hi"]
    assert texts(view.own_state(stored, PLAIN)) == ["Message 7 to bob: stored on the server."]


def test_a_failure_says_why_and_what_to_do() -> None:
    failed = message(8, outgoing=True, state=MessageState.FAILED, error_code="recipient_unknown")
    shown = texts(view.own_state(failed, LINE))
    assert shown[0] == "! Not sent to bob: hi"
    assert "Nobody on this server has this name." in shown[1]
    assert shown[-1] == "  To send it again: /resend 8"
    assert len(view.own_state(failed, PIPE)) == 1


def test_names_and_error_details_cannot_attack_the_terminal() -> None:
    nasty = message(sender="ev\x1b]0;x\x07il", peer="p\x9b2J", text="\x1b[31m")
    for look in (LINE, PIPE, PLAIN):
        for shown in (view.incoming(nasty, look, NOW), view.past(nasty, "me", look, NOW)):
            assert not set("\x1b\x07\x9b") & set("".join(texts(shown)))
    error = errors.StoreError("/home/\x1b[2J")
    assert "\x1b" not in as_text(view.error(error, LINE)[0])


def test_words_of_recovery_are_numbered_on_a_screen_and_alone_on_a_line_in_a_pipe() -> None:
    framed = "\n".join(texts(view.recovery_words(WORDS, "alice", LINE)))
    assert all(f"{n + 1}. {word}" in framed for n, word in enumerate(WORDS))
    assert "jim recover alice SERVER" in " ".join(framed.split())
    assert " ".join(WORDS) in texts(view.recovery_words(WORDS, "alice", PIPE))


def test_a_state_is_told_when_it_has_settled_and_only_the_last_one() -> None:
    own = OwnStates()
    for state in (MessageState.QUEUED, MessageState.STORED, MessageState.DELIVERED):
        assert not own.update(message(1, outgoing=True, state=state), 0.0)
    assert own.due(SETTLE_S / 2, LINE) == []
    assert texts(own.due(SETTLE_S, LINE)) == ["✓✓ bob: hi"]
    assert own.due(9.0, LINE) == []
    assert own.next_due() is None


def test_many_states_of_one_recipient_are_one_line() -> None:
    own = OwnStates()
    for number in range(1, 6):
        own.update(message(number, outgoing=True, state=MessageState.STORED), 0.0)
    assert texts(own.due(1.0, LINE)) == ["✓ bob: 5 messages stored on the server"]


def test_a_failure_is_told_at_once_and_counted() -> None:
    own = OwnStates()
    own.update(message(1, outgoing=True, state=MessageState.QUEUED), 0.0)
    assert own.queued == 1
    failed = message(1, outgoing=True, state=MessageState.FAILED, error_code="mailbox_full")
    assert own.update(failed, 0.0)
    assert not own.update(failed, 0.0)
    assert (own.queued, len(own.failed)) == (0, 1)


def test_the_status_line_counts_down_and_names_the_key() -> None:
    waiting = Link("waiting", 10.0, None)
    assert "4 s" in status.bar(waiting, 6.5, 0, None, 80)
    assert "Enter: now" in status.bar(waiting, 6.5, 0, None, 40)
    assert status.bar(Link("online"), 0.0, 2, None, 80) == " ● online · 2 to send "


def test_the_help_lists_every_command_in_both_languages() -> None:
    for language in ("en", "ru"):
        i18n.set_language(language)
        shown = "\n".join(texts(view.full_help(LINE)))
        for command in COMMANDS:
            assert command.slash[0] in shown or command.number in shown


def test_the_seeds_help_in_russian() -> None:
    i18n.set_language("ru")
    assert texts(view.seed_help(LINE))[:2] == [
        "Поддерживаемые команды:",
        "1. message - отправить сообщение. Кому и текст будет запрошены отдельно.",
    ]


def all_errors() -> list[type[errors.JimError]]:
    found = [errors.JimError]
    for cls in found:
        found += cls.__subclasses__()
    return found


@pytest.mark.parametrize("cls", all_errors(), ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_error_has_a_sentence_and_a_status(cls: type[errors.JimError], language: str) -> None:
    i18n.set_language(language)
    assert len(explain(cls())) > 10
    assert exit_code(cls()) in Exit
    assert "{" not in explain(cls())


def test_statuses_of_product() -> None:
    assert exit_code(errors.ConnectFailed()) == 3
    assert exit_code(errors.AuthFailed()) == exit_code(errors.ServerIdentityChanged()) == 4
    assert exit_code(errors.RecipientUnknown()) == 5
    assert exit_code(errors.NameInvalid(reason="empty")) == 5
    assert startup_exit(errors.NameInvalid(reason="empty")) == 2
    assert exit_code(errors.StoreFull()) == 1
    assert code_exit("recipient_unknown") == 5
    assert code_exit("cancelled") == 1


@pytest.mark.parametrize("code", [*errors.WIRE_ERRORS, "cancelled", "unknown_outcome", "new_code"])
def test_every_code_of_a_failed_message_is_explained(code: str) -> None:
    assert len(explain_code(code)) > 10


def test_wrong_words_are_named_by_their_place() -> None:
    error = errors.WordsInvalid(reason="unknown", word="x", place=3, suggestion="exit")
    assert "Word 3" in explain(error)
    assert "exit" in explain(error)
