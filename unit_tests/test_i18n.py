"""The language is the user's; everything is translated; argparse speaks it too."""

from __future__ import annotations

import argparse
import ast
import gettext
import inspect
import sys
from pathlib import Path

import pytest

from jim import i18n
from jim.i18n import _, ngettext_
from tools import translations

HELP = "show this help message and exit"
HELP_IN_RUSSIAN = "показать эту справку и выйти"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, []),
        ({"LANG": "ru_RU.UTF-8"}, ["ru"]),
        ({"LANG": "C.UTF-8"}, ["en"]),
        ({"LANG": "POSIX"}, ["en"]),
        ({"LC_MESSAGES": "ru_RU", "LANG": "en_US.UTF-8"}, ["ru"]),
        ({"LC_ALL": "en_GB.UTF-8", "LC_MESSAGES": "ru_RU"}, ["en"]),
        ({"LANGUAGE": "de:ru_RU:en", "LANG": "en_US.UTF-8"}, ["de", "ru", "en"]),
        ({"LANGUAGE": "ru", "LC_ALL": "C"}, ["en"]),
        ({"LANGUAGE": "ru", "LC_ALL": "C.UTF-8"}, ["ru"]),
        ({"LANGUAGE": "", "LANG": "ru"}, ["ru"]),
        ({"JIM_LANG": "ru", "LANGUAGE": "en", "LC_ALL": "C"}, ["ru"]),
        ({"LANG": "sr_RS@latin"}, ["sr"]),
    ],
)
def test_the_first_variable_that_is_set_decides(
    environment: dict[str, str], expected: list[str]
) -> None:
    if not environment and sys.platform in {"win32", "darwin"}:
        pytest.skip("here the operating system is asked")
    assert i18n.preferred_languages(environment) == expected


def test_the_language_is_found_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "ru_RU.UTF-8")
    assert i18n.set_language() == "ru"
    assert i18n.current_language() == "ru"
    assert _(HELP) == HELP_IN_RUSSIAN


def test_the_first_text_finds_the_language_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "ru_RU.UTF-8")
    monkeypatch.setattr(i18n, "_active", None)
    assert _(HELP) == HELP_IN_RUSSIAN


@pytest.mark.parametrize("language", ["en", "en_US.UTF-8", "C", "xx", "", "../ru", "ru/../ru"])
def test_any_other_language_is_english(language: str) -> None:
    assert i18n.set_language(language) == "en"
    assert _(HELP) == HELP


def test_the_next_language_of_the_list_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANGUAGE", "de:ru:en")
    assert i18n.set_language() == "ru"
    monkeypatch.setenv("LANGUAGE", "de:en:ru")
    assert i18n.set_language() == "en"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "ожидается 0 аргументов"),
        (1, "ожидается 1 аргумент"),
        (2, "ожидается 2 аргумента"),
        (5, "ожидается 5 аргументов"),
        (11, "ожидается 11 аргументов"),
        (21, "ожидается 21 аргумент"),
        (104, "ожидается 104 аргумента"),
    ],
)
def test_russian_has_three_plural_forms(number: int, expected: str) -> None:
    i18n.set_language("ru")
    text = ngettext_("expected %s argument", "expected %s arguments", number)
    assert text % number == expected


def test_english_has_two_plural_forms() -> None:
    assert ngettext_("%d file", "%d files", 1) == "%d file"
    assert ngettext_("%d file", "%d files", 2) == "%d files"


def test_the_empty_text_stays_empty() -> None:
    i18n.set_language("ru")
    assert _("") == ""


def test_argparse_speaks_russian(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(argparse, "_", gettext.gettext)
    monkeypatch.setattr(argparse, "ngettext", gettext.ngettext)
    i18n.set_language("ru")
    i18n.install_argparse()
    parser = argparse.ArgumentParser(prog="jim")
    parser.add_argument("-p", "--port", type=int)
    parser.add_argument("--pair", nargs=2)
    parser.add_subparsers()
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["--port", "x"])
    shown = capsys.readouterr().err
    assert "использование: jim" in shown
    assert "jim: ошибка: аргумент -p/--port: недопустимое значение (int): 'x'" in shown
    with pytest.raises(SystemExit, match="2"):
        parser.parse_args(["--pair", "x"])
    assert "аргумент --pair: ожидается 2 аргумента" in capsys.readouterr().err
    assert HELP_IN_RUSSIAN in parser.format_help()
    assert "позиционные аргументы:" in parser.format_help()


# What argparse says to programmers only: mistakes in the making of a parser.
_TO_PROGRAMMERS = (
    ".__call__() not defined",
    "cannot have multiple subparser arguments",
    "cannot merge actions - two groups are named %r",
    "'required' is an invalid argument for positionals",
    "dest= is required for options like %r",
    "mutually exclusive arguments must be optional",
    "%r is not callable",
    "invalid option string",
    "invalid conflict_resolution value: %r",
    "conflicting ",
)


def test_every_text_that_argparse_shows_to_users_is_in_the_catalogue() -> None:
    known = translations.extract()
    unknown = [
        text
        for text in _texts_of_argparse()
        if text not in known and not text.startswith(_TO_PROGRAMMERS)
    ]
    assert unknown == []


def _texts_of_argparse() -> list[str]:
    calls = [
        node
        for node in ast.walk(ast.parse(inspect.getsource(argparse)))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"_", "ngettext"}
    ]
    arguments = [call.args[0] for call in calls]
    texts = [a.value for a in arguments if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    assert len(texts) > 20
    return texts


def test_the_catalogue_is_package_data_and_not_empty() -> None:
    compiled = Path(i18n.__file__).parent / "locale" / "ru" / "LC_MESSAGES" / "jim.mo"
    assert compiled.read_bytes()[:4] in {b"\xde\x12\x04\x95", b"\x95\x04\x12\xde"}
