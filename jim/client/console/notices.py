"""What a notice says: that messages are missing, or what has happened to somebody's keys; pure.

One table for conversations with others and one for the own account. A harmless thing is said in
passing; what looks like an attack says what to do, and never more than is known.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from jim.client.console.lines import Style
from jim.client.console.text import safe_line, safe_name
from jim.client.console.view import NAME_CELLS, local_time, paragraph
from jim.i18n import N_, _

if TYPE_CHECKING:
    from jim.client.console.lines import Line
    from jim.client.console.view import Look
    from jim.client.events import MissingNotice

_MISSING: Final = {
    "mailbox_full": N_("This device was away too long; the server kept no more for it."),
    "behind": N_("This account's files were restored from an older copy."),
    "restored": N_(
        "This account's files were restored or copied; use each copy on one device only."
    ),
}
"""Why messages are missing."""

_ABOUT_OTHERS: Final = {
    "undecryptable": N_(
        "A message in the conversation with {name} could not be opened. It has been asked for "
        "again and comes by itself. There is nothing to do."
    ),
    "dropped": N_(
        "Messages in the conversation with {name} did not arrive here. They have been asked for "
        "again and come by themselves if they still exist."
    ),
    "unknown_device": N_(
        "A message in the conversation with {name} came from a device that is not on the sender's "
        "list. It was not accepted. Ask {name} by another way whether something is missing."
    ),
    "forged": N_(
        "A message in the conversation with {name} was not what the server said it was. It was not "
        "accepted. The server, or somebody in it, is tampering with messages: tell whoever runs it."
    ),
    "cloned": N_(
        "A device that writes in the conversation with {name} is in use twice, probably from a "
        "copy of its files. Messages may get lost. Its owner should use one of the two, and set up "
        "the other anew."
    ),
    "forked": N_(
        "The server shows you other devices of {name} than {name} has. Somebody may be reading "
        "along. Send nothing secret, and compare by another way: /verify {name}"
    ),
    "forked_own": N_(
        "The server shows {name} other devices of your account than you have. Somebody may be "
        "reading along. Send nothing secret, and compare by another way: /verify {name}"
    ),
    "chain_invalid": N_(
        "The server shows a list of the devices of {name} that is forged or damaged. It was not "
        "accepted; nothing is sent by it. Ask {name} and whoever runs the server what has "
        "happened. Only if {name} tells you by another way that the account is a new one: "
        "/trust {name} forget"
    ),
    "device_added": N_(
        "{name} has a further device. What you send goes there, too. There is nothing to do."
    ),
    "device_removed": N_(
        "{name} has one device less. What you send does not go there any more. There is nothing "
        "to do."
    ),
    "keys_changed": N_(
        "{name} has begun anew with other keys, by the recovery words, as after the loss of all "
        "devices. To be sure that it is still {name}, compare: /verify {name}"
    ),
    "verified_changed": N_(
        "{name}, whom you have verified, has begun anew with other keys. Nothing is sent there "
        "until you have decided. Ask {name} by another way. Then compare anew: /verify {name}; or "
        "go on without comparing: /trust {name}"
    ),
    "forgotten": N_(
        "You have dropped the keys of {name} that were known here. Those that the server showed "
        "next were believed, as at a first contact. To be sure of them, compare: /verify {name}"
    ),
}
_ABOUT_ME: Final = {
    "undecryptable": N_(
        "A message from another device of yours could not be opened. It has been asked for again "
        "and comes by itself. There is nothing to do."
    ),
    "dropped": N_(
        "Messages from another device of yours did not arrive here. They have been asked for again "
        "and come by themselves if they still exist."
    ),
    "unknown_device": N_(
        "A message came in your name from a device that is not on your list. It was not accepted. "
        "Tell whoever runs the server."
    ),
    "forged": N_(
        "A message from a device of yours was not what the server said it was. It was not "
        "accepted. The server, or somebody in it, is tampering with messages: tell whoever runs it."
    ),
    "cloned": N_(
        "A device of yours is in use twice, probably from a copy of its files. Messages may get "
        "lost. Use one of the two, and set up the other anew: jim recover NAME"
    ),
    "forked": N_(
        "The server shows your devices different lists of your own devices. Somebody may be "
        "reading along. Send nothing secret, and tell whoever runs the server."
    ),
    "forked_own": N_(
        "The server shows your devices different lists of your own devices. Somebody may be "
        "reading along. Send nothing secret, and tell whoever runs the server."
    ),
    "chain_invalid": N_(
        "The server shows a list of your own devices that is forged or damaged. It was not "
        "accepted. Ask whoever runs the server what has happened."
    ),
    "device_added": N_(
        "Your account has a further device. If that was not you, somebody has your recovery words "
        "or one of your devices: take it out (jim devices), and tell your contacts."
    ),
    "device_removed": N_(
        "A device was taken out of your account. If that was not you, somebody has your recovery "
        "words or one of your devices: tell your contacts."
    ),
    "keys_changed": N_(
        "Your account has begun anew with other keys, by the recovery words. If that was not you, "
        "somebody has them: tell your contacts, and take another name."
    ),
}
_ABOUT_ME["rotated"] = N_(
    "This machine goes on as a new device of your account: its files were restored from a copy, or "
    "come from an earlier version. What was sent to the old device meanwhile is asked for again."
)
_ABOUT_ME["history_incomplete"] = N_(
    "Not all of your history came over from your other device. If you have it on a further one, "
    "take this device out and link it again."
)
_ABOUT_ME["verified_changed"] = _ABOUT_ME["keys_changed"]

_UNKNOWN: Final = N_("Something has happened that this version cannot explain: {code}")

_IN_PASSING: Final = frozenset({"undecryptable", "device_added", "device_removed"})
"""Ordinary among others; nobody has to do anything about it."""

_WORTH_A_LOOK: Final = frozenset(
    {"dropped", "keys_changed", "cloned", "rotated", "history_incomplete", "forgotten"}
)


def notice(event: MissingNotice, own_name: str, look: Look) -> list[Line]:
    """Say what has happened, in the conversation that it belongs to."""
    style = _style(event, own_name)
    mark = "" if style is Style.DIM else "! "
    return paragraph(mark + text_of(event, own_name), look, style)


def text_of(event: MissingNotice, own_name: str) -> str:
    """Give the text alone, in the user's language."""
    if event.code in _MISSING:
        since = time.strftime("%Y-%m-%d %H:%M", local_time(event.time_ms))
        text = _("Messages are missing here from {time} on.").format(time=since)
        return f"{text} {_(_MISSING[event.code])}"
    about = _ABOUT_ME if event.peer in {"", own_name} else _ABOUT_OTHERS
    if event.code not in about:
        return _(_UNKNOWN).format(code=safe_line(event.code))
    return _(about[event.code]).format(name=safe_name(event.peer, NAME_CELLS))


def _style(event: MissingNotice, own_name: str) -> Style:
    is_own = event.peer in {"", own_name}
    if event.code in _IN_PASSING and not (is_own and event.code != "undecryptable"):
        return Style.DIM
    if event.code in _WORTH_A_LOOK or event.code in _IN_PASSING:
        return Style.STRONG
    return Style.BAD
