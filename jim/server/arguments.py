"""The command line of `jim-server`: flags become a layer of settings, everything else a request."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from jim import __version__
from jim.decorators import log_calls
from jim.errors import SettingsError
from jim.i18n import _, install_argparse
from jim.server import settings as s

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

Task = Literal["serve", "check", "print", "invite", "fingerprint", "resync", "verify"]

SUBCOMMANDS: Final[tuple[Task, ...]] = ("invite", "fingerprint", "resync", "verify")

FLAGS: Final = {
    "address": ("-a", "--ip", "--address"),
    "port": ("-p", "--port"),
    "data_dir": ("--data-dir",),
    "registration": ("--registration",),
    "certificate": ("--certificate",),
    "key": ("--key",),
    "tls_profile": ("--tls-profile",),
    "loop": ("--loop",),
    "log_level": ("--log-level",),
    "log_json": ("--log-json",),
    "log_dir": ("--log-dir",),
}
"""Setting to its flags; the first two pairs are the seed's."""

LOOKING: Final = frozenset({"data_dir"})
"""What `verify` takes of them: it listens nowhere, admits nobody and keeps no log."""

MAX_USES: Final = 10_000
"""Of one invite: more than a server is made for, so that a slip of the finger is noticed."""

MAX_DAYS: Final = 3650
"""Ten years: who wants no end at all is better served by open registration."""


class Request(NamedTuple):
    """What the command line asks for.

    `uses`, `days` and `host` belong to `invite`, `as_json` to `verify`.
    """

    task: Task
    flags: s.Layer
    config: Path | None
    uses: int = 1
    days: int = 7
    host: str = ""
    as_json: bool = False


@log_calls
def parse(argv: Sequence[str]) -> Request:
    """Read the command line; `--help`, `--version` and mistakes end the process as usual.

    Raises:
        SettingsError: a `--limit` that is none.
    """
    install_argparse()
    task: Task = "serve"
    for name in SUBCOMMANDS:
        if argv and argv[0] == name:
            task, argv = name, argv[1:]
    parsed = _parser(task).parse_args(argv)
    if task == "serve" and (parsed.check_config or parsed.print_config):
        task = "check" if parsed.check_config else "print"
    config = Path(parsed.config) if parsed.config else None
    if task == "invite":
        return Request(task, _layer(parsed), config, parsed.uses, parsed.days, parsed.host)
    if task == "verify":
        return Request(task, _layer(parsed), config, as_json=parsed.json)
    return Request(task, _layer(parsed), config)


def _parser(task: Task) -> argparse.ArgumentParser:
    program = "jim-server" if task == "serve" else f"jim-server {task}"
    parser = argparse.ArgumentParser(prog=program, description=_describe(task), allow_abbrev=False)
    if task == "verify":
        _add_settings(parser, LOOKING)
    else:
        _add_settings(parser, FLAGS)
        _add_limit(parser)
    if task == "serve":
        _add_serving(parser)
    elif task == "invite":
        _add_invite(parser)
    elif task == "verify":
        json_help = _("one JSON object a line (docs/operations.md)")
        parser.add_argument("--json", action="store_true", help=json_help)
    return parser


def _describe(task: Task) -> str:
    if task == "invite":
        return _("Print an invite: one line with the server's address, its identity and a token.")
    if task == "fingerprint":
        return _("Print the fingerprint of the server's identity.")
    if task == "resync":
        return _(
            "Make the clients compare what they have with the server: needed once after the data"
            " directory was restored from a copy, before the server starts."
        )
    if task == "verify":
        return _(
            "Look through the database, also while a server runs, and say what is complete and"
            " what is missing: status 0 if nothing is, else 1."
        )
    return _(
        "The JIM server. Other commands: jim-server invite, jim-server fingerprint, jim-server"
        " resync, jim-server verify; each has a --help of its own."
    )


def _help(name: str) -> str:
    texts = {
        "address": _("address or host name to listen on (default: all addresses)"),
        "port": _("TCP port (default: 7777; 0 lets the system choose)"),
        "data_dir": _("directory of the database and the keys"),
        "registration": _("who may take a new name: open, invite or closed (default: open)"),
        "certificate": _("TLS certificate in PEM (default: a self-signed one)"),
        "key": _("private key of the certificate in PEM"),
        "tls_profile": _(
            "modern: TLS 1.3 alone; intermediate: TLS 1.2 too, for other clients (default: modern)"
        ),
        "loop": _("event loop: auto, uvloop or asyncio (default: auto)"),
        "log_level": _("debug, info, warning or error (default: info)"),
        "log_json": _("write the log as JSON lines"),
        "log_dir": _("directory of the log"),
    }
    return texts[name]


def _metavar(name: str) -> str:
    texts = {
        "address": _("ADDRESS"),
        "port": _("PORT"),
        "registration": _("POLICY"),
        "certificate": _("FILE"),
        "key": _("FILE"),
        "tls_profile": _("PROFILE"),
        "loop": _("LOOP"),
        "log_level": _("LEVEL"),
    }
    return texts.get(name) or _("DIRECTORY")


def _add_settings(parser: argparse.ArgumentParser, wanted: Container[str]) -> None:
    """Add flags for those settings, and for the file that holds the others."""
    for name, flags in FLAGS.items():
        if name not in wanted:
            parser.set_defaults(**{name: None})
        elif name == "log_json":
            parser.add_argument(
                *flags, dest=name, action="store_const", const="true", help=_help(name)
            )
        else:
            parser.add_argument(*flags, dest=name, metavar=_metavar(name), help=_help(name))
    parser.set_defaults(limit=[])
    config_help = _("TOML file with settings (default: server.toml in the data directory)")
    parser.add_argument("--config", metavar=_("FILE"), help=config_help)


def _add_limit(parser: argparse.ArgumentParser) -> None:
    limit_help = _("set a limit, for example window=32; may be repeated (see --print-config)")
    parser.add_argument(
        "--limit", action="append", default=[], metavar=_("NAME=VALUE"), help=limit_help
    )


def _add_serving(parser: argparse.ArgumentParser) -> None:
    check = _("check the settings and exit: status 0 if they are good, 2 if not")
    parser.add_argument("--check-config", action="store_true", help=check)
    show = _("print the settings in force as TOML, each with its origin, and exit")
    parser.add_argument("--print-config", action="store_true", help=show)
    version = f"jim-server {__version__}"
    help_text = _("print the version and exit")
    parser.add_argument("--version", action="version", version=version, help=help_text)


def _add_invite(parser: argparse.ArgumentParser) -> None:
    uses = _("how many people may use it (default: 1)")
    parser.add_argument("--uses", type=_between(MAX_USES), default=1, metavar=_("COUNT"), help=uses)
    days = _("days until it expires (default: 7)")
    parser.add_argument("--days", type=_between(MAX_DAYS), default=7, metavar=_("DAYS"), help=days)
    host = _("host name or address by which the others reach this server")
    parser.add_argument("--host", default="", metavar=_("HOST"), help=host)


class _between:  # noqa: N801 - argparse shows the name of a type in its errors
    """A whole number from 1 to `most`, for argparse."""

    __name__ = "number"

    def __init__(self, most: int) -> None:
        self._most = most

    def __call__(self, text: str) -> int:
        number = int(text)
        if not 1 <= number <= self._most:
            raise argparse.ArgumentTypeError(_("from 1 to {most}").format(most=self._most))
        return number


def _layer(parsed: argparse.Namespace) -> s.Layer:
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    for name, flags in FLAGS.items():
        given = getattr(parsed, name)
        if given is not None:
            values[name], origins[name] = given, flags[-1]
    for text in parsed.limit:
        key, equals, value = text.partition("=")
        name = f"{s.LIMITS}.{key.strip()}"
        if name in s.names() and not equals:
            raise SettingsError(_("--limit {text}: it is NAME=VALUE").format(text=text))
        if name not in s.names():
            raise SettingsError(f"--limit {text}: {s.unknown(name)}")
        values[name], origins[name] = value.strip(), "--limit"
    return s.Layer(values, origins, is_text=True)
