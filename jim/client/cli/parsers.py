# long module: one parser after the other
"""What the command line looks like. argparse cannot mix plain positionals with subcommands.

So the first argument decides: a known subcommand has a parser of its own, everything else is the
seed's `[address] [port] -n NAME`. (A server whose host is called like a subcommand: `send:7777`.)
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from jim import __version__
from jim.common.arguments import directory
from jim.i18n import N_, _

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SUBCOMMANDS: Final = {
    "send": N_("send one message and end when the server has it"),
    "listen": N_("print messages as they arrive"),
    "history": N_("print the messages with somebody, from this machine's store"),
    "verify": N_("look through this machine's store and say whether anything is missing"),
    "trust": N_("compare keys with somebody by 60 digits, or accept changed ones"),
    "plain": N_("allow unencrypted messages with somebody, or forbid them"),
    "doctor": N_("check everything that a connection needs, and say how to mend it"),
    "link": N_("make this machine a further device of an account, or take one in"),
    "recover": N_("bring an account to this machine with its twelve words"),
    "reset": N_("put every other device out of an account, with new recovery words"),
    "devices": N_("list the devices of the account, remove or rename one"),
    "backup": N_("put the account with all messages into one sealed file"),
    "restore": N_("bring an account back from the file of a backup"),
    "export": N_("write all messages as signed JSON lines, or check such a file"),
    "passphrase": N_("seal the key of this device with a passphrase, or no more"),
    "whoami": N_("show name, server, fingerprint and device"),
}
"""Name to summary; each has a module of its name, with `run(options)`, in this package."""

EXAMPLES: Final = N_(
    "examples:\n"
    "  jim -n alice                     talk on the server of this machine\n"
    "  jim chat.example.org -n alice    talk on that server\n"
    "  jim 'jim://HOST:7777/PIN/TOKEN'  join with an invite\n"
    "  echo hi | jim send bob           send from a script; 0 means stored\n"
    "  jim listen --json | jq .text     read in a script\n"
)


class Parser(argparse.ArgumentParser):
    """An argument parser without abbreviations: a new flag must never change an old script."""

    def __init__(self, **settings: object) -> None:
        super().__init__(
            allow_abbrev=False,
            add_help=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **settings,  # type: ignore[arg-type]
        )


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the command line; `run` of the result takes the result and gives the exit status."""
    if arguments and arguments[0] in SUBCOMMANDS:
        name = arguments[0]
        options = subcommand_parser(name).parse_args(arguments[1:])
        options.run = _lazily(f"jim.client.cli.{name}")
        return options
    options = main_parser().parse_args(arguments)
    options.run = _lazily("jim.client.cli.interactive")
    return options


def _lazily(module: str) -> Callable[[argparse.Namespace], int]:
    def run(options: argparse.Namespace) -> int:
        return int(importlib.import_module(module).run(options))

    return run


def program() -> str:
    """Give the name that the program was started by: jim, or the seed's script."""
    name = Path(sys.argv[0]).name
    return name if name.endswith(".py") and name != "__main__.py" else "jim"


def main_parser() -> argparse.ArgumentParser:
    """Make the seed's parser; its help also lists the subcommands."""
    listed = "\n".join(f"  {name:<10} {_(text)}" for name, text in SUBCOMMANDS.items())
    parser = Parser(
        prog=program(),
        description=_("JIM, a console messenger. Without a subcommand: connect and talk."),
        epilog=f"{_('subcommands')}:\n{listed}\n\n{_(EXAMPLES)}",
    )
    parser.add_argument(
        "address",
        nargs="?",
        help=_("server: HOST, HOST:PORT or an invite jim://… (default: localhost)"),
    )
    parser.add_argument("port", nargs="?", help=_("TCP port (default: 7777)"))
    _add_account(parser, server=False)
    screen = parser.add_argument_group(_("screen"))
    screen.add_argument(
        "--plain",
        action="store_true",
        help=_("only append lines, states in words (screen readers)"),
    )
    screen.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help=_("use colours (default: auto, which also heeds NO_COLOR)"),
    )
    _add_timeout(screen, 60.0, _("in a pipe: seconds to wait at the end for messages to be stored"))
    _add_general(parser)
    return parser


def subcommand_parser(name: str) -> argparse.ArgumentParser:
    """Make the parser of one subcommand."""
    parser = Parser(prog=f"{program()} {name}", description=_(SUBCOMMANDS[name]))
    _ADDERS[name](parser)
    _add_general(parser)
    return parser


def _add_send(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("to", metavar=_("TO"), help=_("name of the recipient"))
    parser.add_argument(
        "text", metavar=_("TEXT"), nargs="?", help=_("the text (default: standard input)")
    )
    parser.add_argument(
        "--id",
        metavar=_("KEY"),
        help=_("send at most once under this key, however often the command is repeated"),
    )
    _add_timeout(parser, 30.0, _("seconds to wait until it is stored"))
    _add_account(parser)


def _add_listen(parser: argparse.ArgumentParser) -> None:
    _add_json(parser)
    parser.add_argument(
        "--after",
        metavar="N",
        type=_count,
        help=_("begin with what is stored here after message N (0: with the first)"),
    )
    parser.add_argument("--count", metavar="N", type=_count, help=_("end after N messages"))
    _add_timeout(parser, None, _("end after so many seconds"))
    _add_account(parser)


def _add_history(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("to", metavar=_("NAME"), help=_("with whom"))
    parser.add_argument(
        "--limit", metavar="N", type=_count, default=50, help=_("the last N (default: 50)")
    )
    _add_json(parser)
    _add_account(parser)


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--all", action="store_true", help=_("every account of this machine, one after the other")
    )
    _add_json(parser)
    _add_account(parser, pin=False)


def _add_trust(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("to", metavar=_("NAME"), help=_("with whom"))
    parser.add_argument(
        "--number",
        metavar=_("DIGITS"),
        help=_("the 60 digits that they see: verified if they are the same, without a question"),
    )
    one = parser.add_mutually_exclusive_group()
    one.add_argument(
        "--accept", action="store_true", help=_("go on with changed keys without comparing")
    )
    one.add_argument(
        "--forget",
        action="store_true",
        help=_("drop the keys that are known here: the account really is another one now"),
    )
    parser.add_argument(
        "--yes", action="store_true", help=_("with --accept and --forget: do not ask")
    )
    _add_json(parser)
    _add_account(parser)


def _add_plain(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("to", metavar=_("NAME"), help=_("with whom"))
    parser.add_argument(
        "state", nargs="?", choices=("on", "off"), help=_("without it: say what it means, and ask")
    )
    _add_account(parser)


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    _add_json(parser)
    _add_account(parser)


def _add_recover(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("to", metavar=_("NAME"), help=_("name of the account"))
    parser.add_argument(
        "address", nargs="?", help=_("server: HOST or HOST:PORT (default: localhost)")
    )
    parser.add_argument(
        "--remove",
        metavar=_("DEVICE"),
        action="append",
        default=[],
        help=_("afterwards take this device out of the account, without a question"),
    )
    parser.add_argument(
        "--remove-others",
        action="store_true",
        help=_("afterwards take every other device out of the account, without a question"),
    )
    _add_timeout(parser, 30.0, _("seconds to wait for the server"))
    _add_account(parser, pin=False)


def _add_link(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("to", metavar=_("NAME"), nargs="?", help=_("name of the account"))
    parser.add_argument(
        "address", nargs="?", help=_("server: HOST or HOST:PORT (default: localhost)")
    )
    parser.add_argument(
        "--approve",
        metavar=_("CODE"),
        nargs="+",
        help=_("on a device of the account: take in the new device that shows this code"),
    )
    parser.add_argument(
        "--yes", action="store_true", help=_("with --approve: take it in without asking")
    )
    _add_timeout(parser, None, _("end after so many seconds"))
    _add_account(parser)


def _add_reset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("to", metavar=_("NAME"), help=_("name of the account"))
    parser.add_argument(
        "address", nargs="?", help=_("server: HOST or HOST:PORT (default: localhost)")
    )
    parser.add_argument("--yes", action="store_true", help=_("do not ask"))
    _add_timeout(parser, 30.0, _("seconds to wait for the server"))
    _add_account(parser, pin=False)


def _add_devices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "do", nargs="?", choices=("remove", "rename"), help=_("without it: list the devices")
    )
    parser.add_argument(
        "device",
        metavar=_("DEVICE"),
        nargs="?",
        help=_("its id, the beginning of it, or its name"),
    )
    parser.add_argument(
        "new_name", metavar=_("NEW-NAME"), nargs="?", help=_("with rename: how it is called")
    )
    parser.add_argument(
        "--yes", action="store_true", help=_("with remove: do not ask, not even about this device")
    )
    _add_json(parser)
    _add_timeout(parser, 10.0, _("seconds to wait for the server"))
    _add_account(parser)


def _add_backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar=_("FILE"), type=Path, help=_("the file to write"))
    parser.add_argument(
        "--words",
        action="store_true",
        help=_("seal it with the twelve recovery words, not with a passphrase"),
    )
    _add_passphrase_file(parser, _("read the passphrase of the backup from a file"))
    parser.add_argument("--force", action="store_true", help=_("replace a file that is there"))
    _add_account(parser, pin=False)


def _add_restore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar=_("FILE"), type=Path, help=_("the file of the backup"))
    _add_passphrase_file(parser, _("read the passphrase of the backup from a file"))
    parser.add_argument(
        "--force", action="store_true", help=_("move an account aside that is here already")
    )
    group = parser.add_argument_group(_("account and server"))
    _add_data_dir(group)


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        metavar=_("FILE"),
        nargs="?",
        type=Path,
        help=_("the file to write (default: standard output)"),
    )
    parser.add_argument("--jsonl", action="store_true", help=_("one JSON object a line"))
    parser.add_argument(
        "--verify", metavar=_("FILE"), type=Path, help=_("check a file that was exported")
    )
    parser.add_argument(
        "--root",
        metavar=_("ROOT"),
        help=_("with --verify: the root of the account, or its number, that it must be of"),
    )
    _add_account(parser, pin=False)


def _add_passphrase(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what", choices=("set", "change", "remove"), help=_("what to do with the passphrase")
    )
    parser.add_argument(
        "--keyring", action="store_true", help=_("let the keyring of this machine keep it")
    )
    parser.add_argument(
        "--new-passphrase-file",
        metavar=_("FILE"),
        type=Path,
        help=_("read the new passphrase from a file"),
    )
    _add_account(parser, pin=False)


def _add_passphrase_file(parser: argparse.ArgumentParser, text: str) -> None:
    parser.add_argument("--passphrase-file", metavar=_("FILE"), type=Path, help=text)


def _add_whoami(parser: argparse.ArgumentParser) -> None:
    _add_json(parser)
    _add_account(parser)


_ADDERS: Final[dict[str, Callable[[argparse.ArgumentParser], None]]] = {
    "send": _add_send,
    "listen": _add_listen,
    "history": _add_history,
    "verify": _add_verify,
    "trust": _add_trust,
    "plain": _add_plain,
    "doctor": _add_doctor,
    "link": _add_link,
    "recover": _add_recover,
    "reset": _add_reset,
    "devices": _add_devices,
    "backup": _add_backup,
    "restore": _add_restore,
    "export": _add_export,
    "passphrase": _add_passphrase,
    "whoami": _add_whoami,
}


def _add_account(parser: argparse.ArgumentParser, *, server: bool = True, pin: bool = True) -> None:
    group = parser.add_argument_group(_("account and server"))
    group.add_argument(
        "-n", "--name", metavar=_("NAME"), help=_("who you are (environment: JIM_NAME)")
    )
    if server:
        group.add_argument(
            "--server",
            metavar="HOST[:PORT]",
            help=_("the server (environment: JIM_SERVER; default: the account's)"),
        )
    if pin:
        group.add_argument(
            "--pin", metavar="PIN", help=_("the key that the server must show (as in an invite)")
        )
    group.add_argument(
        "--ca-file",
        metavar=_("FILE"),
        type=Path,
        help=_("trust these authorities (PEM) for the server's certificate, and nothing less"),
    )
    _add_data_dir(group)


def _add_data_dir(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--data-dir",
        metavar=_("DIRECTORY"),
        type=directory,
        help=_("where keys and messages are kept (environment: JIM_DATA_DIR)"),
    )


def _add_general(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group(_("general"))
    group.add_argument("--lang", choices=("en", "ru"), help=_("language of all texts"))
    group.add_argument("-h", "--help", action="help", help=_("show this help message and exit"))
    group.add_argument(
        "--version",
        action="version",
        version=f"jim {__version__}",
        help=_("show program's version number and exit"),
    )


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help=_("one JSON object a line (docs/client.md)")
    )


def _add_timeout(parser: argparse._ActionsContainer, default: float | None, text: str) -> None:
    shown = "" if default is None else _(" (default: %(default)s)")
    parser.add_argument(
        "--timeout", metavar=_("SECONDS"), type=_seconds, default=default, help=text + shown
    )


def _count(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError(text)
    return number


FOREVER_S: Final = 1e9
"""Thirty years: above that clocks of operating systems overflow."""


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 <= number < FOREVER_S:
        raise ValueError(text)
    return number


_count.__name__, _seconds.__name__ = "number", "seconds"
"""What argparse calls the types in its errors."""
