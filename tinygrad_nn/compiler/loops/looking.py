"""Waiting for another thread without sleeping, while others run Python. Needs Numba (extra `jit`)."""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic

from tinygrad_nn.compiler.loops.mathematics import loop


@intrinsic
def number(typing, array):
    """For compiled code: return the number in an array, read anew each time, because another thread writes it."""
    del typing

    def generate(context, builder, signature, arguments):
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        return builder.load_atomic(view.data, "acquire", 8)

    return types.int64(array), generate


@loop
def wait_while(flag, value, looks, rest):
    """Look for a change of a number so often, then give up; a look takes some 15 nanoseconds.

    After a change it rests, some 5 nanoseconds times `rest`: whoever wrote the number still runs Python then, and to
    wait for that asleep takes longer. Divisions take time but no memory; their result only keeps them in the code.
    """
    x = 1.0
    for _ in range(looks):
        for _ in range(4):
            x = 1.0 / (1.0 + x)
        if number(flag) != value:
            for _ in range(rest):
                x = 1.0 / (1.0 + x)
            break
    return x
