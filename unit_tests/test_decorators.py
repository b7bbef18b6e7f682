"""`log_calls` names function, caller and exception class, and never shows a value."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
from typing import Any, get_type_hints

import pytest

from jim.core.hub import Hub
from jim.decorators import log_calls
from jim.server.active import Active
from jim.server.connection import Connection

SECRET = "the words of bob"


@log_calls
def join(first: str, *, second: str = "") -> str:
    """Join two texts."""
    return first + second


@log_calls
def refuse(secret: str) -> None:
    raise KeyError(secret)


@log_calls
async def join_later(first: str, second: str) -> str:
    await asyncio.sleep(0)
    return first + second


@log_calls
async def refuse_later(secret: str) -> None:
    await asyncio.sleep(0)
    raise KeyError(secret)


@log_calls
async def wait_for_ever() -> None:
    await asyncio.Event().wait()


class Room:
    @log_calls
    def enter(self, name: str) -> str:
        return name

    @staticmethod
    @log_calls
    def size() -> int:
        return 3


@pytest.fixture
def debug(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG, logger=join.__module__)
    return caplog


def test_a_call_is_logged_with_function_and_caller(debug: pytest.LogCaptureFixture) -> None:
    assert join("a", second="b") == "ab"
    (record,) = debug.records
    assert record.getMessage() == "called join(str, str second)"
    assert record.levelno == logging.DEBUG
    assert record.name == join.__module__
    assert record.funcName == "test_a_call_is_logged_with_function_and_caller"
    assert record.module == "test_decorators"


async def test_a_coroutine_is_logged_with_its_awaiter(debug: pytest.LogCaptureFixture) -> None:
    assert await join_later("a", second="b") == "ab"
    (record,) = debug.records
    assert record.getMessage() == "called join_later(str, str second)"
    assert record.funcName == "test_a_coroutine_is_logged_with_its_awaiter"


def test_an_exception_is_logged_by_its_class_and_goes_on(debug: pytest.LogCaptureFixture) -> None:
    with pytest.raises(KeyError, match=SECRET):
        refuse(SECRET)
    assert [record.getMessage() for record in debug.records] == [
        "called refuse(str)",
        "refuse raised KeyError",
    ]


async def test_so_is_that_of_a_coroutine(debug: pytest.LogCaptureFixture) -> None:
    with pytest.raises(KeyError, match=SECRET):
        await refuse_later(SECRET)
    assert debug.records[-1].getMessage() == "refuse_later raised KeyError"


async def test_cancelling_is_logged_and_goes_on(debug: pytest.LogCaptureFixture) -> None:
    task = asyncio.create_task(wait_for_ever())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert debug.records[-1].getMessage() == "wait_for_ever raised CancelledError"


def test_values_never_appear(debug: pytest.LogCaptureFixture) -> None:
    join(SECRET, second=SECRET)
    with pytest.raises(KeyError):
        refuse(SECRET)
    assert SECRET not in debug.text
    assert all(record.exc_info is None for record in debug.records)


def test_methods_are_logged_too(debug: pytest.LogCaptureFixture) -> None:
    assert Room().enter("bob") == "bob"
    assert Room.size() == 3
    assert [record.getMessage() for record in debug.records] == [
        "called Room.enter(Room, str)",
        "called Room.size()",
    ]


def test_nothing_is_logged_while_debug_is_off(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=join.__module__)
    assert join("a") == "a"
    with pytest.raises(KeyError):
        refuse(SECRET)
    assert caplog.records == []


async def test_nor_for_coroutines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger=join.__module__)
    assert await join_later("a", "b") == "ab"
    assert caplog.records == []


def test_the_function_keeps_its_name_text_and_kind() -> None:
    assert join.__name__ == "join"
    assert join.__doc__ == "Join two texts."
    assert get_type_hints(join)["second"] is str
    assert inspect.iscoroutinefunction(join_later)
    assert not inspect.iscoroutinefunction(join)


@pytest.mark.parametrize(
    "place",
    [
        "jim.server.main:main",
        "jim.server.arguments:parse",
        "jim.server.listener:open_sockets",
        "jim.server.login:Login.enter",
        "jim.server.service:Service.drain",
        "jim.client.connector:Connector.connect",
        "jim.launch.cli:main",
    ],
)
def test_entry_points_and_cold_functions_are_logged(place: str) -> None:
    module, _, path = place.partition(":")
    function: Any = importlib.import_module(module)
    for name in path.split("."):
        function = getattr(function, name)
    assert function.__wrapped__.__module__ == module


def test_the_path_of_a_message_is_not_logged() -> None:
    for function in (Connection.send, Connection.flush, Active.receive, Hub.submit, Hub.committed):
        assert not hasattr(function, "__wrapped__")
