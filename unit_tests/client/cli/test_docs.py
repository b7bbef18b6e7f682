"""docs/client.md says what the code does."""

from __future__ import annotations

from pathlib import Path

from jim.client.cli.parsers import SUBCOMMANDS
from jim.client.console.commands import COMMANDS
from jim.client.console.explain import Exit
from jim.client.console.view import MARKS, WORDS

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "client.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading, without its head."""
    section = PAGE.split(f"## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def test_the_table_of_commands() -> None:
    expected = []
    for command in COMMANDS:
        words = " ".join(f"`{word}`" for word in command.words)
        others = " ".join(f"`{form}`" for form in command.slash[1:])
        expected.append([command.number, words, f"`{command.usage}` {others}", command.summary])
    assert rows("Commands at the prompt") == expected


def test_the_table_of_states() -> None:
    expected = [[f"`{mark}`", WORDS[state]] for state, mark in MARKS.items()]
    assert [row[:2] for row in rows("States of your messages")] == expected


def test_the_table_of_exit_codes() -> None:
    assert [int(row[0]) for row in rows("Exit codes")] == sorted(Exit)


def test_every_subcommand_is_named() -> None:
    assert all(f"jim {name}" in PAGE for name in SUBCOMMANDS)
