"""Start the client from a checkout, from any directory; installed: `jim`."""

import sys

from jim.launch.bootstrap import run

if __name__ == "__main__":
    sys.exit(run("jim.client.cli"))
