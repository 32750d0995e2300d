"""Two moons, a small network, and its training: what tests of training share."""

import io

from tests.support import networks
from tinygrad_nn import optim
from tinygrad_nn.data import batches, moons
from tinygrad_nn.nn.losses import cross_entropy
from tinygrad_nn.train import accuracy, fit

X, Y = moons(200)


class Terminal(io.StringIO):
    """A stream that says that a person looks at it."""

    def isatty(self):
        return True


def network():
    """Return a network for the moons."""
    return networks.network(widths=(2, 16, 2))


def weights(model):
    """Return the state of a model as bytes."""
    return b"".join(array.tobytes() for array in model.state_dict().values())


def trained(epochs=3, seed=0, lr=0.05, size=32, progress=False, **options):
    """Train a new network; return it and its history."""
    model = network()
    history = fit(
        model,
        cross_entropy,
        optim.Adam(model.parameters(), lr=lr),
        batches(X, Y, size=size, rng=seed),
        epochs=epochs,
        metrics={"acc": accuracy},
        progress=progress,
        **options,
    )
    return model, history


def shown(progress, epochs=10, size=50, **options):
    """Train a new network, telling `progress` of it; return the history."""
    return trained(epochs, size=size, progress=progress, **options)[1]
