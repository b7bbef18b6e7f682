"""The command line: the seed's form, the subcommands, help in both languages."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jim import __version__, i18n
from jim.client.cli import main
from jim.client.cli.accounts import parse_target
from jim.client.cli.interactive import wants_colours
from jim.client.cli.parsers import SUBCOMMANDS, parse, subcommand_parser
from jim.crypto.invites import Invite, format_invite
from jim.crypto.keys import SigningKey
from jim.errors import InviteMalformed, SettingsError

if TYPE_CHECKING:
    import argparse


def seen(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


@pytest.mark.parametrize(
    ("arguments", "address", "port", "name"),
    [
        ([], None, None, None),
        (["10.0.0.1"], "10.0.0.1", None, None),
        (["10.0.0.1", "8888", "-n", "alice"], "10.0.0.1", "8888", "alice"),
        (["-n", "alice", "10.0.0.1"], "10.0.0.1", None, "alice"),
        (["--name", "пётр"], None, None, "пётр"),
        (["send:7777"], "send:7777", None, None),
    ],
)
def test_the_seeds_command_line(
    arguments: list[str], address: str | None, port: str | None, name: str | None
) -> None:
    options = parse(arguments)
    assert (options.address, options.port, options.name) == (address, port, name)


def test_keys_are_accepted_or_dropped_not_both(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, error = seen(capsys, "trust", "bob", "--accept", "--forget")
    assert (status, "not allowed with argument --accept" in error) == (2, True)


def test_the_address_in_every_form() -> None:
    assert str(parse_target(None).address) == "localhost:7777"
    assert str(parse_target("10.0.0.1", "8888").address) == "10.0.0.1:8888"
    assert str(parse_target("chat.example.org:1").address) == "chat.example.org:1"
    assert str(parse_target("::1").address) == "[::1]:7777"
    invite = Invite("chat.example.org", 7000, SigningKey.generate().public, "a" * 26)
    target = parse_target(format_invite(invite))
    assert (str(target.address), target.invite) == ("chat.example.org:7000", invite)


@pytest.mark.parametrize(
    ("text", "port"),
    [("a b", None), ("host", "x"), ("host", "0"), ("host", "65536"), ("host:x", None), ("h", "²")],
)
def test_what_is_no_address(text: str, port: str | None) -> None:
    with pytest.raises(SettingsError):
        parse_target(text, port)


def test_half_an_invite_is_no_address() -> None:
    with pytest.raises(InviteMalformed):
        parse_target("jim://host:7777")


@pytest.mark.parametrize(
    "arguments", [["--bad"], ["send"], ["send", "bob", "x", "y"], ["a", "1", "b"]]
)
def test_a_wrong_command_line_is_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    code, out, err = seen(capsys, *arguments)
    assert (code, out) == (2, "")
    assert "usage: " in err


def test_flags_are_never_abbreviated(capsys: pytest.CaptureFixture[str]) -> None:
    assert seen(capsys, "--nam", "x")[0] == 2
    assert seen(capsys, "listen", "--js")[0] == 2


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert seen(capsys, "--version")[:2] == (0, f"jim {__version__}\n")


@pytest.mark.parametrize("arguments", [["--help"], *([name, "--help"] for name in SUBCOMMANDS)])
def test_help_in_both_languages(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    english = seen(capsys, *arguments, "--lang", "en")[1]
    russian = seen(capsys, *arguments, "--lang=ru")[1]
    assert english.startswith("usage: ")
    assert russian.startswith("использование: ")
    assert "show this help message and exit" in english
    for line in english.splitlines():
        foreign = line.strip()
        if len(foreign) > 40 and foreign[0].islower() and not foreign.startswith(("jim ", "echo")):
            assert foreign not in russian, foreign


def test_the_help_lists_the_subcommands_and_examples(capsys: pytest.CaptureFixture[str]) -> None:
    shown = seen(capsys, "--help")[1]
    assert all(f"  {name} " in shown for name in SUBCOMMANDS)
    assert "jim listen --json" in shown


def test_errors_of_argparse_in_russian(capsys: pytest.CaptureFixture[str]) -> None:
    i18n.set_language("ru")
    _code, _out, err = seen(capsys, "send", "--timeout", "x", "--lang", "ru")
    assert "ошибка" in err


@pytest.mark.parametrize("value", ["-1", "x", "nan", "inf", "1e30"])
def test_a_timeout_is_a_number_of_seconds(value: str) -> None:
    with pytest.raises(SystemExit):
        subcommand_parser("send").parse_args(["bob", "x", f"--timeout={value}"])


@pytest.mark.parametrize("arguments", [[], *([name] for name in SUBCOMMANDS)])
def test_an_empty_data_directory_is_a_mistake_not_the_current_one(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    code, out, err = seen(capsys, *arguments, "--data-dir", "")
    assert (code, out) == (2, "")
    assert "--data-dir: an empty name is no directory" in err


def test_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wants_colours("auto")
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_colours("auto")
    assert wants_colours("always")
    assert not wants_colours("never")


def test_no_flag_takes_a_secret() -> None:
    for name in SUBCOMMANDS:
        parser: argparse.ArgumentParser = subcommand_parser(name)
        taking = [action for action in parser._actions if action.nargs != 0]
        flags = {flag for action in taking for flag in action.option_strings}
        assert not flags & {"--passphrase", "--words", "--key", "--password", "--token"}
