"""Configure logging once per process: a file off the event loop, and no secret in it.

`configure("server")` at the start of a program, `close()` of what it returns at the end; every
module just uses `logging.getLogger(__name__)`. A record goes into a bounded queue in memory; a
thread of its own formats it, masks what must not be written and writes it to `server.log` or
`client.log`. The caller never waits for the disk: when the queue is full, records are dropped,
and their number is logged.
"""

from jim.log_config.setup import LogHandle, Role, configure

__all__ = ["LogHandle", "Role", "configure"]
