"""Work spread over processes: in order, and never waited for in vain."""

import multiprocessing
import os
import signal
import time

import pytest

from orthodx.errors import UsageError
from orthodx.studies.processes import spread
from orthodx.studies.stopping import Stopped, not_before_saved


def squared(n):
    return n * n


def killed(n):
    os.kill(os.getpid(), signal.SIGKILL)  # as a system does that is out of memory


def asleep(n):
    time.sleep(60)


@pytest.mark.parametrize("workers", [0, 1, 2, 9])
def test_results_come_in_order(workers):
    assert list(spread(squared, range(7), workers)) == [n * n for n in range(7)]


def test_a_process_that_is_killed_is_told_not_waited_for():
    with pytest.raises(UsageError, match="a worker process died"):
        list(spread(killed, range(4), 2))
    assert multiprocessing.active_children() == []


def test_work_that_is_broken_off_ends_at_once():
    def stop(number, frame):
        raise Stopped(number)

    before, began = signal.signal(signal.SIGALRM, stop), time.monotonic()
    signal.alarm(2)
    with pytest.raises(Stopped):
        next(spread(asleep, range(4), 2))
    signal.signal(signal.SIGALRM, before)
    assert time.monotonic() - began < 50  # of the sixty that a process sleeps
    assert multiprocessing.active_children() == []


def test_a_signal_takes_effect_when_the_state_is_saved():
    saved = []

    def train():
        with not_before_saved() as asked:
            saved.append(asked())
            signal.raise_signal(signal.SIGINT)
            saved.append(asked())

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        train()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as where a shell starts it in the background
    train()
    signal.signal(signal.SIGINT, before)
    assert saved == [False, True, False, False]
