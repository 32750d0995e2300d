"""Products of matrices from tiles that stay in registers, for matmul, convolutions, recurrent networks. Needs Numba.

A tile is a small block of the result, some rows of a few vectors, that lies in registers while all its terms are added:

    C[p, q] = start[p, q] + sum over b, k of A[p * rs + k * cs + b * sa] * B[b * sb + k * ldb + q]

For each k it loads a row of B once for all its rows, and each number of A once for all its vectors: so many products
for a load keep a processor's multipliers busy (Goto and van de Geijn 2008, "Anatomy of high-performance matrix
multiplication"). LLVM does not keep such blocks in registers where it compiles plain loops, hence they are written in
its vectors here, for as many and as long ones as the processor has.

Sums over several products at once, and free strides, make tiles serve for more than matrices (batch-reduce GEMM:
Georganas et al. 2020, arXiv:1906.06440). With rs = stride * channels, a row of the kernel as one b and its places and
channels as k, it is a convolution that reads its input where it lies, which Dukhan 2019 (arXiv:1907.02129) does by
tables of pointers. With rs = 1, so that rows are taps and k runs over places, it is the gradient of the weights.
"""

from __future__ import annotations

import functools
from operator import attrgetter

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.registry import cpu_target
from numba.extending import intrinsic

from tinygrad_nn.compiler.loops.machine_code import compiled
from tinygrad_nn.primitives.operands import Function

_TRIPLE, _, _FLAGS = cpu_target.target_context.codegen().magic_tuple()
_FEATURES = _FLAGS.split(",")
_AVX512 = "+avx512f" in _FEATURES
MASKED = "+avx" in _FEATURES
"""Whether reading a part of a vector takes no longer than reading all of it."""
VECTOR = 64 if _AVX512 else 32 if MASKED else 16
"""Bytes of a vector."""
_FEW_REGISTERS = _TRIPLE.startswith(("x86", "i")) and not _AVX512
ROWS = (
    {1: (6, 4, 2, 1), 2: (6, 4, 2, 1), 3: (4, 3, 2, 1)}
    if _FEW_REGISTERS
    else {1: (12, 8, 6, 4), 2: (12, 8, 6, 4), 3: (8, 6, 4, 2)}
)
"""By vectors in a row of a tile: how many rows it may have, so that all fits into 16 or 32 registers."""
_DEEP = 512
"""Terms of a sum that are added at once, so that what a tile needs of B stays near to a core."""
_NEAR = 2**18
"""Bytes of A that stay near while all of B passes by."""
_MANY_ROWS, _CLASH = 100, 4096
"""From how many rows on, and for multiples of how many bytes between them, rows of B had better lie closer: they would
have the same few places in the cache."""


def in_machine_code(write: Function) -> Function:
    """Return what compiled code calls; `write(typing, types...)` returns its signature and what writes instructions."""
    return intrinsic(write)


_I64, _I32 = ir.IntType(64), ir.IntType(32)
_STRIP = (
    "a",
    "rs",
    "cs",
    "sa",
    "b",
    "ldb",
    "sb",
    "c",
    "ldc",
    "start",
    "lds",
    "m",
    "k",
    "batches",
    "relu",
    "lanes",
)


class Vectors:
    """Writes LLVM's instructions on vectors of one kind; the last one of a row may be read and written in part."""

    def __init__(self, builder, item, lanes_of_last):
        self.builder, self.item, self.lanes = builder, item, VECTOR // item
        self.real = ir.FloatType() if item == 4 else ir.DoubleType()
        self.kind = ir.VectorType(self.real, self.lanes)
        self.zero = ir.Constant(self.kind, [0.0] * self.lanes)
        numbers = ir.VectorType(_I32, self.lanes)
        self._same = ir.Constant(numbers, [0] * self.lanes)
        iota = ir.Constant(numbers, list(range(self.lanes)))
        self._mask = builder.icmp_signed("<", iota, self.splat(builder.trunc(lanes_of_last, _I32)))

    def splat(self, number):
        """Return a vector of one number."""
        empty = ir.Constant(ir.VectorType(number.type, self.lanes), ir.Undefined)
        single = self.builder.insert_element(empty, number, ir.Constant(_I32, 0))
        return self.builder.shuffle_vector(single, empty, self._same)

    def times(self, count):
        """Return how many bytes so many elements are."""
        return self.builder.mul(count, ir.Constant(_I64, self.item))

    def _call(self, name, result, *operands):
        kind = ir.FunctionType(result, [x.type for x in operands])
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), operands)

    def _pointer(self, address, place):
        address = self.builder.add(address, ir.Constant(_I64, place * VECTOR))
        return self.builder.inttoptr(address, ir.PointerType(self.kind))

    def load(self, address, place, part):
        """Return the vector at a place of a row, or a part of it and zeros."""
        pointer = self._pointer(address, place)
        if not part:
            return self.builder.load(pointer, align=self.item)
        name = f"llvm.masked.load.v{self.lanes}f{8 * self.item}.p0"
        return self._call(name, self.kind, pointer, ir.Constant(_I32, self.item), self._mask, self.zero)

    def store(self, vector, address, place, part):
        """Write a vector, or a part of it, to a place of a row."""
        pointer = self._pointer(address, place)
        if not part:
            self.builder.store(vector, pointer, align=self.item)
            return
        name = f"llvm.masked.store.v{self.lanes}f{8 * self.item}.p0"
        self._call(name, ir.VoidType(), vector, pointer, ir.Constant(_I32, self.item), self._mask)

    def number(self, address):
        """Return a vector of the number at an address."""
        pointer = self.builder.inttoptr(address, ir.PointerType(self.real))
        return self.splat(self.builder.load(pointer, align=self.item))

    def multiply_add(self, x, y, z):
        """Return x * y + z, in one instruction where there is one."""
        return self._call(f"llvm.fmuladd.v{self.lanes}f{8 * self.item}", self.kind, x, y, z)


def _repeat(builder, count, begin, steps, body):
    """Run a body so often, once at least, with addresses that begin somewhere and move on by steps."""
    zero, one = ir.Constant(_I64, 0), ir.Constant(_I64, 1)
    before, block = builder.block, builder.append_basic_block("repeat")
    builder.branch(block)
    builder.position_at_end(block)
    now = [builder.phi(_I64) for _ in range(1 + len(begin))]
    body(*now[1:])
    then = [builder.add(x, step) for x, step in zip(now, [one, *steps], strict=True)]
    for phi, first, following in zip(now, [zero, *begin], then, strict=True):
        phi.add_incoming(first, before)
        phi.add_incoming(following, builder.block)
    after = builder.append_basic_block("after")
    builder.cbranch(builder.icmp_signed("<", then[0], count), block, after)
    builder.position_at_end(after)


def _tile(v, arg, rows, vectors, each):
    """Make one tile; of rows that it has too many, all are the last one again."""
    builder, zero = v.builder, ir.Constant(_I64, 0)
    cells = [(p, q) for p in range(rows) for q in range(vectors)]
    last_row = builder.sub(arg["m"], ir.Constant(_I64, 1))

    def row_starts(address, stride):
        places = [ir.Constant(_I64, p) for p in range(rows)]
        places = [builder.select(builder.icmp_signed("<", p, last_row), p, last_row) for p in places]
        return [builder.add(address, builder.mul(arg[stride], p)) for p in places]

    # Where sums are kept while this is written down; LLVM puts them into registers.
    sums = {cell: cgutils.alloca_once_value(builder, v.zero) for cell in cells}
    with builder.if_then(builder.icmp_unsigned("!=", arg["start"], zero)):
        for p, address in enumerate(row_starts(arg["start"], "lds")):
            for q in range(vectors):
                builder.store(v.load(address, q, q == vectors - 1), sums[p, q])

    def batch(a, b):
        def term(a_k, b_k):
            row = [v.load(b_k, q, (MASKED or each) and q == vectors - 1) for q in range(vectors)]
            for p in range(rows):
                a_p = builder.add(a_rows[p], a_k)
                x = None if each else v.number(a_p)
                for q in range(vectors):
                    x_q = v.load(a_p, q, q == vectors - 1) if x is None else x
                    builder.store(v.multiply_add(x_q, row[q], builder.load(sums[p, q])), sums[p, q])

        a_rows = row_starts(a, "rs")
        _repeat(builder, arg["k"], [zero, b], [arg["cs"], arg["ldb"]], term)

    some = [builder.icmp_signed(">", arg[count], zero) for count in ("k", "batches")]
    with builder.if_then(builder.and_(*some)):
        _repeat(builder, arg["batches"], [arg["a"], arg["b"]], [arg["sa"], arg["sb"]], batch)
    with builder.if_then(builder.icmp_unsigned("!=", arg["relu"], zero)):
        for cell in cells:
            x = builder.load(sums[cell])
            builder.store(builder.select(builder.fcmp_ordered("<", x, v.zero), v.zero, x), sums[cell])
    to = row_starts(arg["c"], "ldc")
    whole = builder.icmp_signed("==", arg["lanes"], ir.Constant(_I64, v.lanes))
    with builder.if_else(whole) as branches:
        for part, branch in enumerate(branches):
            with branch:
                for p, q in cells:
                    v.store(builder.load(sums[p, q]), to[p], q, part and q == vectors - 1)


def _strip(item, vectors, each=False):
    """Return a function for compiled code that makes a strip, as wide as a tile and `m` rows high."""

    def generate(context, builder, signature, arguments):
        arg = dict(zip(_STRIP, arguments, strict=True))
        v = Vectors(builder, item, arg["lanes"])
        for stride in ("rs", "cs", "sa", "ldb", "sb", "ldc", "lds"):
            arg[stride] = v.times(arg[stride])
        sizes = ROWS[vectors]
        most = ir.Constant(_I64, sizes[0])

        def up(count, by):
            return builder.sdiv(builder.add(count, builder.sub(by, ir.Constant(_I64, 1))), by)

        done = cgutils.alloca_once_value(builder, ir.Constant(_I64, 0))
        tiles = up(arg["m"], most)
        with cgutils.for_range(builder, tiles) as loop:
            r = builder.load(done)
            here = dict(arg, m=builder.sub(arg["m"], r))
            for address, stride in (("a", "rs"), ("c", "ldc"), ("start", "lds")):
                here[address] = builder.add(arg[address], builder.mul(r, arg[stride]))
            even = up(here["m"], builder.sub(tiles, loop.index))
            end = builder.append_basic_block("end")
            for size, smaller in zip(sizes, (*sizes[1:], 0), strict=True):
                fits = builder.icmp_signed(">", even, ir.Constant(_I64, smaller))
                with builder.if_then(fits):
                    _tile(v, here, size, vectors, each)
                    builder.store(builder.add(r, ir.Constant(_I64, size)), done)
                    builder.branch(end)
            builder.branch(end)
            builder.position_at_end(end)
        return context.get_dummy_value()

    @in_machine_code
    def strip(typing, a, rs, cs, sa, b, ldb, sb, c, ldc, start, lds, m, k, batches, relu, lanes):
        return types.void(*(types.int64,) * len(_STRIP)), generate

    return strip


def _access(real, item):
    """Return functions for compiled code that read and write the number at a place after an address."""

    def pointer(context, builder, address, place):
        address = builder.add(address, builder.mul(place, ir.Constant(_I64, item)))
        return builder.inttoptr(address, ir.PointerType(context.get_value_type(real)))

    @in_machine_code
    def read(typing, address, place):
        def generate(context, builder, signature, arguments):
            return builder.load(pointer(context, builder, *arguments), align=item)

        return real(types.int64, types.int64), generate

    @in_machine_code
    def write(typing, address, place, number):
        def generate(context, builder, signature, arguments):
            builder.store(arguments[2], pointer(context, builder, *arguments[:2]), align=item)
            return context.get_dummy_value()

        return types.void(types.int64, types.int64, real), generate

    return read, write


def _product(dtype):
    """Return the compiled product for one dtype."""
    item = dtype.itemsize
    lanes, highest = VECTOR // item, ROWS[2][0]
    strip1, strip2, strip3 = (_strip(item, vectors) for vectors in ROWS)
    read, write = _access(types.float32 if item == 4 else types.float64, item)
    real = dtype.type

    def machine_product(a, rs, cs, sa, b, ldb, qs, sb, c, ldc, start, lds, m, n, k, batches, relu):
        scattered = qs != 1 or (m >= _MANY_ROWS and ldb * item % _CLASH == 0)
        near = _NEAR // item // max(min(k, _DEEP), 1)
        # Panels of B are copied for all rows at once.
        high = max(m, 1) if scattered else (near + highest - 1) // highest * highest
        for k0 in range(0, max(k, 1), _DEEP):
            deep = min(_DEEP, k - k0)
            begin, step = (c, ldc) if k0 else (start, lds if start else 0)
            end = relu if k0 + deep == k else 0
            for r in range(0, m, high):
                q = 0
                while q < n:
                    vectors = (n - q + lanes - 1) // lanes
                    vectors = 3 if vectors % 2 and vectors > 1 else min(vectors, 2)
                    width = vectors * lanes
                    columns = min(n - q, width)
                    last = columns - width + lanes
                    panel, line, sheet = b + (k0 * ldb + q * qs) * item, ldb, sb
                    copied = scattered or (not MASKED and last < lanes)
                    if copied:
                        room = np.empty(max(batches * deep * width, 1), real)
                        for i in range(batches * deep):
                            source, to = i // deep * sb + i % deep * ldb, i * width
                            if qs == 1 and columns == width:
                                for x in range(vectors):
                                    for y in range(lanes):
                                        z = x * lanes + y
                                        write(room.ctypes.data, to + z, read(panel, source + z))
                            else:
                                for x in range(width):
                                    z = read(panel, source + x * qs) if x < columns else real(0)
                                    write(room.ctypes.data, to + x, z)
                        panel, line, sheet = room.ctypes.data, width, deep * width
                    x, y = a + (r * rs + k0 * cs) * item, c + (r * ldc + q) * item
                    z = begin + (r * step + q) * item if begin else begin
                    rows = min(high, m - r)
                    given = x, rs, cs, sa, panel, line, sheet, y, ldc, z, step, rows, deep, batches, end, last
                    if vectors == 1:
                        strip1(*given)
                    elif vectors == 2:
                        strip2(*given)
                    else:
                        strip3(*given)
                    if copied:
                        # Numba frees an array after its last use that it sees.
                        room[0] = real(0)
                    q += width

    machine_product.__name__ = machine_product.__qualname__ = f"product_of_{dtype.name}"
    return compiled(error_model="numpy", nogil=True)(machine_product)


def _product_of_channels(dtype):
    """Return the compiled product for one dtype where each column has a matrix A of its own, of one column."""
    item = dtype.itemsize
    lanes, strip = VECTOR // item, _strip(item, 1, each=True)

    def machine_product(a, rs, cs, sa, b, ldb, qs, sb, c, ldc, start, lds, m, n, k, batches, relu):
        for q in range(0, n, lanes):
            x, y, z, here = a + q * item, b + q * item, c + q * item, start + q * item if start else 0
            step, last = lds if start else 0, min(lanes, n - q)
            strip(x, rs, cs, sa, y, ldb, sb, z, ldc, here, step, m, k, batches, relu, last)

    machine_product.__name__ = machine_product.__qualname__ = f"product_of_channels_of_{dtype.name}"
    return compiled(error_model="numpy", nogil=True)(machine_product)


_ARGUMENTS = (types.int64,) * 17
_pointer_and_name = attrgetter("library.get_pointer_to_function", "fndesc.llvm_func_name")
"""Return what finds compiled code in memory by its name, and that name, in Numba's words."""


@functools.cache
def _compiled(build, name):
    dispatcher = build(np.dtype(name))
    dispatcher.compile(_ARGUMENTS)
    return dispatcher


def _address(build: Function, dtype: str) -> int:
    pointer, name = _pointer_and_name(_compiled(build, dtype).overloads[_ARGUMENTS])
    address: int = pointer(name)
    return address


def product_kernel(dtype: str) -> int:
    """Return the address of the product for "float32" or "float64", which compiled code is given to call `product`.

    Numba compiles a function anew into each one that calls it by its name; tiles take a while. An address is no part of
    what is kept on disk, because it is an argument.
    """
    return _address(_product, dtype)


def channels_kernel(dtype: str) -> int:
    """Return the address of what `product` does where columns, such as channels, have nothing to do with each other.

    C[p, q] is start + sum over b, t of A[p*rs + t*cs + b*sa + q] * B[b*sb + t*ldb + q] then.
    """
    return _address(_product_of_channels, dtype)


@in_machine_code
def product(typing, kernel, a, rs, cs, sa, b, ldb, qs, sb, c, ldc, start, lds, m, n, k, batches, relu):
    """For compiled code: fill C, (m, n), with start + sum over b, t of A[p*rs + t*cs + b*sa] * B[b*sb + t*ldb + q*qs].

    Addresses are integers (`array.ctypes.data`), and may lie anywhere in an array; strides are in elements.

    Args:
        kernel: `product_kernel(dtype)` or `channels_kernel(dtype)`: it says the dtype of what lies at the addresses.
        a, rs, cs, sa: address of A, and how far apart its rows, columns and batches are.
        b, ldb, qs, sb: address of B, and how far apart its rows, columns and batches are. Columns side by side (1) are
            read where they lie, others are copied first: as much time as some twenty rows of a product.
        c, ldc: address of C, and how far apart its rows are; its columns lie side by side.
        start, lds: address of what is added to, and how far apart its rows are: 0, 0 for nothing, a bias and 0, C and
            ldc to add to C, or another matrix.
        m, n, k, batches: rows and columns of C; columns of A, of how many matrices each; none give start.
        relu: whether to put 0 in place of what is below; 0 or 1.
    """

    def generate(context, builder, signature, arguments):
        kind = context.call_conv.get_function_type(types.void, _ARGUMENTS)
        function = builder.inttoptr(arguments[0], ir.PointerType(kind))
        status, _ = context.call_conv.call_function(builder, function, types.void, _ARGUMENTS, arguments[1:])
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.void(types.int64, *_ARGUMENTS), generate
