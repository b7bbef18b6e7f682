"""Extract, update, compile and check the translations: `python -m tools.translations [--check]`.

Without arguments the template, the catalogues and the compiled files are brought up to date; new
texts appear in `jim/locale/<language>/LC_MESSAGES/jim.po` with an empty translation. `--check`
changes nothing and fails, with one line for each fault, unless everything is complete.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from babel.messages.catalog import Catalog
from babel.messages.extract import DEFAULT_KEYWORDS, extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

if TYPE_CHECKING:
    from collections.abc import Iterator

    from babel.messages.catalog import Message

ROOT = Path(__file__).resolve().parents[1]
LOCALE = ROOT / "jim" / "locale"
TEMPLATE = LOCALE / "jim.pot"
LANGUAGES = ("ru",)
METHODS = [("jim/**.py", "python"), ("tools/argparse_messages.py", "python")]
KEYWORDS = {**DEFAULT_KEYWORDS, "ngettext_": (1, 2)}

MINIMUM_MESSAGES = 20
"""Fewer than this means that the extraction is broken: argparse alone has more."""

_PLACEHOLDER = re.compile(r"%(?:\((\w+)\))?[#0\- +]*[\d*.]*[srdfix]|\{(\w*)[^{}]*\}")


def main(arguments: list[str] | None = None) -> int:
    """Update the files, or check them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="change nothing; fail on a fault")
    if parser.parse_args(arguments).check:
        faults = list(find_faults())
        for fault in faults:
            print(f"translations: {fault}", file=sys.stderr)
        return 1 if faults else 0
    update()
    return 0


def extract(root: Path = ROOT) -> Catalog:
    """Collect the message ids of the source; no line numbers, so that only texts make changes."""
    catalog = Catalog(
        project="jim-messenger",
        version="1",
        header_comment="# Texts of JIM.\n# Distributed under the licence of JIM (MIT).",
        last_translator="JIM contributors",
        language_team="JIM contributors",
        msgid_bugs_address="see CONTRIBUTING.md",
        charset="utf-8",
        fuzzy=False,
    )
    found = extract_from_dir(
        root, METHODS, keywords=KEYWORDS, comment_tags=("Translators:",), strip_comment_tags=True
    )
    for _path, _line, message, comments, context in found:
        catalog.add(message, auto_comments=comments, context=context)
    return catalog


def update() -> None:
    """Write the template, merge it into each catalogue, compile each catalogue."""
    template = extract()
    _write_if_changed(TEMPLATE, template)
    for language in LANGUAGES:
        path = _po_path(language)
        catalog = read_catalog(path, language)
        catalog.update(template, no_fuzzy_matching=True)
        catalog.obsolete.clear()
        _write_if_changed(path, catalog)
        path.with_suffix(".mo").write_bytes(compiled(read_catalog(path, language)))


def find_faults() -> Iterator[str]:
    """Yield a line for everything that is missing, stale, unfinished or unequal."""
    template = extract()
    wanted = _ids(template)
    if len(wanted) < MINIMUM_MESSAGES:
        yield f"only {len(wanted)} texts found in the source: is the extraction broken?"
    if _ids(read_catalog(TEMPLATE)) != wanted:
        yield f"{TEMPLATE.name} is out of date: run `make translations`"
    for language in LANGUAGES:
        path = _po_path(language)
        catalog = read_catalog(path, language)
        yield from (f"{language}: missing: {text!r}" for text in sorted(wanted - _ids(catalog)))
        yield from (f"{language}: obsolete: {text!r}" for text in sorted(_ids(catalog) - wanted))
        for message in _messages(catalog):
            yield from (f"{language}: {fault}" for fault in message_faults(message, catalog))
        compiled_path = path.with_suffix(".mo")
        if not compiled_path.exists() or compiled_path.read_bytes() != compiled(catalog):
            yield f"{language}: {compiled_path.name} is not what {path.name} compiles to"


def message_faults(message: Message, catalog: Catalog) -> Iterator[str]:
    """Yield the faults of one translation."""
    sources = message.id if isinstance(message.id, list | tuple) else (message.id,)
    texts = message.string if isinstance(message.string, list | tuple) else (message.string,)
    name = repr(sources[0])
    if message.fuzzy:
        yield f"fuzzy: {name}"
    if len(texts) != (catalog.num_plurals if len(sources) > 1 else 1):
        yield f"wrong number of plural forms: {name}"
    if not all(texts):
        yield f"not translated: {name}"
    allowed = [_placeholders(source) for source in sources]
    for text in filter(None, texts):
        if _placeholders(text) not in allowed:
            yield f"other placeholders in the translation: {name}"
        if text.endswith("\n") != sources[0].endswith("\n"):
            yield f"only one of the two ends its line: {name}"


def read_catalog(path: Path, language: str | None = None) -> Catalog:
    """Read a catalogue file; a missing one is empty."""
    if not path.exists():
        return Catalog(locale=language)
    with path.open("rb") as stream:
        return read_po(stream, locale=language)


def compiled(catalog: Catalog) -> bytes:
    """Return the bytes of the compiled catalogue; equal catalogues give equal bytes."""
    stream = io.BytesIO()
    write_mo(stream, catalog)
    return stream.getvalue()


def _messages(catalog: Catalog) -> Iterator[Message]:
    return (message for message in catalog if message.id)


def _ids(catalog: Catalog) -> set[str]:
    return {
        "|".join(message.id) if isinstance(message.id, list | tuple) else message.id
        for message in _messages(catalog)
    }


def _placeholders(text: str) -> list[str]:
    return sorted(match.group(0) for match in _PLACEHOLDER.finditer(text))


def _po_path(language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / "jim.po"


def _write_if_changed(path: Path, catalog: Catalog) -> None:
    """Write a catalogue unless only its dates would change."""
    if path.exists():
        old = read_catalog(path)
        catalog.creation_date, catalog.revision_date = old.creation_date, old.revision_date
    stream = io.BytesIO()
    write_po(stream, catalog, width=100, sort_output=True, no_location=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(stream.getvalue())


if __name__ == "__main__":
    sys.exit(main())
