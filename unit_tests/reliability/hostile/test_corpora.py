"""The committed corpora are whole, and hold the real bytes."""

from __future__ import annotations

import json
from typing import get_args

import pytest

from jim.protocol import messages as m
from jim.protocol.codec import FROM_CLIENT, FROM_SERVER, Decoder, Invalid
from reliability.hostile import corpus, torture, utf8
from reliability.hostile.fuzz import driver


def is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_the_json_suite_has_all_its_files() -> None:
    cases = corpus.json_cases()
    verdicts = "".join(case.expected for case in cases)
    assert len({case.name for case in cases}) == len(cases) == 318
    assert [verdicts.count(verdict) for verdict in "yni"] == [95, 188, 35]
    assert all(case.name.startswith(case.expected) for case in cases)


def test_the_files_that_are_no_utf8_have_their_real_bytes() -> None:
    broken = {case.name: case.content for case in corpus.json_cases() if not is_utf8(case.content)}
    assert len(broken) == 25
    assert not any(b"\xef\xbf\xbd" in content for content in broken.values())
    assert broken["i_string_UTF8_surrogate_U+D800.json"] == b'["\xed\xa0\x80"]'
    assert broken["i_string_UTF-16LE_with_BOM.json"].decode("utf-16") == '["é"]'
    assert broken["n_structure_single_eacute.json"] == b"\xe9"


def test_what_the_suite_accepts_is_json() -> None:
    for case in corpus.json_cases():
        if case.expected == "y":
            json.loads(case.content)


def test_the_giants_are_whole() -> None:
    sizes = {case.name: len(case.content) for case in corpus.json_cases()}
    assert sizes["n_structure_100000_opening_arrays.json"] == 100_000
    assert sizes["n_structure_open_array_object.json"] == 250_001


def test_the_naughty_strings_are_all_there() -> None:
    texts = corpus.naughty_strings()
    assert len(texts) == 485
    assert "" in texts
    assert any("\u202a" in text for text in texts)
    assert all(is_utf8(text.encode()) for text in texts)


def test_the_utf8_set_is_what_it_says() -> None:
    cases = utf8.cases()
    assert len({case.name for case in cases}) == len(cases)
    assert sum(not case.valid for case in cases) == 50
    for case in cases:
        well_formed = is_utf8(case.content) and min(case.content) >= 0x20
        assert well_formed is case.valid, case.name
        assert not set(case.content) & set(b'\n"\\'), case.name


@pytest.mark.parametrize(
    ("union", "parser"), [(m.ClientMessage, FROM_CLIENT), (m.ServerMessage, FROM_SERVER)]
)
def test_every_field_of_every_message_is_spoiled_in_every_way(union, parser) -> None:  # type: ignore[no-untyped-def]
    cases = {case.name: case.frame for case in torture.mutations(union)}
    for struct in get_args(union):
        tag = struct.__struct_config__.tag
        decoder = Decoder(parser, 1 << 20)
        (good,) = decoder.feed(cases[f"{tag}: as it should be"] + b"\n")
        assert type(good) is struct
        for name in struct.__struct_encode_fields__:
            assert f"{tag}: without {name}" in cases
            assert all(f"{tag}: {what} as {name}" in cases for what in torture.VALUES)
            (spoiled,) = decoder.feed(cases[f"{tag}: nesting as {name}"] + b"\n")
            assert isinstance(spoiled, Invalid)


@pytest.mark.parametrize("limit_bytes", [8_192, 262_144])
def test_bombs_are_as_large_as_they_may_be_and_no_larger(limit_bytes: int) -> None:
    bombs = list(torture.bombs(limit_bytes))
    assert all(b"\n" not in bomb.frame for bomb in bombs)
    assert max(len(bomb.frame) for bomb in bombs) == limit_bytes


@pytest.mark.parametrize("target", driver.TARGETS)
def test_the_seeds_are_committed_small_and_break_nothing(target: str) -> None:
    seeds = driver.load_seeds(target)
    assert len(seeds) >= 30
    assert max(map(len, seeds)) <= driver.MAX_BYTES[target]
    run = driver.load_target(target)
    for seed in seeds:
        assert driver.attempt(run, seed) is None
