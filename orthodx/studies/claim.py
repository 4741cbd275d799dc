"""The place a run writes to: it belongs to one command, to one run at a time, and keeps what it holds.

One rule for all commands: a place with results is gone on with by `--resume`, under the same options, or refused.
The shards of one run share a place.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from orthodx.errors import UsageError
from orthodx.studies.receipts import DONE, Receipts
from orthodx.studies.run_record import write_json
from orthodx.studies.shards import Shard
from orthodx.studies.writing import PART

OWNER = ".owner.json"
_PATIENCE = 1.5  # seconds: the processes of a run that was killed end within them
_OF_SHARDS = 20.0  # seconds: as long may a turn at what all shards write last


@dataclass(frozen=True)
class Place:
    """Where results go. stem: of the table that they stand beside in a folder of anything; blank for a whole folder."""

    folder: Path
    stem: str = ""

    @property
    def receipts(self) -> Path:
        """The folder of receipts."""
        return self.beside(DONE)

    def beside(self, name: str) -> Path:
        """A hidden file or folder of this place. name: with its leading dot."""
        return self.folder / (f".{self.stem}{name}" if self.stem else name)

    @property
    def shown(self) -> str:
        """What a person knows it by."""
        return str(self.folder / f"{self.stem}.csv" if self.stem else self.folder)


@dataclass(frozen=True, kw_only=True)
class Owner:
    """Whose results they are.

    by: the command. options: what all results there are made with, plain values. outputs: files that would be written
    over. resume: go on with earlier results; None where every run makes them anew. shard: the run's, of one in shards.
    """

    by: str
    options: Mapping[str, Any] = field(default_factory=dict)
    outputs: Sequence[Path] = ()
    resume: bool | None = None
    shard: Shard | None = None


@contextlib.contextmanager
def claimed(place: Place, owner: Owner) -> Iterator[str]:
    """Hold a place for this run, and leave nothing half-written there; yields the id that a table keeps.

    Raises `UsageError` for another run at work there, for results of another command or of other options, for earlier
    results without `resume`, and for files in the way that nobody of ours wrote.
    """
    made = not place.folder.is_dir()
    place.folder.mkdir(parents=True, exist_ok=True)
    try:
        with _held(place, owner.shard):
            with turn(place, owner.shard):
                new = not place.beside(OWNER).exists()
                name = _own(place, owner)
                _sweep_alone(place, owner.shard)
            try:
                yield name
            finally:
                with turn(place, owner.shard):
                    if _sweep_alone(place, owner.shard) and new and not _came_of(place, owner):
                        place.beside(OWNER).unlink(missing_ok=True)
    finally:
        if made and not _inside(place.folder):
            place.folder.rmdir()


def turn(place: Place, shard: Shard | None) -> contextlib.AbstractContextManager[None]:
    """Hold what the shards of a run share, for as long as it takes to write it; nothing to wait for without shards."""
    return contextlib.nullcontext() if shard is None else _locked(place, ".lock", _OF_SHARDS)


@contextlib.contextmanager
def _held(place: Place, shard: Shard | None) -> Iterator[None]:
    """Keep out every other run; of a shard, the same one and runs that are not of its kind."""
    if shard is None:
        with _locked(place, ".lock", _PATIENCE):
            if _others(place, None):
                raise _taken(place)
            yield
        return
    with _locked(place, _lock_of(shard), _PATIENCE):
        if any(not name.endswith(_lock_of(shard).partition("-of-")[2]) for name in _others(place, shard)):
            raise _taken(place)
        yield


def _lock_of(shard: Shard) -> str:
    return f".shard-{shard.index}-of-{shard.count}.lock"


def _others(place: Place, shard: Shard | None) -> list[str]:
    """The locks of other shards at work here."""
    own = None if shard is None else place.beside(_lock_of(shard)).name
    paths = place.folder.glob(place.beside(".shard-*.lock").name)
    return [path.name for path in paths if path.name != own and _is_held(path)]


def _is_held(path: Path) -> bool:
    try:
        with FileLock(path, timeout=0, thread_local=False):
            path.unlink(missing_ok=True)
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError):
        return False


def _taken(place: Place) -> UsageError:
    line = f"{place.shown}: another run is writing there"
    return UsageError(line, hint="wait until it ends, or choose another --out")


@contextlib.contextmanager
def _locked(place: Place, name: str, patience: float) -> Iterator[None]:
    """An advisory lock, gone with the process; where a file system has none, nobody is kept out."""
    path = place.beside(name)
    lock = FileLock(path, timeout=patience, thread_local=False)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a lock that outlives a crash is worse than none
            lock.acquire()
    except Timeout as error:
        raise _taken(place) from error
    except PermissionError:
        raise
    except (OSError, NotImplementedError, Warning):
        yield
        return
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()


def _own(place: Place, owner: Owner) -> str:
    """Check whose the place is and write it down; its id."""
    path, choose = place.beside(OWNER), "choose another --out"
    try:
        kept: dict[str, Any] = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        kept = {}
    if kept and kept.get("by") != owner.by:
        raise UsageError(f"{place.shown} holds results of '{kept.get('by')}'", hint=choose)
    options = json.loads(json.dumps(owner.options, default=str))
    begun = _shards_begun(kept, owner.shard)
    if Receipts(place.receipts).any():
        further = owner.shard is not None and bool(begun) and str(owner.shard) not in begun
        if owner.resume is False and not further:
            raise UsageError(f"{place.shown} already holds results", hint=f"go on with --resume, or {choose}")
        before = kept.get("options", options)
        differ = sorted(name for name in options.keys() | before.keys() if options.get(name) != before.get(name))
        if (owner.resume or further) and differ:
            raise UsageError(
                f"{place.shown} was made with other options ({', '.join(differ)})",
                hint=f"use them again, or {choose}",
            )
    if not kept:
        in_the_way = next((one for one in owner.outputs if one.exists() or one.is_symlink()), None)
        if in_the_way is not None:
            raise UsageError(f"{in_the_way} is there and is no result of '{owner.by}'", hint=choose)
    told = {"by": owner.by, "options": options}
    if place.stem:  # a table has an id, by which folders of its own know it
        told["id"] = kept.get("id") or secrets.token_hex(8)
    if owner.shard is not None:
        told["shards"] = sorted({*begun, str(owner.shard)})
    write_json(path, told)
    return str(told.get("id", ""))


def _shards_begun(kept: Mapping[str, Any], shard: Shard | None) -> list[str]:
    """Shards of the same number that have begun here."""
    told = kept.get("shards")
    if shard is None or not isinstance(told, list):
        return []
    return [str(one) for one in told if str(one).endswith(f"/{shard.count}")]


def _came_of(place: Place, owner: Owner) -> bool:
    """Whether a run left anything."""
    return Receipts(place.receipts).any() or any(one.exists() for one in owner.outputs)


def _sweep_alone(place: Place, shard: Shard | None) -> bool:
    """Sweep, unless other shards are at work; whether none is."""
    if _others(place, shard):
        return False
    sweep(place)
    return True


def _inside(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def sweep(place: Place) -> None:
    """Remove what a killed process left half-written; folders below that another run holds are left alone."""
    roots = [place.receipts] if place.stem else [place.folder]
    for root in roots:
        for folder, names, files in os.walk(root):
            names[:] = [n for n in names if not any((Path(folder) / n).glob(".*lock"))]  # those of shards, too
            for name in files:
                if name.startswith(PART):
                    with contextlib.suppress(OSError):
                        (Path(folder) / name).unlink()
