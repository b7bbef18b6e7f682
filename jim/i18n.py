"""Translate what people read; English is the language of the source, so it needs no catalogue.

The language is found once, on the first translated text, and may be set again with
`set_language`. Command names, wire fields and log events are never translated.
This module imports nothing of JIM, so that everything else may import it.
"""

from __future__ import annotations

import argparse
import contextlib
import gettext
import os
import sys
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DOMAIN = "jim"
"""Name of the catalogue files: locale/<language>/LC_MESSAGES/jim.mo."""

SOURCE_LANGUAGE = "en"
"""The language of the message ids (decision of the project: code and texts in English)."""

ENVIRONMENT = ("JIM_LANG", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
"""Where the language is looked for: our own variable, then the order of GNU gettext."""

_active: tuple[str, gettext.NullTranslations] | None = None


def _(message: str) -> str:
    """Return the translation of a text, or the text itself when there is none."""
    # The empty id holds the catalogue's header; argparse also passes None here.
    return _translations().gettext(message) if message else message


def ngettext_(singular: str, plural: str, number: int) -> str:
    """Return the translated form that fits `number`; the caller formats the number into it."""
    return _translations().ngettext(singular, plural, number)


def N_(message: str) -> str:  # noqa: N802  (the customary gettext name)
    """Mark a text for the catalogue without translating it yet: tables and constants."""
    return message


def set_language(language: str | None = None) -> str:
    """Choose the language of all later texts.

    Args:
        language: a code such as "ru" or "ru_RU.UTF-8"; None looks at the environment again.

    Returns:
        The code of the language in use. One that has no catalogue means English.
    """
    global _active  # noqa: PLW0603  (one process speaks one language)
    wanted = preferred_languages() if language is None else [_code(language)]
    _active = _first_available(wanted)
    return _active[0]


def current_language() -> str:
    """Return the code of the language in use, finding it first if need be."""
    return _active[0] if _active is not None else set_language()


def preferred_languages(environment: Mapping[str, str] = os.environ) -> list[str]:
    """List the language codes that the user asks for, the most wanted first.

    The first variable of `ENVIRONMENT` that is set decides; LANGUAGE may name several, separated
    by colons, and counts for nothing under LC_ALL=C, as in GNU gettext. Where none is set, the
    operating system is asked (Windows and macOS).
    """
    untranslated = environment.get("LC_ALL") in {"C", "POSIX"}
    for variable in ENVIRONMENT:
        value = environment.get(variable, "").strip()
        if value and not (variable == "LANGUAGE" and untranslated):
            return [_code(part) for part in value.split(":") if part]
    return [_code(name) for name in _system_languages()]


def install_argparse() -> None:
    """Make argparse speak our language: its usage line, headings and errors.

    argparse takes its texts from gettext's default domain, which holds nothing. Its message ids
    are in our catalogue (tools/argparse_messages.py), so its two module-level functions are
    replaced by ours. Call it before a parser is made; calling it again changes nothing.
    Python 3.11 and 3.12 do not translate the help of a `version` action: pass `help=_(…)`.
    """
    argparse._ = _  # type: ignore[attr-defined]
    argparse.ngettext = ngettext_  # type: ignore[attr-defined]


def _translations() -> gettext.NullTranslations:
    if _active is None:
        set_language()
    assert _active is not None  # noqa: S101  (set_language has just set it)
    return _active[1]


def _first_available(languages: list[str]) -> tuple[str, gettext.NullTranslations]:
    for language in languages:
        if language == SOURCE_LANGUAGE:
            break
        catalogue = resources.files(__package__).joinpath(
            "locale", language, "LC_MESSAGES", f"{DOMAIN}.mo"
        )
        if language.isalpha() and catalogue.is_file():
            with catalogue.open("rb") as stream:
                return language, gettext.GNUTranslations(stream)
    return SOURCE_LANGUAGE, gettext.NullTranslations()


def _code(locale_name: str) -> str:
    """Reduce a locale name to its language: "ru_RU.UTF-8" to "ru", "C" to English."""
    language = locale_name.strip().lower()
    for separator in "_-.@":
        language = language.partition(separator)[0]
    return SOURCE_LANGUAGE if language in {"c", "posix"} else language


def _system_languages() -> list[str]:
    """Ask the operating system where the environment says nothing; Linux has nobody to ask."""
    languages: list[str] = []
    if sys.platform == "win32":
        import ctypes  # noqa: PLC0415
        import locale  # noqa: PLC0415

        identifier = ctypes.windll.kernel32.GetUserDefaultUILanguage()
        languages = [locale.windows_locale.get(identifier, SOURCE_LANGUAGE)]
    elif sys.platform == "darwin":
        import subprocess  # noqa: PLC0415

        command = ["/usr/bin/defaults", "read", "-g", "AppleLocale"]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            answer = subprocess.run(  # noqa: S603
                command, capture_output=True, text=True, timeout=1, check=True
            )
            languages = [answer.stdout]
    return languages
