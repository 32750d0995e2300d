"""Checkpoints: whatever has a state, in one safetensors file with a digest of every byte.

The file is in the safetensors format of Hugging Face, so that other programs can read its arrays; beside them
it holds plain data as JSON. Nothing in it is ever executed. `save` writes it in one stroke, `load` restores
all or nothing.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import safetensors.numpy as codec

from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.engine.trees import flat
from tinygrad_nn.errors import ArgumentError, CheckpointError, DtypeError, SettingError
from tinygrad_nn.files import StrPath, write_atomically
from tinygrad_nn.nn.architecture import built, described
from tinygrad_nn.nn.module import Module
from tinygrad_nn.primitives import Array
from tinygrad_nn.states import (
    RandomSource,
    StateDict,
    Stateful,
    is_random_source,
    is_stateful,
    random_state,
    set_random_state,
)

Arrays = dict[str, Array]


Restorable = Stateful | RandomSource


_KEY = "tinygrad_nn"
_VERSION = "1"
_OURS = f'{{"__metadata__":{{"{_KEY}":"'.encode()
_HEAD = _OURS + f"{_VERSION} ".encode()
"""How the header of every checkpoint begins; the digest follows."""

_DIGEST = slice(8 + len(_HEAD), 8 + len(_HEAD) + 64)
_BLANK = b"0" * 64
_ARRAY = "$array"
"""Marks, in the JSON, the place of an array."""

_FOREIGN = {
    b"PK": "a zip archive, such as NumPy's .npz (tn.data.read_npz) or a model of PyTorch",
    b"\x80": "a pickle, which is never loaded, because loading one can run any code",
    b"\x93N": "an array in NumPy's .npy format (np.load)",
    b"\x89H": "an HDF5 file",
}


def save(path: StrPath, **parts: object) -> None:
    """Save parts by name: modules, optimizers, batches, random generators, arrays and plain data.

    A part is a random generator of NumPy or Python, anything with `state_dict` and `load_state_dict`, or plain
    data (arrays, numbers, strings, None, lists and dicts of them). The random generators among the attributes of a
    module, and in lists, tuples and dicts there, are saved with it. With a model of the layers of `tn.nn` goes how it
    is built, for `load_model`.

    Raises:
        OSError: the file cannot be written; the old one, if any, is as it was.
        TypeError: a part that is nothing of this; nothing is written then.
        ValueError: a part has a name that the file or `load` has for itself.

    Example:
        >>> import tempfile, tinygrad_nn as tn
        >>> model = tn.nn.Dense(2, 3, rng=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tn.save(f"{folder}/model.safetensors", model=model, epoch=3)
        ...     tn.load(f"{folder}/model.safetensors", model=tn.nn.Dense(2, 3))
        {'epoch': 3}
    """
    if not parts:
        raise ArgumentError(
            "save: there is nothing to save\n  hint   tn.save(path, model=model, optimizer=optimizer)"
        )
    if reserved := _RESERVED & parts.keys():
        raise SettingError(f"save: no part can be called {', '.join(sorted(reserved))}")
    arrays: Arrays = {}
    content = {
        name: {"restored": _restorable(part), "state": _encode(_state(part), name, arrays), **_built_as(part)}
        for name, part in parts.items()
    }
    note = f"{_VERSION} {_BLANK.decode()} {json.dumps(content)}"
    blob = codec.save(arrays, metadata={_KEY: note})
    if blob[8 : _DIGEST.start] != _HEAD or blob[_DIGEST] != _BLANK:
        raise RuntimeError("safetensors wrote a header of another form; no checkpoint was written")
    digest = hashlib.sha256(blob).hexdigest().encode()
    rest = memoryview(blob)
    write_atomically(path, [rest[: _DIGEST.start], digest, rest[_DIGEST.stop :]])


def load(path: StrPath, *, allow_nonfinite: bool | Collection[str] = False, **parts: Restorable) -> StateDict:
    """Restore parts that `save` saved, in place, all or none; return the plain data among what was saved.

    Args:
        path: of the checkpoint.
        allow_nonfinite: load arrays and numbers that are NaN or infinite, too; or the names of the parts in which
            they may be.
        parts: the objects to restore, by the names they were saved under. Those left out are not restored.

    Raises:
        CheckpointError: the file is damaged, was not written by `save`, or does not fit, or all that it holds is to
            be restored and no part was given; nothing is changed then.
        OSError: there is no such file, or it cannot be read.

    Example:
        >>> import tempfile, tinygrad_nn as tn
        >>> model, twin = tn.nn.Dense(2, 3, rng=0), tn.nn.Dense(2, 3, rng=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tn.save(f"{folder}/model.safetensors", model=model, epoch=3)
        ...     tn.load(f"{folder}/model.safetensors", model=twin)
        {'epoch': 3}
        >>> bool((twin.weight == model.weight).all())
        True
    """
    return restored(path, read(path), parts, allow_nonfinite)


def load_model(path: StrPath, *, allow_nonfinite: bool = False) -> Module:
    """Return the model that `save(path, model=model)` saved, built anew of the layers of `tn.nn`.

    Weights, generators of random numbers, what is frozen, the mode of training or evaluation, and which modules are the
    same one come back. Nothing in the file is executed: it names layers and plain arguments.

    Args:
        path: of the checkpoint.
        allow_nonfinite: load arrays that are NaN or infinite, too.

    Raises:
        CheckpointError: there is no model in the file, or one that it does not tell how to build, as it has parts that
            are no layers of `tn.nn`, which are listed; or the file is damaged, or was not written by `save`.
        OSError: there is no such file, or it cannot be read.

    Example:
        >>> import tempfile, tinygrad_nn as tn
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tn.save(f"{folder}/model.safetensors", model=tn.nn.Sequential(tn.nn.Dense(2, 3), tn.nn.Tanh()))
        ...     tn.load_model(f"{folder}/model.safetensors")
        Sequential(
          0: Dense(2 -> 3)
          1: Tanh()
        )
    """
    content = _parsed(path, read(path))
    try:
        model = _empty_model(content)
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from error.__cause__
    except Exception as error:
        # Whatever layers find wrong with it.
        raise _damaged(path, error) from error
    alone = _Content([_MODEL], {_MODEL: content.states[_MODEL]}, {})
    _restore(path, alone, {_MODEL: model}, allow_nonfinite)
    return model


def _empty_model(content: _Content) -> Module:
    """Return the model of a checkpoint without its weights."""
    if _MODEL not in content.states:
        present = ", ".join(content.states) or "nothing"
        raise CheckpointError(
            f"there is no {_MODEL} in it; there is {present}\n  hint   tn.save(path, model=model) saves one"
        )
    if _MODEL not in content.architectures:
        raise CheckpointError("the model in it was saved without telling how it is built")
    arrays = [a for a in content.states[_MODEL].values() if isinstance(a, np.ndarray)]
    return built(content.architectures[_MODEL], sum(a.nbytes for a in arrays))


def restored(
    path: StrPath, blob: bytes, parts: Mapping[str, Restorable], allow_nonfinite: bool | Collection[str]
) -> StateDict:
    """Restore parts as `load` does, from what `read` read; the path is what errors name."""
    return _restore(path, _parsed(path, blob), parts, allow_nonfinite)


def _restore(
    path: StrPath, content: _Content, parts: Mapping[str, Restorable], allow_nonfinite: bool | Collection[str]
) -> dict[str, Any]:
    restorable, states, _ = content
    returned = [name for name in states if name not in restorable]
    try:
        allowed = () if allow_nonfinite is False else states if allow_nonfinite is True else allow_nonfinite
        _check_finite({name: states.get(name) for name in (*parts, *returned) if name not in allowed})
        if not parts and restorable and not returned:
            words = ", ".join(f"{name}={name}" for name in restorable)
            raise CheckpointError(
                f"it holds {', '.join(restorable)}, and nothing was given to restore\n"
                f"  hint   tn.load(path, {words})"
            )
        if missing := [name for name in parts if name not in restorable]:
            present = ", ".join(states) or "nothing"
            raise CheckpointError(f"there is no {', '.join(missing)} to restore in it; there is {present}")
        _restore_all([(part, states[name]) for name, part in parts.items()])
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from error.__cause__
    return {name: states[name] for name in returned}


_RESERVED = {"__metadata__", "allow_nonfinite"}
"""Names that no part can have: safetensors' own, and what `load` would take for its option."""


# What is in a part


def _restorable(part: object) -> bool:
    return is_random_source(part) or is_stateful(part)


def _state(part: object) -> object:
    if is_random_source(part):
        return random_state(part)
    if isinstance(part, Module):
        randoms = [random_state(source) for source in random_sources(part)]
        return part.state_dict() | ({_RANDOMS: randoms} if randoms else {})
    return part.state_dict() if is_stateful(part) else part


def _built_as(part: object) -> dict[str, object]:
    """Return how a part is built, if it is a module."""
    return {_ARCHITECTURE: described(part)} if isinstance(part, Module) else {}


_ARCHITECTURE = "architecture"
_MODEL = "model"
"""The part that `load_model` loads."""

_RANDOMS = "random generators"


def random_sources(module: Module) -> list[RandomSource]:
    """Return the random generators among the attributes of a module and of those inside it, each once."""
    sources: dict[int, RandomSource] = {}
    for _, inner in module.named_modules():
        for _, value in flat(vars(inner)):
            if is_random_source(value):
                sources[id(value)] = value
    return list(sources.values())


def _put(part: Restorable, state: Any) -> None:
    if is_random_source(part):
        set_random_state(part, state)
    elif isinstance(part, Module):
        sources = random_sources(part)
        randoms = state.get(_RANDOMS, [])
        if len(randoms) != len(sources):
            raise CheckpointError(
                f"{len(randoms)} random generators saved, but the module has {len(sources)}\n"
                "  hint   load into a model like the one that was saved; model.load_state_dict(saved.state_dict()) "
                "takes the weights over"
            )
        part.load_state_dict({name: value for name, value in state.items() if name != _RANDOMS})
        for source, random in zip(sources, randoms, strict=True):
            set_random_state(source, random)
    elif is_stateful(part):
        part.load_state_dict(state)


def _restore_all(pairs: list[tuple[Restorable, object]]) -> None:
    """Give each part its state; if one of them does not fit, give the others back what they had."""
    before = [(part, _state(part)) for part, _ in pairs]
    done = 0
    try:
        for part, state in pairs:
            done += 1
            _put(part, state)
    except BaseException as error:
        for part, state in before[:done]:
            _put(part, state)
        # What a state from elsewhere does to somebody's load_state_dict can be any error.
        if isinstance(error, CheckpointError) or not isinstance(error, Exception):
            raise
        name = type(pairs[done - 1][0]).__name__
        raise CheckpointError(
            f"the state does not fit this {name}; nothing was changed ({error!r:.200})"
        ) from error


# Plain data to JSON and arrays, and back


def _encode(value: object, path: str, arrays: Arrays) -> object:
    """Return `value` as JSON, moving the arrays in it to `arrays` under dotted names."""
    if isinstance(value, Tensor):
        value = value._data
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "fiub" or value.dtype.itemsize > 8:
            raise DtypeError(f"{path}: a checkpoint holds no arrays of dtype {value.dtype}")
        name = path
        while name in arrays:
            name += "_"
        arrays[name] = np.array(value, dtype=value.dtype.newbyteorder("="), order="C")
        return {_ARRAY: name}
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [_encode(item, f"{path}.{k}", arrays) for k, item in enumerate(value)]
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value) and _ARRAY not in value:
        return {key: _encode(item, f"{path}.{key}", arrays) for key, item in value.items()}
    raise TypeError(
        f"{path}: a checkpoint cannot hold {type(value).__name__}\n"
        "  hint   arrays, numbers, strings, lists and dicts with string keys, generators, or objects with "
        "state_dict and load_state_dict"
    )


def _decode(value: object, arrays: Arrays) -> object:
    """Return what `_encode` was given, taking the arrays in it out of `arrays`."""
    if isinstance(value, list):
        return [_decode(item, arrays) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != {_ARRAY}:
        return {key: _decode(item, arrays) for key, item in value.items()}
    name = value[_ARRAY]
    if not isinstance(name, str) or name not in arrays:
        raise CheckpointError(f"damaged: the array {name!r:.60} is missing")
    return arrays.pop(name)


def _check_finite(states: Mapping[str, object]) -> None:
    """Raise `CheckpointError` if there is NaN or an infinity in states, saying where."""
    bad = []
    stack = list(states.items())[::-1]
    while stack:
        path, value = stack.pop()
        if isinstance(value, (dict, list)):
            items = value.items() if isinstance(value, dict) else enumerate(value)
            stack += [(f"{path}.{key}", item) for key, item in items][::-1]
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f" and not np.isfinite(value).all():
            bad.append(f"{path} {value.shape}")
        elif isinstance(value, float) and not math.isfinite(value):
            bad.append(path)
    if bad:
        more = f" and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise CheckpointError(
            f"NaN or infinities in {', '.join(bad[:_SHOWN])}{more}\n"
            "  hint   load(..., allow_nonfinite=True) if they are wanted"
        )


_SHOWN = 10


# The file


class _Content(NamedTuple):
    """What is in a checkpoint: which parts are to be restored, the states of all, and how models are built."""

    restorable: list[str]
    states: StateDict
    architectures: dict[str, StateDict]


def _parsed(path: StrPath, blob: bytes) -> _Content:
    """Return what is in a checkpoint, verified as far as a file can be."""
    try:
        content = _verified(blob)
        arrays = codec.load(blob)
        states = {name: _decode(entry["state"], arrays) for name, entry in content.items()}
        if arrays:
            raise CheckpointError(f"damaged: nothing in it refers to {', '.join(map(repr, arrays)):.200}")
        restorable = [name for name, entry in content.items() if entry["restored"]]
        told = {name: entry[_ARCHITECTURE] for name, entry in content.items() if _ARCHITECTURE in entry}
        return _Content(restorable, states, told)
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from None
    except Exception as error:
        # Whatever a parser finds wrong with it.
        raise _damaged(path, error) from error


def _damaged(path: StrPath, error: Exception) -> CheckpointError:
    return CheckpointError(f"{os.fspath(path)}: damaged ({type(error).__name__}: {str(error)[:200]})")


def read(path: StrPath) -> bytes:
    """Return the bytes of a checkpoint; errors are those of `load`."""
    if "\0" in os.fspath(path) or (os.path.exists(path) and not os.path.isfile(path)):
        raise CheckpointError(f"{os.fspath(path)!r} is not a file")
    with open(path, "rb") as file:
        start = _checked_head(path, file.read(_DIGEST.stop))
        return start + file.read()


def _checked_head(path: StrPath, blob: bytes) -> bytes:
    """Return a blob that begins as a checkpoint does."""
    if blob[8 : _DIGEST.start] != _HEAD:
        raise CheckpointError(f"{os.fspath(path)}: {_foreign(blob)}")
    return blob


def _foreign(start: bytes) -> str:
    """Say what a file is that does not begin as the checkpoints of this version do."""
    if start[8:].startswith(_OURS):
        version = start[8 + len(_OURS) :].partition(b" ")[0]
        if not version.isdigit() or int(version) <= int(_VERSION):
            return "damaged: its header begins wrongly"
        return (
            f"written by a newer version of tinygrad_nn, in format {int(version)}; this version reads {_VERSION}\n"
            "  hint   pip install --upgrade tinygrad_nn"
        )
    kind = next((what for magic, what in _FOREIGN.items() if start.startswith(magic)), None)
    if kind is None and start[8:9] == b"{":
        kind = (
            "a safetensors file of another program\n"
            "  hint   tn.interop.load_torch(model, path) if it is of PyTorch, which turns weights,\n"
            "         or model.load_state_dict(safetensors.numpy.load_file(path))"
        )
    return "not a checkpoint of tinygrad_nn" + (f", but {kind}" if kind else "")


def _verified(blob: bytes) -> dict[str, Any]:
    """Check the digest, then the header; return the JSON that `save` put into it."""
    view = memoryview(blob)
    digest = hashlib.sha256(view[: _DIGEST.start])
    digest.update(_BLANK)
    digest.update(view[_DIGEST.stop :])
    if digest.hexdigest().encode() != blob[_DIGEST]:
        raise CheckpointError("damaged: the SHA-256 of its contents is not the one it names")
    size = int.from_bytes(blob[:8], "little")
    if size > len(blob) - 8:
        raise CheckpointError(f"damaged: a header of {size} bytes in a file of {len(blob)}")
    header = json.loads(blob[8 : 8 + size], object_pairs_hook=_unique)
    note: str = header["__metadata__"][_KEY].split(" ", 2)[2]
    content: dict[str, Any] = json.loads(note, object_pairs_hook=_unique)
    for name, entry in content.items():
        if entry.keys() - {_ARCHITECTURE} != {"restored", "state"} or not isinstance(entry["restored"], bool):
            raise CheckpointError(f"damaged: the part {name} has no state")
    return content


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise CheckpointError("damaged: a name occurs twice in its header")
    return result
