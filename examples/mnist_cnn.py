"""Handwritten digits, read by a convolutional network: 99.3 % of the test images in a few minutes.

Run it:  python examples/mnist_cnn.py        (--epochs 1 --images 2000 for a quick look)

A convolution slides small weights over an image, so that a stroke is found wherever it is; a pool keeps the strongest
answer of each neighbourhood. Every batch is shifted by up to two pixels: no image is seen twice in the same place.
MNIST is taken from the folder that TINYGRAD_NN_DATA names, else from the cache, else downloaded.
"""

import argparse
from collections.abc import Iterator

import numpy as np

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.settings.commands import count, positive, run, seed


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a convolutional network to read handwritten digits.")
    parser.add_argument(
        "--epochs", type=count, default=10, help="times through the training images (default: 10)"
    )
    parser.add_argument(
        "--images", type=count, default=60_000, help="training images to use (default: 60000)"
    )
    parser.add_argument(
        "--lr", type=positive, default=2e-3, help="learning rate at the start (default: 0.002)"
    )
    parser.add_argument("--batch", type=count, default=128, help="images a step (default: 128)")
    parser.add_argument("--seed", type=seed, default=0, help="seed of weights, order and shifts (default: 0)")
    args = parser.parse_args()

    # Images are (N, 28, 28, 1): height, width, and one channel, which comes last.
    x_train, y_train, x_test, y_test = tn.data.mnist(flatten=False)
    rng = np.random.default_rng(args.seed)
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3, rng=rng),  # (N, 26, 26, 32)
        nn.ReLU(),
        nn.MaxPool2d(2),  # (N, 13, 13, 32)
        nn.Conv2d(32, 64, 3, rng=rng),  # (N, 11, 11, 64)
        nn.ReLU(),
        nn.MaxPool2d(2),  # (N, 5, 5, 64), the last row and column are cut off
        nn.Flatten(),
        nn.Dropout(0.3, rng=rng),  # no feature may be relied upon
        nn.Dense(1600, 10, rng=rng),
    )
    print(model.summary((28, 28, 1)))
    batches = Shifted(
        tn.data.batches(x_train[: args.images], y_train[: args.images], size=args.batch, rng=rng), rng
    )
    rate = optim.schedules.cosine(args.lr, args.epochs * len(batches))
    tn.train.fit(
        model,
        nn.losses.cross_entropy,
        optim.Adam(model.parameters(), lr=rate),
        batches,
        epochs=args.epochs,
        validation=(x_test, y_test),
        metrics=["accuracy"],
        compile=True,
    )
    predicted = tn.train.predict(model, x_test).argmax(axis=1)
    print(f"test accuracy {np.mean(predicted == y_test):.2%}")


class Shifted:
    """Batches of images, each image moved by up to two pixels in both directions."""

    def __init__(self, batches: tn.data.Batches, rng: np.random.Generator) -> None:
        self.batches, self.rng = batches, rng

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for images, labels in self.batches:
            wide = np.pad(images[..., 0], ((0, 0), (2, 2), (2, 2)))
            places = np.lib.stride_tricks.sliding_window_view(wide, (28, 28), axis=(1, 2))
            down, right = self.rng.integers(5, size=(2, len(images)))
            yield places[np.arange(len(images)), down, right][..., None], labels


if __name__ == "__main__":
    run(main)
