"""Arrays that compiled code finds by their addresses. Needs Numba (extra `jit`).

To take an array as an argument costs a compiled function 12 milliseconds of compiling and 30 nanoseconds of each call.
A table of addresses costs that once, however many arrays there are.
"""

from __future__ import annotations

from numba import types
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array


@intrinsic
def array_at(typing, addresses, place, size, dtype):
    """Return the flat array of `size` elements whose address is in this place of the table."""
    kind = dtype.dtype
    result = types.Array(kind, 1, "C")

    def generate(context, builder, signature, args):
        table = make_array(addresses)(context, builder, args[0])
        index = context.cast(builder, args[1], place, types.intp)
        address = builder.load(builder.gep(table.data, [index]))
        data_type = context.get_data_type(kind)
        itemsize = context.get_constant(types.intp, context.get_abi_sizeof(data_type))
        array = make_array(result)(context, builder)
        populate_array(
            array,
            data=builder.inttoptr(address, data_type.as_pointer()),
            shape=[context.cast(builder, args[2], size, types.intp)],
            strides=[itemsize],
            itemsize=itemsize,
            meminfo=None,
        )
        return array._getvalue()

    return result(addresses, place, size, dtype), generate
