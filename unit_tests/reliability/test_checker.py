"""Every rule of the checker, broken once; and a history in which none is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliability.checker import check
from reliability.history import (
    Acked,
    Again,
    Cursor,
    Displayed,
    Failed,
    Fault,
    Healed,
    Lineage,
    Lives,
    Settled,
    Told,
    Vanished,
    Written,
)
from reliability.promise import RULES, Demands

if TYPE_CHECKING:
    from reliability.history import Event

DEVICES = {"ann": ["ann1"], "bob": ["bob1", "bob2"], "cat": ["cat1"]}
DEMANDS = Demands(devices=DEVICES)


def written(uid: str, sender: str = "ann", to: str = "bob") -> Written:
    return Written(0, uid, sender, f"{sender}1", to, "d")


def shown(uid: str, device: str, seq: int, position: int = 0, **other: str) -> Displayed:
    fields = {"sender": "ann", "digest": "d", **other}
    return Displayed(0, device[:3], device, uid, fields["sender"], seq, position, fields["digest"])


def good() -> list[Event]:
    return [
        written("m1"),
        written("m2"),
        Acked(0, "m1", 1, 1),
        shown("m1", "bob1", 1, 1),
        shown("m1", "bob2", 1, 1),
        Cursor(0, "bob1", 1),
        Acked(0, "m2", 2, 2),
        shown("m2", "bob2", 2, 2),
        shown("m2", "bob1", 2, 2),
        Fault(0, "kill"),
    ]


def rules(history: list[Event], demands: Demands = DEMANDS) -> set[str]:
    return {violation.rule for violation in check(history, demands).violations}


def test_a_good_history_breaks_nothing_and_is_counted() -> None:
    verdict = check(good(), Demands(devices=DEVICES, acks=2, faults={"kill": 1}))
    assert verdict.good
    counts = verdict.counts
    assert (counts.written, counts.acked, counts.displayed) == (2, 2, 4)
    assert counts.faults == {"kill": 1}


BROKEN: dict[str, list[Event]] = {
    "lost": [written("m3"), Acked(0, "m3", 3), shown("m3", "bob1", 3)],
    "vanished": [Vanished(0, "m1")],
    "undelivered": [written("m3")],
    "doubled": [shown("m2", "bob1", 2)],
    "misdelivered": [shown("m2", "cat1", 2)],
    "forged": [shown("m9", "bob1", 3)],
    "altered": [
        *(written("m3"), Acked(0, "m3", 3)),
        *(shown("m3", "bob1", 3, digest="x"), shown("m3", "bob2", 3)),
    ],
    "denied": [written("m3"), Failed(0, "m3", "recipient_unknown"), shown("m3", "bob1", 3)],
    "order": [
        *(written("m3"), written("m4", "bob", "ann"), Acked(0, "m3", 4), Acked(0, "m4", 3)),
        *(shown("m3", "bob1", 4), shown("m3", "bob2", 4)),
        *(shown("m4", "ann1", 3, sender="bob"), shown("m4", "bob2", 3, sender="bob")),
    ],
    "gap": [
        *(written("m3"), Acked(0, "m3", 4)),
        *(shown("m3", "bob1", 4), shown("m3", "bob2", 4)),
    ],
    "disagreement": [
        *(written("m3"), Acked(0, "m3", 2)),
        *(shown("m3", "bob1", 3), shown("m3", "bob2", 3)),
    ],
    "sender_order": [
        *(written("m3"), written("m4"), Acked(0, "m3", 4), Acked(0, "m4", 3)),
        *(shown("m4", "bob1", 3), shown("m3", "bob1", 4)),
        *(shown("m4", "bob2", 3), shown("m3", "bob2", 4)),
    ],
    "cursor_ahead": [Cursor(0, "bob1", 3)],
    "cursor_back": [Cursor(0, "bob2", 2), Cursor(0, "bob2", 1)],
}


@pytest.mark.parametrize(("rule", "events"), BROKEN.items(), ids=BROKEN.keys())
def test_each_rule_is_noticed_and_no_other(rule: str, events: list[Event]) -> None:
    assert rules([*good(), *events]) == {rule}


REPORTED = {"unhandled", "strange"}
"""By the layers themselves."""


def test_there_is_a_case_for_every_rule() -> None:
    assert set(BROKEN) | {"late", "vacuous"} | REPORTED == set(RULES)


def test_a_run_that_settles_too_late_or_never_is_late() -> None:
    demands = Demands(devices=DEVICES, healed_within_s=5)
    assert rules([*good(), Healed(1), Settled(6)], demands) == set()
    assert rules([*good(), Healed(1), Settled(6.1)], demands) == {"late"}
    assert rules([*good(), Healed(1)], demands) == {"late"}
    assert rules(good(), demands) == {"late"}
    unfinished = Demands(devices=DEVICES, healed_within_s=5, complete=False)
    assert rules([*good(), Healed(1), Settled(7), Healed(8)], unfinished) == {"late"}
    assert rules([*good(), Healed(8)], unfinished) == set()


@pytest.mark.parametrize(
    ("times", "broken"),
    [
        ((10, 49, 100, 101), ["39.0 s after healing 1, 5 s allowed"]),
        ((10, 11, 100, 139), ["39.0 s after healing 2, 5 s allowed"]),
        ((10, 15, 100, 105), []),
    ],
)
def test_every_healing_is_judged_by_itself(times: tuple[int, ...], broken: list[str]) -> None:
    first, then, second, last = times
    history = [*good(), Healed(first), Settled(then), Healed(second), Settled(last)]
    found = check(history, Demands(devices=DEVICES, healed_within_s=5)).violations
    assert [violation.detail for violation in found if violation.rule == "late"] == broken
    assert len(found) == len(broken)


def test_of_two_healings_before_everything_has_settled_the_first_counts() -> None:
    demands = Demands(devices=DEVICES, healed_within_s=5)
    assert rules([*good(), Healed(1), Healed(4), Settled(6)], demands) == set()
    assert rules([*good(), Healed(1), Healed(4), Settled(7)], demands) == {"late"}


@pytest.mark.parametrize(
    "demands", [Demands(devices=DEVICES, acks=3), Demands(devices=DEVICES, faults={"kill": 2})]
)
def test_a_run_that_proves_nothing_fails(demands: Demands) -> None:
    assert rules(good(), demands) == {"vacuous"}


def test_a_fault_that_did_not_take_effect_does_not_count() -> None:
    demands = Demands(devices=DEVICES, faults={"cut": 1})
    assert rules([*good(), Fault(0, "cut", fired=False)], demands) == {"vacuous"}


def test_a_full_mailbox_is_no_loss_if_both_sides_were_told() -> None:
    history = [*good(), written("m3"), Acked(0, "m3", 3, 3, 1), shown("m3", "bob1", 3)]
    assert rules(history) == {"lost"}
    assert rules([*history, Told(0, "bob2", "mailbox_full", 3)]) == set()


def test_a_device_tells_of_missing_messages_only_after_a_restore() -> None:
    assert rules([*good(), Told(0, "bob1", "behind")]) == {"lost"}
    assert rules([*good(), Lives(0, "bob1"), Told(0, "bob1", "behind")]) == set()


def test_an_unknown_outcome_needs_a_restore() -> None:
    history = [*good(), written("m3"), Failed(0, "m3", "unknown_outcome")]
    assert rules(history) == {"undelivered"}
    assert rules([*good(), written("m3"), Lives(0, "ann1"), *history[-1:]]) == set()


def test_a_restored_device_may_show_again_but_not_twice() -> None:
    again: list[Event] = [Lives(0, "bob1"), shown("m1", "bob1", 1)]
    assert rules([*good(), *again]) == set()
    assert rules([*good(), *again, shown("m1", "bob1", 1)]) == {"doubled"}


@pytest.mark.parametrize(
    ("code", "waiting", "broken"),
    [
        ("cancelled", ("m3",), set()),
        ("cancelled", (), {"denied"}),
        ("recipient_unknown", ("m3",), {"denied"}),
    ],
)
def test_only_what_was_taken_back_after_the_backup_may_still_be_sent(
    code: str, waiting: tuple[str, ...], broken: set[str]
) -> None:
    history = [*good(), written("m3"), Failed(0, "m3", code), Lives(0, "ann1", waiting)]
    history += [Acked(0, "m3", 3), shown("m3", "bob1", 3), shown("m3", "bob2", 3)]
    assert rules(history) == broken


def test_what_waits_in_a_restored_disk_has_to_be_decided_about() -> None:
    history = [*good(), written("m3"), Failed(0, "m3", "cancelled"), Lives(0, "ann1", ("m3",))]
    assert rules(history) == {"undelivered"}


def test_what_was_shown_before_the_restore_is_not_lost() -> None:
    assert rules([*good(), Lives(0, "bob1")]) == set()


def test_another_lineage_gives_places_anew_but_shows_nothing_twice() -> None:
    history = [*good(), Lineage(0, ("m1",)), written("m3"), Acked(0, "m3", 2)]
    history += [shown("m3", "bob1", 2), shown("m3", "bob2", 2)]
    assert rules(history) == set()
    assert rules([*history, shown("m3", "bob1", 2)]) == {"doubled"}


def restored_server() -> list[Event]:
    """m2 was lost with the newer store; it is sent again behind another one."""
    return [
        *(*good(), Lineage(0, ("m1",)), written("m3", "cat"), written("m4", "bob", "ann")),
        *(Acked(0, "m4", 2), shown("m4", "ann1", 2, 1, sender="bob")),
        *(shown("m4", "bob2", 2, 1, sender="bob"), Acked(0, "m2", 3)),
        *(Again(0, "bob1", "m2", 1), Cursor(0, "bob1", 1), Again(0, "bob2", "m2", 2)),
        *(Acked(0, "m3", 1), shown("m3", "bob1", 1, 2, sender="cat")),
        shown("m3", "bob2", 1, 3, sender="cat"),
    ]


def test_what_another_lineage_lost_and_got_again_has_another_place() -> None:
    assert rules(restored_server()) == set()


AFTER_LINEAGE: dict[str, list[Event]] = {
    "disagreement": [Acked(0, "m4", 3)],
    "cursor_ahead": [Cursor(0, "bob1", 3)],
    "cursor_back": [Cursor(0, "bob1", 0)],
    "lost": [Again(0, "ann1", "m3", 2)],
    "order": [
        *(written("m5", "cat"), written("m6", "cat")),
        *(Acked(0, "m5", 2), Acked(0, "m6", 3)),
        *(shown("m5", "bob1", 2, 4, sender="cat"), shown("m6", "bob1", 3, 3, sender="cat")),
        *(shown("m5", "bob2", 2, 4, sender="cat"), shown("m6", "bob2", 3, 5, sender="cat")),
    ],
    "sender_order": [
        *(written("m5", "cat"), written("m6", "cat")),
        *(Acked(0, "m5", 3), Acked(0, "m6", 2)),
        *(shown("m6", "bob1", 2, 3, sender="cat"), shown("m5", "bob1", 3, 4, sender="cat")),
        *(shown("m6", "bob2", 2, 4, sender="cat"), shown("m5", "bob2", 3, 5, sender="cat")),
    ],
    "gap": [
        *(written("m5", "cat"), Acked(0, "m5", 3)),
        *(shown("m5", "bob1", 3, 3, sender="cat"), shown("m5", "bob2", 3, 4, sender="cat")),
    ],
}


@pytest.mark.parametrize(("rule", "events"), AFTER_LINEAGE.items(), ids=AFTER_LINEAGE.keys())
def test_the_rules_hold_in_another_lineage_too(rule: str, events: list[Event]) -> None:
    assert rules([*restored_server(), *events]) == {rule}


def test_only_another_lineage_hands_out_again() -> None:
    assert rules([*good(), Again(0, "bob1", "m2", 3)]) == {"doubled"}
    assert rules([*restored_server(), Again(0, "bob1", "m2", 3)]) == {"doubled"}
    assert rules([*restored_server(), Again(0, "bob1", "m3", 3)]) == {"doubled"}


def restored_device() -> list[Event]:
    """The older disk of bob1 has m1 and not m2."""
    return [
        *good(),
        Cursor(0, "bob1", 2),
        Lives(0, "bob1", (), ("m1",), 1),
        Told(0, "bob1", "behind"),
    ]


AFTER_LIVES: dict[str, list[Event]] = {
    "doubled": [shown("m1", "bob1", 1, 3)],
    "cursor_back": [Cursor(0, "bob1", 0)],
    "cursor_ahead": [Cursor(0, "bob1", 3)],
    "lost": [Told(0, "bob2", "behind")],
    "disagreement": [
        *(written("m3"), Acked(0, "m3", 2)),
        *(shown("m3", "bob1", 3, 3), shown("m3", "bob2", 3, 3)),
    ],
    "order": [
        *(written("m3"), Acked(0, "m3", 3)),
        *(shown("m3", "bob1", 3, 1), shown("m3", "bob2", 3, 3)),
    ],
    "sender_order": [
        *(written("m3"), written("m4"), Acked(0, "m3", 4), Acked(0, "m4", 3)),
        *(shown("m4", "bob1", 3, 3), shown("m3", "bob1", 4, 4)),
        *(shown("m4", "bob2", 3, 3), shown("m3", "bob2", 4, 4)),
    ],
    "gap": [
        *(written("m3"), Acked(0, "m3", 4)),
        *(shown("m3", "bob1", 4, 3), shown("m3", "bob2", 4, 3)),
    ],
    "undelivered": [written("m3"), Failed(0, "m3", "unknown_outcome")],
}


@pytest.mark.parametrize(("rule", "events"), AFTER_LIVES.items(), ids=AFTER_LIVES.keys())
def test_the_rules_hold_with_an_older_disk_too(rule: str, events: list[Event]) -> None:
    assert rules(restored_device()) == set()
    broken = check([*restored_device(), *events], DEMANDS).violations
    assert {violation.rule for violation in broken} == {rule}


def test_a_message_that_waits_on_an_older_disk_has_no_order_with_its_other_life() -> None:
    history = [
        *good(),
        written("m3"),
        Failed(0, "m3", "cancelled"),
        written("m4"),
        Acked(0, "m4", 3),
    ]
    history += [shown("m4", "bob1", 3), shown("m4", "bob2", 3), Lives(0, "ann1", ("m3",))]
    history += [Acked(0, "m3", 4), shown("m3", "bob1", 4), shown("m3", "bob2", 4)]
    assert rules(history) == set()


def test_an_own_message_on_the_senders_other_device_is_no_leak() -> None:
    history = [*good(), written("m3", "bob", "ann"), Acked(0, "m3", 3)]
    history += [shown("m3", "ann1", 3, sender="bob"), shown("m3", "bob2", 3, sender="bob")]
    assert rules(history) == set()
    assert rules([*history, shown("m3", "bob1", 3, sender="bob")]) == {"misdelivered"}


def test_an_acknowledgement_without_a_place_explains_one_hole() -> None:
    history = [*good(), written("m3", "ann", "ann"), Acked(0, "m3")]
    assert rules([*history, written("m4", "ann", "ann"), Acked(0, "m4", 2)]) == set()
    assert rules([*history, written("m4", "ann", "ann"), Acked(0, "m4", 3)]) == {"gap"}


def test_a_gap_is_one_of_a_device() -> None:
    demands = Demands(devices=DEVICES, every_message=False)
    history = [*good(), written("m3"), written("m4"), Acked(0, "m4", 4), shown("m3", "bob1", 3)]
    history += [shown("m4", "bob1", 4), shown("m4", "bob2", 4)]
    [violation] = check(history, demands).violations
    assert str(violation) == "gap: ann/bob on bob2: no message at 3"


def test_what_a_device_wrote_itself_is_no_gap_of_it() -> None:
    history = [*good(), written("m3", "bob", "ann"), written("m4"), Acked(0, "m4", 4)]
    history += [shown("m3", "ann1", 3, sender="bob"), shown("m3", "bob2", 3, sender="bob")]
    history += [shown("m4", "bob1", 4), shown("m4", "bob2", 4), Acked(0, "m3")]
    assert rules(history) == set()


def test_a_copy_for_the_senders_other_device_that_is_missing_is_a_gap_unless_it_was_told() -> None:
    history = [*good(), written("m3", "bob", "ann"), written("m4"), Acked(0, "m4", 4)]
    history += [Acked(0, "m3", 3), shown("m3", "ann1", 3, sender="bob")]
    history += [shown("m4", "bob1", 4), shown("m4", "bob2", 4)]
    assert rules(history) == {"gap"}
    assert rules([*history, Told(0, "bob2", "mailbox_full")]) == set()


def test_what_users_were_told_is_counted() -> None:
    history = [
        *good(),
        written("m3"),
        Failed(0, "m3", "cancelled"),
        Told(0, "bob1", "mailbox_full"),
    ]
    assert check(history, DEMANDS).counts.told == {"cancelled": 1, "mailbox_full": 1}
