"""Weights on disk by safetensors, whatever the folder is called: its own readers take paths of UTF-8 only."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import safetensors
from safetensors.torch import load_file as _load_file
from torch import Tensor


def load_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a file."""
    with _in_utf8(path) as there:
        return _load_file(there)


@contextmanager
def safe_open(path: Path) -> Iterator[Any]:
    """A file whose tensors and metadata are read one by one."""
    with _in_utf8(path) as there, safetensors.safe_open(there, "pt") as file:
        yield file


@contextmanager
def _in_utf8(path: Path) -> Iterator[Path]:
    """The path, or a link to it whose name is UTF-8."""
    if not any("\ud800" <= sign <= "\udfff" for sign in os.fspath(path)):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "weights.safetensors"
        link.symlink_to(path.absolute())
        yield link
