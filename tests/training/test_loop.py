"""What the training loop tells: where it is, and how much is left."""

import re

import pytest
import torch
from torch import nn

from orthodx.training.distributed import Team
from orthodx.training.ema import Ema
from orthodx.training.loop import Lesson, Schedule, train


class Line(Lesson):
    """One weight that learns to be 1, and has enough after `enough` steps."""

    may_end = True

    def __init__(self, enough):
        self.enough, self.done, self.volumes = enough, 0, 2
        self.parts = {"line": nn.Linear(1, 1)}
        self.rates, self.ema = {"line": 1e-3}, Ema(self.parts, 0.9)

    def begin(self, start, end):
        pass

    def step(self, step):
        loss = (self.parts["line"](torch.ones(1, 1)) - 1).square().mean()
        loss.backward()
        self.done = step + 1
        return {"loss": loss.detach()}

    def ended(self):
        return self.done >= self.enough


@pytest.mark.parametrize("enough", [4, 9])
def test_each_line_but_the_last_says_how_much_is_left(tmp_path, enough):
    lines = []
    schedule = Schedule(steps=6, end=6, warmup=1, seed=0, log_every=2, save_every=100)
    train(
        Line(enough), schedule, tmp_path / "checkpoint.safetensors", {}, team=Team(torch.device("cpu")), resume=False,
        say=lines.append,
    )  # fmt: skip
    last = min(enough, 6)
    assert [re.match(r"step (\d)/6 ", line)[1] for line in lines] == [str(n) for n in range(2, last + 1, 2)]
    assert [bool(re.search(r" volumes/s, \d+ s left$", line)) for line in lines] == [True] * (len(lines) - 1) + [False]
