from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from benchmarks.devices import ADDRESSEE, Talk
from benchmarks.sealing import PAGE, Taken, cost, ratio, summed_up
from benchmarks.sealing_report import complaints, text_of
from unit_tests.benchmarks.runs import measured

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def talk(tmp_path: Path) -> Talk:
    made = Talk(tmp_path, 2)
    made.begin(made.claimed())
    return made


def test_the_lowest_tenth_the_median_and_what_a_message_has_of_a_page() -> None:
    taken = [Taken(cpu, 10 * cpu) for cpu in (8.0, 2.0, 4.0)]
    assert summed_up(taken) == {"low": 2.0, "median": 4.0, "wall": 40.0}
    assert summed_up(taken, 2) == {"low": 1.0, "median": 2.0, "wall": 20.0}


def test_a_ratio_is_of_neighbours_and_not_of_sums() -> None:
    ours = [Taken(2, 0), Taken(300, 0), Taken(6, 0)]
    others = [Taken(1, 0), Taken(100, 0), Taken(3, 0)]
    assert ratio(ours, others) == 2


def test_every_device_gets_its_own_text_and_answers_once(talk: Talk) -> None:
    talk.exchange("hello")
    message = talk.sender.send(ADDRESSEE, "more")
    payload = talk.sender.payload(message)
    assert payload.ciphertexts is not None
    assert payload.ciphertexts.keys() == {each.device for each in talk.receivers}
    # Both sides have written, so that nothing begins a session any more.
    assert {text[:2] for text in payload.ciphertexts.values()} == {"1m"}
    for device in talk.receivers:
        device.receive([device.delivery(talk.sender, message, payload)])
        kept = device.store.history(talk.sender.name, None, 9)
        assert [(each.text, each.plain) for each in kept] == [("hello", False), ("more", False)]


def test_who_has_no_keys_gets_the_plain_text(talk: Talk) -> None:
    message = talk.sender.send(talk.plain.name, "more")
    payload = talk.sender.payload(message)
    assert (payload.ciphertexts, payload.text) == (None, "more")
    talk.plain.receive([talk.plain.delivery(talk.sender, message, payload)])
    [kept] = talk.plain.store.history(talk.sender.name, None, 9)
    assert (kept.text, kept.plain) == ("more", True)


def test_what_could_not_be_sealed_is_not_measured(tmp_path: Path) -> None:
    talk = Talk(tmp_path, 1)
    with pytest.raises(RuntimeError, match="not sealed"):
        talk.hand_over("there is no session")


def test_the_library_alone_seals_as_much_as_the_client(tmp_path: Path) -> None:
    row = cost(tmp_path, 1, 2 * PAGE)
    figures = {"memory": [row], "disk": [row]}
    assert complaints(figures) == []
    assert row["send"]["to_bare"] > 1
    assert row["wire"]["sealed"] > row["wire"]["plain"] > 100
    # What begins a session carries more, and a ciphertext for each device is most of a message.
    assert row["first"]["delivered"] > row["wire"]["delivered"] > row["wire"]["ciphertext"] * 4 / 3
    assert text_of(figures).startswith("| devices |")
    longer = row | {"wire": row["wire"] | {"bare": row["wire"]["bare"] + 256}}
    assert len(complaints({"memory": [longer], "disk": [row]})) == 1


@pytest.mark.e2e
def test_the_command_measures_in_memory_and_on_the_disk(tmp_path: Path) -> None:
    found = measured("sealing", tmp_path, "--quick", "--devices", "1,2")
    for place in ("memory", "disk"):
        one, two = found[place]
        assert (one["devices"], two["devices"]) == (1, 2)
        assert one["wire"]["sealed"] < two["wire"]["sealed"]
        assert one["page"]["sealed"]["low"] > 0
        assert "turns" in one
