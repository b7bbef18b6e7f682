"""The server's edge: sockets, sessions, commits, settings. It decides little: `jim.core` does."""
