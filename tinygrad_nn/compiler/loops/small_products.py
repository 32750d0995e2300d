"""Products of matrices so small that each number of one stays in a register. Needs Numba (extra `jit`).

They are written in LLVM's instructions. As Python statements, one for each number, the same product takes Numba five
times as long to compile.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array

from tinygrad_nn.primitives.operands import Function

_I64 = ir.IntType(64)


def _number(value):
    return ir.Constant(_I64, value)


def _rows(builder, x, y, z, m, k, n, a0, a1, b0, b1):
    def load(array, place):
        return builder.load(builder.gep(array, [place]))

    b = {(c, j): load(y, _number(c * b0 + j * b1)) for c in range(k) for j in range(n)}
    with cgutils.for_range(builder, _number(m)) as rows:
        start = builder.mul(rows.index, _number(a0))
        a = [load(x, builder.add(start, _number(c * a1))) for c in range(k)]
        start = builder.mul(rows.index, _number(n))
        for j in range(n):
            total, *terms = (builder.fmul(a[c], b[c, j]) for c in range(k))
            for term in terms:
                total = builder.fadd(total, term)
            builder.store(total, builder.gep(z, [builder.add(start, _number(j))]))


def _sums(builder, x, y, z, m, k, n, a0, a1, b0, b1):
    cells = [(i, j) for i in range(m) for j in range(n)]
    zero = ir.Constant(z.type.pointee, 0.0)
    # Where sums are kept while this is written down; LLVM puts them into registers.
    sums = {cell: cgutils.alloca_once_value(builder, zero) for cell in cells}
    with cgutils.for_range(builder, _number(k)) as terms:

        def loads(array, stride, count, between):
            start = builder.mul(terms.index, _number(stride))
            places = [builder.add(start, _number(i * between)) for i in range(count)]
            return [builder.load(builder.gep(array, [place])) for place in places]

        a, b = loads(x, a1, m, a0), loads(y, b0, n, b1)
        for i, j in cells:
            total = builder.load(sums[i, j])
            builder.store(builder.fadd(total, builder.fmul(a[i], b[j])), sums[i, j])
    for i, j in cells:
        builder.store(builder.load(sums[i, j]), builder.gep(z, [_number(i * n + j)]))


def _product(write: Function) -> Function:
    """Return what compiled code calls with flat arrays, and sizes that it has as numbers."""

    def product(typing, x, y, z, m, k, n, a0, a1, b0, b1):
        sizes = m, k, n, a0, a1, b0, b1

        def generate(context, builder, signature, arguments):
            arrays = [
                make_array(kind)(context, builder, array).data
                for kind, array in zip((x, y, z), arguments[:3], strict=True)
            ]
            write(builder, *arrays, *(size.literal_value for size in sizes))
            return context.get_dummy_value()

        return types.void(x, y, z, *sizes), generate

    return intrinsic(prefer_literal=True)(product)


product_by_rows = _product(_rows)
"""Fill z, (m, n), with x @ y, one row after the other, all numbers of y in registers.

What is in row i and column j of x and y is at i * a0 + j * a1 and i * b0 + j * b1 of their flat arrays.
"""
product_by_terms = _product(_sums)
"""Fill z, (m, n), with x @ y, one term of all sums after the other, all numbers of z in registers.

What is in row i and column j of x and y is at i * a0 + j * a1 and i * b0 + j * b1 of their flat arrays.
"""
