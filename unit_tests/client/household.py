"""A real server and the clients of one test, each with a data directory of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unit_tests.client.listening import Listening, launch

if TYPE_CHECKING:
    from pathlib import Path


class Household:
    """The clients of a test, each with a data directory of its own; closed at the end."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.folder = folder
        self.clients: list[Listening] = []

    async def start(self, name: str, home: str | None = None, **options: Any) -> Listening:
        port = options.pop("port", self.port)
        listening = await launch(port, name, self.folder / (home or name), **options)
        self.clients.append(listening)
        return listening

    async def join(self, name: str, home: str | None = None, **options: Any) -> Listening:
        return await (await self.start(name, home, **options)).online()

    async def aclose(self) -> None:
        for listening in self.clients:
            await listening.aclose()
