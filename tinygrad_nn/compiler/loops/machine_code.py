"""Machine code of compiled functions, kept on disk from one process to the next. Needs Numba (extra `jit`).

Numba's own cache would do, but for three things: it unpickles whatever lies in its folder, one damaged file stops it
for good, and without a place to write it refuses to compile. Here an entry is a digest and what it is of, in a folder
that nobody else can write to. An entry that is missing, damaged, or cannot be written costs the time of compiling. One
that nobody has used for a month is removed.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import os
import sys
import time
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core import event, serialize
from numba.core.caching import NullCache
from numba.core.compiler import CompilerBase, CompileResult, DefaultPassBuilder
from numba.core.compiler_machinery import PassManager
from numba.core.registry import cpu_target

from tinygrad_nn.compiler.loops.waiting import Waiting
from tinygrad_nn.files import private_cache_folder, write_atomically
from tinygrad_nn.primitives.operands import Function

_DIGEST = hashlib.sha256
_holds_addresses = attrgetter("library.has_dynamic_globals")
"""Tell whether compiled code has addresses of this process in it, in Numba's words."""
_DAY = 24 * 3600.0
_KEPT_FOR = 30 * _DAY
_KEPT_BYTES = 512 * 2**20
_NEEDLESS = {
    # Contexts, functions in functions, literals that change what is called, and generated exceptions.
    "with_lifting",
    "inline_closure_likes",
    "Rewrite dynamic raises",
    "make_function_op_code_to_jit_function",
    "inline_inlinables",
    "find_literally",
    "literal_unroll",
    "LiteralPropagation",
    "inline_overloads",
    # Expressions of whole arrays.
    "nopython_rewrites",
    # What is for people to read.
    "nopython_supported_feature_validation",
    "annotate_types",
    "dump_parfor_diagnostics",
}
"""Names of passes."""
# Numba loads half of itself when it first compiles. What cannot be loaded is to be known now, while NumPy can be taken.
try:
    cpu_target.target_context.refresh()
except Exception as error:
    # Packages that Numba loads, cffi for one, may refuse with any error.
    raise ImportError(f"Numba is installed, but cannot be loaded: {error}") from error


def compiled(**options: Any) -> Callable[[Function], Any]:
    """Return a decorator as `numba.njit(**options)` does; the machine code is kept.

    What is kept is found again by the texts of this folder and the names of the function and of its module, which
    therefore have to follow from the text of the function and its options.
    """

    def decorate(function: Function) -> Any:
        # Nothing calls these from C; a wrapper for that takes a tenth of the time to compile.
        dispatcher = numba.njit(**{"no_cfunc_wrapper": True, "pipeline_class": _Passes, **options})(function)
        dispatcher._cache = _Kept(function)
        return dispatcher

    return decorate


class _Passes(CompilerBase):
    """Numba's passes without those for what these functions do not have: a tenth of the time to compile."""

    def compile_extra(self, func: Function) -> Any:
        """Compile a function; the collector, which would look at what is made for it again and again, has to wait."""
        collects = gc.isenabled()
        gc.disable()
        try:
            return super().compile_extra(func)
        finally:
            if collects:
                gc.enable()

    def define_pipelines(self) -> list[PassManager]:
        """Return the passes, in order."""
        passes = PassManager("loops")
        for each, about in DefaultPassBuilder.define_nopython_pipeline(self.state).passes:
            if each.name() not in _NEEDLESS:
                passes.add_pass(each, about)
        passes.finalize()
        return [passes]


class _Kept(NullCache):
    """What Numba asks before it compiles a function for some types of arguments, and tells afterwards."""

    def __init__(self, function: Function) -> None:
        self._module, self._name = function.__module__, function.__qualname__

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the compiled function, or None where there is none that is whole."""
        path = self._path(sig, target_context.codegen())
        if path is None:
            return None
        with contextlib.suppress(OSError):
            kept = path.read_bytes()
            _note_use(path)
            digest, code = kept[:32], kept[32:]
            if _DIGEST(code).digest() == digest:
                return CompileResult._rebuild(target_context, *serialize.loads(code))
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep a compiled function, where that can be done and it holds no addresses of this process."""
        path = self._path(sig, data.codegen)
        if path is None or _holds_addresses(data):
            return
        code = serialize.dumps(data._reduce())
        with contextlib.suppress(OSError):
            write_atomically(path, [_DIGEST(code).digest(), code])
            _clear(path.parent)

    def _path(self, signature: object, codegen: Any) -> Path | None:
        folder = private_cache_folder("machine_code")
        if folder is None:
            return None
        about = (
            numba.__version__,
            llvmlite.__version__,
            sys.implementation.cache_tag,
            _digest_of_code(),
            codegen.magic_tuple(),
            self._module,
            self._name,
            str(signature),
        )
        return folder / f"{self._name}-{_DIGEST(repr(about).encode()).hexdigest()[:24]}.code"


@functools.cache
def _digest_of_code() -> str:
    """Return what stands for all functions that a compiled one may call."""
    texts = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    return _DIGEST(b"\0".join(texts)).hexdigest()


def _note_use(path: Path) -> None:
    """Let the time of a file tell the day of its last use."""
    if path.stat().st_mtime < time.time() - _DAY:
        os.utime(path)


@functools.cache
def _clear(folder: Path) -> None:
    """Remove, once in a process, what nobody has used for long, and what is too much; the latest used stays.

    That is code of former versions and other processors, and what a process that was killed has left behind.
    """
    found = [(path.stat(), path) for path in folder.iterdir() if path.is_file()]
    total = 0
    for status, path in sorted(found, key=lambda each: -each[0].st_mtime):
        total += status.st_size
        if total > _KEPT_BYTES or status.st_mtime < time.time() - _KEPT_FOR:
            path.unlink(missing_ok=True)


def _is_kept(dispatcher: object) -> bool:
    return isinstance(getattr(dispatcher, "_cache", None), _Kept)


WAITING = Waiting(_is_kept, functools.partial(private_cache_folder, "machine_code"))
event.register("numba:compile", WAITING)
