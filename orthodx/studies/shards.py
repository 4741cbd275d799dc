"""A share of the studies, for many machines that work into one place."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import dataclass

from orthodx.errors import UsageError
from orthodx.studies.keys import study_key


@dataclass(frozen=True)
class Shard:
    """Shard `index` (from 1) of `count`: the studies whose id falls to it, whichever others there are.

    >>> [Shard(i, 3).has("study-7") for i in (1, 2, 3)]
    [True, False, False]
    """

    index: int
    count: int

    def has(self, study_id: str) -> bool:
        """Whether a study is of this shard; what belongs to no study is of the first."""
        if not study_id:
            return self.index == 1
        digest = hashlib.sha256(study_key(study_id).encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.index - 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def shard_of(text: str | None) -> Shard | None:
    """`I/N` as a shard; None for None. Raises `UsageError` for anything else."""
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text)
    index, count = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= index <= count:
        raise UsageError(f"--shard: '{text}' is no shard", hint="give I/N with I from 1 to N, such as 2/8")
    return Shard(index, count)


@dataclass
class Seldom:
    """True where the last time is long enough ago: what all shards made is put together only now and then."""

    seconds: float = 5.0
    last: float = float("-inf")

    def __call__(self) -> bool:
        now = time.monotonic()
        if now - self.last < self.seconds:
            return False
        self.last = now
        return True
