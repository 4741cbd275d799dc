"""Ctrl-C and SIGTERM: the work ends at once, or, where that loses much, as soon as its state is saved."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE = 2.0  # seconds after which a second signal is not waited for: some systems send two at once


class Stopped(BaseException):
    """Someone asked this process to end. code: its exit code, as shells know it."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


def stop_on_signals() -> None:
    """Let Ctrl-C and SIGTERM raise `Stopped` in this process; a second one, a while later, ends it at once."""
    owner, first = os.getpid(), list[float]()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:
            os._exit(128 + number)
        first.append(time.monotonic())
        if len(first) == 1:
            raise Stopped(number)
        if first[-1] - first[0] > _PATIENCE:
            os._exit(128 + number)

    for one in SIGNALS:
        signal.signal(one, stop)


@contextlib.contextmanager
def not_before_saved() -> Iterator[Callable[[], bool]]:
    """In here a signal is only remembered, and takes effect at the end; yields the question whether there was one."""
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    heard = [one for one in SIGNALS if signal.getsignal(one) is not signal.SIG_IGN]
    before = {one: signal.signal(one, remember) or signal.SIG_DFL for one in heard}
    try:
        yield lambda: bool(asked)
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
        if asked:
            signal.raise_signal(asked[0])


def stop_as_others() -> NoReturn:
    """End a process of a team whose others were asked to."""
    raise Stopped(signal.SIGTERM)


@contextlib.contextmanager
def born_quiet() -> Iterator[None]:
    """Processes begun in here leave Ctrl-C to their parent, and end on SIGTERM without a word."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = [
        signal.signal(signal.SIGINT, signal.SIG_IGN),
        signal.signal(signal.SIGTERM, signal.SIG_DFL),
    ]
    try:
        yield
    finally:
        for one, handler in zip(SIGNALS, before, strict=True):
            signal.signal(one, handler or signal.SIG_DFL)
