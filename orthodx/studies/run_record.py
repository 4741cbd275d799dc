"""`run.json`: what was run, with which versions, on which inputs, by which model, when."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from orthodx.studies.readable import readable_values
from orthodx.studies.writing import atomic

if TYPE_CHECKING:
    from orthodx.studies.series import Series

RUN = "run.json"
PACKAGES = ("orthodx", "torch", "monai", "nibabel", "pydicom", "dicom2nifti", "numpy", "scipy")


def sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return sha256_of(file)


def sha256_of(stream: BinaryIO) -> str:
    """Hexadecimal SHA-256 of what is left of a stream."""
    digest = hashlib.sha256()
    while block := stream.read(1 << 20):
        digest.update(block)
    return digest.hexdigest()


def inputs_of(series: Iterable[Series]) -> list[dict[str, str]]:
    """What a record says of the images read: ids and content; blank where a file cannot be read any more."""
    return [{"study_id": one.study_id, "series_id": one.series_id, "sha256": content_of(one)} for one in series]


def content_of(series: Series) -> str:
    """SHA-256 of the files of a series; blank where one cannot be read (any more)."""
    try:
        return series.content
    except OSError:
        return ""


def state_on_disk(*paths: Path) -> str:
    """A short hash of the names, sizes and modification times of files and of all files in folders."""
    files = [f for p in paths for f in (sorted(q for q in p.rglob("*") if q.is_file()) if p.is_dir() else [p])]
    state = [(str(f.resolve()), (s := f.stat()).st_size, s.st_mtime_ns) for f in files]
    return hashlib.sha256(repr(state).encode()).hexdigest()[:20]


def told_of(path: Path, keep_paths: bool) -> dict[str, str]:
    """What a record says of a file or folder that was read: its state, a file's SHA-256, and its path where asked."""
    told = {"path": str(path)} if keep_paths else {}
    return {**told, "state": state_on_disk(path), **({"sha256": sha256(path)} if path.is_file() else {})}


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that change results."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write_run(path: Path, *, command: Sequence[str], started: datetime, facts: dict[str, Any]) -> None:
    """Write the record atomically; `facts` holds seed, inputs, model and device."""
    record = {
        "schema": 1,
        "command": list(command),
        "started": started.isoformat(timespec="seconds"),
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "versions": versions(),
        "platform": platform.platform(terse=True),
        **facts,
    }
    write_json(path, readable_values(record))


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, default=str) + "\n", encoding="utf-8")
