"""Measure the network between ranks, and say how much faster they will be: mpiexec -n 2, and this command."""

from __future__ import annotations

import argparse

from tinygrad_nn.errors import SettingError
from tinygrad_nn.parallel.communicator import world
from tinygrad_nn.parallel.cost import Network, measured, table
from tinygrad_nn.settings.commands import count, positive, run


def main(arguments: list[str] | None = None) -> None:
    """Read the command line, measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m tinygrad_nn.parallel", description=__doc__)
    parser.add_argument(
        "--parameters", type=count, default=200_000, help="numbers in the model (default: 200000)"
    )
    parser.add_argument(
        "--step",
        type=positive,
        default=1.0,
        metavar="MS",
        help="milliseconds of a step of one rank (default: 1)",
    )
    parser.add_argument("--bytes", type=count, default=4, help="of a number (default: 4, which is float32)")
    parser.add_argument(
        "--ranks",
        type=count,
        nargs="+",
        default=[2, 4, 8, 64, 1024],
        help="(default: 2 4 8 64 1024)",
    )
    parser.add_argument("--latency", type=positive, metavar="US", help="of another network, in microseconds")
    parser.add_argument(
        "--bandwidth", type=positive, metavar="GB/S", help="of another network, in 1e9 bytes a second"
    )
    options = parser.parse_args(arguments)
    if (options.latency is None) != (options.bandwidth is None):
        parser.error("--latency and --bandwidth go together")
    if options.latency is not None:
        network, rank = Network(options.latency * 1e-6, options.bandwidth * 1e9), 0
    else:
        try:
            comm = world()
            network, rank = measured(comm), comm.rank
        except (ImportError, SettingError) as error:
            parser.error(str(error))
    if rank == 0:
        print(table(network, options.ranks, options.parameters, options.step * 1e-3, options.bytes))


if __name__ == "__main__":
    run(main)
