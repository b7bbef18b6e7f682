from __future__ import annotations

import re
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jim.crypto import invites
from jim.crypto.base32 import ALPHABET
from jim.crypto.invites import Invite, format_invite, parse_invite
from jim.crypto.keys import SigningKey, format_pin
from jim.errors import InviteMalformed
from unit_tests.crypto.test_keys import SMALL_ORDER

SERVER = SigningKey(b"S" * 32).public
PIN = format_pin(SERVER)
TOKEN = "abcdefghijklmnopqrstuvwx27"
LINE = f"jim://chat.example.org:7777/{PIN}/{TOKEN}"

LABELS = st.from_regex(r"\A[a-zа-яё]([a-z0-9а-я-]{0,10}[a-z0-9а-я])?\Z")
HOSTS = st.one_of(
    st.lists(LABELS, min_size=1, max_size=4).map(".".join),
    st.ip_addresses().map(str),
)


def refusal(line: str) -> tuple[str, str]:
    with pytest.raises(InviteMalformed) as caught:
        parse_invite(line)
    return str(caught.value.fields["part"]), str(caught.value)


@given(
    HOSTS,
    st.integers(1, 65535),
    st.binary(min_size=32, max_size=32),
    st.text(ALPHABET, min_size=26, max_size=26),
)
def test_what_is_written_is_read_back(host: str, port: int, seed: bytes, token: str) -> None:
    invite = Invite(host, port, SigningKey(seed).public, token)
    line = format_invite(invite)
    assert parse_invite(line) == invite
    assert format_invite(parse_invite(line)) == line


@given(HOSTS)
def test_a_line_is_one_word_of_a_shell(host: str) -> None:
    line = format_invite(Invite(host, 7777, SERVER, TOKEN))
    assert shlex.split(line) == [line]
    assert not re.search(r"[\s\"'`$&|;<>()*?!#~\\{}%^]", line)


def test_the_form() -> None:
    assert format_invite(Invite("chat.example.org", 7777, SERVER, TOKEN)) == LINE
    assert parse_invite(LINE) == Invite("chat.example.org", 7777, SERVER, TOKEN)


@pytest.mark.parametrize(
    ("typed", "host"),
    [
        ("[::1]", "::1"),
        ("[2001:DB8:0:0::0001]", "2001:db8::1"),
        ("192.0.2.7", "192.0.2.7"),
        ("Chat.Example.ORG", "chat.example.org"),
        ("чат.пример.рф", "чат.пример.рф"),
        ("xn--e1aybc.xn--p1ai", "xn--e1aybc.xn--p1ai"),
        ("localhost", "localhost"),
        ("my_box.lan", "my_box.lan"),
        ("example.org.", "example.org."),
    ],
)
def test_hosts(typed: str, host: str) -> None:
    invite = parse_invite(LINE.replace("chat.example.org", typed))
    assert invite.host == host
    assert parse_invite(format_invite(invite)) == invite


@pytest.mark.parametrize(
    "wrapped",
    [
        f"  {LINE}\n",
        f"<{LINE}>",
        f'"{LINE}"',
        f"`{LINE}`.",
        LINE.upper().replace("CHAT", "chat"),
        LINE + "/",
    ],
)
def test_what_a_chat_leaves_around_does_not_matter(wrapped: str) -> None:
    assert parse_invite(wrapped) == parse_invite(LINE)


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("", "scheme"),
        ("https://chat.example.org:7777/x/y", "scheme"),
        ("jim:/chat.example.org", "scheme"),
        ("jim://", "shape"),
        (f"jim://chat.example.org:7777/{PIN}", "shape"),
        (f"{LINE}/more", "shape"),
        (LINE.replace(":7777", ""), "port"),
        (LINE.replace(":7777", ":"), "port"),
        (LINE.replace("7777", "0"), "port"),
        (LINE.replace("7777", "65536"), "port"),
        (LINE.replace("7777", "00000000000080"), "port"),
        (LINE.replace("7777", "7" * 5000), "port"),
        (LINE.replace("7777", "77a7"), "port"),
        (LINE.replace("7777", "٧٧٧٧"), "port"),
        (LINE.replace("7777", "-7"), "port"),
        (LINE.replace("chat.example.org:7777", "[::1]"), "port"),
        (LINE.replace("chat.example.org", ""), "host"),
        (LINE.replace("chat.example.org", "::1"), "host"),
        (LINE.replace("chat.example.org", "[::1"), "host"),
        (LINE.replace("chat.example.org", "[chat]"), "host"),
        (LINE.replace("chat.example.org", "[127.0.0.1]"), "host"),
        (LINE.replace("chat.example.org", "[fe80::1%eth0]"), "host"),
        (LINE.replace("chat.example.org", "256.1.1.1"), "host"),
        (LINE.replace("chat.example.org", "-chat.org"), "host"),
        (LINE.replace("chat.example.org", "a..b"), "host"),
        (LINE.replace("chat.example.org", "a b"), "host"),
        (LINE.replace("chat.example.org", "$(id)"), "host"),
        (LINE.replace("chat.example.org", "a@b"), "host"),
        (LINE.replace("chat.example.org", "x" * 64), "host"),
        (LINE.replace("chat.example.org", "x." * 127), "host"),
        (LINE.replace("chat.example.org", "a\u200db"), "host"),
        (LINE.replace(PIN, PIN[:-1]), "pin"),
        (LINE.replace(PIN, "0" + PIN[1:]), "pin"),
        (LINE.replace(PIN, format_pin(SMALL_ORDER["identity"])), "pin"),
        (LINE.replace(TOKEN, TOKEN[:-1]), "token"),
        (LINE.replace(TOKEN, TOKEN + "a"), "token"),
        (LINE.replace(TOKEN, "1" + TOKEN[1:]), "token"),
        (LINE.replace(TOKEN, "\u212a" + TOKEN[1:]), "token"),
    ],
)
def test_a_wrong_line_says_which_part(line: str, part: str) -> None:
    named, text = refusal(line)
    assert named == part
    assert text


def test_a_mistyped_pin_is_explained() -> None:
    assert "meant 'o'" in refusal(LINE.replace(PIN, "0" + PIN[1:]))[1]
    assert "51 characters instead of 52" in refusal(LINE.replace(PIN, PIN[:-1]))[1]


def test_the_token_is_in_no_message_and_no_repr() -> None:
    assert TOKEN not in repr(parse_invite(LINE))
    assert TOKEN[:20] not in refusal(LINE.replace(TOKEN, TOKEN[:-1]))[1]


@pytest.mark.parametrize(
    "bad",
    [
        Invite("a b", 7777, SERVER, TOKEN),
        Invite("host", 0, SERVER, TOKEN),
        Invite("host", 70000, SERVER, TOKEN),
        Invite("host", 7777, SERVER, "short"),
    ],
)
def test_what_could_not_be_read_is_not_written(bad: Invite) -> None:
    with pytest.raises(InviteMalformed):
        format_invite(bad)


def test_tokens_are_random_and_full() -> None:
    tokens = [invites.new_token() for _ in range(300)]
    assert len(set(tokens)) == 300
    for place in range(26):
        assert len({token[place] for token in tokens}) > 20
    assert set("".join(tokens)) == set(ALPHABET)


def test_the_stored_hash_is_that_of_the_token_in_any_case() -> None:
    assert invites.token_hash(TOKEN) == invites.token_hash(TOKEN.upper())
    assert invites.token_hash(TOKEN) != invites.token_hash(TOKEN[:-1])
    assert len(invites.token_hash("anything\ud800")) == 32
