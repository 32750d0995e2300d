"""Weights from PyTorch and back: by PyTorch's names, each array turned as its layer has it."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Set
from typing import Any

import numpy as np

from tinygrad_nn.engine.conversions import plain
from tinygrad_nn.engine.tensor import Operand, Tensor
from tinygrad_nn.engine.trees import flat
from tinygrad_nn.errors import CheckpointError
from tinygrad_nn.files import StrPath
from tinygrad_nn.interop.flattening import flattened
from tinygrad_nn.interop.turns import FEATURES, Turn, of_flattened, of_kind, turn_of
from tinygrad_nn.nn.batch_norm import BatchNorm
from tinygrad_nn.nn.module import Module
from tinygrad_nn.primitives import Array
from tinygrad_nn.states import State, StateDict, check_state


def load_torch(model: Module, state: State | StrPath, *, example: Operand | None = None) -> None:
    """Copy weights of PyTorch into a model of the same structure; all of them, or none.

    Args:
        model: modules that PyTorch has by the same names, such as `0.weight` in a Sequential.
        state: arrays or tensors by PyTorch's names (a `state_dict`), a module of PyTorch, or the path of a safetensors
            file. Half precision is cast up; counts of batches are left out.
        example: an input of the model, which tells how images are flattened in front of Dense layers where the order
            of the layers of a Sequential does not.

    Raises:
        CheckpointError: lists all that does not fit, in PyTorch's shapes; or the file is no safetensors file. Nothing
            is changed then.
        OSError: there is no such file, or it cannot be read.

    Example:
        >>> from tinygrad_nn import nn
        >>> model = nn.Sequential(nn.Dense(2, 3, rng=0), nn.Tanh())
        >>> load_torch(model, {"0.weight": np.ones((3, 2), np.float32), "0.bias": np.zeros(3, np.float32)})
        >>> model[0].weight.shape
        (2, 3)
    """
    given = {name: _array(name, x) for name, x in _given(state).items() if not name.endswith(_LEFT_OUT)}
    turns = _turns(model, example)
    targets = {name: value for name, (_, value) in turns.items()}
    first = _first_names(targets)
    # Other names of what is shared may be missing.
    wanted = {name for name in turns if name in given or first[name] == name}
    arrays = {name: _cast(a, targets[name].dtype) if name in targets else a for name, a in given.items()}
    also = [
        f"differs     {name}: it is {first[name]} too, with other values"
        for name in turns
        if name in arrays
        and first[name] in arrays
        and not np.array_equal(
            _turned(arrays[name], turns[name]), _turned(arrays[first[name]], turns[first[name]])
        )
    ]
    shapes = {name: turns[name][0].to_torch(targets[name]) for name in turns if name in wanted}
    also += _hints(arrays, shapes, targets)
    check_state(type(model).__name__, shapes, arrays, also)
    model.load_state_dict({first[name]: turns[name][0].from_torch(arrays[name]) for name in shapes})


def torch_state(model: Module, *, example: Operand | None = None) -> dict[str, Array]:
    """Return copies of the weights of a model by PyTorch's names and in PyTorch's order of axes.

    Counts of batches, which BatchNorm has there and not here, are 0.

    Args:
        model: any module.
        example: as for `load_torch`.

    Raises:
        CheckpointError: images are flattened, and nothing tells how.

    Example:
        >>> from tinygrad_nn import nn
        >>> {name: a.shape for name, a in torch_state(nn.LSTM(2, 3)).items()}["weight_ih_l0"]
        (12, 2)
    """
    turns = _turns(model, example)
    averages = {
        name: name.removesuffix(own_name) + _LEFT_OUT
        for name, owner, own_name, _ in _arrays(model)
        if isinstance(owner, BatchNorm) and own_name == "running_var"
    }
    state: dict[str, Array] = {}
    for name, (turn, value) in turns.items():
        state[name] = np.array(turn.to_torch(value), order="C")
        if name in averages:
            # load_state_dict of PyTorch misses it; only momentum=None, which is not ours, reads it.
            state[averages[name]] = np.zeros((), np.int64)
    return state


_LEFT_OUT = "num_batches_tracked"


def _turns(model: Module, example: Operand | None) -> dict[str, tuple[Turn, Array]]:
    """Return how each array is turned, and the array, by all its names: what is shared has several."""
    if not isinstance(model, Module):
        kind = type(model)
        got = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        raise TypeError(
            f"a model of this library comes first, got {got}\n"
            "  hint   load_torch(model, state), torch_state(model)"
        )
    channels = flattened(model, example)
    turns: dict[str, tuple[Turn, Array]] = {}
    for name, owner, own_name, value in _arrays(model):
        turn = turn_of(owner, own_name)
        if id(owner) in channels and own_name in (of_kind(FEATURES, owner) or ()):
            turn = of_flattened(turn, channels[id(owner)])
        turns[name] = turn, plain(value)
    return turns


def _arrays(model: Module) -> Iterator[tuple[str, Module, str, Tensor | Array]]:
    """Yield name, owner, name in the owner, and value of every leaf tensor and array; shared ones each time."""
    stack: list[tuple[str, Module, frozenset[int]]] = [("", model, frozenset())]
    while stack:
        path, module, above = stack.pop()
        children = []
        for name, value in flat(module.attributes()):
            if isinstance(value, Module) and id(value) not in above:
                children.append((f"{path}{name}.", value, above | {id(module)}))
            elif isinstance(value, np.ndarray) or (isinstance(value, Tensor) and value.is_leaf):
                yield path + name, module, name, value
        stack.extend(reversed(children))


def _first_names(targets: Mapping[str, Array]) -> dict[str, str]:
    """Return for each name the one under which `state_dict` has the same array."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(array), name) for name, array in targets.items()}


def _turned(array: Array, turn: tuple[Turn, Array]) -> Array:
    fits = array.shape == turn[0].to_torch(turn[1]).shape
    return turn[0].from_torch(array) if fits else array


def _hints(
    arrays: Mapping[str, Array], shapes: Mapping[str, Array], targets: Mapping[str, Array]
) -> list[str]:
    """Return what to write where the reason of all misfits is known.

    Args:
        arrays: what was given.
        shapes: what is wanted, as it lies in PyTorch.
        targets: the same as it lies here.
    """
    missing, more = shapes.keys() - arrays.keys(), arrays.keys() - shapes.keys()
    if missing or more:
        return _hints_about_names(arrays, shapes, missing, more)
    differ = [name for name, a in shapes.items() if arrays[name].shape != a.shape]
    if differ and all(arrays[name].shape == targets[name].shape for name in differ):
        return ["hint   model.load_state_dict(state) takes what state_dict() of this library returned"]
    wide = {a.dtype.name for name, a in shapes.items() if arrays[name].dtype != a.dtype}
    if len(wide) == 1 and all(a.dtype.kind == "f" for a in arrays.values()) and not differ:
        return [
            f"hint   {{name: np.asarray(a, np.{wide.pop()}) for name, a in state.items()}}, or the layers' own dtype="
        ]
    return []


def _hints_about_names(
    arrays: Mapping[str, Array], shapes: Mapping[str, Array], missing: Set[str], more: Set[str]
) -> list[str]:
    """Return what to write where names are missing, or are more than those of the model."""
    some = next(iter(arrays), "")
    for start in [some.removesuffix(name) for name in shapes if some.endswith(name)]:
        bare = {name.removeprefix(start) for name in arrays}
        if start and all(name.startswith(start) for name in arrays) and bare == shapes.keys():
            return [f'hint   {{name.removeprefix("{start}"): a for name, a in state.items()}}']
    if [a.shape for a in arrays.values()] == [a.shape for a in shapes.values()]:
        return [
            "hint   dict(zip(torch_state(model), state.values(), strict=True)), if both have the same order"
        ]
    if arrays and not more and all(name.endswith("bias") for name in missing):
        return ["hint   bias=False for layers that have none there"]
    if any("parametrizations." in name for name in more):
        return [
            "hint   torch.nn.utils.parametrize.remove_parametrizations(layer, name) there gives plain weights"
        ]
    return []


def _given(state: State | StrPath) -> StateDict:
    if isinstance(state, (str, os.PathLike)):
        return _read(state)
    state = _state(state)
    if not isinstance(state, Mapping):
        raise TypeError(
            f"load_torch: takes arrays by name or a path, got {type(state).__name__}\n"
            "  hint   load_torch(model, torch_model.state_dict())"
        )
    if "param_groups" in state:
        raise CheckpointError(
            "the state is one of an optimizer, which has no weights\n"
            "  hint   load_torch(model, torch_model.state_dict())"
        )
    inner = [name for name, value in state.items() if isinstance(value, Mapping) or _has_state(value)]
    inner = [name for name in inner if "param_groups" not in _state(state[name])]
    if inner:
        raise CheckpointError(
            f"a state has arrays by name, this one has more by name in {', '.join(map(repr, inner))}\n"
            f"  hint   load_torch(model, state[{inner[0]!r}])"
        )
    return dict(state)


def _has_state(thing: object) -> bool:
    return not isinstance(thing, Mapping) and hasattr(thing, "state_dict")


def _state(thing: Any) -> Any:
    return thing.state_dict() if _has_state(thing) else thing


def _array(name: str, value: Any) -> Array:
    """Return an array, or a tensor of PyTorch, as a plain array; half of its precision is enough for float32."""
    if hasattr(value, "detach") and not isinstance(value, Tensor):
        try:
            value = value.detach().cpu()
            value = (value.float() if "bfloat16" in str(value.dtype) else value).numpy()
        except (RuntimeError, TypeError) as error:
            raise CheckpointError(f"{name!r} is a tensor that is no array of numbers: {error}") from None
    array = plain(value) if isinstance(value, Tensor) else np.asarray(value)
    if array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    if array.dtype.kind not in "fiub":
        raise CheckpointError(f"{name!r} is no array of numbers, but {type(value).__name__} of {array.dtype}")
    return array


def _cast(array: Array, dtype: np.dtype) -> Array:
    return array.astype(dtype) if array.dtype.kind == "f" and np.can_cast(array.dtype, dtype) else array


# Files

_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"} | {
    f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)
}
_PICKLES = (".pt", ".pth", ".bin", ".ckpt")


def _read(path: StrPath) -> dict[str, Array]:
    """Return the arrays of a safetensors file."""
    name = os.fspath(path)
    with open(path, "rb") as file:
        blob = file.read()
    if name.endswith(_PICKLES) or blob[:2] in (b"PK", b"\x80\x02"):
        raise CheckpointError(
            f"{name} is a pickle, which is never loaded, because loading one can run any code\n"
            f'  hint   state = torch.load({name!r}, map_location="cpu", weights_only=True)\n'
            f"         safetensors.torch.save_file(state, {os.path.splitext(name)[0] + '.safetensors'!r})"
        )
    try:
        size = int.from_bytes(blob[:8], "little")
        header = json.loads(blob[8 : 8 + size])
        about = header.pop("__metadata__", {})
        arrays = {key: _part(memoryview(blob)[8 + size :], **entry) for key, entry in header.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{name}: no safetensors file, or a damaged one ({error!s:.100})") from None
    if "tinygrad_nn" in about:
        raise CheckpointError(f"{name} was written by tn.save\n  hint   tn.load({name!r}, model=model)")
    return arrays


def _part(content: memoryview, *, dtype: str, shape: list[int], data_offsets: list[int]) -> Array:
    start, end = data_offsets
    kind = np.dtype(_DTYPES[dtype])
    if not 0 <= start <= end <= len(content) or end - start != math.prod(shape) * kind.itemsize:
        raise ValueError("an array ends behind the end of the file")
    array = np.frombuffer(content[start:end], kind).reshape(shape)
    # The upper half of a float32.
    return (array.astype("<u4") << 16).view("<f4") if dtype == "BF16" else array
