"""The virtual lines: any pieces, back-pressure, resets, half-open connections, the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reliability.virtual.network import Weather
from unit_tests.reliability.virtual.world import PORT, Noted, Small, connected

if TYPE_CHECKING:
    from collections.abc import Iterator

TEXT = bytes(range(256)) * 400


@pytest.fixture
def small() -> Iterator[Small]:
    world = Small(weather=Weather(splitting=0.9, straggling=0.1, buffer_bytes=(1000, 2000)))
    yield world
    world.close()


def test_a_stream_arrives_whole_and_in_order_whatever_its_pieces(small: Small) -> None:
    ours, theirs = connected(small)
    ours.transport.write(TEXT)
    theirs.transport.write(TEXT[::-1])
    small.pass_s(60.0)
    assert (theirs.data, ours.data) == (TEXT, TEXT[::-1])
    assert len(set(theirs.pieces)) > 10


def test_who_does_not_read_makes_the_other_stop_writing_and_go_on_later(small: Small) -> None:
    ours, theirs = connected(small)
    theirs.transport.pause_reading()
    ours.transport.set_write_buffer_limits(high=10_000)
    ours.transport.write(TEXT)
    assert ours.events == ["pause"]
    small.pass_s(60.0)
    assert theirs.data == b""
    assert ours.transport.get_write_buffer_size() >= len(TEXT) - 2000
    theirs.transport.resume_reading()
    small.pass_s(60.0)
    assert theirs.data == TEXT
    assert ours.events == ["pause", "resume"]


def test_closing_writes_what_is_left_and_both_sides_hear_of_the_end(small: Small) -> None:
    ours, theirs = connected(small)
    ours.transport.write(TEXT)
    ours.transport.close()
    ours.transport.write(b"too late")
    small.pass_s(60.0)
    assert theirs.data == TEXT
    assert (ours.events, theirs.events) == (["pause", "lost"], ["eof", "lost"])


def test_a_cut_comes_in_the_middle_of_a_frame_and_resets_both(small: Small) -> None:
    ours, theirs = connected(small)
    ours.transport.write(TEXT)
    small.pass_s(0.05)
    (connection,) = small.network.open_connections("client")
    small.network.cut(connection)
    small.pass_s(5.0)
    assert theirs.data != TEXT
    assert TEXT.startswith(theirs.data)
    assert (ours.events[-1], theirs.events) == ("ConnectionResetError", ["ConnectionResetError"])
    assert small.network.open_connections("client") == []


def test_a_half_open_connection_loses_everything_and_tells_nobody(small: Small) -> None:
    ours, theirs = connected(small)
    (connection,) = small.network.open_connections("client")
    small.network.silence(connection, up=True, down=False)
    ours.transport.write(b"lost")
    theirs.transport.write(b"heard")
    small.pass_s(1000.0)
    assert (theirs.data, ours.data) == (b"", b"heard")
    assert (ours.events, theirs.events) == ([], [])


def test_one_side_may_be_reset_alone(small: Small) -> None:
    ours, theirs = connected(small)
    (connection,) = small.network.open_connections("client")
    small.network.cut_one_side(connection, towards_server=True)
    small.pass_s(100.0)
    assert (ours.events, theirs.events) == ([], ["ConnectionResetError"])


def test_a_stalled_line_delivers_later(small: Small) -> None:
    ours, theirs = connected(small)
    (connection,) = small.network.open_connections("client")
    small.network.stall(connection, small.scheduler.now_s + 10.0)
    ours.transport.write(b"x")
    small.pass_s(9.0)
    assert theirs.data == b""
    small.pass_s(2.0)
    assert theirs.data == b"x"


def test_a_dead_process_hangs_up_and_a_dead_machine_does_not(small: Small) -> None:
    ours, _ = connected(small)
    small.network.end_process(small.server, power=True)
    small.server.die()
    ours.transport.write(b"hello?")
    small.pass_s(100.0)
    assert ours.events == []
    small.network.reboot(small.server)
    ours.transport.write(b"hello?")
    small.pass_s(1.0)
    assert ours.events == ["ConnectionResetError"]


def test_a_process_that_is_killed_ends_its_connections(small: Small) -> None:
    ours, _ = connected(small)
    small.network.end_process(small.server, power=False)
    small.server.die()
    small.pass_s(1.0)
    assert ours.events == ["eof", "lost"]


def test_nobody_listens(small: Small) -> None:
    with pytest.raises(ConnectionRefusedError):
        small.run(small.client.create_connection(Noted, "127.0.0.1", PORT))


def test_a_silent_line_gives_no_answer_at_all(small: Small) -> None:
    small.network.line("client").is_silent = True
    task = small.client.create_task(small.client.create_connection(Noted, "127.0.0.1", PORT))
    small.pass_s(1000.0)
    assert not task.done()
