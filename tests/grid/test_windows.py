"""Every slice is read, and blended windows give back what all of them agree on."""

import itertools

import pytest
import torch

from orthodx.grid.windows import blend, windows


@pytest.mark.parametrize("n", [1, 9, 16, 17, 22, 24, 63, 107])
def test_windows_cover_all_slices_with_overlap(n):
    parts = windows(n, 16, 6)
    seen = sorted({i for part in parts for i in range(n)[part]})
    assert seen == list(range(n))
    assert all(a.stop - b.start >= 6 for a, b in itertools.pairwise(parts))


def test_blending_equal_predictions_changes_nothing():
    n, total, weight = 40, torch.zeros(40), torch.zeros(40)
    for part in windows(n, 16, 6):
        w = blend(16)
        total[part] += 0.7 * w
        weight[part] += w
    torch.testing.assert_close(total / weight, torch.full((40,), 0.7))
