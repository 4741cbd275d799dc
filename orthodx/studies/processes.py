"""Work spread over processes that end with their parent, even when it is killed."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, get_context
from multiprocessing.context import BaseContext
from types import ModuleType
from typing import TypeVar

from orthodx.errors import UsageError
from orthodx.studies.stopping import born_quiet

Item = TypeVar("Item")
Result = TypeVar("Result")


def spread(function: Callable[[Item], Result], items: Sequence[Item], workers: int) -> Generator[Result, None, None]:
    """`map`, in order. workers: processes; below 2 the work is done here, which always works."""
    if workers < 2 or len(items) < 2:
        yield from map(function, items)
        return
    # fork starts at once, but only a process without other threads may be copied safely
    alone = sys.platform == "linux" and threading.active_count() == 1 and "torch" not in sys.modules
    with pool_of(min(workers, len(items)), get_context("fork" if alone else "spawn")) as pool:
        with children():
            waiting = deque(pool.submit(function, item) for item in items)
        while waiting:
            try:
                yield waiting.popleft().result()
            except BrokenProcessPool as error:
                raise UsageError(
                    "a worker process died, probably for lack of memory", hint="use fewer --workers; 0 always works"
                ) from error


@contextlib.contextmanager
def pool_of(workers: int, context: BaseContext) -> Iterator[ProcessPoolExecutor]:
    """Processes for jobs handed in within `children`; where the work is broken off they are ended, not waited for."""
    others = set(active_children())
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with, initargs=(os.getpid(),))
    try:
        yield pool
    except BaseException:
        for child in set(active_children()) - others:
            child.terminate()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@contextlib.contextmanager
def children() -> Iterator[None]:
    """Processes begun in here do not run the caller's script again, which needs no main guard for our sake.

    What they are sent must then not be defined in that script. Signals they leave to their parent (`born_quiet`).
    """
    main = sys.modules["__main__"]
    stand_in = ModuleType("__main__")
    sys.modules["__main__"] = stand_in
    try:
        with born_quiet():
            yield
    finally:
        sys.modules["__main__"] = main


def _end_with(parent: int) -> None:
    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
