"""`configure` sends every logger of the process to one file, and undoes itself."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import warnings
from typing import TYPE_CHECKING

import pytest

from jim import i18n
from jim.log_config import configure

if TYPE_CHECKING:
    from pathlib import Path

LOGGER = logging.getLogger("jim.somewhere")


def test_the_role_names_the_file(tmp_path: Path) -> None:
    with configure("server", directory=tmp_path) as log:
        LOGGER.info("here")
    assert log.path == tmp_path / "server.log"
    assert "INFO test_setup test_the_role_names_the_file here" in log.path.read_text()


def test_the_default_directory_is_made(home: Path) -> None:
    with configure("client"):
        LOGGER.info("here")
    assert "here" in (home / "log" / "client.log").read_text()


def test_levels(tmp_path: Path) -> None:
    with configure("server", directory=tmp_path, level="debug"):
        LOGGER.debug("fine")
        logging.getLogger("other").info("noise")
        logging.getLogger("asyncio").error("Task exception was never retrieved")
    text = (tmp_path / "server.log").read_text()
    assert "fine" in text
    assert "noise" not in text
    assert "never retrieved" in text


def test_info_is_the_default(tmp_path: Path) -> None:
    with configure("server", directory=tmp_path):
        LOGGER.debug("fine")
        LOGGER.info("coarse")
    text = (tmp_path / "server.log").read_text()
    assert "fine" not in text
    assert "coarse" in text


def test_warnings_are_logged(tmp_path: Path) -> None:
    with warnings.catch_warnings(), configure("server", directory=tmp_path):
        warnings.simplefilter("always")
        warnings.warn("old age", stacklevel=1)
    assert "old age" in (tmp_path / "server.log").read_text()


def test_json(tmp_path: Path) -> None:
    with configure("server", json=True, directory=tmp_path):
        LOGGER.info("hi", extra={"size_bytes": 3})
        LOGGER.error("ho")
    lines = [json.loads(line) for line in (tmp_path / "server.log").read_text().splitlines()]
    assert [line["message"] for line in lines] == ["hi", "ho"]
    assert lines[0]["size_bytes"] == 3


def test_exceptions_are_written_without_secrets(tmp_path: Path) -> None:
    with configure("server", directory=tmp_path):
        try:
            int("token=abc-123")
        except ValueError:
            LOGGER.exception("internal error 17")
    text = (tmp_path / "server.log").read_text()
    assert "internal error 17" in text
    assert "token=[redacted]" in text
    assert "abc-123" not in text


def test_closing_undoes_everything_and_may_be_repeated(tmp_path: Path) -> None:
    before = list(logging.getLogger().handlers), logging.getLogger("jim").level
    log = configure("server", directory=tmp_path, level="debug")
    log.close()
    log.close()
    LOGGER.warning("after the end")
    assert (list(logging.getLogger().handlers), logging.getLogger("jim").level) == before
    assert "after the end" not in (tmp_path / "server.log").read_text()


@pytest.mark.usefixtures("no_blocking_calls")
async def test_logging_does_not_block_the_loop(tmp_path: Path) -> None:
    log = await asyncio.to_thread(configure, "server", directory=tmp_path)
    for number in range(100):
        LOGGER.info("from the loop %d", number)
    await asyncio.to_thread(log.close)
    assert log.dropped == 0
    assert (tmp_path / "server.log").read_text().count("from the loop") == 100


def test_an_unwritable_directory_costs_one_line_and_warnings_go_to_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    with configure("server", directory=tmp_path / "file") as log:
        assert log.path is None
        LOGGER.info("too fine")
        LOGGER.warning("look here")
    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        f"jim: cannot write the log {tmp_path / 'file' / 'server.log'}: Not a directory; "
        "warnings go to this terminal"
    )
    assert second.endswith("look here")


def test_the_warning_is_in_the_users_language(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    i18n.set_language("ru")
    (tmp_path / "file").touch()
    configure("server", directory=tmp_path / "file").close()
    assert "не удаётся писать журнал" in capsys.readouterr().err


@pytest.mark.e2e
def test_a_program_that_just_ends_has_written_its_last_line(tmp_path: Path) -> None:
    source = """if True:
        import logging, sys
        from pathlib import Path
        from jim.log_config import configure
        configure("client", directory=Path(sys.argv[1]))
        logging.getLogger("jim.x").info("the last line")
    """
    subprocess.run([sys.executable, "-c", source, str(tmp_path)], check=True, timeout=50)
    assert "the last line" in (tmp_path / "client.log").read_text()
