"""What the checker knows of one device: what it has shown, and how far it is."""

from __future__ import annotations


class Standing:
    """A device of the history."""

    __slots__ = (
        "cursor",
        "earlier",
        "is_older",
        "last",
        "may_come",
        "may_miss",
        "position",
        "seqs",
        "shown",
        "told",
    )

    def __init__(self) -> None:
        self.shown: dict[str, int] = {}
        """Message to its place in the conversation, in the order in which they were shown."""
        self.earlier: set[str] = set()
        """What it had shown before its disk was replaced by an older one."""
        self.told = False
        """Its user knows that messages are missing."""
        self.may_miss = False
        """Its disk or the server's is an older one, so it may be told so."""
        self.may_come: set[str] = set()
        """What it has shown and an older server does not know that it has."""
        self.is_older = False
        """Its own disk is: it cannot know what became of messages that it holds as waiting."""
        self.seqs: dict[tuple[str, str], int] = {}
        """Conversation to the last place that was shown."""
        self.last: dict[str, int] = {}
        """Sending device and addressee to the number of their last message that was shown."""
        self.position = 0
        """Of its mailbox, up to which it has shown everything."""
        self.cursor = 0

    def older(self, position: int) -> Standing:
        """Give the device with an older disk in place, on which nothing has been shown yet."""
        anew = Standing()
        anew.earlier = self.earlier | self.shown.keys()
        anew.told, anew.may_miss, anew.is_older = self.told, True, True
        anew.position = anew.cursor = position
        return anew

    def note(self, uid: str, seq: int, pair: tuple[str, str], sender: str, number: int) -> None:
        """Keep that a message was shown."""
        self.shown[uid] = seq
        self.last[sender] = max(number, self.last.get(sender, -1))
        if seq:
            self.seqs[pair] = max(seq, self.seqs.get(pair, 0))
