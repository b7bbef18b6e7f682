"""Open the key of this device, which a passphrase may seal; where passphrases come from is given.

A source gives passphrases to try, one after the other, and may ask a person in between. What has
opened a key is remembered in memory for as long as the program runs: a key that takes the place of
a sealed one is sealed alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jim.crypto import key_files, passphrase
from jim.crypto.keys import SigningKey
from jim.errors import KeyFileError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    Source = Callable[[bytes], Iterator[str]]
    """Takes the public key that is to be opened, gives what to try."""


class KeyOpener:
    """Reads key files, and writes the key that comes next. Everything here blocks."""

    def __init__(self, sources: Sequence[Source] = ()) -> None:
        """Take where passphrases come from; without any, a sealed key stays locked."""
        self._sources = sources
        self._opened: dict[bytes, SigningKey] = {}
        self._passphrase: str | None = None

    def read(self, path: Path, more: Sequence[Source] = ()) -> SigningKey:
        """Read a key; `more` sources are asked after the usual ones.

        Raises:
            KeyFileError: as `jim.crypto.key_files.read_key`; with `reason` locked if there was
                nothing to try, passphrase if nothing has opened it.
        """
        public, is_sealed = key_files.public_key(path)
        if not is_sealed:
            return key_files.read_key(path)
        if public not in self._opened:
            self._opened[public] = self._try(path, public, [*self._sources, *more])
        return self._opened[public]

    def read_or_make(self, path: Path) -> SigningKey:
        """Read a key, or make one if there is none, sealed like the one that was read last.

        Raises:
            KeyFileError: as `read`, or it cannot be written.
        """
        if path.exists():
            return self.read(path)
        if self._passphrase is None:
            return key_files.load_or_create(path)
        key = SigningKey.generate()
        try:
            text = passphrase.seal(key, self._passphrase)
        except MemoryError as error:
            raise KeyFileError(f"{path}: {error}", path=str(path), reason="memory") from error
        key_files.write_private(path, text.encode("ascii"))
        self._opened[key.public] = key
        return key

    def _try(self, path: Path, public: bytes, sources: Sequence[Source]) -> SigningKey:
        wrong: KeyFileError | None = None
        # A key that takes the place of another one is sealed alike: nobody has to type that twice.
        known = [] if self._passphrase is None else [self._passphrase]
        for source in (lambda _: iter(known), *sources):
            for typed in source(public):
                try:
                    key = key_files.read_key(path, lambda given=typed: given)  # type: ignore[misc]
                except KeyFileError as error:
                    if error.fields.get("reason") != "passphrase":
                        raise
                    wrong = error
                else:
                    self._passphrase = typed
                    return key
        if wrong is not None:
            raise wrong
        detail = f"{path}: the key is sealed with a passphrase"
        raise KeyFileError(detail, path=str(path), reason="locked")
