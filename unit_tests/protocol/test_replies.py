"""Errors on the wire and back: the same class, the same numbers."""

from __future__ import annotations

import pytest

from jim.errors import WIRE_ERRORS, FrameTooLong, NumberGap, Shutdown, WireError, from_wire
from jim.protocol.codec import FROM_SERVER, Decoder, encode
from jim.protocol.messages import ErrorReply, Goodbye
from jim.protocol.replies import error_reply, goodbye, raised


@pytest.mark.parametrize("code", sorted(WIRE_ERRORS))
def test_every_wire_error_comes_back_as_its_class(code: str) -> None:
    error = WIRE_ERRORS[code]("because", n=3)
    (reply,) = Decoder(FROM_SERVER, 4096).feed(encode(error_reply(error, 5, "q")))
    assert isinstance(reply, ErrorReply)
    assert (reply.id, reply.time, reply.response) == ("q", 5, error.response)
    back = raised(reply)
    assert type(back) is type(error)
    assert (str(back), back.fields) == ("because", {"n": 3})


def test_codes_are_unique_and_numbers_are_the_courses() -> None:
    def all_wire(cls: type[WireError]) -> list[type[WireError]]:
        return [cls] + [deeper for sub in cls.__subclasses__() for deeper in all_wire(sub)]

    classes = all_wire(WireError)[1:]
    assert len({cls.code for cls in classes}) == len(classes)
    assert {cls.response for cls in classes} <= {400, 401, 402, 403, 404, 409, 410, 500}


def test_fields_that_the_protocol_does_not_know_stay_at_home() -> None:
    reply = error_reply(FrameTooLong(size_bytes=9, limit_bytes=8, secret="x"), 1)
    assert b"secret" not in encode(reply)
    assert raised(reply).fields == {"size_bytes": 9, "limit_bytes": 8}


def test_a_goodbye_carries_the_wait() -> None:
    (reply,) = Decoder(FROM_SERVER, 4096).feed(encode(goodbye(Shutdown(retry_after_ms=70), 1)))
    assert isinstance(reply, Goodbye)
    back = raised(reply)
    assert isinstance(back, Shutdown)
    assert back.fields == {"retry_after_ms": 70}


def test_a_code_from_the_future_is_still_an_error() -> None:
    error = from_wire("quantum_flux", "later version")
    assert type(error) is WireError
    assert str(error) == "later version"
    assert str(NumberGap(expected=4)).endswith("(expected=4)")
