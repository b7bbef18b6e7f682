"""Devices on the screen: names of other machines are harmless, and removing one is confirmed."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from jim import i18n
from jim.client.console import actions, devices_view
from jim.client.console.commands import Action
from jim.client.console.dialogue import Run
from jim.client.console.explain import Exit, exit_code, explain
from jim.client.console.lines import as_text
from jim.client.console.questions import Questions
from jim.client.console.view import Look
from jim.client.devices import (
    Device,
    clean_name,
    default_name,
    find_at_start,
    find_device,
)
from jim.errors import ChainMoved, DeviceNameInvalid, DeviceUnknown, Revoked
from unit_tests.support.fake_client import Fake

if TYPE_CHECKING:
    from jim.client.console.console import Console
    from jim.client.console.library import Messenger

PHONE = Device(id="b" * 16, name="old phone", is_this=False, since_ms=1_700_000_000_000)
THIS = Device(id="a" * 16, name="laptop", is_this=True, since_ms=1_600_000_000_000)


class Scene:
    """As much of a console as a command looks at."""

    look = Look()

    def __init__(self) -> None:
        self.questions = Questions()

    @property
    def screen(self) -> Scene:
        return self

    seen = screen

    async def look_at_devices(self, client: Messenger) -> None:
        """Nobody completes anything."""


async def run(client: Fake, action: Action, *words: str) -> str:
    console = cast("Console", Scene())
    lines = await actions.run(client, Run(action, text=" ".join(words)), console)
    return "\n".join(map(as_text, lines))


async def test_a_device_is_shown_and_removed_only_after_a_second_word() -> None:
    client = Fake()
    assert "laptop" in await run(client, Action.DEVICES)
    asked = await run(client, Action.REMOVE, "old phone")
    assert f"/remove {PHONE.id} yes" in asked
    assert len(client.own_devices) == 2
    assert len(await run(client, Action.REMOVE, "bbbb", "no")) > 0
    assert len(client.own_devices) == 2
    assert "Removed" in await run(client, Action.REMOVE, "bbbb", "нуы")
    assert [each.id for each in client.own_devices] == [THIS.id]


async def test_to_remove_the_device_in_front_of_the_user_takes_the_name() -> None:
    client = Fake("alice")
    assert f"/remove {THIS.id} alice" in await run(client, Action.REMOVE, "aaaa", "yes")
    assert len(client.own_devices) == 2
    await run(client, Action.REMOVE, "aaaa", "Alice")
    assert len(client.own_devices) == 1


async def test_a_device_is_renamed_and_a_name_has_to_be_one() -> None:
    client = Fake()
    shown = await run(client, Action.RENAME, "bbbb", "new phone")
    assert shown == f'{PHONE.id} is called "new phone" now, on all your devices.'
    for wrong in ("x" * 33, "\x07"):
        with pytest.raises(DeviceNameInvalid):
            await run(client, Action.RENAME, "bbbb", wrong)
    with pytest.raises(DeviceUnknown):
        await run(client, Action.RENAME, "cccc", "x")


def test_the_question_in_russian_is_answered_in_russian() -> None:
    i18n.set_language("ru")
    asked = "\n".join(map(as_text, devices_view.question(PHONE, "alice", Look())))
    assert f"/remove {PHONE.id} да" in asked
    assert devices_view.is_yes("Да ")
    assert devices_view.is_yes("lf")
    assert not devices_view.is_yes("нет")
    assert not devices_view.is_yes("")


def test_what_other_machines_say_is_harmless() -> None:
    wild = Device(id="\x1b[2J", name="a\x1b]0;x\x07\n\u202eb" * 20, is_this=False, since_ms=2**62)
    for line in devices_view.listed([wild], Look()):
        assert as_text(line).isprintable()
    assert devices_view.listed([], Look())


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        *(("b", PHONE), ("BBBB", PHONE), ("Old Phone", PHONE), ("laptop", THIS), ("a" * 16, THIS)),
        *(("old", PHONE), ("LAP", THIS)),
    ],
)
def test_a_device_is_found_by_id_beginning_or_name(typed: str, found: Device) -> None:
    assert find_device([THIS, PHONE], typed) is found


@pytest.mark.parametrize(
    ("typed", "found", "rest"),
    [
        ("bbbb", PHONE, ""),
        ("bbbb yes", PHONE, "yes"),
        ("old phone", PHONE, ""),
        ("Old Phone да", PHONE, "да"),
        ('"old phone" yes', PHONE, "yes"),
        ("«old phone» нет", PHONE, "нет"),
        ("old p yes", PHONE, "yes"),
        ("lap", THIS, ""),
        ("laptop alice", THIS, "alice"),
    ],
)
def test_a_text_that_begins_with_a_device(typed: str, found: Device, rest: str) -> None:
    assert find_at_start([THIS, PHONE], typed) == (found, rest)


def test_a_new_name_is_told_from_the_old_one() -> None:
    two = Device(id="c" * 16, name="laptop two", is_this=False, since_ms=0)
    assert find_at_start([THIS, PHONE], "old phone new phone", more=True) == (PHONE, "new phone")
    assert find_at_start([THIS, two], "laptop two", more=True) == (THIS, "two")
    assert find_at_start([THIS, two], "laptop two") == (two, "")
    assert find_at_start([THIS, two], '"laptop two" three', more=True) == (two, "three")
    for typed, reason in (("lapto x", "several"), ("z x", "none")):
        with pytest.raises(DeviceUnknown) as error:
            find_at_start([THIS, two], typed, more=True)
        assert error.value.fields["reason"] == reason


async def test_no_leaves_the_device_and_a_name_with_spaces_is_enough() -> None:
    client = Fake()
    assert await run(client, Action.REMOVE, "old phone no") == "Nothing was changed."
    assert '"phone of bob"' in await run(client, Action.RENAME, "old phone phone of bob")
    assert "Removed" in await run(client, Action.REMOVE, "phone of bob y")
    assert [each.id for each in client.own_devices] == [THIS.id]


@pytest.mark.parametrize(("typed", "reason"), [("", "none"), ("c", "none"), ("bb", "several")])
def test_what_fits_no_device_or_several_is_refused(typed: str, reason: str) -> None:
    called_bb = Device(id="c0", name="bb", is_this=False, since_ms=0)
    devices = [THIS, PHONE, called_bb] if reason == "several" else [THIS, PHONE]
    with pytest.raises(DeviceUnknown) as error:
        find_device(devices, typed)
    assert error.value.fields["reason"] == reason
    # Nobody can call a device so that another one is not found by its whole id.
    liar = Device(id="c1", name=PHONE.id, is_this=False, since_ms=0)
    assert find_device([THIS, PHONE, liar], PHONE.id) is PHONE


def test_names_of_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    for node, name in (("pc.example.org", "pc"), ("x" * 99, "x" * 32), ("a\tb\x00", "a b")):
        monkeypatch.setattr("platform.node", lambda node=node: node)
        assert default_name() == name
    monkeypatch.setattr("platform.node", lambda: "")
    assert default_name()
    assert clean_name(" \u200b ") == ""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (Revoked(), Exit.AUTH),
        (ChainMoved(), Exit.FAILURE),
        (DeviceUnknown(reason="none"), Exit.USAGE),
        (DeviceUnknown(reason="several"), Exit.USAGE),
        (DeviceNameInvalid(), Exit.USAGE),
    ],
)
def test_errors_about_devices_are_explained_in_both_languages(error: Revoked, status: Exit) -> None:
    i18n.set_language("en")
    english = explain(error)
    i18n.set_language("ru")
    assert explain(error) != english
    assert error.code not in english
    assert exit_code(error) is status


def test_on_a_narrow_screen_a_device_takes_a_few_lines_that_break_at_words() -> None:
    rows = [as_text(row) for row in devices_view.listed([THIS, PHONE], Look(width=40))]
    assert max(map(len, rows)) <= 40
    starts = [row for row in rows if not row.startswith(" ")]
    assert [row.split()[0] for row in starts] == [THIS.id, PHONE.id]
    assert '"old phone"' in " ".join(rows)
    wide = [as_text(row) for row in devices_view.listed([THIS, PHONE], Look(width=100))]
    assert wide == [devices_view.described(THIS), devices_view.described(PHONE)]
