from __future__ import annotations

import json
import string
import subprocess
import sys
import unicodedata
from importlib.resources import files

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jim.core import names
from jim.core.names import claim, lookup_key, normalise, skeleton
from jim.errors import NameInvalid

LIKELY = st.text(
    st.sampled_from(
        string.ascii_letters + string.digits + "абвгдеёжзийклмнопяАБВЁЯ-_.αβΣςIİßäöéñ漢字ひカ한אب٣"
    ),
    max_size=40,
)
REASONS = {"empty", "too_long", "characters", "mixed_script", "reserved", "no_letter"}
ANYTHING = st.one_of(LIKELY, st.text(max_size=40))


def reason(raw: str) -> str:
    with pytest.raises(NameInvalid) as caught:
        normalise(raw)
    return caught.value.reason


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("alice", "alice"),
        ("Alice", "alice"),
        ("ALICE", "alice"),
        ("пётр", "пётр"),
        ("ПЁТР", "пётр"),
        ("пе\u0308тр", "пётр"),
        ("jose\u0301", "josé"),
        ("ＡＬＩＣＥ", "alice"),
        ("r2-d2", "r2-d2"),
        ("bob_2.b", "bob_2.b"),
        ("7of9", "7of9"),
        ("ΣΑΣ", "σας"),
        ("straße", "straße"),
        ("山田はなこ", "山田はなこ"),
        ("김철수", "김철수"),
        ("דוד", "דוד"),
        ("i", "i"),
        ("ali", "ali"),
        ("a" * 32, "a" * 32),
        ("я" * 32, "я" * 32),
        ("漢" * 21, "漢" * 21),
        ("e\u0301" * 32, "é" * 32),
    ],
)
def test_good_names(raw: str, name: str) -> None:
    assert normalise(raw) == name
    assert claim(raw).name == name


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("\u3000", "empty"),
        ("a" * 33, "too_long"),
        ("漢" * 22, "too_long"),
        ("a" * 100_000, "too_long"),
        ("e\u0301" * 33, "too_long"),
        ("al ice", "characters"),
        (" alice", "characters"),
        ("alice\n", "characters"),
        ("al\u00a0ice", "characters"),
        ("#room", "characters"),
        ("@alice", "characters"),
        ("a/b", "characters"),
        ("a\\b", "characters"),
        ("a:b", "characters"),
        ("a!b", "characters"),
        ("a$b", "characters"),
        ("a'b", "characters"),
        ('a"b', "characters"),
        ("a*", "characters"),
        ("a\0b", "characters"),
        ("a\x1bb", "characters"),
        ("a\u202eb", "characters"),
        ("a\u200bb", "characters"),
        ("a\u200db", "characters"),
        ("a\ufe0fb", "characters"),
        ("a\u00adb", "characters"),
        ("a\ud800b", "characters"),
        ("a\ue000b", "characters"),
        ("a\u0378b", "characters"),
        ("ﬁna", "characters"),
        ("😀a", "characters"),
        ("ⅷ", "characters"),
        ("-alice", "characters"),
        ("alice-", "characters"),
        (".alice", "characters"),
        ("alice.", "characters"),
        ("..", "characters"),
        ("_a", "characters"),
        ("\u0301a", "characters"),
        ("a\u0316\u0317\u0318\u0319\u031c", "characters"),
        ("l·l", "characters"),
        ("123", "no_letter"),
        ("1.2", "no_letter"),
        ("pаypal", "mixed_script"),
        ("alicе", "mixed_script"),
        ("αlice", "mixed_script"),
        ("山x", "mixed_script"),
        ("ひ한", "mixed_script"),
        ("a1१", "mixed_script"),
        ("क1१", "mixed_script"),
        ("ب1۱ب", "mixed_script"),
        ("admin", "reserved"),
        ("ADMIN", "reserved"),
        ("Ａdmin", "reserved"),
        ("Jim", "reserved"),
        ("All", "reserved"),
        ("Null", "reserved"),
        ("Администратор", "reserved"),
        ("ПОМОЩЬ", "reserved"),
        ("Я", "reserved"),
        ("con", "reserved"),
        ("Lpt9", "reserved"),
    ],
)
def test_bad_names(raw: str, why: str) -> None:
    assert reason(raw) == why


@pytest.mark.parametrize(
    "word",
    """
    admin administrator root server system support moderator jim help me all everyone here null
    админ администратор система сервер поддержка все помощь я
    """.split(),  # noqa: SIM905
)
def test_every_demanded_word_is_reserved(word: str) -> None:
    assert reason(word) == "reserved"


def test_reserved_words_are_names_otherwise() -> None:
    """A word that another rule refuses already would be in the list for nothing."""
    for word in names.RESERVED:
        assert unicodedata.normalize("NFC", word.lower()) == word
        names._check_characters(word)
        names._check_scripts(word)


@pytest.mark.parametrize("raw", ["adm1n", "admln", "r00t", "ro0t", "adrnin"])
def test_look_alikes_of_reserved_words(raw: str) -> None:
    normalise(raw)
    with pytest.raises(NameInvalid) as caught:
        claim(raw)
    assert caught.value.reason == "reserved"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("paypal", "paypaI"),
        ("paypal", "paypa1"),
        ("paypal", "раураӏ"),
        ("coco", "сосо"),
        ("bob", "b0b"),
        ("modern", "modem"),
        ("alice", "aIice"),
        ("istanbul", "İstanbul"),
        ("istanbul", "ıstanbul"),
        ("семён", "семен"),
        ("scope", "ѕсоре"),
    ],
)
def test_look_alikes_collide(one: str, two: str) -> None:
    assert skeleton(normalise(one)) == skeleton(normalise(two))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("пётр", "павел"),
        ("alice", "alina"),
        ("bob", "rob"),
        ("tom", "том"),
        ("anna", "анна"),
        ("a-b", "a_b"),
        ("jose", "josé"),
        ("маша", "миша"),
    ],
)
def test_different_names_stay_different(one: str, two: str) -> None:
    assert skeleton(one) != skeleton(two)


def test_few_letters_of_one_script_collide() -> None:
    """What the additions may cost: inside Latin only i-l-1 and o-0, inside Cyrillic е-ё."""

    def collisions(alphabet: str) -> list[str]:
        looks: dict[str, str] = {}
        for letter in alphabet:
            looks[skeleton(letter)] = looks.get(skeleton(letter), "") + letter
        return sorted(group for group in looks.values() if len(group) > 1)

    assert collisions(string.ascii_lowercase + string.digits) == ["il1", "o0"]
    assert collisions("абвгдеёжзийклмнопрстуфхцчшщъыьэюя") == ["её"]


def test_the_prototype_map_is_that_of_the_standard() -> None:
    """Lines of confusables.txt, and the properties that every version of it has."""
    table = names._prototypes()
    latin = {"1": "l", "I": "l", "0": "O", "m": "rn", "z": "z"}
    others = {"а": "a", "с": "c", "ρ": "p", "Ӏ": "l"}
    for source, prototype in (latin | others).items():
        assert table.get(source, source) == prototype
    assert len(table) > 6000
    assert all(len(source) == 1 for source in table)
    prototypes = set("".join(table.values()))
    assert not prototypes & table.keys()
    assert "\u200e" not in "".join(table) + "".join(table.values())


def test_every_pair_of_the_data_collides() -> None:
    raw = files("confusable_homoglyphs").joinpath("confusables.json").read_text("utf-8")
    for side, partners in json.loads(raw).items():
        for partner in partners:
            one, two = names._bare(side), names._bare(partner["c"])
            # The algorithm decomposes first, so what the file says of composed letters is not used.
            if unicodedata.is_normalized("NFD", one) and unicodedata.is_normalized("NFD", two):
                assert skeleton(one) == skeleton(two)


def test_skeletons_of_all_the_data_reach_a_fixed_point() -> None:
    for source, prototype in names._prototypes().items():
        for text in (source, prototype):
            look = skeleton(text)
            assert names._step(look) == look


@settings(max_examples=500)
@given(ANYTHING)
def test_a_name_is_its_own_name(raw: str) -> None:
    try:
        name = normalise(raw)
    except NameInvalid as error:
        if error.reason not in REASONS:
            raise
        return
    assert normalise(name) == name
    assert unicodedata.is_normalized("NFC", name)
    assert 1 <= len(name) <= 32
    assert len(name.encode()) <= 64
    assert not set(name) & set(" #@/:\\\0\n\t\"'`$&|;<>()*?!~")
    assert name.strip("-_.") == name
    assert any(letter.isalpha() for letter in name)


@settings(max_examples=500)
@given(ANYTHING)
def test_a_skeleton_is_its_own_skeleton(raw: str) -> None:
    try:
        name = normalise(raw)
    except NameInvalid:
        return
    look = skeleton(name)
    assert skeleton(look) == look == skeleton(name)
    assert skeleton(unicodedata.normalize("NFD", name)) == look
    assert look


@given(LIKELY)
def test_spellings_of_one_name_have_one_key(raw: str) -> None:
    try:
        name = normalise(raw)
    except NameInvalid:
        return
    decomposed = unicodedata.normalize("NFD", raw)
    if len(decomposed) <= names.RAW_LIMIT:
        assert normalise(decomposed) == lookup_key(raw) == name


def test_a_character_that_the_data_does_not_know_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A newer Python knows characters that the library's data does not."""
    monkeypatch.setattr(names, "alias", lambda letter: "Unknown" if letter == "q" else "LATIN")
    assert normalise("alice") == "alice"
    assert reason("qlice") == "characters"


def test_lookups_are_remembered_within_bounds() -> None:
    lookup_key.cache_clear()
    for number in range(names.LOOKUPS + 100):
        assert lookup_key(f"User{number}") == f"user{number}"
    assert lookup_key.cache_info().currsize == names.LOOKUPS
    with pytest.raises(NameInvalid):
        lookup_key("#")
    with pytest.raises(NameInvalid):
        lookup_key("#")


def test_a_long_text_is_not_even_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    mapped: list[str] = []

    class Mapping:
        def enforce(self, raw: str) -> str:
            mapped.append(raw)
            return raw

    monkeypatch.setattr(names, "_profile", Mapping())
    assert reason("a\u0301" * 100_000) == "too_long"
    assert reason("a" * (names.RAW_LIMIT + 1)) == "too_long"
    assert mapped == []
    assert reason("a" * names.RAW_LIMIT) == "too_long"
    assert mapped == ["a" * names.RAW_LIMIT]


def test_skeletons_do_not_depend_on_the_process() -> None:
    code = "from jim.core.names import skeleton; print(ascii(skeleton('пётр-modem-paypaі')))"
    seen = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(seen) == 1
