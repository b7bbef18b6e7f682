"""Make `python -m jim.launch` the launcher of an installed JIM."""

import sys

from jim.launch import main

if __name__ == "__main__":
    sys.exit(main())
