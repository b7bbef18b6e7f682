"""One session as the hub sees it: how far its mailbox has been sent, and whether pushes go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jim.core.model import Identity, Standing
    from jim.core.ports import Outlet


class Link:
    """One logged-in session: its outlet and how far its mailbox has been sent."""

    __slots__ = (
        "acked",
        "asked",
        "attached",
        "identity",
        "live",
        "outlet",
        "outstanding",
        "paused",
        "sent",
        "target",
        "unsure",
        "watching",
    )

    def __init__(self, outlet: Outlet, identity: Identity, standing: Standing) -> None:
        """Start without delivery; `Hub.sync` starts it."""
        self.outlet = outlet
        self.identity = identity
        self.attached = True
        """False once the session is over, whatever still arrives from it."""
        self.asked = False
        """The client has asked for its mailbox; before that nothing of it is sent."""
        self.live = False
        """Pushes go straight out; otherwise the session has not asked, or catches up."""
        self.paused = False
        """The client reads slowly: nothing is sent that the store can give again later."""
        self.acked = standing.acked
        """The last position that the device has confirmed."""
        self.sent = standing.position
        """The last position sent, or for a session that did not ask yet, the last there is."""
        self.target = standing.position
        """The highest position known to be in the mailbox."""
        self.unsure = False
        """Pushes may have been lost, perhaps after the page in flight was read."""
        self.outstanding = 0
        """Messages gathered or being committed."""
        self.watching = False
