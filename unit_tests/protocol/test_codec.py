"""The codec: any chunking gives the same messages, and no input makes it raise."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jim.errors import BadRequest, FrameTooLong, Malformed, UnknownAction
from jim.protocol import messages as m
from jim.protocol.codec import (
    FROM_CLIENT,
    MAX_DEPTH,
    Decoder,
    Invalid,
    encode,
    encode_all,
)

LIMIT = 4096

MSG = m.Msg(id=1, n=1, to="bob", message="hi")


def decoder(limit: int = LIMIT) -> Decoder[m.ClientMessage]:
    return Decoder(FROM_CLIENT, limit)


def feed_all(data: bytes, limit: int = LIMIT) -> list[object]:
    return [comparable(item) for item in decoder(limit).feed(data)]


def comparable(item: object) -> object:
    """Exceptions compare by identity: show what a peer would see of them."""
    if isinstance(item, Invalid):
        return (item.error.code, item.id, item.error.fatal)
    return item


texts = st.text(st.characters(codec="utf-8"), max_size=40)
messages = st.one_of(
    st.builds(m.Msg, id=st.integers(0, 9), n=st.integers(1, 9), to=st.just("боб"), message=texts),
    st.builds(m.Ack, position=st.integers(0, 99)),
    st.builds(m.Probe, id=st.text("abc", min_size=1, max_size=3)),
)
junk = st.sampled_from(
    [
        b"",
        b"   ",
        b"{",
        b"{}",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"action":"ack",',
        b'"position":1}',
        b'{"action":"ack","position":1}{"action":"ack","position":2}',
        b'{"action":"fly","id":7}',
        b'{"action":"msg","id":7,"n":0,"to":"b","message":"x"}',
        b'{"action":"ack","position":1}\r',
        b"[" * 40,
        b'{"action":"probe","id":1,"x":' + b"[" * 20 + b"]" * 20 + b"}",
        b"\x00",
    ]
)
frames = st.lists(st.one_of(messages.map(lambda item: encode(item)[:-1]), junk), max_size=12)


@given(frames=frames, cuts=st.lists(st.integers(0, 2000), max_size=12))
@settings(max_examples=300)
def test_any_chunking_gives_the_same_messages(frames: list[bytes], cuts: list[int]) -> None:
    data = b"".join(frame + b"\n" for frame in frames)
    bounds = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    chunked = decoder()
    items = [
        comparable(item)
        for start, end in itertools.pairwise(bounds)
        for item in chunked.feed(data[start:end])
    ]
    one_by_one = decoder()
    bytewise = [comparable(item) for byte in data for item in one_by_one.feed(bytes([byte]))]
    assert items == bytewise == feed_all(data)


@given(data=st.binary(max_size=300), cut=st.integers(0, 300))
def test_no_input_makes_it_raise(data: bytes, cut: int) -> None:
    subject = decoder(100)
    assert isinstance(subject.feed(data[:cut]) + subject.feed(data[cut:] + b"\n"), list)


@given(message=messages)
def test_a_message_survives_the_round_trip(message: m.ClientMessage) -> None:
    assert decoder().feed(encode(message)) == [message]


def test_two_objects_in_one_segment_are_two_messages() -> None:
    assert decoder().feed(encode(MSG) + encode(m.Ack(position=3))) == [MSG, m.Ack(position=3)]


def test_objects_longer_than_a_kilobyte_arrive_whole() -> None:
    long = m.Msg(id=1, n=1, to="bob", message="я" * 1500)
    assert decoder(65536).feed(encode(long)) == [long]


def test_a_mark_may_be_left_out() -> None:
    assert b"mark" not in encode(MSG)
    longest = m.Msg(id=1, n=1, to="bob", message="hi", mark=32 * "0")
    assert decoder().feed(encode(longest)) == [longest]


def test_unknown_fields_are_ignored() -> None:
    frame = b'{"later":{"a":[1]},"action":"ack","position":4,"more":null}\n'
    assert decoder().feed(frame) == [m.Ack(position=4)]


@pytest.mark.parametrize(
    ("frame", "error", "request_id"),
    [
        (b"hello", Malformed, None),
        (b"[1]", Malformed, None),
        (b'"text"', Malformed, None),
        (b'{"action":"msg"', Malformed, None),
        (b'{"action":"ack","position":NaN}', Malformed, None),
        (b'{"action":"probe","id":1,"x":"\xff"}', Malformed, None),
        (b'{"action":"ack","position":1} x', Malformed, None),
        (b'{"id":5}', BadRequest, 5),
        (b'{"action":7,"id":5}', BadRequest, 5),
        (b'{"action":"dance","id":"a"}', UnknownAction, "a"),
        (b'{"action":"dance","id":{"a":1}}', UnknownAction, None),
        (b'{"action":"dance","id":-1}', UnknownAction, None),
        (b'{"action":"msg","id":5,"n":"1","to":"bob","message":"x"}', BadRequest, 5),
        (b'{"action":"msg","id":5,"n":9007199254740992,"to":"b","message":"x"}', BadRequest, 5),
        (b'{"action":"msg","id":5,"n":1,"to":"","message":"x"}', BadRequest, 5),
        (b'{"action":"msg","id":5,"n":1,"to":"b","message":"x","mark":""}', BadRequest, 5),
        (b'{"action":"msg","id":5,"n":1,"to":"b","message":"x","mark":7}', BadRequest, 5),
        (
            b'{"action":"msg","id":5,"n":1,"to":"b","message":"x","mark":"%s"}' % (33 * b"0"),
            BadRequest,
            5,
        ),
        (b'{"action":"hello","id":5,"v":1,"cnonce":"AAAA"}', BadRequest, 5),
        (b'{"action":"hello","id":5,"v":1,"cnonce":"?"}', BadRequest, 5),
    ],
)
def test_what_is_no_message_comes_back_in_its_place(
    frame: bytes, error: type[Exception], request_id: object
) -> None:
    before, invalid, after = decoder().feed(encode(MSG) + frame + b"\n" + encode(MSG))
    assert before == after == MSG
    assert isinstance(invalid, Invalid)
    assert type(invalid.error) is error
    assert invalid.id == request_id


def test_lone_surrogates_are_refused() -> None:
    frame = b'{"action":"msg","id":1,"n":1,"to":"bob","message":"\\ud800"}\n'
    assert feed_all(frame) == [("malformed", None, False)]


def test_a_frame_over_the_limit_ends_the_stream_before_it_is_parsed() -> None:
    subject = decoder(50)
    good = encode(m.Ack(position=1))
    items = subject.feed(good + b"[" * 51 + b"\n" + good)
    assert items[0] == m.Ack(position=1)
    assert isinstance(items[1], Invalid)
    assert isinstance(items[1].error, FrameTooLong)
    assert items[1].error.fields == {"size_bytes": 51, "limit_bytes": 50}
    assert len(items) == 2
    assert subject.feed(good) == []


def test_an_unfinished_frame_over_the_limit_ends_the_stream_and_holds_no_memory() -> None:
    subject = decoder(50)
    assert subject.feed(b"x" * 50) == []
    (invalid,) = subject.feed(b"x")
    assert isinstance(invalid, Invalid)
    assert invalid.error.fatal
    assert subject.pending_bytes == 0
    assert subject.feed(b"x" * 1000) == []
    assert subject.pending_bytes == 0


def test_a_frame_of_exactly_the_limit_is_taken() -> None:
    frame = encode(MSG)
    assert decoder(len(frame) - 1).feed(frame) == [MSG]
    assert feed_all(frame, len(frame) - 2) == [("frame_too_long", None, True)]


def nested(levels: int) -> bytes:
    inner = levels - 1
    return b'{"action":"probe","id":1,"x":' + b"[" * inner + b"]" * inner + b"}\n"


def test_nesting_is_bounded_exactly() -> None:
    assert feed_all(nested(MAX_DEPTH)) == [m.Probe(id=1)]
    assert feed_all(nested(MAX_DEPTH + 1)) == [("malformed", None, False)]


@pytest.mark.parametrize("levels", [MAX_DEPTH + 1, 1000, 3000, 20_000])
def test_lines_without_a_bracket_make_no_room_for_a_deep_one(levels: int) -> None:
    data = encode(m.Probe(id=5)) + nested(levels) + b"\n" * 2 * levels
    wide = Decoder(FROM_CLIENT, 10 * len(data))
    assert [comparable(item) for item in wide.feed(data)] == [
        comparable(m.Probe(id=5)),
        ("malformed", None, False),
    ]


def sealed(levels: int = 2) -> bytes:
    """A sealed message with an unknown field of so many levels."""
    frame = encode(m.Msg(id=5, n=5, to="bob", ciphertexts={"A" * 16: "1mAAAA"}))
    return frame[:-2] + b',"x":' + b'{"y":' * (levels - 1) + b"1" + b"}" * levels + b"\n"


def test_many_sealed_messages_come_whole_and_a_deep_one_among_them_is_found() -> None:
    good = m.Msg(id=5, n=5, to="bob", ciphertexts={"A" * 16: "1mAAAA"})
    wide = Decoder(FROM_CLIENT, 1 << 20)
    assert wide.feed(sealed(MAX_DEPTH) * 64) == [good] * 64
    data = sealed() * 40 + sealed(MAX_DEPTH + 1) + b"\n" * 99 + sealed() * 23
    malformed = ("malformed", None, False)
    expected = [good] * 40 + [malformed] + [good] * 23
    assert [comparable(item) for item in wide.feed(data)] == [
        item if item is malformed else comparable(item) for item in expected
    ]


@pytest.mark.parametrize("kind", [b"[", b"{"])
def test_a_sealed_message_in_front_makes_no_room_for_a_deep_one(kind: bytes) -> None:
    inner = kind * 3000
    deep = b'{"action":"probe","id":1,"x":' + inner + b"\n"
    wide = Decoder(FROM_CLIENT, 1 << 20)
    found = [comparable(item) for item in wide.feed(sealed() + deep)]
    assert found[1:] == [("malformed", None, False)]


def test_brackets_inside_a_text_are_no_nesting() -> None:
    text = '[{"' * 200 + "\\" * 7
    message = m.Msg(id=1, n=1, to="bob", message=text)
    assert decoder().feed(encode(message)) == [message]


def test_a_depth_bomb_is_refused_without_recursion() -> None:
    assert feed_all(b"[" * 200_000 + b"\n", 1 << 20) == [("malformed", None, False)]


def test_many_are_encoded_as_one_by_one() -> None:
    messages = [m.Msg(id=n, n=n, to="bob", message=f"a\nb {n}") for n in range(1, 4)]
    assert encode_all(messages) == b"".join(map(encode, messages))
    assert encode_all([]) == b""


def test_no_frame_contains_a_newline_of_its_own() -> None:
    assert encode(m.Msg(id=1, n=1, to="b", message="a\nb\r\n")).count(b"\n") == 1


def test_every_server_message_has_a_tag_of_its_own() -> None:
    tags = [cls.__struct_config__.tag for cls in m.ServerMessage.__args__]
    assert len(tags) == len(set(tags))


def test_terms_are_kept_as_the_text_that_is_signed() -> None:
    terms = m.Terms(
        versions=[1],
        server="jim",
        limits=m.AnnouncedLimits(
            frame_bytes=1,
            text_bytes=1,
            window=1,
            messages_per_second=1.5,
            message_burst=1,
            bytes_per_second=1,
            byte_burst=1,
            ping_s=1,
            idle_s=1,
        ),
        policy=m.Policy(registration="open", plain=False, waiting_messages=1, waiting_days=1),
    )
    text = m.encode_terms(terms)
    assert m.parse_terms(text) == terms
    with pytest.raises(msgspec.DecodeError):
        m.parse_terms("{}")
