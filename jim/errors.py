# long module: one tree of errors, read as a list
"""Every exception of the project, and the wire code of those that a peer can see.

This module imports nothing. A class attribute `code` is the stable string on the wire, `response`
the course's number, `fatal` whether the session ends with it, `retryable` whether the same request
may succeed later without being changed, `final` whether a client stops over it, because trying
again by itself would not help or would hide what its user has to know. Numbers and names that
explain an error travel as keyword fields (`limit_bytes=`, `expected=`), never only inside the text.

`docs/errors.md` is generated from this tree (`python -m jim.protocol.pages errors`).
"""

from __future__ import annotations

from typing import ClassVar

Field = int | str | list[str]


class JimError(Exception):
    """The root of everything that this project raises on purpose."""

    code: ClassVar[str] = "internal"
    response: ClassVar[int] = 500
    fatal: ClassVar[bool] = False
    retryable: ClassVar[bool] = False
    final: ClassVar[bool] = False
    text: ClassVar[str] = "internal error"

    def __init__(self, detail: str = "", **fields: Field) -> None:
        """Keep `detail` (English, safe to show to the peer) and the structured `fields`."""
        self.detail = detail
        self.fields: dict[str, Field] = fields
        super().__init__(detail or self.text)

    def __str__(self) -> str:
        """Give the detail, or the default text of the class with its fields."""
        if self.detail:
            return self.detail
        extra = ", ".join(f"{name}={value}" for name, value in sorted(self.fields.items()))
        return f"{self.text} ({extra})" if extra else self.text


# --- errors that travel on the wire -----------------------------------------------------------


class WireError(JimError):
    """An error that the server reports to a client; the client raises the same class."""


class BadRequest(WireError):
    """The frame is JSON, but not a message that this server understands."""

    code = "bad_request"
    response = 400
    text = "the message does not have the expected form"


class Malformed(WireError):
    """The frame is not a JSON object in UTF-8, or nested too deeply."""

    code = "malformed"
    response = 400
    text = "the frame is not a JSON object in UTF-8"


class UnknownAction(WireError):
    """The action is none of the protocol's."""

    code = "unknown_action"
    response = 400
    text = "unknown action"


class Unexpected(WireError):
    """The action exists, but not in this state of the session."""

    code = "unexpected"
    response = 400
    text = "this action is not possible in this state of the session"


class FrameTooLong(WireError):
    """A frame is longer than announced; where it ends is unknown, so the session ends."""

    code = "frame_too_long"
    response = 400
    fatal = True
    text = "the frame is longer than allowed"


class TextTooLong(WireError):
    """The text of a message is longer than announced."""

    code = "text_too_long"
    response = 400
    text = "the text of the message is longer than allowed"


class UnsupportedVersion(WireError):
    """The client speaks no version of the protocol that the server speaks."""

    code = "unsupported_version"
    response = 400
    fatal = True
    final = True
    text = "no common version of the protocol"


class Unauthorised(WireError):
    """The action needs a login first."""

    code = "unauthorised"
    response = 401
    text = "log in first"


class LoginTimeout(WireError):
    """The login was not complete in time."""

    code = "login_timeout"
    response = 401
    fatal = True
    retryable = True
    text = "the login was not complete in time"


class TooManyFrames(WireError):
    """More frames than a login needs, before it was complete."""

    code = "too_many_frames"
    response = 401
    fatal = True
    text = "too many frames before the login"


class AuthFailed(WireError):
    """The one answer for every failed proof: unknown name, unknown device, wrong signature."""

    code = "auth_failed"
    response = 402
    final = True
    text = "the proof of identity was not accepted"


class TooManyFailures(WireError):
    """Too many failed logins on one connection."""

    code = "too_many_failures"
    response = 402
    fatal = True
    text = "too many failed logins"


class Penalised(WireError):
    """The source address failed too often and has to wait."""

    code = "penalised"
    response = 403
    fatal = True
    retryable = True
    text = "too many failures from this address, wait before the next try"


class TooManyConnections(WireError):
    """The address, or the server as a whole, has no place for another connection."""

    code = "too_many_connections"
    response = 403
    fatal = True
    retryable = True
    text = "too many connections"


class TooManyRegistrations(WireError):
    """The address registered too many names in a short time."""

    code = "too_many_registrations"
    response = 403
    retryable = True
    text = "too many registrations from this address"


class PlaintextRefused(WireError):
    """JIM without TLS, where the server does not allow it."""

    code = "plaintext_refused"
    response = 403
    fatal = True
    text = "this server speaks JIM only over TLS: use a client with TLS 1.3"


class RegistrationClosed(WireError):
    """The server takes no new names."""

    code = "registration_closed"
    response = 403
    final = True
    text = "this server takes no new names"


class InviteRequired(WireError):
    """The server takes new names only with an invite."""

    code = "invite_required"
    response = 403
    final = True
    text = "this server takes new names only with an invite"


class InviteInvalid(WireError):
    """The invite is unknown, used up or expired."""

    code = "invite_invalid"
    response = 403
    final = True
    text = "the invite is unknown, used up or expired"


class TooManyDevices(WireError):
    """The account has as many devices as allowed."""

    code = "too_many_devices"
    response = 403
    final = True
    text = "the account has as many devices as allowed"


class RateLimited(WireError):
    """The client sends far faster than allowed, so that slowing it down no longer helps."""

    code = "rate_limited"
    response = 403
    fatal = True
    retryable = True
    text = "far more messages than allowed"


class WindowExceeded(WireError):
    """More messages outstanding than the announced window."""

    code = "window_exceeded"
    response = 403
    retryable = True
    text = "too many messages without an answer yet"


class SlowConsumer(WireError):
    """The client does not read what it asked for."""

    code = "slow_consumer"
    response = 403
    fatal = True
    retryable = True
    text = "the client does not read its messages; they wait on the server"


class RecipientUnknown(WireError):
    """Nobody on this server has that name."""

    code = "recipient_unknown"
    response = 404
    text = "nobody on this server has this name"


class NameInvalid(WireError):
    """The text cannot be a name; `reason` is one of the stable words of `jim.core.names`."""

    code = "name_invalid"
    response = 400
    final = True
    text = "this cannot be a name"

    @property
    def reason(self) -> str:
        """The stable word that says what is wrong with the name."""
        return str(self.fields.get("reason", "characters"))


class DevicesChanged(WireError):
    """The message is not sealed for exactly the devices there are; `devices` names those."""

    code = "devices_changed"
    response = 409
    retryable = True
    text = "the message is not sealed for the devices that there are now"


class ChainMoved(WireError):
    """The link does not continue the device chain as it is now; `expected` is its number."""

    code = "chain_moved"
    response = 409
    retryable = True
    text = "the device chain has grown meanwhile"


class Revoked(WireError):
    """The device was taken out of its account."""

    code = "revoked"
    response = 402
    fatal = True
    final = True
    text = "this device was removed from its account"


class TooOften(WireError):
    """The same was asked for too often; it may be again after `retry_after_ms`."""

    code = "too_often"
    response = 403
    retryable = True
    text = "asked for too often"


class OfferGone(WireError):
    """The new device does not wait any more, or did not answer."""

    code = "offer_gone"
    response = 404
    text = "the new device does not wait to be linked any more"


class LinkExpired(WireError):
    """Nobody has linked the new device in time; it may ask again."""

    code = "link_expired"
    response = 410
    fatal = True
    retryable = True
    text = "the new device was not linked in time"


class NameTaken(WireError):
    """The name, or one that looks like it, belongs to somebody else."""

    code = "name_taken"
    response = 409
    final = True
    text = "this name, or one that looks like it, is taken"


class NumberGap(WireError):
    """The number is not the next one of this device; `expected` is."""

    code = "number_gap"
    response = 409
    retryable = True
    text = "the number of the message is not the next one of this device"


class Replaced(WireError):
    """The same device logged in again on another connection."""

    code = "replaced"
    response = 409
    fatal = True
    final = True
    text = "this device is connected a second time; the newer connection stays"


class MailboxFull(WireError):
    """No device of the addressee takes further messages until it has collected the waiting ones."""

    code = "mailbox_full"
    response = 410
    retryable = True
    text = "the addressee's mailbox is full: the waiting messages have not been collected"


class Idle(WireError):
    """Nothing came from the client for too long."""

    code = "idle"
    response = 410
    fatal = True
    retryable = True
    text = "nothing was heard from the client for too long"


class Shutdown(WireError):
    """The server is going down."""

    code = "shutdown"
    response = 500
    fatal = True
    retryable = True
    text = "the server is going down"


class Internal(WireError):
    """Something that nobody foresaw; the log of the server has the details under `incident`."""

    code = "internal"
    response = 500
    fatal = True
    retryable = True
    text = "internal error"


# --- errors of one side alone -----------------------------------------------------------------


class LocalError(JimError):
    """An error that never travels: of a file, a setting, a store, a connection."""


class SettingsError(LocalError):
    """A setting has a value that cannot be used."""

    text = "a setting cannot be used"


class KeyFileError(LocalError):
    """A key file is missing, damaged, or readable by others."""

    final = True
    text = "the key file cannot be used"


class ChainInvalid(LocalError):
    """A device chain is forged, forked, rolled back or damaged."""

    final = True
    text = "the device chain is not valid"


class CannotDecrypt(LocalError):
    """A ciphertext does not open: it is damaged, forged, or for a session that is not here."""

    code = "cannot_decrypt"
    text = "the message cannot be opened"


class ContactChanged(LocalError):
    """Somebody whom the user has verified began anew with other keys; nothing is sent to them."""

    code = "contact_changed"
    text = "the keys of a verified contact have changed"


class VerificationFailed(LocalError):
    """Comparing emoji came to nothing: given up, out of order, or somebody sits in between."""

    text = "the comparison has failed"


class ExportInvalid(LocalError):
    """A file of exported messages is altered, cut off, or of another account."""

    text = "the exported messages are not in order"


class BackupInvalid(LocalError):
    """A backup does not open: another passphrase, other words, or damage."""

    text = "the backup cannot be opened"


class OwnAccount(LocalError):
    """What was asked makes sense for somebody else only."""

    text = "that is your own account"


class DeviceUnknown(LocalError):
    """The account has no such device, or several fit; `reason` is none or several."""

    text = "which device?"


class DeviceNameInvalid(LocalError):
    """Nothing of the name can be shown, or it is too long."""

    text = "this cannot be the name of a device"


class WordsInvalid(LocalError):
    """The recovery words are not twelve words of one list with a right checksum."""

    text = "these are not twelve recovery words"


class InviteMalformed(LocalError):
    """The text is not an invite."""

    text = "this is not an invite"


class LinkCodeInvalid(LocalError):
    """The text is not the code that a new device shows."""

    text = "this is not the code of a new device"


class TlsError(LocalError):
    """The certificate or the TLS connection cannot be used."""

    text = "TLS failed"


class CaFileInvalid(TlsError):
    """The given file holds no CA certificates, or cannot be read."""

    final = True
    text = "no CA certificates in the file"


class ServerIdentityChanged(LocalError):
    """The server at a known address shows another identity than the pinned one."""

    final = True
    text = "the server's identity has changed"


class ServerIdentityInvalid(LocalError):
    """The server did not prove its identity for this TLS connection."""

    final = True
    text = "the server did not prove its identity"


class ConnectFailed(LocalError):
    """No connection to the server."""

    retryable = True
    text = "cannot connect"


class ListenFailed(LocalError):
    """The server cannot listen at the address."""

    text = "cannot listen"


class AccountInUse(LocalError):
    """Another process already works with this account's store."""

    final = True
    text = "another client already works with this account"


class AccountExists(LocalError):
    """The account that a new device is to be linked to is on this machine already."""

    final = True
    text = "this device is in the account already"


class LinkUnfinished(LocalError):
    """This device has offered itself to the account, and no other device has taken it in yet."""

    final = True
    text = "this device waits to be linked"


class AccountMissing(LocalError):
    """This machine has no such account, or several and none was named."""

    text = "no account on this machine"


class StoreError(LocalError):
    """The store cannot be opened or written."""

    final = True
    text = "the store cannot be used"


class StoreCorrupt(StoreError):
    """The database file is damaged or no database at all."""

    text = "the database is damaged"


class StoreTooNew(StoreError):
    """The database was written by a newer version of the program."""

    text = "the database belongs to a newer version"


class StoreFull(StoreError):
    """The disk is full."""

    text = "the disk is full"


class StoreUnwritable(StoreError):
    """The directory or the file cannot be written."""

    text = "the store cannot be written"


class StoreLocked(StoreError):
    """Another server process already works with this store."""

    text = "another process already works with this store"


def _wire_errors(root: type[WireError] = WireError) -> dict[str, type[WireError]]:
    found: dict[str, type[WireError]] = {}
    for cls in root.__subclasses__():
        found[cls.code] = cls
        found.update(_wire_errors(cls))
    return found


WIRE_ERRORS: dict[str, type[WireError]] = _wire_errors()
"""Wire code to class, for the client: every class of the first half of this module."""


def from_wire(code: str, detail: str = "", **fields: Field) -> WireError:
    """Rebuild the error that the peer reported; an unknown code becomes a plain `WireError`."""
    return WIRE_ERRORS.get(code, WireError)(detail, **fields)
