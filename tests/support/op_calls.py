"""Calls of any registered op, from its own record: its samples, or arrays of many shapes in its domain."""

from tinygrad_nn.engine.tensor import apply
from tinygrad_nn.testing.battery.calls import SHAPES, draw_values, takes_floats


def calls_of(record, rng):
    """Return a list of (operands, parameters), which has some."""
    if record.samples is not None:
        calls = record.samples(rng)
        assert calls, f"{record.name} has no samples"
        return calls
    dtype = float if takes_floats(record) else int
    return [
        (tuple(x.astype(dtype) for x in draw_values(record, shapes, rng, at_kink=False)), {})
        for shapes in SHAPES[len(record.rules)]
    ]


def in_one_function(op, calls, is_input):
    """Return a function of arrays that makes all calls of an op, and its arguments: the operands that are inputs."""

    def function(*arrays):
        rest = iter(arrays)
        return tuple(
            apply(op, [next(rest) if is_input(x) else x for x in operands], params)
            for operands, params in calls
        )

    return function, tuple(x for operands, _ in calls for x in operands if is_input(x))
