from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.peers import PEERS, base
from benchmarks.peers.base import Peer, Place

PLACE = Place(Path("/there"), 1001, 1002, Path("/there/server.pem"))


CONFIGURED = [peer for peer in PEERS if peer.template]


@pytest.mark.parametrize("peer", CONFIGURED, ids=lambda peer: peer.systems[0].key)
def test_every_template_is_filled_from_the_place(peer: Peer) -> None:
    assert peer.template
    template = Path(base.__file__).with_name(peer.template).read_text(encoding="utf-8")
    text = PLACE.fill(template)
    assert "1001" in text
    assert "/there/server.pem" in text
    assert "$" not in text


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.systems[0].key)
def test_every_command_names_the_program_first(peer: Peer) -> None:
    configuration = PLACE.directory / (peer.template or "none")
    assert peer.command("/bin/program", configuration, PLACE)[0] == "/bin/program"


def test_systems_have_keys_of_their_own() -> None:
    keys = [system.key for peer in PEERS for system in peer.systems]
    assert len(keys) == len(set(keys))


def test_an_unknown_name_in_a_template_is_a_mistake() -> None:
    with pytest.raises(KeyError):
        PLACE.fill("listen $prot")


def test_what_is_not_installed_is_named_with_its_package() -> None:
    peer = Peer("no-such-package", ("no-such-program",), "", lambda *_: [], PEERS[0].systems)
    with (
        pytest.raises(base.PeerError, match="apt-get install no-such-package"),
        base.running(peer),
    ):
        pass
