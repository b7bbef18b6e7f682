"""The client's commands: `my_client.py`, `jim` and its subcommands.

Modules here are imported only when they are needed: `jim --version` and the first prompt have a
budget (docs/client.md, "Speed").
"""

from jim.client.cli.main import main

__all__ = ["main"]
