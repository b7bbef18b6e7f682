# ruff: noqa: SLF001 - a bug is put where nobody is meant to reach
"""Bugs of the numbering that are planted at more than one layer: replacements of its methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from jim.core.model import Answers, Run
from jim.core.numbering import _Planner
from jim.protocol.messages import ErrorReply, Stored

if TYPE_CHECKING:
    from collections.abc import Callable

    from jim.core.counters import DeviceCounters
    from jim.protocol.messages import Msg

_take = _Planner._take
_answer_again = _Planner._answer_again


def take_again(self: _Planner, run: Run) -> Answers:
    """Store a number again that was stored before."""
    return _take_singly(self, run, lambda last_n, n: min(last_n, n - 1))


def take_behind_gap(self: _Planner, run: Run) -> Answers:
    """Store a number behind a gap."""
    return _take_singly(self, run, lambda last_n, n: max(last_n, n - 1))


def _take_singly(self: _Planner, run: Run, last_n: Callable[[int, int], int]) -> Answers:
    """Number messages one by one, each after an invented last number."""
    sender = self._counters.device(run.sender.device_id)
    done = []
    for message in run.messages:
        sender.last_n = last_n(sender.last_n, message.n)
        done.append(_take(self, Run(run.sender, [message])))
    frames = b"".join(each.frames for each in done)
    return Answers(frames, tuple(new for each in done for new in each.introduced))


def answer_with_latest(self: _Planner, sender: DeviceCounters, message: Msg) -> Stored | ErrorReply:
    """Answer a repetition with the place of the last message, not of the repeated one."""
    answer = _answer_again(self, sender, message)
    if message.n > sender.last_n or not isinstance(answer, Stored):
        return answer
    last = sender.answers[-1]
    return msgspec.structs.replace(answer, seq=last.seq + last.count - 1, time=last.time_ms)
