"""Files of the library: written in one stroke, so that there is always a whole one, and where its caches are."""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import secrets
import stat
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import IO

from tinygrad_nn.errors import ArgumentError, UsageWarning

StrPath = str | os.PathLike[str]

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:
    # Windows, where a file that is open cannot be removed anyway.
    fcntl = None


def cache_folder(name: str = "") -> Path:
    """Return the folder of ours for files that can be made again, or the one called `name` in it; it may not exist.

    It is `tinygrad_nn` under XDG_CACHE_HOME, or ~/.cache where that is not set.

    Raises:
        RuntimeError: there is no home directory.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    return (Path(base) if os.path.isabs(base) else Path("~/.cache").expanduser()) / "tinygrad_nn" / name


def private_cache_folder(name: str) -> Path | None:
    """Return a folder for caches of what will be run, made if it is not there; None where there can be none.

    The user or root owns it and what it lies in, and nobody else can write into it or put another in its place. Where
    that is not so, a `UsageWarning` says so once, and nothing of it is used.
    """
    try:
        folder = cache_folder(name)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = folder.resolve()
        culprits = [place for place in (folder, *folder.parents) if _is_open_to_others(place, folder)]
    # Without a home directory there is no folder to ask for.
    except (OSError, RuntimeError):
        return None
    if culprits:
        _say_open_to_others(folder, culprits[0])
        return None
    return folder


def _is_open_to_others(place: Path, folder: Path) -> bool:
    """Tell whether others can write into `folder`, or, for a place above it, put another one there."""
    if not hasattr(os, "getuid"):
        # Windows keeps the folders of users apart by itself.
        return False
    status = place.stat()
    if place == folder:
        writable = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    else:
        # In a sticky folder, as /tmp is, everyone can make files, and nobody can move those of others.
        writable = status.st_mode & stat.S_IWOTH and not status.st_mode & stat.S_ISVTX
    return bool(writable or status.st_uid not in (0, os.getuid()))


@functools.cache
def _say_open_to_others(folder: Path, culprit: Path) -> None:
    warnings.warn(
        f"{folder} is not used, because other users can write to {culprit}, and so nothing is kept from one process "
        f"to the next\n  hint   chmod go-w {culprit}, or set XDG_CACHE_HOME to a folder of your own",
        UsageWarning,
        stacklevel=2,
    )


def as_path(who: str, path: object) -> StrPath:
    """Return the name of a file.

    Raises:
        ArgumentError: it is none.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ArgumentError(f"{who}: path is the name of a file, got {path!r:.60}")
    return path


def expect_folder(path: StrPath) -> None:
    """Raise before a long computation what writing its file after it would: there is no such folder."""
    folder = Path(path).parent
    if not folder.is_dir():
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", os.fspath(folder))


def write_atomically(path: StrPath, pieces: Iterable[bytes | memoryview]) -> None:
    """Write a file beside `path`, flush it to the disk, and let it take the place of `path`.

    After an error, an interrupt or the end of the process the old file is as it was. The new one has the
    permissions of the old, or those that `open` gives to new files. What a killed process leaves behind is removed
    by the next call for the same path.

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
    written: list[bytes | memoryview] = []
    source = iter(pieces)
    while not _try_to_write(target, _again(written, source)):
        pass
    _flush_folder(target.parent)


def _again(
    written: list[bytes | memoryview], source: Iterator[bytes | memoryview]
) -> Iterator[bytes | memoryview]:
    """Yield what an earlier try has written, and then the rest, which is remembered for another."""
    yield from list(written)
    for piece in source:
        written.append(piece)
        yield piece


def _try_to_write(target: Path, pieces: Iterable[bytes | memoryview]) -> bool:
    """Write and replace; False if another writer took the file for remains while it was not locked."""
    partial = target.with_name(f"{_prefix(target)}{secrets.token_hex(4)}.partial")
    old = _status(target)
    # Never open to more than the old file is, not even while it is written.
    mode = 0o666 if old is None else stat.S_IMODE(old.st_mode)
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    except OSError as error:
        # The file that someone knows of is this one.
        error.filename = os.fspath(target)
        raise
    try:
        with open(descriptor, "wb") as file:
            _lock(file)
            if not partial.exists():
                return False
            if old is not None:
                _give_permissions(descriptor if os.chmod in os.supports_fd else partial, old)
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        # Only now, although the lock has ended: Windows replaces no file that is open.
        try:
            os.replace(partial, target)
        except FileNotFoundError:
            # Where it is the folder that has gone, the next try says so.
            return False
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return True


def _status(path: Path) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _give_permissions(file: int | Path, like: os.stat_result) -> None:
    """Give a file the group and the mode of another, where the system allows that; it is narrower than that before."""
    # The group first, because changing it may take bits of the mode away.
    with contextlib.suppress(OSError, AttributeError):
        os.chown(file, -1, like.st_gid)
    with contextlib.suppress(OSError):
        os.chmod(file, stat.S_IMODE(like.st_mode))


def _lock(file: IO[bytes], *, wait: bool = True) -> None:
    """Lock a file until it is closed or its process ends, however that ends; where there are locks."""
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        if fault.errno not in (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK):
            raise


def _prefix(target: Path) -> str:
    return f".{target.name}."


def _remove_remains(target: Path) -> None:
    """Remove partial files of `target` that no living process holds."""
    for partial in target.parent.glob("*.partial"):
        if partial.name.startswith(_prefix(target)):
            with contextlib.suppress(OSError), open(partial, "rb") as file:
                _lock(file, wait=False)
                partial.unlink()


def _flush_folder(folder: Path) -> None:
    """Make the new name itself survive a power cut, where the system lets folders be opened."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
