"""The protocol, pure: bytes to messages and back, the session's states, versions. No I/O, no clock."""
