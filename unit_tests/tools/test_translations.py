"""The check finds each kind of unfinished translation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from babel.messages.catalog import Catalog

from tools import translations

if TYPE_CHECKING:
    from pathlib import Path


def faults(
    source: str | tuple[str, str], text: str | tuple[str, ...], *, fuzzy: bool = False
) -> list[str]:
    catalog = Catalog(locale="ru")
    catalog.add(source, text, flags={"fuzzy"} if fuzzy else set())
    (message,) = (message for message in catalog if message.id)
    return list(translations.message_faults(message, catalog))


FILES = ("{n} file", "{n} files")


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("hello {name}", "привет, {name}"),
        ("%(prog)s: %s\n", "%(prog)s: %s\n"),
        ("%s of %d", "%d из %s"),
        (FILES, ("{n} файл", "{n} файла", "{n} файлов")),
        (("one file", "{n} files"), ("один файл", "{n} файла", "{n} файлов")),
        ("100 %", "100 %"),
    ],
)
def test_a_finished_translation_has_no_fault(
    source: str | tuple[str, str], text: str | tuple[str, ...]
) -> None:
    assert faults(source, text) == []


@pytest.mark.parametrize(
    ("source", "text", "fault"),
    [
        ("hello", "", "not translated"),
        ("hello {name}", "привет, {nmae}", "other placeholders"),
        ("hello {name}", "привет", "other placeholders"),
        ("port %d", "порт %s", "other placeholders"),
        ("port %(port)d", "порт %(prot)d", "other placeholders"),
        ("rate {rate:.1f}", "скорость {rate}", "other placeholders"),
        ("end\n", "конец", "ends its line"),
        (FILES, ("{n} файл", "{n} файлов"), "plural forms"),
        (FILES, ("{n} файл", "", "{n} файлов"), "not translated"),
        (FILES, ("{n} файл", "{n} файла", "{m} файлов"), "other placeholders"),
    ],
)
def test_each_fault_is_found(
    source: str | tuple[str, str], text: str | tuple[str, ...], fault: str
) -> None:
    assert any(fault in found for found in faults(source, text))


def test_a_fuzzy_translation_is_a_fault() -> None:
    assert faults("hello", "привет", fuzzy=True) == ["fuzzy: 'hello'"]


@pytest.fixture
def catalogues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one text, translated and compiled."""
    (tmp_path / "jim").mkdir()
    (tmp_path / "jim" / "a.py").write_text('_("hello")\n')
    monkeypatch.setattr(translations, "LOCALE", tmp_path)
    monkeypatch.setattr(translations, "TEMPLATE", tmp_path / "jim.pot")
    monkeypatch.setattr(translations, "MINIMUM_MESSAGES", 1)
    extract = translations.extract
    monkeypatch.setattr(translations, "extract", lambda: extract(tmp_path))
    translations.update()
    translate(tmp_path, "привет")
    translations.update()
    return tmp_path


def po_path(root: Path) -> Path:
    return root / "ru" / "LC_MESSAGES" / "jim.po"


def translate(root: Path, text: str) -> None:
    po = po_path(root).read_text()
    head, _, _ = po.rpartition("msgstr")
    po_path(root).write_text(f'{head}msgstr "{text}"\n')


def test_a_complete_project_passes(catalogues: Path) -> None:
    assert list(translations.find_faults()) == []
    assert translations.main(["--check"]) == 0


def test_updating_again_changes_nothing(catalogues: Path) -> None:
    before = {path: path.read_bytes() for path in catalogues.rglob("jim.*")}
    translations.update()
    assert {path: path.read_bytes() for path in catalogues.rglob("jim.*")} == before


def test_a_new_text_fails_the_check(catalogues: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (catalogues / "jim" / "a.py").write_text('_("hello"), ngettext_("day", "days", 2)\n')
    assert translations.main(["--check"]) == 1
    shown = capsys.readouterr().err
    assert "jim.pot is out of date" in shown
    assert "ru: missing: 'day|days'" in shown


def test_a_text_that_is_gone_fails_the_check(catalogues: Path) -> None:
    (catalogues / "jim" / "a.py").write_text("")
    faults = list(translations.find_faults())
    assert "ru: obsolete: 'hello'" in faults
    assert any("is the extraction broken" in fault for fault in faults)


def test_a_stale_compiled_file_fails_the_check(catalogues: Path) -> None:
    translate(catalogues, "здравствуй")
    assert list(translations.find_faults()) == ["ru: jim.mo is not what jim.po compiles to"]


def test_this_project_is_completely_translated() -> None:
    assert list(translations.find_faults()) == []
