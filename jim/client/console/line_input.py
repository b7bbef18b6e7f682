"""The prompt of line mode: one prompt_toolkit application that lives as long as the session.

It never ends between two lines, so the terminal stays in raw mode and nothing typed ahead is echoed
in a wrong place. A line that was accepted is handed on and printed above like everything else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from prompt_toolkit.application import get_app
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.keys import Keys
from prompt_toolkit.output.color_depth import ColorDepth
from prompt_toolkit.shortcuts import CompleteStyle, PromptSession
from prompt_toolkit.styles import Style as PromptStyle

from jim.client.console.commands import completions
from jim.client.console.dialogue import Stage
from jim.client.console.pastes import Pastes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prompt_toolkit.application import Application
    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document
    from prompt_toolkit.key_binding import KeyPressEvent

STYLE: Final = PromptStyle.from_dict(
    {
        "name": "bold ansicyan",
        "dim": "ansibrightblack",
        "strong": "bold",
        "bad": "bold ansired",
        "prompt": "",
        "bottom-toolbar": "noreverse ansibrightblack",
    }
)
"""Few colours, of the terminal's own sixteen: they follow its theme."""


class Names(Completer):
    """Completes commands and names by the table of commands."""

    def __init__(
        self,
        stage: Callable[[], Stage],
        names: Callable[[], Iterable[str]],
        devices: Callable[[], Iterable[tuple[str, str]]],
    ) -> None:
        self._stage = stage
        self._names = names
        self._devices = devices

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Offer what fits the word before the cursor; nothing in the text of a message."""
        del complete_event
        line = document.text_before_cursor
        stage, names = self._stage(), list(self._names())
        if stage is Stage.COMMAND:
            found = completions(line, names, self._devices())
        elif stage is Stage.RECIPIENT:
            found = [name for name in names if name.casefold().startswith(line.casefold())]
        else:
            found = []
        typed = len(line.rpartition(" ")[2])
        return [Completion(f"{text} ", -typed, display=text) for text in found]


class LineInput:
    """Reads lines; knows nothing of what they mean."""

    def __init__(
        self,
        *,
        colours: bool,
        prompt: Callable[[], str],
        stage: Callable[[], Stage],
        names: Callable[[], Iterable[str]],
        devices: Callable[[], Iterable[tuple[str, str]]],
        status: Callable[[int], str],
        on_line: Callable[[str, str], None],
        on_interrupt: Callable[[], bool],
        on_empty: Callable[[], None],
    ) -> None:
        """Prepare the prompt.

        Args:
            colours: whether colours may be used.
            prompt: the question now.
            stage: what the next line is.
            names: what Tab offers as names.
            devices: id and name of each device that Tab offers.
            status: the status line for a width.
            on_line: takes an accepted line: as it was shown, and with its pastes.
            on_interrupt: Ctrl+C was pressed; true ends the session.
            on_empty: Enter was pressed on an empty command line.
        """
        self._stage, self._on_line = stage, on_line
        self._on_interrupt, self._on_empty = on_interrupt, on_empty
        self._pastes = Pastes()
        self._histories = {each: InMemoryHistory() for each in Stage}
        self.depth = None if colours else ColorDepth.DEPTH_1_BIT
        self._session: PromptSession[None] = PromptSession(
            message=lambda: [("class:prompt", prompt())],
            style=STYLE,
            color_depth=self.depth,
            completer=Names(stage, names, devices),
            complete_while_typing=False,
            complete_style=CompleteStyle.READLINE_LIKE,
            reserve_space_for_menu=0,
            erase_when_done=True,
            history=self._histories[stage()],
            bottom_toolbar=lambda: status(get_app().output.get_size().columns),
            key_bindings=self._bindings(),
        )
        self._session.app.renderer.cpr_not_supported_callback = None
        self._session.app.ttimeoutlen = 0.05

    @property
    def app(self) -> Application[None]:
        """The application, for printing above it."""
        return self._session.app

    async def run(self, ready: Callable[[], None]) -> None:
        """Read lines until `stop`, Ctrl+D or Ctrl+C; `ready` is called once the prompt is drawn.

        Raises:
            EOFError: Ctrl+D on an empty line, or the terminal is gone.
            KeyboardInterrupt: Ctrl+C, and `on_interrupt` wanted the end.
        """

        def drawn(_app: object) -> None:
            self.app.after_render -= drawn
            ready()

        self.app.after_render += drawn
        await self._session.prompt_async(handle_sigint=False, set_exception_handler=False)

    def stop(self) -> None:
        """End `run`."""
        if self.app.is_running and not self.app.is_done:
            self.app.exit()

    def refresh(self) -> None:
        """Draw again soon."""
        if self.app.is_running:
            self.app.invalidate()

    def _bindings(self) -> KeyBindings:
        bindings = KeyBindings()
        bindings.add("enter")(self._accept)
        bindings.add("c-j")(self._accept)
        bindings.add("escape", "enter", filter=Condition(self._in_text))(
            lambda event: event.current_buffer.insert_text("\n")
        )
        bindings.add("c-c")(self._interrupt)
        # Where nothing can be suspended (Windows) it does nothing: never a character in the text.
        bindings.add("c-z")(lambda event: event.app.suspend_to_background())
        bindings.add(Keys.BracketedPaste)(self._paste)
        bindings.add("tab", filter=Condition(self._in_text))(lambda _event: None)
        return bindings

    def _in_text(self) -> bool:
        return self._stage() is Stage.TEXT

    def _accept(self, event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        shown = buffer.text
        if not shown and self._stage() is Stage.COMMAND:
            self._on_empty()
            return
        if shown.strip():
            buffer.append_to_history()
        buffer.reset()
        self._on_line(shown, self._pastes.unfold(shown))
        self._change_history()

    def _interrupt(self, event: KeyPressEvent) -> None:
        event.current_buffer.reset()
        if self._on_interrupt():
            event.app.exit(exception=KeyboardInterrupt)
        self._change_history()

    def _paste(self, event: KeyPressEvent) -> None:
        text = event.data.replace("\r\n", "\n").replace("\r", "\n")
        event.current_buffer.insert_text(self._pastes.fold(text))

    def _change_history(self) -> None:
        """Let ↑ offer what answered the same question before."""
        buffer = self._session.default_buffer
        history = self._histories[self._stage()]
        if buffer.history is not history:
            buffer.history = history
            buffer.reset()
