"""What is started and how it is shown is decided from a snapshot, for every platform."""

from __future__ import annotations

from pathlib import Path

import pytest

from jim.launch import tmux, windows
from jim.launch.cli import main
from jim.launch.mux import Lines, parse_target
from jim.launch.plan import (
    Command,
    LaunchError,
    Mode,
    Programs,
    Surroundings,
    UsageError,
    choose_mode,
    client_names,
    make_plan,
)

PROGRAMS = Programs(("py", "my_server.py"), ("py", "my_client.py"), ("py", "launcher.py"))


def around(
    platform: str = "linux", *programs: str, terminal: bool = True, **environment: str
) -> Surroundings:
    return Surroundings(platform, terminal, {"TERM": "xterm", **environment}, frozenset(programs))


@pytest.mark.parametrize(
    ("surroundings", "mode"),
    [
        (around("linux", "tmux", terminal=False), Mode.HEADLESS),
        (around("win32", terminal=False), Mode.HEADLESS),
        (around("linux", "tmux", TMUX="/tmp/x,1,0"), Mode.TMUX),
        (around("linux", "tmux", TMUX="/tmp/x,1,0", TERM="dumb"), Mode.TMUX),
        (around("linux", "tmux", "xdg-terminal-exec", DISPLAY=":0"), Mode.TMUX),
        (around("darwin", "tmux"), Mode.TMUX),
        (around("linux", "tmux", TERM="dumb"), Mode.MUX),
        (around("win32"), Mode.WINDOWS),
        (around("darwin"), Mode.WINDOWS),
        (around("linux", "xdg-terminal-exec", DISPLAY=":0"), Mode.WINDOWS),
        (around("linux", WAYLAND_DISPLAY="w", TERMINAL="foot"), Mode.WINDOWS),
        (around("linux", "x-terminal-emulator", DISPLAY=":0"), Mode.WINDOWS),
        (around("linux", "x-terminal-emulator"), Mode.MUX),
        (around("linux", DISPLAY=":0"), Mode.MUX),
    ],
)
def test_auto_takes_the_best_that_is_there(surroundings: Surroundings, mode: Mode) -> None:
    assert choose_mode("auto", surroundings) is mode


def test_a_wanted_mode_is_taken_or_refused_with_a_way_out() -> None:
    assert choose_mode("headless", around()) is Mode.HEADLESS
    assert choose_mode("mux", around("linux", "tmux")) is Mode.MUX
    with pytest.raises(LaunchError, match="--mode mux"):
        choose_mode("tmux", around())
    with pytest.raises(LaunchError, match="--mode windows"):
        choose_mode("mux", around("win32"))
    with pytest.raises(LaunchError, match=r"\$TERMINAL"):
        choose_mode("windows", around())


def test_names_are_given_or_the_usual_ones() -> None:
    assert client_names(None, None, usual=2) == ["alice", "bob"]
    assert client_names(None, None, usual=3) == ["alice", "bob", "carol"]
    assert client_names(6, None, usual=2) == ["alice", "bob", "carol", "dave", "user5", "user6"]
    assert client_names(None, "Пётр, bob,eve", usual=2) == ["пётр", "bob", "eve"]
    assert client_names(4, "bob", usual=2) == ["bob", "alice", "carol", "dave"]
    assert client_names(1, "bob,eve", usual=2) == ["bob"]


@pytest.mark.parametrize(
    ("number", "names"),
    [
        (0, None),
        (17, None),
        (None, "bob,bob"),
        (None, "bob,BOB"),
        (None, ""),
        (2, "-n"),
        (1, "a b"),
        (1, "a\x1b"),
        (1, "admin"),
    ],
)
def test_impossible_clients_are_wrong_usage(number: int | None, names: str | None) -> None:
    with pytest.raises(UsageError):
        client_names(number, names, usual=2)


def test_fewer_clients_than_needed_are_wrong_usage() -> None:
    with pytest.raises(UsageError, match="between 2 and 16"):
        client_names(1, None, usual=3, least=2)


@pytest.mark.parametrize(
    "words",
    [
        ("--names", "bob,bob"),
        ("--names", "a b"),
        ("-k", "17"),
        ("-k", "many"),
        ("-p", "0"),
        ("-p", "65536"),
        ("--data-dir", ""),
    ],
)
def test_wrong_usage_is_2_and_starts_nothing(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status: object = main([*words, "--mode", "mux", "--dry-run"], PROGRAMS)
    except SystemExit as left:
        status = left.code
    assert status == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "jim-launch: " in shown.err


def test_the_plan_has_the_exact_commands() -> None:
    plan = make_plan(PROGRAMS, ["alice"], address="127.0.0.1", port=7777)
    assert plan.server == Command(("py", "my_server.py", "-p", "7777", "-a", "127.0.0.1"))
    assert plan.clients == {
        "alice": Command(("py", "my_client.py", "127.0.0.1", "7777", "-n", "alice"))
    }


def test_clients_of_a_server_that_listens_everywhere_use_localhost() -> None:
    assert make_plan(PROGRAMS, ["a"], address="", port=1).host == "localhost"
    assert make_plan(PROGRAMS, ["a"], address="0.0.0.0", port=1).host == "localhost"
    assert make_plan(PROGRAMS, ["a"], address="::1", port=1).host == "::1"


def test_data_kept_elsewhere_and_no_server_when_joining() -> None:
    plan = make_plan(PROGRAMS, ["a"], address="", port=1, data_dir=Path("/d"), join=True)
    assert plan.server is None
    assert plan.clients["a"].shell() == "JIM_DATA_DIR=/d/clients py my_client.py localhost 1 -n a"
    assert plan.clients["a"].packed()[:2] == ("env", "JIM_DATA_DIR=/d/clients")
    plan = make_plan(PROGRAMS, ["a"], address="", port=1, data_dir=Path("/d x"))
    assert plan.server is not None
    assert plan.server.shell() == "py my_server.py -p 1 --data-dir '/d x/server'"


def test_a_checkout_runs_scripts_and_an_installation_modules() -> None:
    assert Programs.of("py", Path("/c")).server == ("py", "/c/my_server.py")
    assert Programs.of("py", None).launcher == ("py", "-m", "jim.launch")


@pytest.mark.parametrize(
    ("surroundings", "command"),
    [
        (around("win32"), ("py", "x y")),
        (around("linux", "xdg-terminal-exec", DISPLAY=":0"), ("xdg-terminal-exec", "py", "x y")),
        (around("linux", DISPLAY=":0", TERMINAL="foot -F"), ("foot", "-F", "-e", "py", "x y")),
        (
            around("linux", DISPLAY=":0", TERMINAL="/usr/bin/gnome-terminal"),
            ("/usr/bin/gnome-terminal", "--", "py", "x y"),
        ),
        (
            around("linux", "x-terminal-emulator", DISPLAY=":0"),
            ("x-terminal-emulator", "-e", "py", "x y"),
        ),
        (
            around("darwin"),
            (
                "osascript",
                "-e",
                'tell application "Terminal" to do script "exec py \'x y\'"',
                "-e",
                'tell application "Terminal" to activate',
            ),
        ),
    ],
)
def test_a_window_is_opened_as_the_platform_wants_it(
    surroundings: Surroundings, command: tuple[str, ...]
) -> None:
    assert windows.window_command(surroundings, Command(("py", "x y"))) == command


def test_quotes_survive_applescript() -> None:
    script = windows.window_command(around("darwin"), Command(("echo", 'a"b\\c')))[2]
    assert script.endswith(r"""do script "exec echo 'a\"b\\c'" """.strip())


def test_the_dry_run_of_tmux_is_a_script() -> None:
    plan = make_plan(PROGRAMS, ["alice", "bob"], address="", port=5)
    lines = list(tmux.dry_run(plan, "demo"))
    assert lines[0].startswith("pane0=$(tmux -L demo -f /dev/null new-session -d -s demo")
    assert lines[0].endswith(" py launcher.py --keep server -- py my_server.py -p 5)")
    bob = "pane2=$(tmux -L demo split-window -d -t \"$pane1\" -P -F '#{pane_id}' py launcher.py"
    assert f"{bob} --keep client -- py my_client.py localhost 5 -n bob)" in lines
    assert lines[-1] == "tmux -L demo attach-session -t =demo"


def test_typed_lines_go_to_the_client_they_name() -> None:
    names = ["alice", "bob"]
    assert parse_target(">2 hello  there", names) == ("bob", "hello  there")
    assert parse_target("  >alice 1", names) == ("alice", "1")
    assert parse_target(">2", names) == ("bob", "")
    assert parse_target(">3 x", names) is None
    assert parse_target(">0 x", names) is None
    assert parse_target(">² x", names) is None
    assert parse_target("hello", names) is None


def test_lines_come_whole_from_any_chunks() -> None:
    lines = Lines()
    assert lines.feed("при".encode()[:3]) == []
    assert lines.feed("при".encode()[3:] + b"\r\nb") == ["при"]
    assert lines.feed(b"") == ["b"]
    assert [len(line) for line in lines.feed(b"x" * 70000)] == [70000]


def test_a_plan_carries_language_and_places_for_whoever_starts_its_programs() -> None:
    plan = make_plan(PROGRAMS, ["alice"], address="", port=7777, data_dir=Path("/d"))
    carried = plan.carrying(
        {"HOME": "/h", "LANGUAGE": "ru", "JIM_LOG_DIR": "/l", "JIM_DATA_DIR": "/no", "PATH": "/bin"}
    )
    assert carried.server is not None
    assert plan.server is not None
    assert carried.server.argv == plan.server.argv
    found = dict(carried.clients["alice"].extra)
    assert (found["HOME"], found["LANGUAGE"], found["JIM_LOG_DIR"]) == ("/h", "ru", "/l")
    assert found["LC_ALL"] == "", "what is set only where the programs are started must not count"
    assert "PATH" not in found
    assert found["JIM_DATA_DIR"] == "/d/clients", "what was asked for wins"
