"""Writing a file in one stroke: at any moment there is the old one or the new one, whole."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be removed anyway
    fcntl = None  # type: ignore[assignment]


def write_atomically(path: str | os.PathLike[str], pieces: Iterable[bytes | memoryview]) -> None:
    """Write a file beside `path`, flush it to the disk, and let it take the place of `path`.

    After an error, an interrupt or the end of the process the old file is as it was. What a killed process
    leaves behind is removed by the next call for the same path.

    Raises:
        OSError: the folder does not exist or cannot be written, `path` is a symbolic link or not a file, the
            name is impossible, the disk is full.
    """
    target = Path(path)
    if "\0" in os.fspath(target):
        raise OSError(errno.EINVAL, "a file name cannot contain NUL", os.fspath(target))
    if target.is_symlink():
        raise OSError(
            errno.ELOOP, "this is a symbolic link; write to the file it points to", os.fspath(target)
        )
    if target.exists() and not target.is_file():
        raise OSError(errno.EISDIR, "this is not a file", os.fspath(target))
    _remove_remains(target)
    partial = target.with_name(f"{_prefix(target)}{secrets.token_hex(4)}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        with open(descriptor, "wb") as file:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)  # ends with the process, however that ends
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            os.replace(partial, target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    _flush_folder(target.parent)


def _prefix(target: Path) -> str:
    return f".{target.name}."


def _remove_remains(target: Path) -> None:
    """Remove partial files of `target` that no living process holds."""
    for partial in target.parent.glob("*.partial"):
        if partial.name.startswith(_prefix(target)):
            with contextlib.suppress(OSError), open(partial, "rb") as file:
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                partial.unlink()


def _flush_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut, where the system lets folders be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
