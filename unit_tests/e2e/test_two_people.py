"""Two people with two devices each, at real terminals, from nothing to revoked: the whole story.

Alice reads English in 90 columns, Борис Russian in 40; the server dies in the middle of it.
"""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

import pytest

from unit_tests.support.processes import World, environment, world
from unit_tests.support.terminal import Terminal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

CODE = re.compile(r"^/link ([a-z2-7 ]+)$", re.MULTILINE)
DIGITS = re.compile(r"^  (\d{5} \d{5} \d{5} \d{5})$", re.MULTILINE)
RULE = re.compile(r"={40,}")
RECOVERY_WORD = re.compile(r"(\d+)\. ([a-zа-я]+)(?=\s)")


class Person:
    """Somebody with a home on each machine; texts are looked for without their line breaks."""

    def __init__(self, here: World, name: str, language: str, columns: int) -> None:
        self.name = name
        self._here, self._language, self._columns = here, language, columns
        self._opened: list[Terminal] = []
        self.address = f"127.0.0.1:{here.port}"

    def at(self, machine: str, *arguments: str) -> Window:
        """Start `jim` on one of the person's machines."""
        locale = {"en": "en_GB.UTF-8", "ru": "ru_RU.UTF-8"}[self._language]
        env = environment(self._here.home(f"{self.name} {machine}"), TERM="xterm-256color")
        env |= {"LANG": locale, "LANGUAGE": self._language}
        program = [sys.executable, "-m", "jim.client", *arguments]
        terminal = Terminal(program, env, columns=self._columns, rows=40)
        self._opened.append(terminal)
        return Window(terminal)

    def talks_at(self, machine: str) -> Window:
        """Start the client itself, and wait until it is connected."""
        window = self.at(machine, self.address, "-n", self.name)
        window.shows({"en": "online", "ru": "на связи"}[self._language])
        return window

    def close(self) -> None:
        for terminal in self._opened:
            terminal.close()


class Window:
    """A terminal in which long texts are broken into lines somewhere."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    def types(self, text: str) -> None:
        self.terminal.line(text)

    def shows(self, text: str, count: int = 1) -> None:
        """Wait until the text has been shown so often, wherever its lines were broken."""
        wanted = "".join(text.split())
        self.terminal.until(lambda: self._squeezed().count(wanted) >= count, text)

    def has_shown(self, text: str) -> int:
        """Count how often the text has been shown."""
        return self._squeezed().count("".join(text.split()))

    def finds(self, pattern: re.Pattern[str]) -> str:
        """Wait until something matches; give its first group."""
        self.terminal.until(lambda: bool(pattern.search(self.terminal.everything)), str(pattern))
        found = pattern.search(self.terminal.everything)
        assert found is not None
        return found.group(1)

    def recovery_words(self) -> str:
        """Read the twelve words off the screen, as somebody with a pencil would."""
        self.shows("jim recover")
        block = RULE.split(self.terminal.everything)[1]
        words = {int(number): word for number, word in RECOVERY_WORD.findall(block)}
        assert sorted(words) == list(range(1, 13))
        return " ".join(words[number] for number in sorted(words))

    def leaves(self) -> None:
        self.types("3")
        assert self.terminal.wait() == 0

    def _squeezed(self) -> str:
        return "".join(self.terminal.everything.split())


@pytest.fixture
def here(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path) as running:
        yield running


@pytest.fixture
def alice(here: World) -> Iterator[Person]:
    person = Person(here, "alice", "en", 90)
    yield person
    person.close()


@pytest.fixture
def boris(here: World) -> Iterator[Person]:
    person = Person(here, "борис", "ru", 40)
    yield person
    person.close()


def link(old: Window, new: Window, yes: str) -> None:
    """Take the new device in by the code that it shows; both show the same digits then."""
    old.types(f"/link {new.finds(CODE)}")
    old.shows(f"/link {yes}")
    old.types(yes)
    assert old.finds(DIGITS) == new.finds(DIGITS)
    assert new.terminal.wait() == 0


def test_two_people_with_two_devices_each(  # noqa: PLR0915 - a story from its begin to its end
    here: World, alice: Person, boris: Person
) -> None:
    # Register, and talk.
    laptop = alice.talks_at("laptop")
    words = laptop.recovery_words()
    desk = boris.talks_at("desk")
    assert re.search("[а-я]", desk.recovery_words())
    laptop.types("@борис hello Boris")
    desk.shows("Сообщение от пользователя alice: hello Boris")
    desk.types("@alice привет, Алиса")
    laptop.shows("Message from борис: привет, Алиса")

    # Both link a second device, which has the history.
    phone = alice.at("phone", "link", alice.name, alice.address)
    link(laptop, phone, "yes")
    phone.shows("The history of your other device is here: 2 messages.")
    laptop.types("/devices")
    laptop.shows("this device")
    assert not laptop.has_shown("without a name")
    tablet = boris.at("tablet", "link", boris.name, boris.address)
    link(desk, tablet, "да")
    tablet.shows("История другого устройства пришла: 2 сообщения.")
    phone, tablet = alice.talks_at("phone"), boris.talks_at("tablet")
    phone.types("/history борис")
    phone.shows("привет, Алиса")

    # What one device sends reaches both of the other side, and the sender's other one.
    phone.types("@борис from my phone")
    for window in (desk, tablet):
        window.shows("Сообщение от пользователя alice: from my phone")
    laptop.shows("борис: from my phone")

    # The server dies; what is written meanwhile waits and arrives once.
    here.kill_server()
    tablet.shows("нет связи")
    tablet.types("@alice пока сервера нет")
    here.start_server()
    for window in (laptop, phone):
        window.shows("Message from борис: пока сервера нет")

    # They compare emoji: whatever device is asked, both people see the same.
    laptop.types("/verify борис emoji")
    desk.shows("alice предлагает сравнить эмодзи")
    desk.types("/verify alice эмодзи")
    laptop.shows("Does борис see the same ones, in this order?")
    desk.shows("Видит ли alice те же самые, в том же порядке?")
    laptop.types("/verify борис yes")  # a bare one so soon would not be believed
    desk.types("/verify alice да")
    laptop.shows("борис is verified.")
    desk.shows("Ключи alice сверены.")

    # The phone is lost: she takes it out, and it is told so and stops.
    laptop.types("/devices")
    laptop.shows("this device", 2)
    lost = laptop.finds(re.compile(r"^([a-z2-7]{16})  (?!.*this device)", re.MULTILINE))
    laptop.types(f"/rename {lost} lost phone")
    laptop.shows('"lost phone"')
    laptop.types("/remove lost")
    laptop.shows("Remove it? yes or no")
    laptop.types("y")
    phone.shows("This device was removed from its account")
    assert phone.terminal.wait() != 0
    desk.types("@alice видит ли это потерянный телефон?")
    laptop.shows("видит ли это потерянный телефон?")
    assert not phone.has_shown("видит ли это потерянный телефон?")

    # The laptop burns down, and its words bring the account to an empty machine; he was told of no
    # danger, for it is the same account, and stays verified.
    laptop.terminal.kill(9)
    recovering = alice.at("new laptop", "recover", alice.name, alice.address)
    recovering.shows("The twelve recovery words")
    recovering.types(words)
    recovering.shows("Remove")
    recovering.types("yes")
    recovering.shows("To talk from here: jim")
    assert recovering.terminal.wait() == 0
    laptop = alice.talks_at("new laptop")
    here.kill_server()
    here.start_server()
    desk.types("@alice с новым ноутбуком!")
    laptop.shows("Message from борис: с новым ноутбуком!")
    laptop.types("@борис thank you")
    for window in (desk, tablet):
        window.shows("Сообщение от пользователя alice: thank you")
    desk.types("/сверка alice")
    desk.shows("Вы уже сравнивали его, и с тех пор оно то же.")

    # Nothing was shown twice, and nothing is missing, on any device and on the server.
    for window, text in (
        (desk, "alice: hello Boris"),
        (desk, "alice: from my phone"),
        (desk, "alice: thank you"),
        (tablet, "alice: thank you"),
        (laptop, "борис: с новым ноутбуком!"),
    ):
        assert window.has_shown(text) == 1, text
    for person, machine, window in (
        (boris, "desk", desk),
        (boris, "tablet", tablet),
        (alice, "new laptop", laptop),
    ):
        window.leaves()
        checking = person.at(machine, "verify")
        assert checking.terminal.wait() == 0, checking.terminal.everything
    assert here.server is not None
    assert here.server.stop() == 0
    assert here.operate("verify").wait() == 0
