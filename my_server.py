"""Start the server from a checkout, from any directory; installed: `jim-server`."""

import sys

from jim.launch.bootstrap import run

if __name__ == "__main__":
    sys.exit(run("jim.server.main"))
