"""What a running server does when it is told to change or to go down."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from jim.crypto.tls import pinning_context
from jim.errors import StoreError
from jim.protocol import messages as m
from jim.server import main
from jim.server.arguments import parse
from jim.server.reload import Reloader
from jim.server.service import DRAINED_BY
from unit_tests.server.test_active import Faulty
from unit_tests.server.test_slow_reader import Sleeper, flood
from unit_tests.support.serving import QUICK, serving, until

if TYPE_CHECKING:
    from pathlib import Path

    from jim.core.limits import Limits


async def test_the_drain_reads_no_more_but_commits_and_answers_what_is_in(tmp_path: Path) -> None:
    async with serving(tmp_path, wrap=Faulty) as server:
        store: Any = server.store
        await server.join("bob")
        alice, person = await server.join("alice")
        store.commit_gate.clear()
        alice.post(1, "bob", "just in time")
        await until(lambda: server.service.committer._running is not None)
        draining = asyncio.ensure_future(server.service.drain())
        await until(lambda: server.service.node.draining)
        alice.post(2, "bob", "too late")
        await until(lambda: all(c.held for c in server.service.node.connections))
        store.commit_gate.set()
        answers = await alice.ended()
        assert [type(answer) for answer in answers] == [m.Stored, m.Goodbye]
        await draining
        account = await server.store.find_account("alice")
        assert account is not None
        assert (await server.store.standing(account.devices[0].device_id)).last_n == 1
        assert person.device == account.devices[0].device


async def test_a_drain_without_clients_is_over_at_once(tmp_path: Path) -> None:
    async with serving(tmp_path, msgspec.structs.replace(QUICK, drain_s=600.0)) as server:
        await asyncio.wait_for(server.service.drain(), 20)  # does not wait for the ten minutes


async def test_a_reader_that_is_stuck_leaves_time_of_drain_s_for_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    long = msgspec.structs.replace(QUICK, drain_s=600.0, outgoing_bytes=128 * 1024)
    async with serving(tmp_path, long) as server:
        bob = await Sleeper.asleep(server, "bob")
        alice, _ = await server.join("alice")
        await flood(alice, "bob", 1, 100)
        assert bob.connection.paused_s is not None
        loop, timeout_at = asyncio.get_running_loop(), asyncio.timeout_at
        waits_s: list[float] = []

        def soon(when_s: float) -> asyncio.Timeout:
            waits_s.append(when_s - loop.time())
            return timeout_at(min(when_s, loop.time() + 0.2))

        with monkeypatch.context() as hurried:
            hurried.setattr(asyncio, "timeout_at", soon)
            await server.service.drain()
        assert waits_s
        assert max(waits_s) <= long.drain_s * DRAINED_BY
        assert "1 clients did not close in time" in caplog.text
        await until(lambda: not server.service.node.connections)


@pytest.mark.parametrize("error", [None, StoreError("the disk is gone")])
async def test_a_store_that_does_not_close_is_left(
    error: StoreError | None,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Hanging:
        async def aclose(self) -> None:
            if error is not None:
                raise error
            await asyncio.Event().wait()

    store: Any = Hanging()
    caplog.set_level(logging.INFO)
    await asyncio.wait_for(main.close_store(store, asyncio.get_running_loop().time() + 0.05), 20)
    (record,) = caplog.records
    if error is None:
        assert record.getMessage() == "the store did not close in time"
    else:
        assert record.getMessage() == "the store did not close well: the disk is gone"
        assert capsys.readouterr().err == "jim-server: warning: the disk is gone\n"


async def test_other_limits_hold_from_the_next_message_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.join("bob")
        alice, _ = await server.join("alice")
        tight = msgspec.structs.replace(QUICK, text_bytes=3)
        settings = msgspec.structs.replace(server.service.settings, limits=tight)
        server.service.apply(settings, server.service.door.tls)
        alice.post(1, "bob", "four")
        assert (await alice.error()).limit_bytes == 3
        late = await server.wire()
        await late.greet()
        assert late.challenge is not None
        assert m.parse_terms(late.challenge.terms).limits.text_bytes == 3


async def test_a_reload_changes_the_tls_profile_for_those_who_come_then(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await server.join("bob")
        alice, _ = await server.join("alice")
        older = pinning_context()
        older.minimum_version = older.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError):
            await asyncio.open_connection("127.0.0.1", server.port, ssl=older)
        (tmp_path / "server.toml").write_text('tls_profile = "intermediate"\n')
        flags = ("--data-dir", str(tmp_path), "-a", "127.0.0.1")
        Reloader(server.service, parse(flags), lambda _: None).reload()
        _reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=older)
        assert writer.get_extra_info("ssl_object").version() == "TLSv1.2"
        writer.close()
        await alice.say(1, "bob", "still connected")
        await server.join("carol")


async def test_a_reload_leaves_what_needs_a_restart_as_it_is(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        config = tmp_path / "server.toml"
        given: list[Limits] = []
        flags = ("--data-dir", str(tmp_path), "-a", "127.0.0.1")
        reloader = Reloader(server.service, parse(flags), given.append)
        before = server.service.settings
        config.write_text(
            'port = 1\nregistration = "closed"\nlog_json = true\n[limits]\nwindow = 7\n'
        )
        reloader.reload()
        after = server.service.settings
        assert (after.port, after.log_json) == (before.port, before.log_json)
        assert (after.registration, after.limits.window) == ("closed", 7)
        assert [limits.window for limits in given] == [7]
        config.write_text("window = 7\n")
        reloader.reload()
        assert server.service.settings is after


async def test_what_comes_too_late_for_the_store_is_no_failure_of_it(tmp_path: Path) -> None:
    """A session may have been in the middle of a request when its client was said goodbye to."""
    async with serving(tmp_path, QUICK) as server:
        await server.service.drain()
        server.service.fail(StoreError("the store is closed"))
        assert server.service.failure is None


async def test_a_store_that_fails_before_the_drain_is_a_failure_whatever_follows(
    tmp_path: Path,
) -> None:
    async with serving(tmp_path, QUICK) as server:
        server.service.fail(StoreError("no flush"))
        await server.service.drain()
        assert server.service.failure is not None
