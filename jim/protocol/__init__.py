"""The protocol, pure: bytes to messages and back, the session's states. No I/O, no clock."""
