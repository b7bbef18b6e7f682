"""A bare yes or no: the one question that it can mean, and what is said when it is not clear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jim import i18n
from jim.client.console import questions as module
from jim.client.console.commands import Action, Answer, yes_or_no
from jim.client.console.dialogue import Dialogue, Doubt, Hint, Reply, Run, Send, Stage
from jim.client.console.questions import Kind, Question, Questions
from jim.client.console.trusting import compared
from jim.client.events import ComparisonChanged, ComparisonStage

if TYPE_CHECKING:
    from jim.client.console.dialogue import Intention

YES, NO = Answer.YES, Answer.NO


class Clock:
    """Time that goes on only when told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def plain(name: str = "bob") -> Question:
    """Ask whether unencrypted messages are allowed."""
    yes, no = (Run(Action.PLAIN, name, answer=answer) for answer in (YES, NO))
    return Question(Kind.PLAIN, name, f"plain {name}", f"/plain {name}", yes, no)


def lines(taken: Intention) -> tuple[str, ...]:
    assert isinstance(taken, Hint), taken
    return taken.lines


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def asked(clock: Clock) -> Questions:
    return Questions(clock)


@pytest.mark.parametrize("typed", ["yes", "YES ", "y", "да", "Д", "нуы", "lf", " l"])
def test_yes_in_either_language_and_layout(typed: str) -> None:
    assert yes_or_no(typed) is YES


@pytest.mark.parametrize("typed", ["no", "n", "нет", "Нет ", "н", "ytn", "тщ", "т"])
def test_no_in_either_language_and_layout(typed: str) -> None:
    assert yes_or_no(typed) is NO


@pytest.mark.parametrize("typed", ["", "yess", "yes please", "on", "выкл", "emoji", "1"])
def test_what_is_neither(typed: str) -> None:
    assert yes_or_no(typed) is None


@pytest.mark.parametrize("answer", [YES, NO])
def test_the_one_question_is_answered_once(asked: Questions, answer: Answer) -> None:
    asked.ask(plain())
    assert asked.take(answer) == Run(Action.PLAIN, "bob", answer=answer)
    (said,) = lines(asked.take(answer))
    assert "Nothing is being asked" in said


def test_two_questions_are_both_said_with_their_answers(asked: Questions) -> None:
    asked.ask(plain())
    asked.ask(plain("carol"))
    said = lines(asked.take(YES))
    assert "Several questions are open" in said[0]
    assert "/plain bob yes or /plain bob no" in said[1]
    assert "/plain carol yes or /plain carol no" in said[2]
    asked.close(Kind.PLAIN, "Carol")
    assert asked.take(NO) == Run(Action.PLAIN, "bob", answer=NO)


def test_the_answers_in_russian(asked: Questions) -> None:
    i18n.set_language("ru")
    asked.ask(plain())
    asked.ask(plain("carol"))
    assert "/plain bob да" in lines(asked.take(YES))[1]
    assert "/plain bob нет" in lines(asked.take(YES))[1]


def test_what_went_by_itself_leaves_another_question_alone(asked: Questions, clock: Clock) -> None:
    asked.ask(plain())
    asked.ask(plain("carol"))
    asked.close(Kind.PLAIN, "bob", by_itself=True)
    said = lines(asked.take(YES))  # it may have been meant for the first
    assert [line for line in said if "plain bob: this is over" in line]
    assert [line for line in said if "/plain carol yes" in line]
    assert asked.take(YES) == Run(Action.PLAIN, "carol", answer=YES)  # now it cannot be
    asked.ask(plain())
    asked.close(Kind.PLAIN, "bob", by_itself=True)
    clock.now_s += module.LATELY_S + 1
    assert not asked.are_likely


def test_a_question_that_has_only_just_come_is_not_answered(asked: Questions, clock: Clock) -> None:
    asked.ask(plain(), by_itself=True)
    assert "only just come" in lines(asked.take(YES))[0]
    clock.now_s += module.READ_S
    assert isinstance(asked.take(YES), Run)


def test_a_question_does_not_stay_for_ever(asked: Questions, clock: Clock) -> None:
    asked.ask(plain())
    clock.now_s += module.OPEN_S + 1
    assert asked.are_likely  # somebody may just be typing
    assert not isinstance(asked.take(YES), Run)
    asked.ask(plain())
    clock.now_s += module.OPEN_S + module.LATELY_S + 1
    assert not asked.are_likely


def test_what_takes_more_than_a_word_says_so(asked: Questions) -> None:
    question = plain()._replace(yes=None, agreeing="alice", form="/remove aaaa")
    asked.ask(question)
    assert "/remove aaaa alice" in lines(asked.take(YES))[0]
    assert asked.take(NO) == question.no


def test_comparing_emoji_asks_and_ends_questions(asked: Questions, clock: Clock) -> None:
    compared(ComparisonChanged("bob", ComparisonStage.ASKED), asked)
    clock.now_s += module.READ_S
    assert asked.take(YES) == Run(Action.VERIFY, "bob", answer=Answer.EMOJI)
    compared(ComparisonChanged("bob", ComparisonStage.WAITING), asked)
    assert not asked.are_likely
    emoji = (("🐶", "Dog"),)
    compared(ComparisonChanged("bob", ComparisonStage.SHOWN, emoji), asked)
    clock.now_s += module.READ_S
    compared(ComparisonChanged("bob", ComparisonStage.FAILED, (), "timeout"), asked)
    assert "is over" in lines(asked.take(YES))[0]


def said(dialogue: Dialogue, *lines: str) -> list[Intention]:
    return [dialogue.feed(line) for line in lines]


def test_a_bare_word_where_a_command_is_expected_is_an_answer() -> None:
    assert said(Dialogue(), "yes", "нет") == [Reply(YES), Reply(NO)]


def test_a_pipe_takes_no_bare_words() -> None:
    dialogue = Dialogue(literal=True, asking=lambda: True)
    assert not isinstance(dialogue.feed("yes"), Reply)
    assert said(dialogue, "1", "bob", "yes") == [None, None, Send("bob", "yes")]


def test_where_a_text_is_expected_a_bare_word_is_sent_only_if_nothing_was_asked() -> None:
    assert said(Dialogue(), "1", "bob", "да")[-1] == Send("bob", "да")
    asking = Dialogue(asking=lambda: True)
    assert said(asking, "1", "bob", "да")[-1] == Doubt("да")
    assert (asking.stage, asking.recipient) == (Stage.TEXT, "bob")
    assert asking.feed("да") == Send("bob", "да")
    assert said(asking, "1", "bob", "да", "нет") == [None, None, Doubt("да"), Doubt("нет")]
    assert asking.feed("yes, the blue one") == Send("bob", "yes, the blue one")
    assert said(asking, "@bob yes", "/msg bob no") == [Send("bob", "yes"), Send("bob", "no")]


def test_where_a_name_is_expected_too() -> None:
    asking = Dialogue(asking=lambda: True)
    assert said(asking, "1", "yes") == [None, Doubt("yes")]
    assert asking.stage is Stage.RECIPIENT
    assert said(asking, "yes", "hi") == [None, Send("yes", "hi")]


def test_a_doubt_says_how_to_answer_and_how_to_send(asked: Questions) -> None:
    asked.ask(plain())
    shown = lines(asked.doubt("да"))
    assert "Nothing was sent" in shown[0]
    assert "/plain bob yes" in shown[1]
    assert "once more" in shown[2]
    asked.sent("да")  # it was a text: the user has turned away from the question
    assert not asked.are_likely
    asked.ask(plain())
    asked.doubt("да")
    asked.sent("something else")
    assert asked.are_likely
