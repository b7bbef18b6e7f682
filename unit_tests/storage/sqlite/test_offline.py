"""An administrator's command beside a running server, and after a restore."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from jim.core.limits import Limits
from jim.errors import InviteInvalid, StoreCorrupt, StoreError, StoreLocked, StoreTooNew
from jim.storage.sqlite import add_invite_offline, open_store, reissue_epoch
from unit_tests.support.accounts import (
    NOW_MS,
    add_account,
    invite,
    registration,
    send,
)
from unit_tests.support.outcomes import outcomes, stored

if TYPE_CHECKING:
    from pathlib import Path

LIMITS = Limits()

COMMAND = """
import sys
from pathlib import Path
from jim.storage.sqlite import add_invite_offline
from unit_tests.support.accounts import NOW_MS, invite
for token in sys.argv[2:]:
    add_invite_offline(Path(sys.argv[1]), invite(token), NOW_MS)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "server.db"


async def test_another_process_adds_invites_while_the_server_commits(path: Path) -> None:
    store = await open_store(path, LIMITS)
    [alice] = await add_account(store, "alice")
    tokens = [f"t{k}" for k in range(20)]
    command = [sys.executable, "-c", COMMAND, str(path), *tokens]
    process = await asyncio.create_subprocess_exec(*command)
    n = 0
    while process.returncode is None:
        n += 1
        assert stored(outcomes(await send(store, alice, "alice", n))[0]).seq == n
        await asyncio.sleep(0)
    assert await process.wait() == 0
    for token in tokens:
        used = registration(token, invite=invite(token).token_hash)
        await store.register(used, NOW_MS)
    await store.aclose()


async def test_without_a_server_the_invite_waits_for_it(path: Path) -> None:
    await (await open_store(path, LIMITS)).aclose()
    add_invite_offline(path, invite("t"), NOW_MS)
    store = await open_store(path, LIMITS)
    await store.register(registration("alice", invite=invite("t").token_hash), NOW_MS)
    with pytest.raises(InviteInvalid):
        await store.register(registration("bob", invite=invite("t").token_hash), NOW_MS)
    await store.aclose()


async def test_the_first_invite_may_come_before_the_first_start(path: Path) -> None:
    add_invite_offline(path, invite("t"), NOW_MS)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    store = await open_store(path, LIMITS)
    await store.register(registration("alice", invite=invite("t").token_hash), NOW_MS)
    await store.aclose()


async def test_a_database_of_another_version_is_left_alone(path: Path) -> None:
    await (await open_store(path, LIMITS)).aclose()
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO schema_migrations VALUES (99, 'x', 1)")
    connection.close()
    with pytest.raises(StoreTooNew):
        add_invite_offline(path, invite("t"), NOW_MS)
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM schema_migrations")
    connection.close()
    with pytest.raises(StoreError, match="start the server once"):
        add_invite_offline(path, invite("t"), NOW_MS)


def test_a_file_that_is_no_database_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("no database" * 100)
    with pytest.raises(StoreCorrupt):
        add_invite_offline(path, invite("t"), NOW_MS)
    assert path.read_text() == "no database" * 100


async def test_a_restored_copy_gets_a_new_epoch(path: Path) -> None:
    store = await open_store(path, LIMITS)
    before = store.epoch
    with pytest.raises(StoreLocked):
        reissue_epoch(path)
    await store.aclose()
    after = reissue_epoch(path)
    assert after != before
    store = await open_store(path, LIMITS)
    assert store.epoch == after
    await store.aclose()


def test_there_is_no_epoch_without_a_database(path: Path) -> None:
    path.parent.mkdir()
    with pytest.raises(StoreError, match="no database"):
        reissue_epoch(path)
    assert not path.exists()


async def test_an_invite_survives_kill_9_of_the_command(path: Path) -> None:
    await (await open_store(path, LIMITS)).aclose()
    script = COMMAND + "\nimport os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
    ran = subprocess.run([sys.executable, "-c", script, str(path), "t"], check=False)
    assert ran.returncode == -9
    store = await open_store(path, LIMITS)
    await store.register(registration("alice", invite=invite("t").token_hash), NOW_MS)
    await store.aclose()
