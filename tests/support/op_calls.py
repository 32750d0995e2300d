"""Calls of any registered op, from its own record: its samples, or arrays of several shapes in its domain."""

SHAPES = {
    1: [((3, 4),), ((5,),), ((),), ((1, 1),), ((0, 2),)],
    2: [((3, 4), (3, 4)), ((3, 1), (4,)), ((2, 3), ()), ((), ()), ((0, 3), (1, 3))],
}


def calls_of(record, rng):
    """Return a list of (operands, parameters), which has some."""
    if record.samples is not None:
        calls = record.samples(rng)
        assert calls, f"{record.name} has no samples"
        return calls
    count = len(record.rules)
    domain = record.domain or (-3.0, 3.0)
    domains = domain if isinstance(domain[0], tuple) else (domain,) * count
    return [
        (tuple(rng.uniform(low, high, shape) for shape, (low, high) in zip(shapes, domains, strict=True)), {})
        for shapes in SHAPES[count]
    ]
