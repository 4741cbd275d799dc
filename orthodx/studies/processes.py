"""Work spread over processes that end with their parent, even when it is killed."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import get_context
from types import ModuleType
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Iterator[Result]:
    """`map`, in order. workers: processes; below 2 the work is done here, which always works."""
    if workers < 2 or len(items) < 2:
        yield from map(function, items)
        return
    # fork starts at once, but only a process without other threads may be copied safely
    alone = sys.platform == "linux" and threading.active_count() == 1 and "torch" not in sys.modules
    with main_unseen():
        pool = get_context("fork" if alone else "spawn").Pool(
            min(workers, len(items)), initializer=_end_with, initargs=(os.getpid(),)
        )
    with pool:
        yield from pool.imap(function, items)


@contextlib.contextmanager
def main_unseen() -> Iterator[None]:
    """Processes spawned in here do not run the caller's script again, which needs no main guard for our sake.

    What they are sent must then not be defined in that script.
    """
    main = sys.modules["__main__"]
    stand_in = ModuleType("__main__")
    sys.modules["__main__"] = stand_in
    try:
        yield
    finally:
        sys.modules["__main__"] = main


def _end_with(parent: int) -> None:
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
