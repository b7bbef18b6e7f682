"""Limits with which nobody could talk are refused when they are read, with what would do."""

from __future__ import annotations

import re

import msgspec
import pytest

from jim.core.limits import Limits
from jim.protocol import messages as m
from jim.protocol.codec import encode
from jim.server import main, sanity

TEXT_BYTES = Limits().text_bytes
LONGEST_NAME = "я" * 32


def check(capsys: pytest.CaptureFixture[str], *limits: str) -> tuple[int, str]:
    """Give the status of --check-config with these limits, and what it says."""
    flags = [word for limit in limits for word in ("--limit", limit)]
    status = main.main(["--check-config", *flags])
    shown = capsys.readouterr()
    return status, shown.out + shown.err


@pytest.mark.parametrize("name", sanity.LEAST)
def test_the_least_will_do_and_less_will_not(capsys: pytest.CaptureFixture[str], name: str) -> None:
    least = sanity.LEAST[name]
    less = least - 1 if isinstance(least, int) else least * 0.99
    status, shown = check(capsys, f"{name}={less}")
    assert status == 2
    assert f"limits.{name} (--limit): has to be at least {least}" in shown
    fitting = [f"{name}={least}"]
    if name in {"ping_s", "idle_s"}:  # the one has to be less than the other
        fitting = [f"ping_s={least}", f"idle_s={2 * least}"]
    if name == "rate_debt_s":  # the burst has to make up for it
        fitting.append("byte_burst=467950")
    assert check(capsys, *fitting) == (0, "The settings are good.\n")


def test_every_least_is_below_the_default_and_of_its_type() -> None:
    for name, least in sanity.LEAST.items():
        default = getattr(Limits(), name)
        assert least < default
        assert type(least) is type(default)


@pytest.mark.parametrize(
    ("limits", "complaint"),
    [
        (
            ("outgoing_bytes=1",),
            "limits.outgoing_bytes is 1; with a limits.text_bytes of 16384 .* at least 50184",
        ),
        (("frame_bytes=467949",), "limits.frame_bytes is 467949; .* at least 467950"),
        (("text_bytes=100000",), "limits.frame_bytes is 524288; .* at least 2586222"),
        (("byte_burst=1", "bytes_per_s=100"), "limits.byte_burst is 1; .* at least 461950"),
        (("ping_s=150",), "limits.ping_s has to be less than limits.idle_s"),
        (("idle_s=1e300",), "limits.idle_s .*at most 9007199254740991"),
        (("waiting_messages=9007199254740992",), "limits.waiting_messages .*at most"),
    ],
)
def test_what_does_not_fit_together_is_refused_with_what_would(
    capsys: pytest.CaptureFixture[str], limits: tuple[str, ...], complaint: str
) -> None:
    status, shown = check(capsys, *limits)
    assert status == 2
    assert re.search(complaint, shown), shown


@pytest.mark.parametrize(
    "limits",
    [
        ("outgoing_bytes=50184",),
        ("frame_bytes=467950",),
        ("text_bytes=100000", "frame_bytes=2586222", "byte_burst=2586222"),
        ("byte_burst=461950", "bytes_per_s=100"),
        ("devices=1", "frame_bytes=98816"),
        ("byte_burst=1", "bytes_per_s=0"),
        ("text_bytes=1",),
    ],
)
def test_what_just_fits_is_taken(
    capsys: pytest.CaptureFixture[str], limits: tuple[str, ...]
) -> None:
    assert check(capsys, *limits) == (0, "The settings are good.\n")


def test_the_frames_are_no_larger_than_is_reckoned_with() -> None:
    text, most = "\x01" * TEXT_BYTES, sanity.ESCAPED * TEXT_BYTES + sanity.ENVELOPE_BYTES
    largest = m.MAX_INTEGER
    message = m.Msg(id="i" * 64, n=largest, to=LONGEST_NAME, message=text, mark="m" * 64)
    delivery = m.Delivery(
        position=largest,
        seq=largest,
        sender=LONGEST_NAME,
        device="d" * 16,
        n=largest,
        to=LONGEST_NAME,
        time=largest,
        message=text,
    )
    assert len(encode(message)) <= most
    assert len(encode(delivery)) <= most


def test_the_announced_limits_of_the_largest_kind_are_believed_by_a_client() -> None:
    huge = msgspec.structs.replace(
        Limits(), waiting_messages=m.MAX_INTEGER, idle_s=float(m.MAX_INTEGER)
    )
    announced = msgspec.json.encode(huge.announced())
    assert msgspec.json.decode(announced, type=m.AnnouncedLimits) == huge.announced()
