"""Words without paths: folders and files are often called after patients, so no file of ours repeats their names.

The terminal does, and so do files with `--keep-paths`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from orthodx.joints import JOINTS
from orthodx.requests import Request
from orthodx.studies.mask_files import stem_of
from orthodx.studies.readable import readable

NAME = "[name]"
_SHORTEST = 3  # a shorter folder's name alone is found in too many words
_ALONE = 3  # so many parts of a path, from its end, may stand alone in a message
# words of our own messages, which name nobody
_OURS = {"axial", "coronal", "data", "dicom", "file", "files", "folder", "folders", "image", "images", "manifest"}
_OURS |= {"mask", "masks", "nifti", "sagittal", "series", "slice", "slices", "studies", "study", "truth", "zip"}
_OURS |= {word for joint in JOINTS.values() for word in (joint.name, *joint.names.values())}


def nameless(text: str, paths: Iterable[str | Path], ids: Iterable[str] = ()) -> str:
    """The text with these paths, all parts of them and their files' names taken out. ids: names that may stay.

    >>> nameless("Doe_J/1: series 2: slice 3 is missing", ["/data/Doe_J/1"])
    '[name]: series 2: slice 3 is missing'
    """
    names, ids = set[str](), frozenset(ids)
    given = {str(one) for one in paths if text} - {"", "."}
    for path in sorted(given, key=len, reverse=True):  # whatever it is called
        text = re.sub(rf"(?<![\w/]){re.escape(path)}/[^:;,)]*", NAME, text)
    for path in given:
        for form in {path, os.path.abspath(path), os.path.realpath(path)}:
            names |= _runs(Path(form)) | _runs(Path(readable(form)))
    kept = {one for one in names if one in ids or stem_of(Path(one)) in ids}
    for name in sorted(names - kept, key=len, reverse=True):
        if name in text:
            text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", NAME, text)
    return re.sub(rf"({re.escape(NAME)})/[^:;,)]*", r"\1", text)  # what lies below a folder


def _runs(path: Path) -> set[str]:
    """Every stretch of the parts of a path that a message may hold."""
    parts = [part for part in path.parts if part != os.sep]
    runs = {os.sep.join(parts[i:j]) for i in range(len(parts)) for j in range(i + 2, len(parts) + 1)}
    runs |= {os.sep + run for run in runs if run.startswith(parts[0])} if path.is_absolute() else set()
    return runs | {part for part in parts[-_ALONE:] if len(part) >= _SHORTEST and part.casefold() not in _OURS}


def nameless_command(command: Sequence[str], request: Request, *, keep_paths: bool = False) -> list[str]:
    """A command line for the record: each path that was given is called by its option, as in `--out OUT`.

    The program's own place, which often holds a user's name, is left out always.
    """
    words = list(command)
    if words and os.sep in words[0]:
        words[0] = "orthodx"
    given = {} if keep_paths else {text: name.upper() for name, text in _paths(request)}
    return [_called(word, given) for word in words]


def nameless_options(request: Request, *, keep_paths: bool = False) -> dict[str, Any]:
    """The options of a request by their names, without those that are paths."""
    without = set() if keep_paths else {name for name, _ in _paths(request)}
    return {item.name: getattr(request, item.name) for item in fields(request) if item.name not in without}


def _paths(request: Request) -> Iterable[tuple[str, str]]:
    for item in fields(request):
        value = getattr(request, item.name)
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, Path) or (isinstance(one, str) and "Path" in str(item.type) and Path(one).exists()):
                yield item.name, str(one)


def _called(word: str, given: dict[str, str]) -> str:
    option, equals, value = word.partition("=") if word.startswith("--") else (word[:2], "", word[2:])
    for text in (word, str(Path(word))):
        if text in given:
            return given[text]
    for text in (value, str(Path(value))):
        if value and word.startswith("-") and text in given:
            return f"{option}{equals}{given[text]}"
    return word
