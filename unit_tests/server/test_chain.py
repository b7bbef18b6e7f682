"""`chain`: a logged-in device reads the links of its own account, and of no other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jim.core.model import Enrolment
from jim.crypto import chain, links
from jim.crypto.keys import SigningKey
from jim.crypto.transcript import link_hash
from jim.protocol import messages as m
from unit_tests.support.serving import serving

if TYPE_CHECKING:
    from pathlib import Path


async def test_a_device_reads_how_its_chain_has_grown(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.join("bob")
        alice, person = await server.join("alice")
        account = await server.store.find_account("alice")
        assert account is not None
        state = chain.verify_chain(account.links, account.name)
        added = links.make_add(state, SigningKey.generate(), person.recovery, 2_000)
        now_ms = time.time_ns() // 1_000_000
        await server.store.enrol(Enrolment(account.account_id, added, link_hash(added), 10), now_ms)
        alice.send(
            m.ChainRequest(id="all"),
            m.ChainRequest(id="rest", after=0),
            m.ChainRequest(id="none", after=1),
        )
        answers = [await alice.expect(m.Chain) for _ in range(3)]
        got = {answer.id: answer.links for answer in answers}
        assert got == {"all": [person.genesis, added], "rest": [added], "none": []}
