"""Works on the columns of matrices: what normalisation over a batch is made of."""

from __future__ import annotations

import math

from tinygrad_nn.compiler.draft import Draft, Work, is_flat
from tinygrad_nn.compiler.works.general import KINDS
from tinygrad_nn.graph.ir import Call


def scaled_columns(draft: Draft, call: Call, makes: tuple[int, ...]) -> Work | None:
    """Move and stretch the columns, a row after the other."""
    reads = draft.operands(call)
    dtypes = {draft.values[k].dtype.name for k in (*reads, *makes)}
    if len(dtypes) > 1 or not dtypes <= KINDS.keys() or not all(is_flat(draft, k) for k in reads):
        return None
    from tinygrad_nn.compiler.loops import columns

    *stack, rows, channels = call.shape
    return Work(columns.scaled_columns, math.prod(stack) * rows, (*reads, *makes), (rows, channels))
