"""A small disk whose power can be cut: an ext4 image on a loop device, shut down from inside.

The shutdown is that of the kernel's own crash tests: whatever was not flushed is gone, as when the
machine loses power, and the journal is replayed at the next mount. Needs root.

This process and what it starts get a mount namespace of their own. Else any other process that
makes one (`ip netns exec` does) would keep a second reference to the mount, which then could not be
shut down; and what a killed harness leaves mounted would stay.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import fcntl
import os
import struct
from typing import TYPE_CHECKING, Final, Self

from reliability.injectors.system import command
from reliability.injectors.taken import NotTaken

if TYPE_CHECKING:
    from pathlib import Path

SIZE_BYTES: Final = 64 * 2**20
"""Room for a few hundred thousand short messages; made in 30 ms."""

_SHUTDOWN: Final = (2 << 30) | (4 << 16) | (ord("X") << 8) | 125
"""EXT4_IOC_SHUTDOWN, `_IOR('X', 125, __u32)` (Linux, fs/ext4/ext4.h)."""

_NOLOGFLUSH: Final = struct.pack("I", 2)
"""EXT4_GOING_FLAGS_NOLOGFLUSH: not even the journal's own log is written."""

_CLONE_NEWNS: Final = 0x00020000
"""For unshare(2): Python has it from version 3.12 on."""

_private: list[int] = []
"""The process that has a mount namespace of its own; a forked child shares it."""


class Disk:
    """Use as a context: mounted at `path` inside, and gone afterwards."""

    def __init__(self, directory: Path, size_bytes: int = SIZE_BYTES) -> None:
        """Choose where image and mount point are; nothing is made yet."""
        self.path = directory / "disk"
        self.cuts = 0
        self._image = directory / "disk.img"
        self._size_bytes = size_bytes
        self._device = ""
        self._mounted = False

    def __enter__(self) -> Self:
        """Make, attach and mount it.

        Raises:
            NotTaken: the machine does not let us.
        """
        _be_private()
        self.path.mkdir(parents=True, exist_ok=True)
        with self._image.open("wb") as image:
            image.truncate(self._size_bytes)
        # Nothing is left for later: initialising in the background would be cut as well.
        command("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", str(self._image))
        atexit.register(self.remove)
        try:
            self._device = command("losetup", "-f", "--show", str(self._image)).strip()
            self.mount()
            # From now on it goes with the last mount, also when this process is killed.
            command("losetup", "-d", self._device)
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def mount(self) -> None:
        """Mount it; the journal is replayed if the power was cut.

        Raises:
            NotTaken: it cannot be mounted.
        """
        command("mount", "-o", "noatime", self._device, str(self.path))
        self._mounted = True

    def cut(self) -> None:
        """Cut the power: from now on nothing is written, and every attempt fails.

        Nobody may be flushing: freeze who could, or the kernel may tell it that it has succeeded.

        Raises:
            OSError: the file system does not know how.
        """
        descriptor = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, _NOLOGFLUSH)
        finally:
            os.close(descriptor)
        self.cuts += 1

    def power_up(self) -> None:
        """Mount it again after a cut; nobody may have a file open there any more.

        Raises:
            NotTaken: somebody has, or it cannot be mounted.
        """
        # An open descriptor keeps the device attached between the two.
        descriptor = os.open(self._device, os.O_RDONLY)
        try:
            command("umount", str(self.path))
            self._mounted = False
            self.mount()
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """Unmount and detach it, whatever state it is in; a second time does nothing."""
        atexit.unregister(self.remove)
        if self._mounted:
            # Lazily: a process that is still ending must not keep the device attached for ever.
            _attempt("umount", "-l", str(self.path))
            self._mounted = False
        if self._device:
            _attempt("losetup", "-d", self._device)
            self._device = ""
        self._image.unlink(missing_ok=True)


def _be_private() -> None:
    """Get a mount namespace of our own, once.

    Raises:
        NotTaken: the machine does not let us.
    """
    if _private:
        return
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS):
        raise NotTaken(f"no mount namespace: {os.strerror(ctypes.get_errno())}")
    command("mount", "--make-rprivate", "/")
    _private.append(os.getpid())


def _attempt(*words: str) -> None:
    with contextlib.suppress(NotTaken):
        command(*words)
