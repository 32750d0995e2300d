"""Layers that go through sequences: RNN, LSTM, GRU."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_nn.engine.tensor import Operand, Tensor, as_tensor
from tinygrad_nn.errors import SettingError, ShapeError
from tinygrad_nn.nn.init import Initializer, Seed, drawn, glorot_uniform, orthogonal, zeros
from tinygrad_nn.nn.inputs import cast_input
from tinygrad_nn.nn.module import Module
from tinygrad_nn.ops import recurrent
from tinygrad_nn.primitives import ArrayOrTensor, Function
from tinygrad_nn.settings import positive_integer


class _Recurrent(Module):
    """Layers over time: parameters and states of all layers and directions, named as PyTorch names them."""

    gates: int
    states: tuple[str, ...] = ("h",)
    run: Function

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bidirectional: bool = False,
        *,
        bias: bool = True,
        init: Initializer | None = None,
        recurrent_init: Initializer | None = None,
        bias_init: Initializer | None = None,
        rng: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        who = type(self).__name__
        self.input_size = positive_integer(who, "input_size", input_size)
        self.hidden_size = positive_integer(who, "hidden_size", hidden_size)
        self.num_layers = positive_integer(who, "num_layers", num_layers)
        if not isinstance(bidirectional, (bool, np.bool)):
            raise SettingError(f"{who}: bidirectional is True or False, got {bidirectional!r}")
        rng = np.random.default_rng(rng)
        self.bidirectional, self.bias = bool(bidirectional), bool(bias)
        recurrent_init = orthogonal() if recurrent_init is None else recurrent_init
        for layer, ending in self._places():
            width = self.input_size if layer == 0 else self.hidden_size * (1 + self.bidirectional)
            for name, rows, setting, how in (
                ("weight_ih", width, "init", glorot_uniform() if init is None else init),
                (
                    "weight_hh",
                    self.hidden_size,
                    "recurrent_init",
                    orthogonal() if recurrent_init is None else recurrent_init,
                ),
            ):
                # The fans are those of one gate.
                shape = rows, self.hidden_size
                each = [drawn(f"{who}: {setting}", how, shape, rng, dtype) for _ in range(self.gates)]
                setattr(self, f"{name}_{ending}", Tensor(np.concatenate(each, axis=1), requires_grad=True))
            for name in ("bias_ih", "bias_hh") if bias else ():
                length = (self.gates * self.hidden_size,)
                values = drawn(
                    f"{who}: bias_init", zeros() if bias_init is None else bias_init, length, rng, dtype
                )
                setattr(self, f"{name}_{ending}", Tensor(values, requires_grad=True))

    def _places(self) -> Iterator[tuple[int, str]]:
        """Yield the number of the layer of each run through time, and how its parameters end."""
        for layer in range(self.num_layers):
            yield layer, f"l{layer}"
            if self.bidirectional:
                yield layer, f"l{layer}_reverse"

    def _weights(self, ending: str) -> list[Tensor]:
        kinds = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if self.bias else ()))
        return [getattr(self, f"{kind}_{ending}") for kind in kinds]

    def _through(
        self, x: Operand, state: Sequence[Operand] | None, lengths: Operand | None
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the outputs of the last layer, and the last states of all."""
        places = list(self._places())
        self._check_input(as_tensor(x))
        x = cast_input(x, self._weights("l0")[0].dtype)
        shape = (len(places), len(x), self.hidden_size)
        first = (
            [np.zeros(shape, x.dtype)] * len(self.states) if state is None else self._checked(state, shape, x)
        )
        last: list[list[ArrayOrTensor]] = []
        outputs: list[ArrayOrTensor] = []
        y: ArrayOrTensor = x
        for k, (layer, ending) in enumerate(places):
            if outputs and layer > places[k - 1][0]:
                y, outputs = self._side_by_side(outputs), []
            begin = [s[k] for s in first]
            out, end = type(self).run(
                y, *begin, *self._weights(ending), lengths=lengths, reverse=ending.endswith("_reverse")
            )
            outputs.append(out)
            last.append(list(end) if isinstance(end, tuple) else [end])
        stacked: list[ArrayOrTensor] = [np.stack(ends) for ends in zip(*last, strict=True)]
        return self._side_by_side(outputs), stacked

    @staticmethod
    def _side_by_side(outputs: list[ArrayOrTensor]) -> ArrayOrTensor:
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=-1)

    def _check_input(self, x: Tensor) -> None:
        if x.ndim == 3 and x.shape[2] == self.input_size:
            return
        hint = ""
        if x.dtype.kind in "iu" and x.ndim == 2:
            hint = (
                f"nn.Embedding(symbols, {self.input_size}) before it, for numbers of symbols; or vectors of them, "
                f"np.eye({self.input_size}, dtype=np.float32)[x]"
            )
        elif x.ndim == 2:
            hint = "x[None] for one sample"
            if self.input_size == 1:
                hint = "x[..., None] for one number a step, x[None] for one sample"
            elif x.shape[1] % self.input_size == 0 and x.shape[1] > self.input_size:
                hint = f"x.reshape(len(x), -1, {self.input_size}), for rows of whole sequences"
        elif x.ndim > 3 and math.prod(x.shape[2:]) == self.input_size:
            hint = "x.reshape(*x.shape[:2], -1)"
        elif x.ndim == 3 and x.shape[1] == self.input_size:
            hint = "features are on the last axis: np.moveaxis(x, 1, -1)"
        raise ShapeError(
            f"{type(self).__name__}: x has shape {x.shape}, expected (N, T, {self.input_size}), batch first"
            + (f"\n  hint   {hint}" if hint else "")
        )

    def _checked(self, state: Sequence[Operand], shape: tuple[int, ...], x: Tensor) -> list[Tensor]:
        """Return the states as tensors; each is (layers x directions, N, hidden_size)."""
        who, names = type(self).__name__, self.states
        if not isinstance(state, (tuple, list)) or len(state) != len(names):
            got = f"{len(state)} of them" if isinstance(state, (tuple, list)) else type(state).__name__
            raise ShapeError(f"{who}: the state is a tuple ({', '.join(names)}), got {got}")
        tensors = [cast_input(s, x.dtype) for s in state]
        for name, s in zip(names, tensors, strict=True):
            if s.shape != shape:
                hint = (
                    "\n  hint   one layer and direction has a state too: h[None]"
                    if s.shape == shape[1:]
                    else ""
                )
                raise ShapeError(
                    f"{who}: the state {name} has shape {s.shape}, expected {shape}: layers x directions, N, "
                    f"hidden_size{hint}"
                )
        return tensors

    def extra_repr(self) -> str:
        more = [f"num_layers={self.num_layers}"] if self.num_layers > 1 else []
        more += ["bidirectional=True"] if self.bidirectional else []
        more += [] if self.bias else ["bias=False"]
        return ", ".join([f"{self.input_size} -> {self.hidden_size}", *more])


class RNN(_Recurrent):
    """A recurrent layer (N, T, input_size) -> (N, T, hidden_size), batch first: h' = tanh(x @ w + b + h @ v + c).

    `outputs, h = layer(x, state=None, lengths=None)`. Parameters have PyTorch's names, `weight_ih_l0` and so on;
    weights are (in, out), as those of Dense.

    Args:
        input_size: features of a step.
        hidden_size: features of a state.
        num_layers: how many layers there are, each on the outputs of the one below.
        bidirectional: whether each layer runs backwards too; outputs of both directions are side by side then.
        bias: whether to add biases, two as in PyTorch, which start at zero.
        init: initialiser of the weights of inputs; Glorot uniform by default.
        recurrent_init: initialiser of the weights of states; orthogonal by default.
        bias_init: initialiser of the biases.
        rng: a seed or generator; the same seed gives the same layer bit for bit.
        dtype: of the parameters; plain inputs are cast to it.

    Raises:
        SettingError: a size that is not a positive integer.

    Example:
        >>> outputs, h = RNN(3, 4, bidirectional=True, rng=0)(np.ones((2, 5, 3)))
        >>> outputs.shape, h.shape
        ((2, 5, 8), (2, 2, 4))
    """

    gates = 1
    run = staticmethod(recurrent.rnn)

    def forward(
        self, x: Operand, state: Operand | None = None, lengths: Operand | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return outputs and last states, (layers x directions, N, hidden_size).

        Args:
            x: inputs, (N, T, input_size).
            state: where to begin, by default zeros.
            lengths: how many steps each sample has, (N,); behind these outputs are zero, and states stay.

        Raises:
            ShapeError, DtypeError, SettingError: shapes do not fit, or lengths are no counts of steps.
        """
        outputs, (h,) = self._through(x, None if state is None else [state], lengths)
        return outputs, h


class GRU(RNN):
    """Gated recurrent units (N, T, input_size) -> (N, T, hidden_size), batch first; see `tn.gru` for the formula.

    `outputs, h = layer(x, state=None, lengths=None)`. Arguments and names are those of `RNN`; gates are side by side in
    PyTorch's order r, z, n, and initialised one by one.

    Example:
        >>> outputs, h = GRU(3, 4, rng=0)(np.ones((2, 5, 3)), lengths=[5, 2])
        >>> outputs.shape, h.shape, bool(outputs[1, 2:].any())
        ((2, 5, 4), (1, 2, 4), False)
    """

    gates = 3
    run = staticmethod(recurrent.gru)


class LSTM(_Recurrent):
    """Long short-term memory (N, T, input_size) -> (N, T, hidden_size), batch first; see `tn.lstm` for the formula.

    `outputs, (h, c) = layer(x, state=None, lengths=None)`. Arguments and names are those of `RNN`; gates are side by
    side in PyTorch's order i, f, g, o, and initialised one by one.

    Example:
        >>> outputs, (h, c) = LSTM(3, 4, num_layers=2, rng=0)(np.ones((2, 5, 3)))
        >>> outputs.shape, h.shape, c.shape
        ((2, 5, 4), (2, 2, 4), (2, 2, 4))
    """

    gates = 4
    states = ("h", "c")
    run = staticmethod(recurrent.lstm)

    def forward(
        self, x: Operand, state: tuple[Operand, Operand] | None = None, lengths: Operand | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return outputs and last states (h, c), each (layers x directions, N, hidden_size).

        Args:
            x: inputs, (N, T, input_size).
            state: where to begin, (h, c), by default zeros.
            lengths: how many steps each sample has, (N,); behind these outputs are zero, and states stay.

        Raises:
            ShapeError, DtypeError, SettingError: shapes do not fit, or lengths are no counts of steps.
        """
        outputs, (h, c) = self._through(x, state, lengths)
        return outputs, (h, c)
