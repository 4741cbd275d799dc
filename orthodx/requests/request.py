"""What a person asks of a command, as one frozen object; the command's function also takes its fields one by one.

segment(SegmentRequest("study/", "masks/", device="cpu"))
segment("study/", "masks/", device="cpu")
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import MISSING, dataclass, fields
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from orthodx.errors import UsageError

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Request:
    """Base of all requests: text becomes paths and views, one item becomes a tuple of one, as the fields declare."""

    def __post_init__(self) -> None:
        hints = _hints(type(self))
        for item in fields(self):
            value = getattr(self, item.name)
            object.__setattr__(self, item.name, _as_declared(value, hints[item.name], item.name))

    @property
    def given(self) -> frozenset[str]:
        """Names of the fields that differ from their defaults."""
        return frozenset(f.name for f in fields(self) if f.default is MISSING or getattr(self, f.name) != f.default)

    def refuse(self, names: Collection[str], why: str, hint: str = "leave it out") -> None:
        """Raise `UsageError` where one of `names` was given but would do nothing."""
        for name in names:
            if name in self.given:
                raise UsageError(f"--{OPTION.get(name, name).replace('_', '-')} {why}", hint=hint)


OPTION = {
    "augment": "no-augment",
    "views": "view",
    "maps": "map",
    "centers": "center",
    "formats": "format",
    "start": "from",
    "thresholds": "threshold",
    "tolerance_mm": "tolerance",
}  # what a field is called on the command line, where it is another word


def takes(request: type[Request]) -> Callable[[Callable[..., Answer]], Callable[..., Answer]]:
    """Decorator: a function of a request, which may be given whole or as its fields; further keywords pass through."""

    def wrap(function: Callable[..., Answer]) -> Callable[..., Answer]:
        names = {f.name for f in fields(request)}

        @functools.wraps(function)
        def call(*arguments: Any, **more: Any) -> Answer:
            if arguments and isinstance(arguments[0], request):
                return function(*arguments, **more)
            own = {name: more.pop(name) for name in list(more) if name in names}
            return function(request(*arguments, **own), **more)

        further = list(inspect.signature(function).parameters.values())[1:]
        own = [p.replace(annotation=_hints(request)[p.name]) for p in inspect.signature(request).parameters.values()]
        signature = inspect.Signature([*own, *further])
        call.__signature__ = signature  # type: ignore[attr-defined]
        call.__doc__ = f"{inspect.getdoc(function)}\n\nTakes a `{request.__name__}`, or its fields:\n{_told(request)}"
        return call

    return wrap


def _told(request: type[Request]) -> str:
    told = inspect.getdoc(request) or ""
    return told.split("\n\n", 1)[-1]


def _hints(request: type[Request]) -> dict[str, Any]:
    return get_type_hints(request)


def _as_declared(value: Any, hint: Any, name: str) -> Any:
    kinds = [k for k in get_args(hint) if k is not NoneType] if get_origin(hint) in (Union, UnionType) else [hint]
    if value is None or len(kinds) > 1:
        return value
    (kind,) = kinds
    if get_origin(kind) is tuple:
        inner = get_args(kind)
        items = (value,) if isinstance(value, (str, Path)) or not _is_several(value) else tuple(value)
        if inner[-1] is not Ellipsis and len(items) != len(inner):
            raise UsageError(f"{name}: {len(items)} values instead of {len(inner)}", hint="give all of them")
        return tuple(_as_declared(item, inner[0], name) for item in items)
    if kind is Path:
        return Path(value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        try:
            return kind(value)
        except ValueError as error:
            raise UsageError(
                f"{name}: '{value}' is none", hint=f"give {', '.join(str(k.value) for k in kind)}"
            ) from error
    if kind in (int, float) and isinstance(value, str):
        try:
            return kind(value)
        except ValueError as error:
            raise UsageError(f"{name}: '{value}' is no number", hint="check it") from error
    return value


def _is_several(value: Any) -> bool:
    return hasattr(value, "__iter__")
