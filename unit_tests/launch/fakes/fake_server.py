"""Stand in for the server in tests of the launcher: relay lines by name, or misbehave as told.

FAKE_SERVER: "dies" at once, "deaf" never listens, "dies-later" ends when a client says "die",
"loses" drops messages for bob, "doubles" them, "leaks" shows everything to carol, "stubborn"
ignores SIGTERM.
"""

import argparse
import contextlib
import os
import selectors
import signal
import socket
import sys

FAULT = os.environ.get("FAKE_SERVER", "")


def targets(to: str) -> list[str]:
    if FAULT == "loses" and to == "bob":
        return []
    if FAULT == "leaks":
        return [to, "carol"]
    return [to, to] if FAULT == "doubles" else [to]


def relay(line: str, sender: str, people: dict[str, socket.socket]) -> None:
    if line == "die":
        sys.exit(7)
    to, _tab, text = line.partition("\t")
    for name in targets(to):
        if name in people:
            people[name].sendall(f"Message from {sender}: {text}\n".encode())


def greet(connection: socket.socket, line: str, people: dict[str, socket.socket]) -> str:
    if line.startswith("{"):
        connection.sendall(b'{"action":"error","code":"plaintext_refused"}\n')
        return ""
    people[line] = connection
    connection.sendall(b"hello\n")
    return line


def serve(listener: socket.socket) -> None:
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    people: dict[str, socket.socket] = {}
    names: dict[socket.socket, str] = {}
    rest: dict[socket.socket, bytes] = {}
    while True:
        for key, _events in selector.select():
            if key.fileobj is listener:
                selector.register(listener.accept()[0], selectors.EVENT_READ)
                continue
            connection = key.fileobj
            assert isinstance(connection, socket.socket)
            received = b""
            with contextlib.suppress(OSError):
                received = connection.recv(65536)
            if not received:
                selector.unregister(connection)
                connection.close()
                people.pop(names.pop(connection, ""), None)
                continue
            *lines, rest[connection] = (rest.get(connection, b"") + received).split(b"\n")
            for line in lines:
                if names.get(connection):
                    relay(line.decode(), names[connection], people)
                else:
                    names[connection] = greet(connection, line.decode(), people)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-p", type=int)
    parser.add_argument("-a", default="")
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    if FAULT == "dies":
        sys.exit("the disk is on fire")
    if FAULT == "deaf":
        signal.pause()
    stubborn = FAULT == "stubborn"
    signal.signal(signal.SIGTERM, signal.SIG_IGN if stubborn else lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, lambda *_: None)  # the real one reloads its settings
    with socket.create_server((options.a or "127.0.0.1", options.p)) as listener:
        print("listening", os.getpid(), flush=True)
        serve(listener)


if __name__ == "__main__":
    main()
