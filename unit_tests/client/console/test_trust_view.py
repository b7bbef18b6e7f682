"""What is said about keys: calm where nothing has to be done, clear where something has."""

from __future__ import annotations

import time

import pytest

from jim import i18n
from jim.client import notice_store
from jim.client.console import explain, notices, status, trust_view, view
from jim.client.console.actions import conversation
from jim.client.console.lines import Line, Style, as_text
from jim.client.console.status import Link
from jim.client.console.text import cell_width
from jim.client.console.view import Look
from jim.client.encryption import opening, sealing
from jim.client.errands import KEYS_INVALID
from jim.client.events import (
    BEHIND,
    RESTORED,
    ComparisonChanged,
    ComparisonStage,
    ContactInfo,
    MessageState,
    MissingNotice,
)
from jim.crypto.emoji import EMOJI
from jim.errors import ContactChanged, OwnAccount, VerificationFailed
from unit_tests.support.fake_client import NUMBER, message

LINE, NARROW = Look(width=80), Look(width=40)
PIPE, PLAIN = Look(one_line=True, words=True), Look(words=True)
NOW = time.time_ns() // 1_000_000

MISSING = ("mailbox_full", BEHIND, RESTORED)
ABOUT_KEYS = (
    *(opening.UNDECRYPTABLE, opening.UNKNOWN_DEVICE, opening.FORGED, opening.CLONED),
    *(opening.DROPPED, opening.FORKED, opening.FORKED_OWN),
    *(notice_store.DEVICE_ADDED, notice_store.DEVICE_REMOVED, notice_store.KEYS_CHANGED),
    *(notice_store.VERIFIED_CHANGED, notice_store.CHAIN_INVALID),
)
SEVEN = tuple((each.sign, each.name) for each in EMOJI[:7])


def said(lines: list[Line]) -> str:
    return " ".join(as_text(each).strip() for each in lines)


def told(code: str, peer: str = "bob") -> MissingNotice:
    return MissingNotice(code, 1_700_000_000_000, 1, peer)


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("code", ABOUT_KEYS)
def test_every_notice_says_whom_it_is_about(code: str, language: str) -> None:
    i18n.set_language(language)
    try:
        about_bob = said(notices.notice(told(code), "alice", LINE))
        about_me = said(notices.notice(told(code, "alice"), "alice", LINE))
        assert "bob" in about_bob
        assert "alice" not in about_me + about_bob
        assert about_me != about_bob
        words = {"en": ("missing here", "you"), "ru": ("Здесь нет сообщений", "ва")}[language]
        assert words[0] not in about_bob + about_me
        assert words[1] in about_me.lower()
        for look in (NARROW, LINE):
            for each in notices.notice(told(code), "alice", look):
                assert cell_width(as_text(each)) <= look.width
        assert len(notices.notice(told(code), "alice", PIPE)) == 1
    finally:
        i18n.set_language("en")


@pytest.mark.parametrize("code", MISSING)
def test_missing_messages_are_called_so_and_nothing_else_is(code: str) -> None:
    assert "Messages are missing here" in said(notices.notice(told(code, ""), "alice", LINE))


def test_no_alarm_where_nothing_has_to_be_done() -> None:
    for code in (notice_store.DEVICE_ADDED, notice_store.DEVICE_REMOVED, opening.UNDECRYPTABLE):
        shown = notices.notice(told(code), "alice", LINE)
        assert shown[0][0].style is Style.DIM
        assert not said(shown).startswith("!")
        assert "nothing to do" in said(shown)
    own = notices.notice(told(notice_store.DEVICE_ADDED, "alice"), "alice", LINE)
    assert own[0][0].style is Style.STRONG
    assert "Your account has a further device" in said(own)
    for code in (
        opening.FORGED,
        opening.FORKED,
        notice_store.VERIFIED_CHANGED,
        notice_store.CHAIN_INVALID,
    ):
        assert notices.notice(told(code), "alice", LINE)[0][0].style is Style.BAD
    advice = said(notices.notice(told(notice_store.VERIFIED_CHANGED), "alice", LINE))
    assert "/verify bob" in advice
    assert "/trust bob" in advice


def test_a_code_of_a_later_version_and_a_wicked_name() -> None:
    assert "odd‹1B›" in said(notices.notice(told("odd\x1b"), "alice", LINE))
    shown = said(notices.notice(told(notice_store.DEVICE_ADDED, "b\x1b[2Jb"), "alice", LINE))
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    "code",
    [sealing.NO_KEYS, sealing.DEVICE_GONE, KEYS_INVALID, ContactChanged.code, "chain_invalid"],
)
def test_every_reason_of_a_failed_message_is_explained(code: str) -> None:
    assert "Something went wrong" not in explain.explain_code(code)
    assert explain.code_exit(code) is explain.Exit.FAILURE


def test_the_errors_of_judging_are_explained() -> None:
    assert "your own account" in explain.explain(OwnAccount())
    assert "no device" in explain.explain(VerificationFailed(reason="no_keys"))


def test_unencrypted_messages_are_marked_everywhere() -> None:
    got = message(text="hello", plain=True)
    assert said(view.incoming(got, LINE, NOW)) == "Unencrypted message from bob: hello"
    assert "bob (unencrypted): hello" in said(view.past(got, "alice", LINE, NOW))
    late = message(text="hello", plain=True, time_ms=1_000)
    assert said(view.incoming(late, LINE, NOW)).startswith("Unencrypted message from bob (19")
    mine = message(outgoing=True, plain=True, text="hello", state=MessageState.STORED)
    assert said(view.own_state(mine, LINE)) == "✓ bob (unencrypted): hello"
    assert said(view.own_state(mine, PLAIN)).endswith("stored on the server, unencrypted.")
    assert said(view.incoming(message(text="x"), LINE, NOW)) == "Message from bob: x"


def test_what_is_withheld_is_said_and_not_shown() -> None:
    got = message(text="", plain=True, withheld=True)
    shown = said(view.incoming(got, LINE, NOW))
    assert "kept, not shown" in shown
    assert "/plain bob" in shown
    assert "jim plain bob" in said(view.incoming(got, PIPE, NOW))
    assert len(view.incoming(got, PIPE, NOW)) == 1
    assert "[not shown]" in said(view.past(got, "alice", LINE, NOW))


def info(**fields: object) -> ContactInfo:
    known = {"name": "bob", "known": True, "devices": 1, **fields}
    return ContactInfo(**known)  # type: ignore[arg-type]


def test_how_a_conversation_is_protected() -> None:
    assert trust_view.protection(info()) == "encrypted"
    assert trust_view.protection(info(verified=True)) == "encrypted, verified"
    assert trust_view.protection(info(changed=True)) == "KEYS CHANGED"
    assert trust_view.protection(info(devices=0)) == "NOT encrypted"
    assert trust_view.protection(ContactInfo(name="bob")) == "no keys known yet"
    assert trust_view.protection(ContactInfo(name="bob", plain=True)) == "NOT encrypted"
    [heading] = trust_view.heading(info(verified=True), NARROW)
    assert as_text(heading) == "bob: encrypted, verified"
    assert "unencrypted messages are allowed" in said(trust_view.heading(info(plain=True), LINE))


def test_the_status_line_says_it_as_far_as_there_is_room() -> None:
    mine = message(outgoing=True, text="a text of some length", state=MessageState.STORED)
    link = Link("online")
    word = trust_view.protection_of(mine, {"bob": info()})
    assert status.bar(link, 0, 0, mine, 80, word).endswith(
        "✓ bob (encrypted): a text of some length "
    )
    assert "✓ bob (encrypted)" in status.bar(link, 0, 0, mine, 40, word)
    for width in range(20, 80):
        assert cell_width(status.bar(link, 0, 0, mine, width, word)) <= width
    assert trust_view.protection_of(mine, {}) == ""
    plain = message(outgoing=True, plain=True)
    assert trust_view.protection_of(plain, {"bob": info()}) == "NOT encrypted"


def test_the_number_fits_a_narrow_screen_and_is_whole() -> None:
    for look in (NARROW, LINE, PLAIN, PIPE):
        shown = trust_view.number("bob", NUMBER, info(), look)
        digits = [as_text(each).split() for each in shown if as_text(each).strip()[0].isdigit()]
        assert [group for row in digits for group in row] == NUMBER.split()
        for each in shown:
            assert not look.width or cell_width(as_text(each)) <= look.width
    assert "same since" in said(trust_view.number("bob", NUMBER, info(verified=True), LINE))


@pytest.mark.parametrize("look", [NARROW, LINE, PLAIN, PIPE])
def test_emoji_have_their_names(look: Look) -> None:
    shown = trust_view.comparison(
        ComparisonChanged("bob", ComparisonStage.SHOWN, SEVEN), "alice", look
    )
    for sign, name in SEVEN:
        assert f"{sign} {name}" in said(shown)
    for each in shown:
        assert not look.width or cell_width(as_text(each)) <= look.width


def test_every_end_of_a_comparison_is_told_apart() -> None:
    reasons = ("timeout", "cancelled", "withdrawn", "declined", "changed", "differ", "mac")
    texts = {
        said(
            trust_view.comparison(
                ComparisonChanged("bob", ComparisonStage.FAILED, (), r), "a", LINE
            )
        )
        for r in reasons
    }
    assert len(texts) == len(reasons)
    loud = [each for each in texts if each.startswith("! WARNING")]
    assert len(loud) == 2  # they differ, and what does not happen by itself
    assert all("bob" in each for each in texts)


def test_the_history_has_notices_where_they_belong() -> None:
    first, last = (
        message(1, text="one", time_ms=1_000_000),
        message(2, text="two", time_ms=3_000_000),
    )
    between = MissingNotice(notice_store.DEVICE_ADDED, 2_000_000, 1, "bob")
    before = MissingNotice(notice_store.KEYS_CHANGED, 500_000, 1, "bob")
    after = MissingNotice(notice_store.DEVICE_REMOVED, 4_000_000, 1, "bob")
    shown = [
        as_text(each) for each in conversation([first, last], [before, between, after], "a", PIPE)
    ]
    assert len(shown) == 4
    assert shown[0].endswith("bob: one")
    assert "further device" in shown[1]
    assert shown[2].endswith("bob: two")
    assert "one device less" in shown[3]
