"""Ctrl-C that waits for the step in hand, so that what training leaves behind is whole."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import NoReturn


class Interrupts:
    """Context in which the first Ctrl-C is kept for `check`; a second one interrupts at once.

    Outside of the main thread, where Python delivers no signals, and where the program handles Ctrl-C itself,
    nothing is changed.
    """

    def __init__(self) -> None:
        self._pending = False
        self._installed = False

    def __enter__(self) -> Interrupts:
        default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if default and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, self._keep)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _keep(self, number: int, frame: FrameType | None) -> None:
        if self._pending:
            signal.default_int_handler(number, frame)
        self._pending = True

    @property
    def pending(self) -> bool:
        """Whether a Ctrl-C has been kept."""
        return self._pending

    def check(self) -> None:
        """Raise the KeyboardInterrupt that has been kept, if any."""
        if self._pending:
            self.interrupt()

    def interrupt(self) -> NoReturn:
        """Raise KeyboardInterrupt, for the one that has been kept or one that another process has kept."""
        self._pending = False
        raise KeyboardInterrupt
