"""Say in the user's language what went wrong and what to do, and with which status to exit.

One table for the sentences and one for the exit codes; every front end and every subcommand uses
these. Sentences never repeat remote text: what an error carries is a code and numbers.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

from jim import errors
from jim.client.console.text import safe_line
from jim.i18n import N_, _

if TYPE_CHECKING:
    from collections.abc import Mapping


class Exit(IntEnum):
    """Every status that the client's programs end with (docs/client.md, "Exit codes")."""

    OK = 0
    FAILURE = 1
    USAGE = 2
    NO_CONNECTION = 3
    AUTH = 4
    UNKNOWN_RECIPIENT = 5
    NOT_IN_TIME = 6
    INTERRUPTED = 130
    PIPE = 141


_EXITS: Final[Mapping[type[errors.JimError], Exit]] = {
    errors.AuthFailed: Exit.AUTH,
    errors.TooManyFailures: Exit.AUTH,
    errors.Unauthorised: Exit.AUTH,
    errors.NameTaken: Exit.AUTH,
    errors.RegistrationClosed: Exit.AUTH,
    errors.InviteRequired: Exit.AUTH,
    errors.InviteInvalid: Exit.AUTH,
    errors.TooManyDevices: Exit.AUTH,
    errors.ChainInvalid: Exit.AUTH,
    errors.ServerIdentityChanged: Exit.AUTH,
    errors.ServerIdentityInvalid: Exit.AUTH,
    errors.Revoked: Exit.AUTH,
    errors.RecipientUnknown: Exit.UNKNOWN_RECIPIENT,
    errors.NameInvalid: Exit.UNKNOWN_RECIPIENT,
    errors.ConnectFailed: Exit.NO_CONNECTION,
    errors.CaFileInvalid: Exit.USAGE,
    errors.TlsError: Exit.NO_CONNECTION,
    errors.LoginTimeout: Exit.NO_CONNECTION,
    errors.Penalised: Exit.NO_CONNECTION,
    errors.TooManyConnections: Exit.NO_CONNECTION,
    errors.TooManyRegistrations: Exit.NO_CONNECTION,
    errors.UnsupportedVersion: Exit.NO_CONNECTION,
    errors.PlaintextRefused: Exit.NO_CONNECTION,
    errors.Shutdown: Exit.NO_CONNECTION,
    errors.SettingsError: Exit.USAGE,
    errors.InviteMalformed: Exit.USAGE,
    errors.WordsInvalid: Exit.USAGE,
    errors.LinkCodeInvalid: Exit.USAGE,
    errors.LinkExpired: Exit.NOT_IN_TIME,
    errors.DeviceUnknown: Exit.USAGE,
    errors.DeviceNameInvalid: Exit.USAGE,
    errors.AccountMissing: Exit.USAGE,
    errors.AccountExists: Exit.USAGE,
    errors.LinkUnfinished: Exit.AUTH,
}
"""What is not here, and has no ancestor here, is a plain failure (1)."""

_SENTENCES: Final[Mapping[type[errors.JimError], str]] = {
    errors.AuthFailed: N_(
        "The server did not accept this device's key for this name. If the name is yours, bring it "
        "here with the recovery words: jim recover NAME. Otherwise choose another name (-n)."
    ),
    errors.TooManyFailures: N_("Too many failed logins on this connection. Wait before you retry."),
    errors.NameTaken: N_(
        "This name, or one that looks like it, belongs to somebody already. Choose another one "
        "(-n); or, if it is yours, bring it here: from another device with jim link NAME, with the "
        "recovery words with jim recover NAME."
    ),
    errors.RegistrationClosed: N_("This server takes no new names. Ask who runs it."),
    errors.InviteRequired: N_(
        "This server takes new names only with an invite. Ask who runs it for one and start with "
        "it instead of the address: jim INVITE"
    ),
    errors.InviteInvalid: N_("The invite is used up, expired or unknown. Ask for a new one."),
    errors.InviteMalformed: N_(
        "This is not a whole invite. Copy it again: jim://HOST:PORT/PIN/TOKEN, in one line."
    ),
    errors.TooManyDevices: N_("The account has as many devices as the server allows."),
    errors.LinkCodeInvalid: N_(
        "This is not a whole code. The new device shows 26 characters: letters and the digits 2-7."
    ),
    errors.LinkExpired: N_(
        "Nobody has typed the code on another device of the account in time. Begin again."
    ),
    errors.OfferGone: N_(
        "The new device does not wait any more, or shows another code by now. Look there, and type "
        "the code that it shows."
    ),
    errors.Revoked: N_(
        "This device was removed from its account: it gets and sends nothing any more. What is "
        "stored here can still be read: jim history NAME. To come back with the recovery words: "
        "jim recover NAME"
    ),
    errors.ChainMoved: N_("The devices of the account were just changed elsewhere. Try again."),
    errors.DeviceNameInvalid: N_("A device's name has 1 to 32 characters that can be shown."),
    errors.ChainInvalid: N_(
        "The list of this account's devices is forged or damaged. Nothing was sent. Ask who runs "
        "the server what happened before you go on."
    ),
    errors.ServerIdentityChanged: N_(
        "WARNING: the server shows another identity than before. Either it was set up anew, or "
        "somebody is between you and it. Nothing was sent. Ask who runs it, by another way than "
        "this one. If it was set up anew, remove its line from the file known_servers; jim doctor "
        "shows where that is."
    ),
    errors.ServerIdentityInvalid: N_(
        "The server did not prove that this connection is its own; somebody may be in between. "
        "Nothing was sent. Try another network."
    ),
    errors.RecipientUnknown: N_("Nobody on this server has this name. Check the spelling."),
    errors.ConnectFailed: N_("Cannot connect. jim doctor tells more."),
    errors.CaFileInvalid: N_("The file of --ca-file cannot be read, or holds no certificate."),
    errors.TlsError: N_("The encrypted connection (TLS) failed. jim doctor tells more."),
    errors.LoginTimeout: N_("The server took too long to answer the login."),
    errors.Penalised: N_("Too many failures came from your address. Wait some minutes."),
    errors.TooManyConnections: N_("The server has no place for another connection now."),
    errors.TooManyRegistrations: N_("Too many new names came from your address. Wait ten minutes."),
    errors.UnsupportedVersion: N_(
        "Server and client have no common version. Update the older one."
    ),
    errors.PlaintextRefused: N_("The server accepts only encrypted connections (TLS)."),
    errors.MailboxFull: N_(
        "The recipient has not collected messages for long, and there is no place for more. Try "
        "again when they are back."
    ),
    errors.TextTooLong: N_("The text is longer than the server allows. Send it in parts."),
    errors.RateLimited: N_("Too many messages at once. The client goes on more slowly."),
    errors.Replaced: N_(
        "This account was opened by another client on this machine or from a copy of its files; "
        "that one stays connected. Close one of the two."
    ),
    errors.Shutdown: N_("The server is going down."),
    errors.Idle: N_("The server heard nothing from here for too long."),
    errors.SlowConsumer: N_("Messages were not read fast enough; they wait on the server."),
    errors.AccountInUse: N_(
        "Another client already works with this account. Use that one, or close it first; jim "
        "send and jim history work beside it."
    ),
    errors.AccountExists: N_(
        "This account is on this machine already. There is nothing to link: start jim -n NAME."
    ),
    errors.LinkUnfinished: N_(
        "This device waits to be taken in by another one of the account. Go on with: jim link NAME"
    ),
    errors.AccountMissing: N_("This machine has no such account. Name it: --name NAME."),
    errors.KeyFileError: N_("The key file of this account cannot be used. jim doctor tells more."),
    errors.StoreFull: N_("The disk is full. Make room; nothing that was stored is lost."),
    errors.StoreUnwritable: N_("The data directory cannot be written. jim doctor tells more."),
    errors.StoreLocked: N_("Another process already works with this account. Close it first."),
    errors.StoreTooNew: N_("The data was written by a newer version of this program. Update it."),
    errors.StoreCorrupt: N_(
        "The message store is damaged. Move it away and start again: jim doctor shows where it is."
    ),
    errors.BackupInvalid: N_("The backup is damaged, or this is none. Nothing was changed."),
    errors.StoreError: N_("The message store cannot be used. jim doctor tells more."),
    errors.OwnAccount: N_("That is your own account: there is nothing to compare or to allow."),
    errors.VerificationFailed: N_("Comparing emoji is not possible: no device of theirs can."),
}

_CONNECT_REASONS: Final = {
    "refused": N_(
        "Nothing answers at this address and port. Is the server running, and is the port right?"
    ),
    "timeout": N_("The server does not answer. Is the address right, or a firewall in between?"),
    "name": N_("There is no host of this name. Check the spelling and your network."),
    "network": N_("The network does not reach the server. Check your connection."),
    "tls": N_("The encrypted connection (TLS) failed. Is this a JIM server?"),
    "turned_away": N_(
        "The server lets nobody else in for now: it is crowded, or this address has failed too "
        "often."
    ),
    "closed": N_(
        "The server hangs up at once. It may be crowded or starting; or it is no JIM server."
    ),
    "protocol": N_("What answers there does not speak JIM. Check address and port."),
    "unproven": N_(
        "What answers there refuses the connection, and does not prove that it is the server. "
        "Somebody may be in between; it is tried again."
    ),
    "version": N_("Server and client have no common version. Update the older one."),
}
"""Why there is no connection, by the `reason` of the error."""

_MESSAGE_CODES: Final = {
    "cancelled": N_("You took it back before it was sent."),
    "unknown_outcome": N_(
        "It may have been sent or not: this account's files were restored from a copy. Ask the "
        "recipient before you repeat it."
    ),
    "no_keys": N_(
        "No device of the recipient can read encrypted messages, and this was not sent "
        "unencrypted. To allow that: /plain NAME"
    ),
    "no_own_keys": N_(
        "This device has no keys for encryption in its account. Start jim again; if that does not "
        "help: jim recover NAME"
    ),
    "device_gone": N_("It was for one device alone, which is in its account no longer."),
    "keys_invalid": N_(
        "The server gave keys for a device of the recipient that the device has not signed. "
        "Nothing was sent. Tell whoever runs the server."
    ),
    "devices_changed": N_(
        "The server wants it for other devices than it shows. Nothing was sent. Ask the recipient "
        "and whoever runs the server what has happened."
    ),
    "contact_changed": N_(
        "You had verified the recipient, whose keys are others now. Nothing was sent. Compare "
        "anew: /verify NAME; or go on without comparing: /trust NAME"
    ),
    "chain_invalid": N_(
        "The server shows a list of the recipient's devices that is forged or damaged. Nothing was "
        "sent. Ask the recipient and whoever runs the server what has happened. Only if the "
        "account is really a new one: /trust NAME forget"
    ),
}
"""Codes that only the client itself gives to a message (`jim.client.events`)."""

_KEY_REASONS: Final = {
    "locked": N_(
        "The key of this device is sealed with a passphrase, and there is nobody to ask for it. "
        "Name a file that has it, and that only you can read: JIM_PASSPHRASE_FILE."
    ),
    "passphrase": N_(
        "This is not the passphrase of this device's key. If it is lost, the twelve recovery words "
        "or another device bring the account back."
    ),
}
"""Why a key is not open, by the `reason` of the error."""

_BACKUP_REASONS: Final = {
    "passphrase": N_("This is not what the backup was sealed with: the passphrase is wrong."),
    "words": N_("This is not what the backup was sealed with: these are other words."),
    "exists": N_("There is something in its place already. Nothing was changed; see --force."),
    "busy": N_("This device is just being replaced by a new one. Try again in a minute."),
    "content": N_("The backup opens, but what is in it is no account. Nothing was changed."),
    "store": N_("The message store in the backup is damaged. Nothing was changed."),
    "there": N_("There is such a file already. It was not touched; choose another name."),
    "file": N_("The file cannot be used."),
}
_SAY_ALL: Final = frozenset({"passphrase", "words"})
"""Reasons that a detail could only repeat, in English; the path in it is told."""

_EXPORT_REASONS: Final = {
    "format": N_("This is no whole export of messages."),
    "signature": N_("ALTERED: this is not what the device has signed."),
    "chain": N_("The list of the account's devices in it is not valid for its signature."),
    "count": N_("Messages are missing in it, or are too many."),
    "root": N_("It is in order, but belongs to another account."),
    "early": N_(
        "This device does not know its own account yet: start jim once while the server is there."
    ),
}

_NAME_REASONS: Final = {
    "empty": N_("The name is empty."),
    "too_long": N_("The name is too long: at most 32 characters."),
    "characters": N_("A name has letters and digits and, inside, the signs - _ . and no others."),
    "mixed_script": N_("A name has letters of one alphabet only."),
    "reserved": N_("This name is reserved. Choose another one."),
    "no_letter": N_("A name needs at least one letter."),
}

_DEVICE_REASONS: Final = {
    "none": N_("Your account has no such device. /devices or jim devices lists them."),
    "several": N_(
        "Several of your devices fit. Type more of the id: /devices or jim devices lists them."
    ),
}

_WORDS_REASONS: Final = {
    "count": N_("There must be exactly 12 words; here are {found}."),
    "unknown": N_("Word {place} is not one of the list. Check its spelling."),
    "mixed": N_("The words are of two languages. Type all of them in one."),
    "checksum": N_("One word is wrong or in the wrong place. Compare them with your note."),
}

_BY_REASON: Final = (
    (errors.KeyFileError, _KEY_REASONS),
    (errors.BackupInvalid, _BACKUP_REASONS),
    (errors.ExportInvalid, _EXPORT_REASONS),
)

_DETAIL_SAYS_ALL: Final = (errors.SettingsError, errors.AccountMissing)
"""The command line makes these, with a translated detail."""

_DETAIL_HELPS: Final = (errors.KeyFileError, errors.StoreError)
"""Their detail is local and names the file or setting: shown behind the sentence."""


def exit_code(error: errors.JimError) -> Exit:
    """Give the status to exit with: that of the class or of its nearest ancestor in the table."""
    if isinstance(error, errors.KeyFileError) and error.fields.get("reason") in _KEY_REASONS:
        return Exit.AUTH
    found = (_EXITS.get(cls) for cls in type(error).__mro__)
    return next((code for code in found if code is not None), Exit.FAILURE)


def explain(error: errors.JimError) -> str:
    """Say what happened and what to do, in one translated paragraph."""
    if isinstance(error, errors.NameInvalid):
        return _(_NAME_REASONS.get(error.reason, _NAME_REASONS["characters"]))
    if isinstance(error, errors.WordsInvalid):
        return _words(error)
    if isinstance(error, errors.DeviceUnknown):
        return _(_DEVICE_REASONS.get(str(error.fields.get("reason")), _DEVICE_REASONS["none"]))
    if isinstance(error, _DETAIL_SAYS_ALL) and error.detail:
        return safe_line(error.detail)
    if (worded := _by_reason(error, str(error.fields.get("reason")))) is not None:
        return worded
    sentence = next((_SENTENCES[cls] for cls in type(error).__mro__ if cls in _SENTENCES), None)
    if sentence is None:
        template = _("Something went wrong: {detail} [{code}]")
        return template.format(detail=safe_line(str(error)), code=safe_line(error.code))
    text = _(sentence)
    if isinstance(error, _DETAIL_HELPS) and error.detail:
        return f"{text} ({safe_line(error.detail)})"
    return text


def _by_reason(error: errors.JimError, reason: str) -> str | None:
    """Explain what says more by its reason than by its class, with the detail behind it."""
    if isinstance(error, errors.ConnectFailed) and reason in _CONNECT_REASONS:
        return _(_CONNECT_REASONS[reason])
    for kind, sentences in _BY_REASON:
        if isinstance(error, kind) and reason in sentences:
            detail = error.detail
            if reason in _SAY_ALL:
                detail = str(error.fields.get("path", ""))
            return _(sentences[reason]) + (f" ({safe_line(detail)})" if detail else "")
    return None


def explain_code(code: str) -> str:
    """Explain the error code kept with a message that failed."""
    if code in _MESSAGE_CODES:
        return _(_MESSAGE_CODES[code])
    return explain(errors.from_wire(code))


def explain_recipient(error: errors.JimError) -> str:
    """Explain why somebody else is not to be had: a name that nobody may have is nobody's."""
    if isinstance(error, errors.NameInvalid) and error.reason == "reserved":
        return explain(errors.RecipientUnknown())
    return explain(error)


def code_exit(code: str) -> Exit:
    """Give the status for a message that failed with this code."""
    return Exit.FAILURE if code in _MESSAGE_CODES else exit_code(errors.from_wire(code))


def startup_exit(error: errors.JimError) -> Exit:
    """Give the status for an error that ended the client: there a wrong name is the user's own."""
    return Exit.USAGE if isinstance(error, errors.NameInvalid) else exit_code(error)


def _words(error: errors.WordsInvalid) -> str:
    template = _(_WORDS_REASONS.get(str(error.fields.get("reason")), _WORDS_REASONS["checksum"]))
    text = template.format(
        found=error.fields.get("found", "?"), place=error.fields.get("place", "?")
    )
    suggestion = error.fields.get("suggestion")
    if suggestion:
        text += " " + _("Did you mean {word}?").format(word=safe_line(str(suggestion)))
    return text
