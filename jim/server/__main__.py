"""Run the server: `python -m jim.server`."""

from __future__ import annotations

import sys

from jim.server.main import main

if __name__ == "__main__":
    sys.exit(main())
