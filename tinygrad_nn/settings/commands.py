"""What programs for a command line share: options that are looked at at once, and an end without a traceback."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Callable


def count(text: str) -> int:
    """Return an option that is a number of things, from 1 on; for `type=` of argparse, as the others.

    Example:
        >>> count("12")
        12
    """
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 on")
    return number


def seed(text: str) -> int:
    """Return an option that is a seed, from 0 on."""
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text} is no seed, which is a number from 0 on")
    return number


def positive(text: str) -> float:
    """Return an option that is a number above 0, as a learning rate is."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is no positive number")
    return number


def run(main: Callable[[], int | None]) -> None:
    """Run a program and end the process, with the status that it returns.

    Ctrl-C ends it with status 130. Where nobody reads what it prints any longer, behind `| head -1`, it ends with 0.
    """
    status: int | None
    try:
        status = main()
        sys.stdout.flush()
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
        status = 130
    except BrokenPipeError:
        # What Python writes at its end has no reader either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status)
