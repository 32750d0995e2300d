"""Data sets to learn on, and minibatches to feed them in: plain NumPy arrays throughout."""

from typing import TYPE_CHECKING

from tinygrad_nn.data.idx import read_idx
from tinygrad_nn.data.minibatches import Batches, Stream, batches, batches_forever, batches_with_replacement
from tinygrad_nn.data.mnist_files import Mnist, mnist
from tinygrad_nn.data.npz import read_npz, write_npz
from tinygrad_nn.data.sharding import Shard, shard
from tinygrad_nn.data.synthetic import moons
from tinygrad_nn.data.texts import Text, sequences, shakespeare, text
from tinygrad_nn.hints.lookups import face

__all__ = [
    "Batches",
    "Mnist",
    "Shard",
    "Stream",
    "Text",
    "batches",
    "batches_forever",
    "batches_with_replacement",
    "mnist",
    "moons",
    "read_idx",
    "read_npz",
    "sequences",
    "shakespeare",
    "shard",
    "text",
    "write_npz",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = face(globals())
