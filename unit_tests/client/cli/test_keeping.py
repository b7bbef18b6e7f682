"""Passphrases, backups and exports as commands, against a real server and at a real terminal."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from unit_tests.support.processes import Program, World, environment, world
from unit_tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as running:
        yield running


def secret(folder: Path, text: str) -> str:
    path = folder / f"{text}.txt"
    path.write_text(f"{text}\n")
    path.chmod(0o600)
    return str(path)


def joined(here: World) -> None:
    assert here.client("bob").finish("3") == 0
    assert here.client("alice").finish("1", "bob", "hello bob", "3") == 0


def alone(here: World, owner: str, *arguments: str, **env: str) -> Program:
    """Start a command that has no terminal to ask at, whatever the tests have."""
    env = {"JIM_NAME": owner, "JIM_SERVER": f"127.0.0.1:{here.port}", **env}
    command = "import os, sys; os.setsid(); from jim.client.cli import main; sys.exit(main())"
    program = Program(
        *(sys.executable, "-c", command, *arguments), env=environment(here.home(owner), **env)
    )
    here._programs.append(program)
    return program


def terminal(here: World, owner: str, *arguments: str) -> Terminal:
    env = environment(here.home(owner), JIM_NAME=owner, JIM_SERVER=f"127.0.0.1:{here.port}")
    return Terminal([sys.executable, "-m", "jim.client", *arguments], {**env, "TERM": "xterm"})


def test_a_sealed_key_is_asked_for_and_scripts_name_a_file(here: World, tmp_path: Path) -> None:
    joined(here)
    sesame, other = secret(tmp_path, "sesame"), secret(tmp_path, "other")
    done = alone(here, "alice", "passphrase", "set", "--new-passphrase-file", sesame)
    assert done.wait() == 0
    assert alone(here, "alice", "passphrase", "set", "--new-passphrase-file", sesame).wait() == 2
    locked = alone(here, "alice", "send", "bob", "in vain")
    assert locked.wait() == 4
    assert "JIM_PASSPHRASE_FILE" in "".join(locked.errors)
    wrong = alone(here, "alice", "send", "bob", "in vain", JIM_PASSPHRASE_FILE=other)
    assert wrong.wait() == 4
    assert "not the passphrase" in "".join(wrong.errors)
    assert alone(here, "alice", "send", "bob", "open", JIM_PASSPHRASE_FILE=sesame).wait() == 0
    assert alone(here, "alice", "whoami").wait() == 0
    assert "sealed" in "".join(here.jim("alice", "doctor").expect("Key of this device"))
    changed = alone(
        *(here, "alice", "passphrase", "change", "--new-passphrase-file", other),
        JIM_PASSPHRASE_FILE=sesame,
    )
    assert changed.wait() == 0
    assert alone(here, "alice", "history", "bob", JIM_PASSPHRASE_FILE=other).wait() == 0
    removed = alone(here, "alice", "passphrase", "remove", JIM_PASSPHRASE_FILE=other)
    assert removed.wait() == 0
    assert alone(here, "alice", "send", "bob", "without").wait() == 0
    assert alone(here, "alice", "passphrase", "change").wait() == 2


def words_in(program: Program) -> str:
    return next(line for line in program.errors if len(line.split()) == 12 and line.islower())


@pytest.mark.parametrize("command", ["recover", "reset"])
def test_the_words_bring_back_a_device_whose_key_is_sealed(
    here: World, tmp_path: Path, command: str
) -> None:
    sesame, address = secret(tmp_path, "sesame"), f"127.0.0.1:{here.port}"
    alice = here.client("alice")
    assert alice.finish("3") == 0
    words = words_in(alice)
    assert here.jim("laptop", "recover", "alice", address).finish(words) == 0
    set_ = alone(here, "laptop", "passphrase", "set", "--new-passphrase-file", sesame, JIM_NAME="")
    assert set_.wait() == 0, set_.errors
    flags = (command, "alice", address, *(("--yes",) if command == "reset" else ()))
    if command == "recover":
        listed = here.jim("alice", "devices", "--json")
        assert listed.wait() == 0
        other = next(each["id"] for each in map(json.loads, listed.lines) if not each["this"])
        assert here.jim("alice", "devices", "remove", other, "--yes").wait() == 0
        assert alone(here, "laptop", "listen", JIM_PASSPHRASE_FILE=sesame, JIM_NAME="").wait() == 4
    locked = alone(here, "laptop", *flags)
    assert locked.finish(words) == 4
    opened = alone(here, "laptop", *flags, JIM_PASSPHRASE_FILE=sesame)
    assert opened.finish(words) == 0, opened.errors
    assert "sealed" in "".join(here.jim("laptop", "doctor", JIM_NAME="").expect("Key of this"))


def test_a_file_with_a_passphrase_that_others_can_read_is_refused(
    here: World, tmp_path: Path
) -> None:
    joined(here)
    sesame = secret(tmp_path, "sesame")
    done = alone(here, "alice", "passphrase", "set", "--new-passphrase-file", sesame)
    assert done.wait() == 0
    (tmp_path / "sesame.txt").chmod(0o644)
    refused = alone(here, "alice", "send", "bob", "x", JIM_PASSPHRASE_FILE=sesame)
    assert refused.wait() == 1
    assert "chmod 600" in "".join(refused.errors)


def test_at_a_terminal_there_are_three_tries_and_nothing_is_shown(here: World) -> None:
    joined(here)
    setting = terminal(here, "alice", "passphrase", "set")
    setting.expect("New passphrase:")
    setting.line("open sesame")
    setting.expect("The same again:")
    setting.line("open sesami")
    setting.expect("two different ones")
    setting.expect("New passphrase:", 2)
    setting.line("open sesame")
    setting.expect("The same again:", 2)
    setting.line("open sesame")
    setting.expect("is sealed")
    assert setting.wait() == 0
    assert b"sesam" not in setting.raw
    for typed, status in ((["no", "nein", "нет"], 4), (["no", "open sesame"], 0)):
        sending = terminal(here, "alice", "send", "bob", "hi")
        for place, each in enumerate(typed):
            sending.expect("Passphrase of this device's key:", place + 1)
            sending.line(each)
        assert sending.wait() == status
        assert b"sesame" not in sending.raw
        assert "the passphrase is wrong" not in sending.everything  # said once, in any language


def test_ctrl_c_at_a_secret_leaves_a_terminal_that_echoes(here: World, tmp_path: Path) -> None:
    joined(here)
    asking = terminal(here, "alice", "backup", str(tmp_path / "alice.jim"))
    asking.expect("Passphrase for the backup:")
    asking.until(lambda: not asking.echoes, "no echo")
    asking.send("\x03")
    assert asking.wait() == 130
    assert asking.echoes


def test_a_backup_that_cannot_be_written_asks_for_no_passphrase(
    here: World, tmp_path: Path
) -> None:
    joined(here)
    (tmp_path / "there").touch()
    for file, why in (("there", "in its place already"), ("nowhere/file", "cannot be used")):
        refused = terminal(here, "alice", "backup", str(tmp_path / file))
        assert refused.wait() == 1
        assert why in refused.everything.replace("\n", "")
        assert "Passphrase" not in refused.everything


def test_a_passphrase_of_a_backup_can_be_typed_again(here: World, tmp_path: Path) -> None:
    joined(here)
    file, sesame = str(tmp_path / "alice.jim"), secret(tmp_path, "sesame")
    assert alone(here, "alice", "backup", file, "--passphrase-file", sesame).wait() == 0
    for typed, status in ((["no", "nein", "нет"], 1), (["no", "sesame"], 0)):
        asking = terminal(here, "new", "restore", file)
        for place, each in enumerate(typed):
            asking.expect("Passphrase of the backup:", place + 1)
            asking.until(lambda: not asking.echoes, "no echo")  # noqa: B023 - read at once
            asking.line(each)
        assert asking.wait() == status
        assert "(the passphrase is wrong)" not in asking.everything


def test_a_running_client_has_the_key_and_nobody_else_is_asked(here: World, tmp_path: Path) -> None:
    joined(here)
    sesame = secret(tmp_path, "sesame")
    done = alone(here, "alice", "passphrase", "set", "--new-passphrase-file", sesame)
    assert done.wait() == 0
    listening = alone(here, "alice", "listen", "--json", JIM_PASSPHRASE_FILE=sesame)
    assert here.jim("bob", "send", "alice", "are you there").wait() == 0
    listening.expect("are you there")
    beside = alone(here, "alice", "send", "bob", "through the one that runs")
    assert beside.wait() == 0, beside.errors
    busy = alone(here, "alice", "passphrase", "remove", JIM_PASSPHRASE_FILE=sesame)
    assert busy.wait() == 1
    assert listening.stop() == 130


def test_a_backup_comes_back_as_a_new_device(here: World, tmp_path: Path) -> None:
    joined(here)
    sesame, other = secret(tmp_path, "sesame"), secret(tmp_path, "other")
    file = str(tmp_path / "alice.jim")
    assert alone(here, "alice", "backup", file).wait() == 2
    assert alone(here, "alice", "backup", file, "--passphrase-file", sesame).wait() == 0
    assert alone(here, "alice", "backup", file, "--passphrase-file", sesame).wait() == 1
    forced = ("backup", file, "--passphrase-file", sesame, "--force")
    assert alone(here, "alice", *forced).wait() == 0
    assert alone(here, "new", "restore", file, "--passphrase-file", other).wait() == 1
    assert alone(here, "new", "restore", file).wait() == 2
    restored = alone(here, "new", "restore", file, "--passphrase-file", sesame)
    assert restored.wait() == 0, restored.errors
    assert "new device" in "".join(restored.lines)
    assert restored.lines[-1] == f"To talk from here: jim 127.0.0.1:{here.port} -n alice"
    assert alone(here, "new", "restore", file, "--passphrase-file", sesame).wait() == 1
    sent = alone(here, "new", "send", "bob", "from the new device", JIM_NAME="alice")
    assert sent.wait() == 0, sent.errors
    assert "new device of your account" in "".join(sent.errors)
    old = alone(here, "alice", "send", "bob", "from the old one")
    assert old.wait() != 0
    assert here.jim("alice", "verify", JIM_DATA_DIR=str(data_of(here, "new"))).wait() == 0


def data_of(here: World, owner: str) -> Path:
    (found,) = here.home(owner).rglob("known_servers")
    return found.parent


def test_the_words_seal_a_backup_too(here: World, tmp_path: Path) -> None:
    assert here.client("bob").finish("3") == 0
    alice = here.client("alice")
    assert alice.finish("3") == 0
    words = next(
        line.strip() for line in alice.errors if len(line.split()) == 12 and line.strip().islower()
    )
    file = str(tmp_path / "alice.jim")
    made = alone(here, "alice", "backup", file, "--words")
    assert made.finish(words) == 0, made.errors
    other = alone(here, "new", "restore", file)
    assert other.finish("") == 2
    restored = alone(here, "new", "restore", file)
    assert restored.finish(words) == 0, restored.errors


def test_an_export_is_checked_without_a_server(here: World, tmp_path: Path) -> None:
    joined(here)
    file = tmp_path / "alice.jsonl"
    assert here.jim("alice", "export").wait() == 2
    assert here.jim("alice", "export", "--jsonl", str(file)).wait() == 0
    again = here.jim("alice", "export", "--jsonl", str(file))
    assert again.wait() == 1
    assert "There is such a file already" in again.errors[-1]
    nothing = here.jim("alice", "export", "--verify", str(tmp_path / "none"))
    assert nothing.wait() == 1
    assert "The file cannot be used" in "".join(nothing.errors + nothing.lines)
    assert file.stat().st_mode & 0o777 == 0o600
    out = here.jim("alice", "export", "--jsonl")
    assert out.wait() == 0
    assert [json.loads(line)["type"] for line in out.lines] == ["export", "message", "signature"]
    checked = here.jim("bob", "export", "--verify", str(file))
    assert checked.wait() == 0
    root = checked.expect("root of the account")[0].rsplit(" ", 1)[1]
    assert here.jim("bob", "export", "--verify", str(file), "--root", root).wait() == 0
    assert here.jim("bob", "export", "--verify", str(file), "--root", "0" * 64).wait() == 1
    file.write_text(file.read_text().replace("hello bob", "hello rob"))
    altered = here.jim("bob", "export", "--verify", str(file))
    assert altered.wait() == 1
    assert "ALTERED" in "".join(altered.lines)
