"""What layers whose windows move over axes have in common."""

from __future__ import annotations

from tinygrad_nn.engine.tensor import Tensor
from tinygrad_nn.errors import ShapeError
from tinygrad_nn.nn.module import Module


class OverAxes(Module):
    """A layer of (N, *space, C), with so many axes between samples and channels."""

    rank: int

    def check_rank(self, x: Tensor) -> Tensor:
        """Return x; raise `ShapeError` where it has another number of axes."""
        if x.ndim != self.rank + 2:
            axes = ", ".join(("depth", "height", "width")[-self.rank :] if self.rank > 1 else ("length",))
            hint = (
                "\n  hint   x[None] for a batch of one, x[..., None] for one channel"
                if x.ndim == self.rank + 1
                else ""
            )
            raise ShapeError(
                f"{type(self).__name__}: takes (N, {axes}, channels), {self.rank + 2} axes; got shape {x.shape}{hint}"
            )
        return x
