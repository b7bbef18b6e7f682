"""`python -m jim.client` is `jim`."""

import sys

from jim.client.cli import main

if __name__ == "__main__":
    sys.exit(main())
