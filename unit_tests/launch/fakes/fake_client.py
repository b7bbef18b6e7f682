"""Stand in for the client in tests of the launcher: the seed's commands on lines, no TLS.

FAKE_CLIENT: "fails" ends with status 4 at once, "hangs" ignores every command and signal.
"""

import os
import select
import signal
import socket
import sys

from jim.client.console import view
from jim.client.console.lines import as_text

FAULT = os.environ.get("FAKE_CLIENT", "")


def obey(lines: list[str], connection: socket.socket) -> list[str]:
    """Carry out complete commands and return what is left."""
    while lines:
        if lines[0] == "3":
            sys.exit(0)
        if lines[0] == "die":
            connection.sendall(b"die\n")
            return []
        if lines[0] != "1":
            print("unknown:", lines.pop(0), flush=True)
            continue
        if len(lines) < 3:
            return lines
        connection.sendall(f"{lines[1]}\t{lines[2]}\n".encode())
        del lines[:3]
    return lines


def connect(host: str, port: str, name: str) -> socket.socket:
    connection = socket.create_connection((host, int(port)))
    connection.sendall(name.encode() + b"\n")
    assert connection.recv(6) == b"hello\n"
    place = os.environ.get("JIM_DATA_DIR", "")
    print(as_text(view.connected()[0]), os.getpid(), place, flush=True)
    return connection


def misbehave() -> None:
    if FAULT == "fails":
        sys.exit(4)
    if FAULT == "hangs":
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


def main() -> None:
    host, port, _flag, name = sys.argv[1:]
    misbehave()
    connection = connect(host, port, name)
    rest, waiting = b"", list[str]()
    while True:
        ready, _write, _error = select.select([connection, sys.stdin], [], [])
        if connection in ready:
            received = connection.recv(65536)
            if not received:
                sys.exit(3)
            os.write(1, received)
        if sys.stdin in ready:
            typed = os.read(0, 65536)
            if not typed:
                sys.exit(0)
            *lines, rest = (rest + typed).split(b"\n")
            if FAULT != "hangs":
                waiting = obey(waiting + [line.decode() for line in lines], connection)


if __name__ == "__main__":
    main()
