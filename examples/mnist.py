"""Handwritten digits, read by a network with one hidden layer: 98 % of the test images in about ten epochs.

Run it:  python examples/mnist.py            (--epochs 3 --hidden 64 for a quick look)
         mpiexec -n 2 python examples/mnist.py --parallel        (on two ranks, with the same result)

MNIST is taken from the folder that TINYGRAD_NN_DATA names, else from the cache, else downloaded. Where neither
works, scikit-learn's 8x8 digits, which come with that package, take its place, and the program says so.
"""

import argparse

import numpy as np

import tinygrad_nn as tn
from tinygrad_nn import nn, optim
from tinygrad_nn.settings.commands import count, positive, run, seed


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a network to read handwritten digits.")
    parser.add_argument(
        "--epochs", type=count, default=10, help="times through the training images (default: 10)"
    )
    parser.add_argument("--hidden", type=count, default=256, help="hidden units (default: 256)")
    parser.add_argument("--lr", type=positive, default=0.1, help="learning rate at the start (default: 0.1)")
    parser.add_argument("--batch", type=count, default=128, help="images a step (default: 128)")
    parser.add_argument("--seed", type=seed, default=0, help="seed of weights and order (default: 0)")
    parser.add_argument("--parallel", action="store_true", help="share the work among the ranks of mpiexec")
    args = parser.parse_args()

    comm = tn.parallel.world() if args.parallel else None
    x_train, y_train, x_test, y_test = digits()
    rng = np.random.default_rng(args.seed)
    model = nn.Sequential(
        nn.Dense(x_train.shape[1], args.hidden, init=nn.init.he_normal(), rng=rng),
        nn.ReLU(),
        nn.Dense(args.hidden, 10, rng=rng),
    )
    batches = tn.data.batches(x_train, y_train, size=args.batch, rng=rng)
    rate = optim.schedules.cosine(args.lr, args.epochs * len(batches))
    tn.train.fit(
        model,
        nn.losses.cross_entropy,
        optim.SGD(model.parameters(), lr=rate, momentum=0.9),
        batches,
        epochs=args.epochs,
        validation=(x_test, y_test),
        metrics={"acc": tn.train.accuracy},
        compile=True,
        comm=comm,
    )
    predicted = tn.train.predict(model, x_test, comm=comm).argmax(axis=1)
    if comm is None or comm.rank == 0:
        print(f"test accuracy {np.mean(predicted == y_test):.2%}")


def digits() -> tuple[np.ndarray, ...]:
    """Return MNIST, or the small digits that scikit-learn brings along."""
    try:
        return tn.data.mnist()
    except tn.errors.DatasetError as error:
        print(f"MNIST is not to be had: {error}\n")
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise SystemExit("without MNIST this example needs scikit-learn: pip install scikit-learn") from None
    print("training on scikit-learn's 1,797 digits of 8x8 pixels instead\n")
    images, labels = load_digits(return_X_y=True)
    images = (images / 16).astype(np.float32)
    return images[:1400], labels[:1400], images[1400:], labels[1400:]


if __name__ == "__main__":
    run(main)
