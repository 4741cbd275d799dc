"""How long the arms that are left will take, by what those of their kind took."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import mean

from orthodx.studies.readable import in_words
from orthodx.trials.arms import Arm


@dataclass
class Remaining:
    """weight: how much work an arm is among those of its kind."""

    arms: Sequence[Arm]
    weight: Callable[[Arm], float]
    seconds: dict[Arm, float] = field(default_factory=dict)

    def left(self) -> tuple[float, bool]:
        """Seconds for the arms that are not done, and whether the kind of each has been seen; else it is a part."""
        rates: dict[str, list[float]] = {}
        for arm, took in self.seconds.items():
            rates.setdefault(arm.kind, []).append(took / self.weight(arm))
        known = {kind: mean(values) for kind, values in rates.items()}
        open_ = [arm for arm in self.arms if arm not in self.seconds]
        seen = [arm for arm in open_ if arm.kind in known]
        return sum(known[arm.kind] * self.weight(arm) for arm in seen), len(seen) == len(open_)

    def told(self) -> str:
        """For the end of a progress line; empty once all is done."""
        open_ = len(self.arms) - len(self.seconds)
        if not open_:
            return ""
        left, whole = self.left()
        about = f", {'about' if whole else 'more than'} {in_words(left)}" if left else ""
        return f"; {open_} arm{'s' * (open_ > 1)} left{about}"
