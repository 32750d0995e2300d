"""Calls of any registered op, from its own record: its samples, or arrays of many shapes in its domain."""

from tinygrad_nn.testing.battery.calls import SHAPES, draw_values


def calls_of(record, rng):
    """Return a list of (operands, parameters), which has some."""
    if record.samples is not None:
        calls = record.samples(rng)
        assert calls, f"{record.name} has no samples"
        return calls
    return [(draw_values(record, shapes, rng, at_kink=False), {}) for shapes in SHAPES[len(record.rules)]]
