"""Disks that fill up or refuse to be written to, mounted for one run.

`TinyDisk` is a tmpfs: its size can be changed while it is used. A file system with open writers
cannot be remounted read-only (mount(8) says "busy", on tmpfs and ext4 alike, bind mounts too), so
`FailingDisk` does what disks do in practice: ext4 meets an error and goes read-only by itself
(mount option errors=remount-ro; the error comes from /sys/fs/ext4/<device>/trigger_fs_error). Its
journal ends there, so what was not flushed by then is lost, as in a power cut.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final, Self

from reliability.injectors.system import command
from reliability.injectors.taken import NotTaken

TINY_NEEDS: Final = ("root", "mount", "umount")
FAILING_NEEDS: Final = (*TINY_NEEDS, "findmnt", "mkfs.ext4", "e2fsck")
"""Of the machine, for each kind of disk."""

IMAGE_BYTES: Final = 16 * 1024 * 1024
"""Of an ext4 file system: room for its journal and for a run."""

_PAGE_BYTES: Final = 4096
_TRIES: Final = 20
_PROBE: Final = ".probe"


class TinyDisk:
    """A file system in memory with so many bytes, mounted on a directory of ours."""

    def __init__(self, place: Path, size_bytes: int) -> None:
        """Take where to mount it (made if missing), and its size."""
        self.place = place
        self._size_bytes = size_bytes
        self._mounted = False

    def __enter__(self) -> Self:
        self.place.mkdir(parents=True, exist_ok=True)
        options = f"size={self._size_bytes},mode=0700"
        command("mount", "-t", "tmpfs", "-o", options, "jim-tiny-disk", str(self.place))
        self._mounted = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._mounted:
            command("umount", "--lazy", str(self.place))
            self._mounted = False

    @property
    def free_bytes(self) -> int:
        """How much fits on it still."""
        found = os.statvfs(self.place)
        return found.f_bavail * found.f_frsize

    def is_full(self) -> bool:
        """Whether not even a page can be written any more."""
        probe = self.place / _PROBE
        try:
            probe.write_bytes(b"-" * _PAGE_BYTES)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return True
        else:
            return False
        finally:
            probe.unlink(missing_ok=True)

    def resize(self, size_bytes: int) -> None:
        """Give it another size; what is there stays.

        Raises:
            NotTaken: it did not get it.
        """
        command("mount", "-o", f"remount,size={size_bytes}", str(self.place))
        found = os.statvfs(self.place)
        if abs(found.f_blocks * found.f_frsize - size_bytes) > _PAGE_BYTES:
            raise NotTaken(f"{self.place} has {found.f_blocks * found.f_frsize} bytes")
        self._size_bytes = size_bytes

    def shrink_to_free(self, free_bytes: int) -> None:
        """Leave so much room and no more.

        Raises:
            NotTaken: it is being filled faster than that.
        """
        for left in reversed(range(_TRIES)):
            found = os.statvfs(self.place)
            try:
                self.resize((found.f_blocks - found.f_bfree) * found.f_frsize + free_bytes)
            except NotTaken:  # something was written meanwhile, and does not fit any more
                if not left:
                    raise
            else:
                return


class FailingDisk:
    """An ext4 file system in an image file that goes read-only when it is told to."""

    def __init__(self, place: Path, image: Path) -> None:
        """Take where to mount it (made if missing), and the file for its image."""
        self.place = place
        self._image = image
        self._mounted = False

    def __enter__(self) -> Self:
        self.place.mkdir(parents=True, exist_ok=True)
        with self._image.open("wb") as image:
            image.truncate(IMAGE_BYTES)
        command("mkfs.ext4", "-q", "-F", "-m", "0", str(self._image))
        self._mount()
        return self

    def __exit__(self, *_: object) -> None:
        if self._mounted:
            command("umount", "--lazy", str(self.place))
            self._mounted = False

    def fail(self) -> None:
        """Let the file system meet an error: from now on nothing can be written.

        Raises:
            NotTaken: something still can.
        """
        device = Path(command("findmnt", "-no", "SOURCE", str(self.place)).strip()).name
        try:
            Path(f"/sys/fs/ext4/{device}/trigger_fs_error").write_text("1")
        except OSError as error:
            raise NotTaken(f"ext4 on {device} cannot be made to fail: {error}") from error
        if not self.is_read_only():
            raise NotTaken(f"{self.place} can still be written")

    def is_read_only(self) -> bool:
        """Whether writing is refused."""
        probe = self.place / _PROBE
        try:
            probe.write_bytes(b"-")
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            return True
        probe.unlink()
        return False

    def mend(self) -> None:
        """Unmount it, check it, mount it anew; nobody may have a file open there.

        Raises:
            NotTaken: somebody has, or it cannot be mended.
        """
        command("umount", str(self.place))
        self._mounted = False
        # 1 says that errors were corrected (fsck(8)): the one of ours is noted in the file system.
        command("sh", "-c", f'e2fsck -fp "{self._image}" || [ $? -eq 1 ]')
        self._mount()
        if self.is_read_only():
            raise NotTaken(f"{self.place} is read-only after the repair")

    def _mount(self) -> None:
        command("mount", "-o", "loop,errors=remount-ro", str(self._image), str(self.place))
        self._mounted = True
