"""Whole sequences: recurrent layers, whose gates ONNX has in an order of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from tinygrad_nn.export.conversion import Conversion, Setting
from tinygrad_nn.graph.ir import Call, Value
from tinygrad_nn.primitives.primitive import primitive_of


def _sources(c: Conversion) -> list[Value]:
    """Return what has been put side by side as the one operand of a recurrent op."""
    joined = c.values[0]
    if not isinstance(joined, Call) or joined.op is not primitive_of(np.concatenate):
        raise c.refused("has weights that are not operands of one call: nn.LSTM, or tn.lstm, has them")
    values = c.writer.graph.values
    parts = [values[k] for k in joined.operands]
    flat = (primitive_of(np.reshape),)
    return [
        values[part.operands[0]] if isinstance(part, Call) and part.op in flat else part for part in parts
    ]


def _gates(c: Conversion, name: str, order: Sequence[int], axis: int) -> str:
    """Return gates side by side in another order."""
    width = c.params["sizes"][3]
    parts = [c.sliced(name, k * width, k * width + width, axis) for k in order]
    return parts[0] if len(parts) == 1 else c.op("Concat", *parts, axis=axis)


def recurrent(
    kind: str, order: Sequence[int], states: int, c: Conversion, **settings: Setting
) -> Mapping[str, str]:
    steps, _, features, width = c.params["sizes"]
    x, *rest = _sources(c)
    first, (w_ih, w_hh), biases = rest[:states], rest[states : states + 2], rest[states + 2 :]
    turned = [
        c.op("Unsqueeze", c.op("Transpose", _gates(c, _matrix(c, w, n), order, 1), perm=[1, 0]), c.ints(0))
        for w, n in ((w_ih, features), (w_hh, width))
    ]
    both = [_gates(c, c.flat(c.writer.named(b)), order, 0) for b in biases]
    bias = c.op("Unsqueeze", c.op("Concat", *both, axis=0), c.ints(0))
    starts = [c.op("Reshape", c.writer.named(h), c.ints(1, -1, width)) for h in first]
    sequence = c.op("Reshape", c.writer.named(x), c.ints(steps, -1, features))
    y, *last = c.ops(
        kind, 1 + states, sequence, *turned, bias, _lengths(c), *starts, hidden_size=width, **settings
    )
    parts = {repr((0, slice(1, None))): c.op("Squeeze", y, c.ints(1))}
    for k, name in enumerate(last):
        parts[repr((k, steps))] = c.op("Squeeze", name, c.ints(0))
    return parts


def _matrix(c: Conversion, value: Value, rows: int) -> str:
    return c.op("Reshape", c.writer.named(value), c.ints(rows, -1))


def _lengths(c: Conversion) -> str:
    """Return how many steps each sample has; nothing where all have all."""
    alive = c.values[1]
    if not alive.shape:
        return ""
    if not isinstance(alive, Call) or alive.op is not primitive_of(np.less):
        raise c.refused("that goes backwards over sequences of several lengths has no operator there")
    return c.op(
        "Cast",
        c.writer.named(c.writer.graph.values[alive.operands[1]]),
        to=c.writer.dtype(np.dtype(np.int32)),
    )
