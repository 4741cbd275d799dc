"""Reading the next images while the present one is worked on."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from orthodx.studies.series import Series
from orthodx.studies.volume import Volume


def read_ahead(series: Iterable[Series], workers: int) -> Iterator[tuple[Series, Callable[[], Volume]]]:
    """Each series with the call that gives its volume, or raises what reading it raised.

    workers: threads, and so the number of volumes read in advance and held in memory; with 0 each is read
    when asked for.
    """
    if workers == 0:
        for one in series:
            yield one, one.load
        return
    pool = ThreadPoolExecutor(workers)
    try:
        waiting: deque[tuple[Series, Callable[[], Volume]]] = deque()
        for one in series:
            waiting.append((one, pool.submit(one.load).result))
            if len(waiting) > workers:
                yield waiting.popleft()
        yield from waiting
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
