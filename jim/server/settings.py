"""The server's settings: where each value comes from, what it may be, and which need a restart.

Flags beat the environment (`JIM_SERVER_…`), which beats the TOML file, which beats the defaults.
Every value is checked by itself, so that an error names the setting and the place it came from.
Command line parsing is in `jim.server.arguments`; nothing here touches a socket.
"""

from __future__ import annotations

import difflib
import ipaddress
import math
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, NamedTuple, get_type_hints

import msgspec
import platformdirs
from msgspec import Meta, Struct

from jim.common.constants import DEFAULT_LISTEN_ADDRESS, DEFAULT_PORT
from jim.core.limits import Limits
from jim.errors import SettingsError
from jim.i18n import _
from jim.server import sanity

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ENVIRONMENT_PREFIX: Final = "JIM_SERVER_"
LIMITS: Final = "limits"
DEFAULT: Final = "default"

MAX_PORT: Final = 65535
"""A port is 16 bits of the TCP header (RFC 9293, 3.1)."""

MAY_BE_ZERO: Final = frozenset(
    {
        "messages_per_s",
        "bytes_per_s",
        "unauthenticated_rate_percent",
        "penalty_start_s",
        "penalty_max_s",
    }
)
"""Limits where 0 means something: no limit of the rate, no random refusal, no penalty."""


class Settings(Struct, frozen=True, kw_only=True):
    """Everything that an operator can choose."""

    address: str = DEFAULT_LISTEN_ADDRESS
    """A name or an address to listen on; empty means all addresses."""
    port: Annotated[int, Meta(ge=0, le=MAX_PORT)] = DEFAULT_PORT
    """0 lets the system choose; the start line says which it chose."""
    data_dir: str = ""
    """Database and keys; empty means the user's data directory."""
    registration: Literal["open", "invite", "closed"] = "open"
    certificate: str = ""
    """PEM file of a given certificate; empty means a self-signed one in the data directory."""
    key: str = ""
    """PEM file of its private key; empty means that the certificate's file holds it."""
    tls_profile: Literal["modern", "intermediate"] = "modern"
    """Mozilla's name: `modern` is TLS 1.3 alone, `intermediate` takes TLS 1.2 too."""
    loop: Literal["auto", "uvloop", "asyncio"] = "auto"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_json: bool = False
    log_dir: str = ""
    """Directory of the log; empty means the usual one."""
    limits: Limits = Limits()

    @property
    def directory(self) -> Path:
        """The data directory, with its default filled in."""
        return Path(self.data_dir).expanduser() if self.data_dir else default_directory()


RELOADABLE: Final = frozenset({"registration", "certificate", "key", "tls_profile", "log_level"})
"""Settings that SIGHUP changes in a running server, besides all limits."""


class Layer(NamedTuple):
    """Values of one kind of origin by dotted name (`port`, `limits.window`).

    `origins` says for each exactly where it stands. Text values are read as the setting's type.
    """

    values: Mapping[str, object]
    origins: Mapping[str, str]
    is_text: bool


class Loaded(NamedTuple):
    """The settings that are in force, and for each dotted name where its value came from."""

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None


def default_directory() -> Path:
    """Give the data directory of a server that is told nothing."""
    override = os.environ.get("JIM_DATA_DIR")
    base = Path(override) if override else platformdirs.user_data_path("jim", appauthor=False)
    return base / "server"


def names() -> tuple[str, ...]:
    """List every setting by its dotted name, limits last."""
    plain = tuple(name for name in Settings.__struct_fields__ if name != LIMITS)
    return (*plain, *(f"{LIMITS}.{name}" for name in Limits.__struct_fields__))


def variable(name: str) -> str:
    """Give the environment variable of a setting: `limits.window` is JIM_SERVER_LIMITS__WINDOW."""
    return ENVIRONMENT_PREFIX + name.replace(".", "__").upper()


def load(flags: Layer, environment: Mapping[str, str], config: Path | None = None) -> Loaded:
    """Put the layers together.

    Without `config` the first file there is counts: `server.toml` in the data directory, then in
    the user's configuration directory (`jim/server.toml`).

    Raises:
        SettingsError: a value or a key that cannot be used; says where it stands.
    """
    outer = (flags, from_environment(environment))
    file = config or _find_file(outer)
    layers = (*outer, from_file(file)) if file else outer
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for name in names():
        values[name], origins[name] = _choose(name, layers)
    return Loaded(_build(values), origins, file)


def from_environment(environment: Mapping[str, str]) -> Layer:
    """Read the variables that belong to a setting; others with the prefix are somebody else's."""
    found = {name: environment[variable(name)] for name in names() if variable(name) in environment}
    return Layer(found, {name: variable(name) for name in found}, is_text=True)


def from_file(path: Path) -> Layer:
    """Read a TOML file.

    Raises:
        SettingsError: it cannot be read, is no TOML, or has a key that is no setting.
    """
    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        text = _("{path}: cannot read: {reason}").format(path=path, reason=error.strerror)
        raise SettingsError(text) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        text = _("{path}: not a TOML file: {reason}").format(path=path, reason=error)
        raise SettingsError(text) from error
    values = dict(_flatten(tree))
    for name in values:
        if name not in names():
            raise SettingsError(f"{path}: {unknown(name)}")
    return Layer(values, dict.fromkeys(values, str(path)), is_text=False)


def unknown(name: str) -> str:
    """Word the complaint about a name that is no setting, with the nearest one that is."""
    complaint = _("there is no setting {name!r}").format(name=name)
    near = difflib.get_close_matches(name, names(), n=1)
    hint = _("did you mean {name!r}?").format(name=near[0]) if near else ""
    return f"{complaint}; {hint}" if near else complaint


def to_toml(loaded: Loaded) -> str:
    """Write the settings as TOML, with the origin of each value as a comment."""
    lines: list[str] = []
    for name in names():
        table, _, key = name.rpartition(".")
        if table and f"[{table}]" not in lines:
            lines += ["", f"[{table}]"]
        lines.append(f"{key} = {_toml(value_of(loaded.settings, name))}  # {loaded.origins[name]}")
    return "\n".join(lines) + "\n"


def value_of(settings: Settings, name: str) -> object:
    """Give the value of a setting by its dotted name."""
    table, _, key = name.rpartition(".")
    return getattr(settings.limits if table else settings, key)


def changes(old: Settings, new: Settings) -> Iterator[tuple[str, bool]]:
    """Yield each setting that differs, and whether a running server can take the new value."""
    for name in names():
        if value_of(old, name) != value_of(new, name):
            yield name, "." in name or name in RELOADABLE


def merged(old: Settings, new: Settings) -> Settings:
    """Give `new`, with the old values where a change needs a restart."""
    kept: dict[str, Any] = {
        name: value_of(old, name) for name, can_change in changes(old, new) if not can_change
    }
    return msgspec.structs.replace(new, **kept)


def _find_file(layers: tuple[Layer, ...]) -> Path | None:
    chosen, _origin = _choose("data_dir", layers)
    directory = Path(str(chosen)).expanduser() if chosen else default_directory()
    user = platformdirs.user_config_path("jim", appauthor=False)
    places = (directory / "server.toml", user / "server.toml")
    return next((path for path in places if path.is_file()), None)


def _flatten(tree: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def _types(struct: type[Struct]) -> dict[str, Any]:
    return get_type_hints(struct, include_extras=True)


def _choose(name: str, layers: tuple[Layer, ...]) -> tuple[object, str]:
    for layer in layers:
        if name in layer.values:
            origin = layer.origins[name]
            return _convert(name, layer.values[name], origin, is_text=layer.is_text), origin
    return value_of(Settings(), name), DEFAULT


def _convert(name: str, value: object, origin: str, *, is_text: bool) -> object:
    table, _, key = name.rpartition(".")
    wanted = _types(Limits if table else Settings)[key]
    if is_text and getattr(wanted, "__origin__", None) is tuple:
        value = [part.strip() for part in str(value).split(",") if part.strip()]
    try:
        converted: object = msgspec.convert(value, wanted, strict=not is_text)
        _check(key, converted, is_limit=bool(table))
    except (msgspec.ValidationError, ValueError) as error:
        raise SettingsError(f"{name} ({origin}): {error}", name=name) from None
    return converted


def _check(key: str, value: object, *, is_limit: bool) -> None:
    """Refuse limits that would make no sense.

    Raises:
        ValueError: says why.
    """
    if not is_limit:
        return
    if isinstance(value, tuple):
        for network in value:
            ipaddress.ip_network(network, strict=False)
    elif isinstance(value, int | float):
        if not math.isfinite(value) or value < 0:
            raise ValueError(_("has to be a positive number"))
        if value == 0 and key not in MAY_BE_ZERO:
            raise ValueError(_("has to be greater than 0"))
        sanity.check_one(key, value)


def _build(values: Mapping[str, object]) -> Settings:
    plain: dict[str, Any] = {name: value for name, value in values.items() if "." not in name}
    limits: dict[str, Any] = {
        name.rpartition(".")[2]: value for name, value in values.items() if "." in name
    }
    settings = Settings(**plain, limits=Limits(**limits))
    try:
        sanity.check_together(settings.limits)
    except ValueError as error:
        raise SettingsError(str(error)) from None
    if settings.key and not settings.certificate:
        raise SettingsError(_("a key needs a certificate too: set both"))
    return settings


def _toml(value: object) -> str:
    """Write a value; JSON's strings, numbers, booleans and arrays are TOML's (TOML 1.0)."""
    return msgspec.json.encode(value).decode().replace("\x7f", "\\u007f")
