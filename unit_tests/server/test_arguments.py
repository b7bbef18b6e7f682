"""The help of each command names what means something there, in the reader's language."""

from __future__ import annotations

import re

import pytest

from jim import i18n
from jim.server.arguments import FLAGS, SUBCOMMANDS, parse


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as ended:
        parse([*arguments, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_verify_takes_only_what_it_heeds(capsys: pytest.CaptureFixture[str]) -> None:
    flags = set(re.findall(r"--[a-z-]+", shown(capsys, "verify").partition("options:")[2]))
    assert flags == {"--help", "--data-dir", "--config", "--json"}
    request = parse(["verify", "--data-dir", "d", "--config", "c", "--json"])
    assert (request.task, request.as_json, str(request.config)) == ("verify", True, "c")
    assert dict(request.flags.values) == {"data_dir": "d"}
    for flag in ("-p", "--registration", "--limit"):
        with pytest.raises(SystemExit) as ended:
            parse(["verify", flag, "open"])
        assert ended.value.code == 2


def test_all_others_take_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    for task in ((), ("invite",), ("fingerprint",), ("resync",)):
        help_text = shown(capsys, *task)
        assert all(flag in help_text for flags in FLAGS.values() for flag in flags)
        assert "--limit NAME=VALUE" in help_text


@pytest.mark.parametrize("task", [(), *((name,) for name in SUBCOMMANDS)])
def test_the_help_in_russian(capsys: pytest.CaptureFixture[str], task: tuple[str, ...]) -> None:
    i18n.set_language("ru")
    foreign = re.findall(r"(?<![A-Za-zА-Яа-я])[A-Z]{3,}(?![A-Za-z])", shown(capsys, *task))
    assert set(foreign) <= {"JIM", "TLS", "PEM", "TOML", "JSON", "TCP"}
