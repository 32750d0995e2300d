"""Each update in Python with NumPy, keyed by the kernel that an optimizer runs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinygrad_nn.engine.operators import in_place_update
from tinygrad_nn.export import plain_updates
from tinygrad_nn.export.expressions import PLUS, Text
from tinygrad_nn.export.lines import Line
from tinygrad_nn.export.spellings import Spelling
from tinygrad_nn.export.wording import Wording
from tinygrad_nn.ops import batch_norm
from tinygrad_nn.optim import adagrad, adam, clipping, lion, rmsprop, sgd
from tinygrad_nn.primitives import Primitive
from tinygrad_nn.primitives.primitive import primitive_of


def _updated(helper: Callable[..., object], *options: str, decays: bool = True) -> Spelling:
    """Spell an update by a helper, which takes what the rule takes; some of it, options, is not always there.

    Weight decay that is not the helper's own adds to the gradient.
    """

    def spelled(c: Wording) -> Text:
        names, sources = c.line.op.operand_names, c.line.operands
        scratch = sources[names.index("scratch")]
        # What a rule does not look at is scratch memory too.
        kept = [k for k in range(2, len(names)) if sources[k] is not scratch]
        settings = dict(c.params)
        gradient = c.x(1)
        if decays and (decay := settings.pop("weight_decay", 0)):
            gradient = Text(f"{gradient.within(PLUS)} + {decay!r} * {c.x(0).text}")
        first = [c.x(k) for k in kept if names[k] not in options]
        return c.help(
            helper,
            c.x(0),
            gradient,
            *first,
            **{names[k]: c.x(k) for k in kept if names[k] in options},
            **settings,
        )

    return spelled


def _sgd(c: Wording) -> Text:
    c.params = dict(c.params)
    ahead = c.params.pop("nesterov", False)
    helper = plain_updates.sgd_looking_ahead if ahead else plain_updates.sgd_with_momentum
    return _updated(helper if "momentum" in c.params else plain_updates.sgd)(c)


def _adam(c: Wording) -> Text:
    c.params = dict(c.params)
    if c.params.pop("decoupled", False):
        return _updated(plain_updates.adamw, decays=False)(c)
    return _updated(plain_updates.adam)(c)


def _assigned(c: Wording) -> Text:
    """Spell w[...] = w - x as w[...] -= x."""
    parameter, value = c.line.operands
    w, text = c.x(0).text, c.x(1).text
    if isinstance(value, Line) and value.inline and value.operands[0] is parameter and value.op in _SIGNS:
        start = f"{w} {_SIGNS[value.op]} "
        if text.startswith(start):
            return Text(f"{w}[...] {_SIGNS[value.op]}= {text.removeprefix(start)}")
    return Text(f"{w}[...] = {text}")


_SIGNS = {primitive_of(np.add): "+", primitive_of(np.subtract): "-"}

UPDATES: dict[Primitive, Spelling] = {
    sgd.sgd_update: _sgd,
    adam.adam_update: _adam,
    rmsprop.rmsprop_update: _updated(plain_updates.rmsprop, "mean", "velocity"),
    adagrad.adagrad_update: _updated(plain_updates.adagrad),
    lion.lion_update: _updated(plain_updates.lion, decays=False),
    batch_norm.running_update: lambda c: c.help(plain_updates.move_running_averages, *c.all(), **c.params),
    in_place_update: _assigned,
}
"""What changes an array in place, as a statement."""

REBINDING: dict[Primitive, Spelling] = {
    clipping.gradient_norm: lambda c: c.help(plain_updates.total_norm, *c.all(1)),
    clipping.scale_down: lambda c: c.help(plain_updates.scaled_down, *c.all(), **c.params),
}
"""What is computed anew for an array, as an expression."""
