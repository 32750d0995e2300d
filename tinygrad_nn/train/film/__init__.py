"""The film of a training, recorded by a callback: one page that plays offline, or follows while it trains."""

from tinygrad_nn.train.film.film import Film

__all__ = ["Film"]
