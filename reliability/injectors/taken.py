"""The one way in which an injector says that it did not work."""

from __future__ import annotations


class NotTaken(Exception):
    """The fault did not take effect, so whatever follows would prove nothing."""
