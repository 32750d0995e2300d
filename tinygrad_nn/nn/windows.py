"""What layers whose windows move over axes have in common."""

from __future__ import annotations

from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.errors import ShapeError
from tinygrad_nn.nn.module import Module
from tinygrad_nn.primitives import Shape


class OverAxes(Module):
    """A layer of (N, *space, C), with so many axes between samples and channels."""

    rank: int

    def check_rank(self, x: Tensor) -> Tensor:
        """Return x; raise `ShapeError` where it has another number of axes."""
        if x.ndim != self.rank + 2:
            axes = ", ".join(("depth", "height", "width")[-self.rank :] if self.rank > 1 else ("length",))
            hint = self._hint(x.shape, axes)
            raise ShapeError(
                f"{type(self).__name__}: takes (N, {axes}, channels), {self.rank + 2} axes; got shape {x.shape}"
                + (f"\n  hint   {hint}" if hint else "")
            )
        return x

    def _hint(self, shape: Shape, axes: str) -> str:
        """Return what to write where an axis is missing, or images are rows; layers that pool know no channels."""
        channels = vars(self).get("in_channels")
        if len(shape) == self.rank + 1:
            one_image, one_channel = "x[None] for a batch of one", "x[..., None] for one channel"
            if channels is None:
                return f"{one_image}, {one_channel}"
            if channels == shape[-1]:
                return one_image
            if channels == 1:
                return one_channel
            return "np.moveaxis(x, 0, -1)[None]: channels come last here" if channels == shape[0] else ""
        hints = []
        if len(shape) == 2 and channels is not None:
            # Most images are squares.
            side = round((shape[1] / channels) ** (1 / self.rank))
            square = side**self.rank * channels == shape[1]
            sides = ", ".join([str(side)] * self.rank) if square else axes
            hints = [f"x.reshape(len(x), {sides}, {channels}) for rows"]
        if len(shape) == self.rank > 1 and channels in (None, 1):
            hints.append("x[None, ..., None] for a batch of one with one channel")
        return ", ".join(hints)
