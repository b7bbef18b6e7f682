"""Every attack of a malicious server has its defined outcome, and a client that errs is found."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest

from jim.client.encryption.opening import Opening
from reliability.hostile.treason import check
from reliability.hostile.treason.attack import Attack, run
from reliability.hostile.treason.scene import CANARY

THIRD = len(check.ATTACKS) // 3 + 1


@pytest.mark.parametrize("part", range(3))
async def test_every_attack_has_its_outcome(tmp_path: Path, part: int) -> None:
    names = list(check.ATTACKS)[part * THIRD : (part + 1) * THIRD]
    section = await check.check(tmp_path, names)
    assert section.violations == []
    assert section.cases == len(names) > 10


def test_every_code_is_in_the_table_for_reviewers() -> None:
    table = (Path(__file__).parents[3] / "docs" / "security.md").read_text(encoding="utf-8")
    told = [codes for attack in check.ATTACKS.values() for codes in attack.told.values()]
    ours = {code for codes in told for code in codes if not code.startswith("server: ")}
    assert {code for code in ours if f"`{code}`" not in table} == {"device_added"}, "the usual one"
    assert f"{len(check.ATTACKS)} attacks" in table


class Gossip(Attack):
    """Somebody allows plain texts with an account that is said to have no keys."""

    async def play(self) -> None:
        alice = await self.scene.join("alice")
        await alice.client.presence()
        self.scene.traitor.heard.append(f"a text, {CANARY}, in the open".encode())

    async def afterwards(self) -> None:
        pass


class Silent(Attack):
    """Nothing is done, and a warning is demanded."""

    told: ClassVar = {"alice": {"forged"}}

    async def play(self) -> None:
        await self.scene.join("alice")


async def test_a_text_in_the_open_and_a_missing_warning_are_found(tmp_path: Path) -> None:
    async with check.serving(tmp_path / "server") as traitor:
        assert await run(Gossip, traitor, tmp_path, 1) == ["a text was said in the open"]
        assert await run(Silent, traitor, tmp_path, 2) == [
            "alice was told [] instead of ['forged']"
        ]


async def test_a_client_that_believes_the_envelope_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Opening, "_fits", lambda *_: True)
    section = await check.check(tmp_path, ["`to` is altered"])
    assert section.violations
