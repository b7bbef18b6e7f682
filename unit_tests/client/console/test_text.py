"""Remote text can neither attack the terminal nor break the layout."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jim.client.console.text import (
    MAX_MARKS,
    cell_width,
    cut,
    display_text,
    safe_block,
    safe_line,
    safe_name,
    wrap,
)

BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
ALWAYS_FORBIDDEN = set(BIDI) | set(
    "\u00ad\u034f\u115f\u1160\u3164\uffa0\u180e\u2028\u2029\u2060\u2061\u2062\u2063\u2064\ufeff"
    "\ufff9\ufffa\ufffb\u200b\x7f\x85\x9b\U000e0001"
)
NASTY = st.sampled_from(
    "aяक\u094dمی 1#\t\n\r\x00\x07\x08\x1b\x9b\x9d\u0301\u0338\u20e3\ufe0e\ufe0f\u200c\u200d\u200b"
    "\u202e\u2066\U0001f468\U0001f3fd\u2764\U0001f3f4\U000e0067\U000e007f\U0001f1f7\u1161\u11a8\u4e2d"
    "\u2028\ud800\ufdd0\uffff\U000f0000\U0001faff\u0600\u25cc‹›↵…"
)
ANY_TEXT = st.text() | st.text(NASTY, max_size=60) | st.text(st.characters(), max_size=40)

ATTACKS = {
    "clipboard by OSC 52": ("\x1b]52;c;ZWNobyBwd25lZA==\x07", "‹1B›]52;c;ZWNobyBwd25lZA==‹07›"),
    "window title": ("\x1b]0;root@bank\x1b\\", "‹1B›]0;root@bank‹1B›\\"),
    "clear the screen": ("\x1b[2J\x1b[H", "‹1B›[2J‹1B›[H"),
    "DECRQSS answer typed into the shell": ("\x1bP$q\n;id\n\x1b\\", "‹1B›P$q↵;id↵‹1B›\\"),
    "eight-bit CSI": ("\x9b31mred", "‹9B›31mred"),
    "eight-bit OSC": ("\x9d0;title\x9c", "‹9D›0;title‹9C›"),
    "overwritten line": ("safe\revil", "safe‹0D›evil"),
    "backspaces": ("rm x\b\b\b\bls", "rm x‹08›‹08›‹08›‹08›ls"),
    "trojan source": ("if a\u202e\u2066// b\u2069 {", "if a‹202E›‹2066›// b‹2069› {"),
    "hidden order of a file name": ("invoice\u202efdp.exe", "invoice‹202E›fdp.exe"),
    "unicode line separators": ("a\u2028b\u2029c\x85d", "a‹2028›b‹2029›c‹85›d"),
    "zero-width twin of a name": ("al\u200bice", "al‹200B›ice"),
    "joiner between latin letters": ("al\u200dice", "al‹200D›ice"),
    "variation selector as a hidden channel": ("a\ufe00\U000e0101", "a‹FE00›‹E0101›"),
    "tags as a hidden channel": ("hi\U000e0068\U000e0069", "hi‹E0068›‹E0069›"),
    "zalgo": ("H" + "\u0301" * 50 + "i", "H" + "\u0301" * 4 + "‹+46›i"),
    "mark onto our own prompt": ("\u0338ok", "◌\u0338ok"),
    "mark onto a space": ("a \u0338b", "a ◌\u0338b"),
    "private use, unassigned, surrogate": ("\ue000\u0378\ud800", "‹E000›‹378›‹D800›"),
    "noncharacter": ("\ufdd0\uffff", "‹FDD0›‹FFFF›"),
    "shift out": ("\x0ellll\x0f", "‹0E›llll‹0F›"),
    "NUL and DEL": ("\x00\x7f", "‹00›‹7F›"),
}

KEPT = [
    "Привет, Боб! Ёлка, й, ё",
    "naïve café — “quotes” № 5 ©️ ™",
    "и\u0306 е\u0301",  # decomposed letters
    "👨‍👩‍👧 👩🏽‍❤️‍💋‍👨🏽 ❤️ ☎︎ 1️⃣ #⃣ 🇷🇺 🏴󠁧󠁢󠁥󠁮󠁧󠁿 🏳️‍🌈 🫨 \U0001fae9",
    "می‌خواهم",  # Persian needs ZWNJ
    "क्\u200dष ශ්\u200dරී",  # Hindi and Sinhala need ZWJ
    "中文，日本語、한국어 שלום",
    "ᄒ\u1161\u11ab",  # conjoining jamo
]


@pytest.mark.parametrize(("attack", "shown"), ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_becomes_visible_text(attack: str, shown: str) -> None:
    assert safe_line(attack) == shown


@pytest.mark.parametrize("text", KEPT)
def test_honest_text_is_left_alone(text: str) -> None:
    assert safe_line(text) == safe_block(text) == text


def test_a_block_keeps_newlines_and_expands_tabs_to_stops() -> None:
    assert safe_block("a\r\nb\n\tc\tdé\t中\te") == "a\nb\n    c   dé  中  e"
    assert safe_line("a\r\nb") == "a↵b"


def test_more_joined_emoji_than_any_real_sequence_are_taken_apart() -> None:
    assert safe_line("\u200d".join("👨" * 6)) == "👨‍👨‍👨‍👨‹200D›👨‍👨"


def is_allowed(text: str, index: int) -> bool:
    """Judge one character by the written rules, without the module's own tables."""
    char = text[index]
    before = text[index - 1] if index else ""
    if char in ALWAYS_FORBIDDEN:
        return False
    if char in "\u200c\u200d\ufe0e\ufe0f":
        return before != "" and not (before.isascii() and before not in "0123456789#*")
    category = unicodedata.category(char)
    if category == "Cf":
        return "\u0600" <= char <= "\u08e2" or 0xE0020 <= ord(char) <= 0xE007F
    if category == "Cn":
        return 0x1F300 <= ord(char) <= 0x1FAFF
    return category not in {"Cc", "Cs", "Co", "Zl", "Zp"} or char == "\n"


def longest_run_of_marks(text: str) -> int:
    longest = run = 0
    for char in text:
        is_mark = unicodedata.category(char).startswith("M") and char not in "\ufe0e\ufe0f"
        run = run + 1 if is_mark else run if char in "\u200c\u200d" else 0
        longest = max(longest, run)
    return longest


@given(ANY_TEXT)
@example("a\ufe0f\u200d\u200d\u0301")
def test_nothing_forbidden_comes_through(text: str) -> None:
    for cleaned in (safe_line(text), safe_block(text)):
        assert all(is_allowed(cleaned, index) for index in range(len(cleaned)))
        assert longest_run_of_marks(cleaned) <= MAX_MARKS
    assert "\n" not in safe_line(text)


@given(ANY_TEXT, st.integers(-1, 30))
def test_cleaning_twice_is_cleaning_once(text: str, width: int) -> None:
    line, block = safe_line(text), safe_block(text)
    assert safe_line(line) == safe_block(line) == line
    assert safe_block(block) == block
    name = safe_name(text, width)
    assert safe_name(name, width) == name


@given(ANY_TEXT)
def test_visible_letters_survive_in_order(text: str) -> None:
    letters = [char for char in text if char.isascii() and char.isprintable() and char != " "]
    remaining = iter(safe_block(text))
    assert all(letter in remaining for letter in letters)


@given(ANY_TEXT, st.integers(-1, 30), st.booleans())
def test_a_cut_text_fits(text: str, width: int, legacy: bool) -> None:
    assert cell_width(cut(safe_line(text), width, legacy=legacy), legacy=legacy) <= max(0, width)


@given(ANY_TEXT, st.integers(-1, 30), st.integers(-3, 40), st.booleans())
@example("🇷" * 9, 5, 0, True)
def test_wrapped_lines_fit_and_stay_safe(text: str, width: int, indent: int, legacy: bool) -> None:
    lines = wrap(text, width, indent, legacy=legacy)
    assert lines
    for line in lines:
        assert cell_width(line, legacy=legacy) <= max(1, width)
        assert "\n" not in line
        assert safe_line(line) == line


@given(st.text(st.sampled_from("ab дж中👍🏽é"), max_size=80), st.integers(2, 20))
def test_wrapping_loses_only_spaces(text: str, width: int) -> None:
    assert "".join(wrap(text, width)).replace(" ", "") == text.replace(" ", "")


def test_wrapping_breaks_at_spaces_and_hangs() -> None:
    assert wrap("bob: one two three", 10, 5) == ["bob: one", "     two", "     three"]
    assert wrap("abc   ", 4) == ["abc"]
    assert wrap("", 10) == [""]
    assert wrap("a\n\n  b", 10, 2) == ["a", "", "    b"]
    assert wrap("中文字", 4) == ["中文", "字"]
    assert wrap("中", 1) == ["…"]


def test_names_are_cut_by_cells() -> None:
    assert safe_name("александра", 6) == "алекс…"
    assert safe_name("中文字", 4) == "中…"
    assert safe_name("bob", 3) == "bob"
    assert safe_name("bob", 0) == ""


def test_legacy_terminals_get_no_joiners() -> None:
    assert display_text("👩🏽‍🚀❤️", legacy=True) == "👩🚀❤"
    assert cell_width("👩🏽‍🚀") == 2
    assert cell_width("👩🏽‍🚀", legacy=True) == 4


@pytest.mark.timeout(240)  # 1.1 million of them: 7 s of work on a machine that does nothing else
def test_every_single_code_point_is_judged_as_the_rules_say() -> None:
    for number in range(0x110000):
        cleaned = safe_block(chr(number))
        assert all(is_allowed(cleaned, index) for index in range(len(cleaned))), hex(number)


@pytest.mark.parametrize(
    "unit", ["\x1b[2J", "\t", "a\u0301", "\u0301", "👨\u200d", "1\ufe0f", "\u200c", "\r", "中\t "]
)
def test_a_quarter_of_a_megabyte_is_worked_off_in_one_pass(unit: str) -> None:
    text = unit * (256 * 1024 // len(unit.encode()))
    cleaned = safe_block(text)
    assert len(cleaned) <= 9 * len(text)
    assert safe_block(cleaned[: len(cleaned) // 2]) != ""
