"""Weights from Keras: the files that `save_weights` of Keras 3 writes, read through h5py.

Such a file has a group for each layer, named after its class and numbered within what holds it: `layers/dense`,
`layers/dense_1`; the arrays in it are numbered in the order in which the layer made them. How the layers of one class
follow those of another is not in it, and so each class is matched by itself, in order.
"""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

import numpy as np

from tinygrad_nn.errors import CheckpointError
from tinygrad_nn.files import StrPath
from tinygrad_nn.interop.keras_layers import SLOTS, Slot, slots_of
from tinygrad_nn.interop.turns import of_kind
from tinygrad_nn.nn.module import Module
from tinygrad_nn.primitives import Array


def load_keras(model: Module, path: StrPath) -> None:
    """Copy weights of Keras 3 into a model of the same layers; all of them, or none.

    Layers are matched class by class: the second Dense here with the second one in `model.layers` there, wherever
    others stand; in models inside of models with the second that was made; attributes of one name with each other.
    Kernels and images have their channels last in both, so that nothing but gates is turned. What has no weights is not
    in the file: `eps` is to be that of the layers there, 1e-3 of BatchNorm if nothing is said, and a GRU has
    `reset_after`, as is usual. A layer of several recurrent ones stands for as many of Keras.

    Args:
        model: layers that Keras has too.
        path: of a file that `model.save_weights("name.weights.h5")` wrote.

    Raises:
        CheckpointError: lists all that does not fit, in Keras's names and shapes; or the file is none of Keras 3.
            Nothing is changed then.
        ImportError: h5py is not installed.
        OSError: there is no such file, or it cannot be read.

    Example:
        >>> import tempfile, h5py, tinygrad_nn as tn
        >>> model = tn.nn.Sequential(tn.nn.Dense(2, 1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with h5py.File(f"{folder}/keras.weights.h5", "w") as file:  # as Keras does
        ...         file["layers/dense/vars/0"] = np.array([[1.0], [2.0]], np.float32)
        ...         file["layers/dense/vars/1"] = np.array([3.0], np.float32)
        ...     load_keras(model, f"{folder}/keras.weights.h5")
        >>> model[0].weight.data, model[0].bias.data
        (array([[1.],
               [2.]], dtype=float32), array([3.], dtype=float32))
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError(
            "files of Keras need the package h5py\n  hint   pip install 'tinygrad_nn[keras]'"
        ) from error
    with open(path, "rb") as file:
        start = file.read(8)
    if start != b"\x89HDF\r\n\x1a\n":
        raise CheckpointError(f"{os.fspath(path)}: not a HDF5 file\n  hint   {_WRITE}")
    try:
        with h5py.File(path, "r") as content:
            known = [path for path, layer in model.named_modules() if of_kind(SLOTS, layer) is not None]
            own = {path.replace(".", "/") for path in known if path}
            state = _matched(model, _layers(content, own), own)
            model.load_state_dict(state)
    except CheckpointError as error:
        raise CheckpointError(f"{os.fspath(path)}: {error}") from None
    except (OSError, RuntimeError, ValueError, KeyError, TypeError) as error:
        # Whatever h5py finds wrong with it.
        raise CheckpointError(f"{os.fspath(path)}: damaged ({error!s:.200})") from error


_WRITE = 'in Keras 3 model.save_weights("name.weights.h5") writes one'


# What is in the file


class _Layer(NamedTuple):
    """A layer of Keras: where it is, what Keras calls it, and its arrays, not read yet, by their paths in it."""

    path: str
    name: str
    arrays: dict[str, Any]

    @property
    def kind(self) -> str:
        return re.sub(r"_\d+$", "", self.path.rpartition("/")[2])


_OTHERS = re.compile(r"(^|/)(seed_generator|_?optimizer|\w*metrics?|loss_tracker|state_tracker)(/|$)")
"""Groups that have no weights of layers."""


def _layers(content: Any, own: set[str]) -> list[_Layer]:
    """Return the layers of a file that have arrays; `own` are the paths of those that the model has."""
    if "layer_names" in content.attrs or "model_weights" in content:
        raise CheckpointError(
            f"the file is one of Keras 2, in which layers are named otherwise\n  hint   {_WRITE}"
        )
    layers: dict[str, _Layer] = {}

    def look(path: str, found: object) -> None:
        if not hasattr(found, "shape") or _OTHERS.search(path):
            return
        if "vars" not in path.split("/")[:-1]:
            raise CheckpointError(f"the array {path} is none of a layer of Keras 3\n  hint   {_WRITE}")
        if getattr(found, "external", None) or getattr(found, "is_virtual", False):
            raise CheckpointError(f"the array {path} lies in another file, which is not opened")
        where = _layer_of(path, own)
        name = content[f"{where}/vars"].attrs.get("name", "") if f"{where}/vars" in content else ""
        layer = layers.setdefault(where, _Layer(where, str(name), {}))
        layer.arrays[path.removeprefix(where).lstrip("/")] = found

    content.visititems(look)
    return list(layers.values())


def _layer_of(path: str, own: set[str]) -> str:
    """Return the path of the layer that an array belongs to: one that the model has too, or one among layers."""
    parts = path.split("/")
    places = ["/".join(parts[:k]) for k in range(len(parts), 0, -1)]
    known = next((place for place in places if place in own), None)
    if known is not None:
        return known
    if "layers" in parts[:-2]:
        last = len(parts) - 1 - parts[::-1].index("layers")
        return "/".join(parts[: last + 2])
    return path.partition("/vars")[0]


# Both together


def _matched(model: Module, layers: list[_Layer], own: set[str]) -> dict[str, Array]:
    """Return the arrays of a model by their names.

    Raises:
        CheckpointError: lists all that does not fit.
    """
    named = {layer.path: layer for layer in layers}
    by_kind: dict[str, list[_Layer]] = {}
    for layer in layers:
        if layer.path not in own:
            by_kind.setdefault(layer.kind, []).append(layer)
    problems: list[str] = []
    queues = {kind: iter(_in_order(several)) for kind, several in by_kind.items()}
    pairs: list[tuple[str, Slot, _Layer]] = []
    wanted = list(slots_of(model, {*by_kind}))
    for path, slot in wanted:
        found = named.get(path.replace(".", "/")) or next(queues.get(slot.kind, iter(())), None)
        if found:
            pairs.append((path, slot, found))
        else:
            problems.append(f"missing     {slot.kind} for {slot.owner}")
    used = {layer.path for _, _, layer in pairs}
    problems += [f"unexpected  {layer.path}: {_shapes(layer)}" for layer in layers if layer.path not in used]
    for _, slot, layer in pairs:
        shapes = {name: tuple(x.shape) for name, x in layer.arrays.items()}
        if shapes != slot.wanted:
            expected = ", ".join(map(str, slot.wanted.values()))
            problems.append(
                f"shape       {layer.path}: {_shapes(layer)}, expected {expected} for {slot.owner}"
            )
    state = model.state_dict()
    starts = tuple(f"{path}.".lstrip(".") for path, _ in wanted)
    problems += [f"missing     {name}, of no layer of Keras" for name in state if not name.startswith(starts)]
    if problems:
        text = "\n  ".join(
            [f"the weights do not fit this {type(model).__name__}; nothing was changed", *problems]
        )
        raise CheckpointError(text + _hint(layers))
    taken: dict[str, Array] = {}
    for path, slot, layer in pairs:
        arrays = {name: np.asarray(x[()]) for name, x in layer.arrays.items()}
        taken |= {f"{path}.{name}".lstrip("."): x for name, x in slot.taken(arrays).items()}
    return {name: x.astype(state[name].dtype) if _widens(x, state[name]) else x for name, x in taken.items()}


def _widens(x: Array, target: Array) -> bool:
    return x.dtype.kind == "f" and np.can_cast(x.dtype, target.dtype)


def _shapes(layer: _Layer) -> str:
    return ", ".join(str(tuple(x.shape)) for x in layer.arrays.values())


def _in_order(layers: list[_Layer]) -> list[_Layer]:
    """Return layers of one class in their order: by their numbers in what holds them, or as they were made."""
    holders = {layer.path.rpartition("/")[0] for layer in layers}
    if len(holders) == 1:
        return sorted(layers, key=lambda layer: _number(layer.path))
    if not all(re.fullmatch(rf"{layer.kind}(_\d+)?", layer.name) for layer in layers):
        raise CheckpointError(
            f"the order of {', '.join(layer.path for layer in layers)} is not in the file, as they have names of their "
            "own\n  hint   a model in Keras whose layers are not in models inside"
        )
    return sorted(layers, key=lambda layer: _number(layer.name))


def _number(name: str) -> int:
    return int(number[1]) if (number := re.search(r"_(\d+)$", name)) else 0


def _hint(layers: list[_Layer]) -> str:
    """Return what to write where the reason is known."""
    biases = [
        layer.arrays["cell/vars/2"].ndim
        for layer in layers
        if "cell/vars/2" in layer.arrays and layer.kind == "gru"
    ]
    return "\n  hint   a GRU with reset_after=False has another formula than nn.GRU" if 1 in biases else ""
