"""Start a server and clients from a checkout, from any directory; installed: `jim-launch`."""

import sys

from jim.launch.bootstrap import run

if __name__ == "__main__":
    sys.exit(run("jim.launch"))
