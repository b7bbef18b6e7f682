from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING

import msgspec
import pytest

from jim.core.limits import Limits
from jim.errors import SettingsError
from jim.server import settings as s
from jim.server.arguments import FLAGS, parse

if TYPE_CHECKING:
    from pathlib import Path

NOTHING = s.Layer({}, {}, is_text=True)


def load(*argv: str, env: dict[str, str] | None = None, config: Path | None = None) -> s.Loaded:
    return s.load(parse(argv).flags, env or {}, config)


def written(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_the_defaults() -> None:
    loaded = load()
    assert loaded.settings == s.Settings()
    assert loaded.settings.port == 7777
    assert set(loaded.origins.values()) == {"default"}


def test_flags_beat_environment_beats_file_beats_defaults(tmp_path: Path) -> None:
    config = written(
        tmp_path / "server.toml",
        'port = 1\naddress = "a"\nregistration = "closed"\n[limits]\nwindow = 1\nping_s = 2\n',
    )
    env = {
        "JIM_SERVER_PORT": "2",
        "JIM_SERVER_ADDRESS": "b",
        "JIM_SERVER_LIMITS__WINDOW": "2",
    }
    argv = ("--config", str(config), "-p", "3", "--limit", "window=3")
    loaded = load(*argv, env=env, config=config)
    chosen = loaded.settings
    assert (chosen.port, chosen.address, chosen.registration, chosen.loop) == (
        3,
        "b",
        "closed",
        "auto",
    )
    assert (chosen.limits.window, chosen.limits.ping_s) == (3, 2.0)
    origins = loaded.origins
    assert origins["port"] == "--port"
    assert origins["address"] == "JIM_SERVER_ADDRESS"
    assert origins["registration"] == str(config)
    assert origins["loop"] == "default"
    assert origins["limits.window"] == "--limit"
    assert origins["limits.ping_s"] == str(config)


def test_the_file_of_the_data_directory_comes_before_the_users(tmp_path: Path, home: Path) -> None:
    users = written(home / ".config" / "jim" / "server.toml", "port = 1\n")
    assert load().file == users
    own = written(tmp_path / "server.toml", "port = 2\n")
    loaded = load("--data-dir", str(tmp_path))
    assert (loaded.file, loaded.settings.port) == (own, 2)
    assert load(env={"JIM_SERVER_DATA_DIR": str(tmp_path)}).file == own


def another_value(name: str) -> object:
    """Give a value of a setting that is not its default."""
    choices = {
        "registration": "invite",
        "tls_profile": "intermediate",
        "loop": "asyncio",
        "log_level": "debug",
    }
    match s.value_of(s.Settings(), name):
        case bool():
            return True
        case int() as default:
            return default - 1 or 2  # a size may not be much less than it is
        case float() as default:
            return default + 0.5
        case tuple():
            return ("10.0.0.0/8", "fd00::/8")
    return choices.get(name, "/some/where")


# A key alone is refused: it is set with its certificate, in the tests below.
@pytest.mark.parametrize("name", [name for name in s.names() if name != "key"])
def test_every_setting_can_be_set_in_every_way(name: str, tmp_path: Path) -> None:
    table, _, key = name.rpartition(".")
    value = another_value(name)
    text = ",".join(value) if isinstance(value, tuple) else str(value)
    flag: tuple[str, ...] = ("--limit", f"{key}={text}") if table else (FLAGS[name][-1], text)
    if name == "log_json":
        flag = ("--log-json",)
    line = f"{key} = {msgspec.json.encode(value).decode()}"
    config = written(tmp_path / "x.toml", f"[{table}]\n{line}" if table else line)
    for loaded in (
        load(*flag),
        load(env={s.variable(name): text}),
        load("--config", str(config), config=config),
    ):
        assert s.value_of(loaded.settings, name) == value


def test_a_key_needs_a_certificate() -> None:
    assert load("--certificate", "c.pem", "--key", "k.pem").settings.key == "k.pem"
    with pytest.raises(SettingsError, match="certificate"):
        load("--key", "k.pem")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("prot = 1", "did you mean 'port'"),
        ("[limits]\nwindw = 1", "did you mean 'limits.window'"),
        ("xyzzy = 1", "no setting 'xyzzy'"),
        ("[logging]\nlevel = 1", "no setting 'logging.level'"),
        ("port = ", "not a TOML file"),
        ('port = "7777"', "port .*Expected `int`"),
        ("port = 70000", "<= 65535"),
        ('registration = "maybe"', "registration"),
        ('tls_profile = "old"', "tls_profile .*Invalid enum value 'old'"),
        ("[limits]\nwindow = 0", "greater than 0"),
        ("[limits]\nping_s = -1", "positive"),
        ("[limits]\nping_s = nan", "positive"),
        ("[limits]\nping_s = inf", "positive"),
        ("[limits]\nping_s = 200", "ping_s has to be less than limits.idle_s"),
        ("[limits]\nunauthenticated_start = 9\nunauthenticated_full = 8", "unauthenticated_full"),
        ("[limits]\nunauthenticated_rate_percent = 101", "more than 100"),
        ("[limits]\ntext_bytes = 999999", "frame_bytes"),
        ('[limits]\nexempt_networks = ["nowhere"]', "nowhere"),
    ],
)
def test_mistakes_in_a_file_are_named_with_their_place(
    text: str, complaint: str, tmp_path: Path
) -> None:
    config = written(tmp_path / "server.toml", text)
    with pytest.raises(SettingsError, match=complaint) as caught:
        load(config=config)
    assert "limits." in str(caught.value) or str(config) in str(caught.value)


@pytest.mark.parametrize(
    ("argv", "env", "complaint"),
    [
        (("-p", "seven"), {}, "port \\(--port\\)"),
        ((), {"JIM_SERVER_PORT": "tcp://10.0.0.1:7777"}, "port \\(JIM_SERVER_PORT\\)"),
        (("--limit", "windw=1"), {}, "did you mean 'limits.window'"),
        (("--limit", "window"), {}, "--limit window"),
        (("--limit", "window=x"), {}, "limits.window \\(--limit\\)"),
        ((), {"JIM_SERVER_LOG_JSON": "perhaps"}, "log_json"),
    ],
)
def test_mistakes_in_flags_and_environment(
    argv: tuple[str, ...], env: dict[str, str], complaint: str
) -> None:
    with pytest.raises(SettingsError, match=complaint):
        load(*argv, env=env)


def test_a_file_that_is_named_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read"):
        load(config=tmp_path / "missing.toml")


def test_what_is_printed_can_be_read_again(tmp_path: Path) -> None:
    argv = ("-a", 'we"ird\\', "--limit", "exempt_networks=10.0.0.0/8", "--limit", "ping_s=0.5")
    loaded = load(*argv)
    text = s.to_toml(loaded)
    again = load(config=written(tmp_path / "again.toml", text))
    assert again.settings == loaded.settings
    assert "ping_s = 0.5  # --limit" in text
    assert "port = 7777  # default" in text
    assert set(tomllib.loads(text)["limits"]) == set(Limits.__struct_fields__)


def test_what_a_running_server_can_change() -> None:
    old = load("-p", "1").settings
    new = load("-p", "2", "--registration", "closed", "--limit", "window=3").settings
    assert dict(s.changes(old, new)) == {
        "port": False,
        "registration": True,
        "limits.window": True,
    }
    kept = s.merged(old, new)
    assert (kept.port, kept.registration, kept.limits.window) == (1, "closed", 3)


def test_the_data_directory(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert s.Settings().directory == home / ".local" / "share" / "jim" / "server"
    monkeypatch.setenv("JIM_DATA_DIR", str(tmp_path))
    assert s.Settings().directory == tmp_path / "server"
    assert s.Settings(data_dir="~/x").directory == home / "x"
