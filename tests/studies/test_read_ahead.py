import threading
from pathlib import Path

import numpy as np
import pytest

from orthodx.errors import StudyError
from orthodx.joints import View
from orthodx.studies.read_ahead import read_ahead
from orthodx.studies.series import Series
from orthodx.studies.volume import Volume


def series(number, load):
    return Series("p", "s", f"s{number}", Path("x"), View.AXIAL, False, load=load)


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_every_series_comes_once_in_order_and_a_bad_one_raises_in_its_turn(workers):
    def load(number):
        if number == 2:
            raise StudyError("two is broken")
        return Volume(np.full((9, 9, 9), number, np.float32), np.eye(4), str(number))

    seen = []
    for one, read in read_ahead([series(n, lambda n=n: load(n)) for n in range(5)], workers):
        try:
            seen.append((one.series_id, int(read().data[0, 0, 0])))
        except StudyError as error:
            seen.append((one.series_id, str(error)))
    assert seen == [("s0", 0), ("s1", 1), ("s2", "two is broken"), ("s3", 3), ("s4", 4)]


def test_no_more_volumes_than_workers_are_read_in_advance():
    started, lock = [], threading.Lock()

    def load(number):
        with lock:
            started.append(number)

    for one, read in read_ahead([series(n, lambda n=n: load(n)) for n in range(9)], 2):
        read()
        assert len(started) <= int(one.series_id[1:]) + 3
    assert sorted(started) == list(range(9))
