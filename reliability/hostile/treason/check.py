"""Play the attacks, all or some, against the real client library; one section of the report."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from jim.bus.local import LocalBus
from jim.server.admin import DATABASE
from jim.server.identity import load_identity, load_tls
from jim.server.listener import open_sockets
from jim.server.service import Service
from jim.server.settings import Settings
from jim.storage.sqlite import open_store
from reliability.hostile.report import Section
from reliability.hostile.traitor import LIFTED, Traitor
from reliability.hostile.treason import chains, floods, frames, keys
from reliability.hostile.treason.attack import Attack, run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping
    from pathlib import Path

ATTACKS: Final[Mapping[str, type[Attack]]] = {
    **keys.ATTACKS,
    **chains.ATTACKS,
    **frames.ATTACKS,
    **floods.ATTACKS,
}
"""Every attack by what the server does."""


@contextlib.asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[Traitor]:
    """Run the real server with the traitor in front of it until the end of the block."""
    settings = Settings(address="127.0.0.1", port=0, data_dir=str(directory), limits=LIFTED)
    sockets = open_sockets(settings.address, settings.port)
    identity, tls = load_identity(directory, DATABASE), load_tls(settings)
    store = await open_store(directory / DATABASE, LIFTED)
    service = Service(settings, identity, tls, store, LocalBus())
    service.open(sockets)
    try:
        async with Traitor(int(service.addresses[0].rpartition(":")[2]), tls) as traitor:
            yield traitor
    finally:
        await service.drain()
        await store.aclose()


async def check(
    directory: Path,
    attacks: Iterable[str] = ATTACKS,
    tell: Callable[[str], object] = lambda _: None,
) -> Section:
    """Play attacks by their names, each with people of its own."""
    section = Section("client library, treacherous server")
    async with serving(directory / "server") as traitor:
        for number, name in enumerate(attacks, 1):
            tell(name)
            section.cases += 1
            wrong = await run(ATTACKS[name], traitor, directory, number)
            section.count("violated" if wrong else "as defined")
            for each in wrong:
                section.violate(f"{name}: {each}")
    return section
