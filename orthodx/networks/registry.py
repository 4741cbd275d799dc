"""The plug-in registry: encoders and heads by name, from this package or from an entry point.

A third-party package adds one by naming its module under the entry-point group `orthodx.encoders` or
`orthodx.heads`; importing that module must run the decorator.
"""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable
from importlib import metadata
from typing import Generic, TypeVar

from orthodx.errors import OrthodxError

T = TypeVar("T")


class Registry(Generic[T]):
    """Names -> classes. Duplicates raise; an unknown name suggests the nearest one."""

    def __init__(self, kind: str, group: str) -> None:
        self.kind, self.group = kind, group
        self._items: dict[str, type[T]] = {}
        self._loaded = False
        self._broken: dict[str, str] = {}

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Class decorator that makes the class available under `name`."""

        def add(cls: type[T]) -> type[T]:
            if name in self._items and self._items[name] is not cls:
                raise OrthodxError(f"the {self.kind} '{name}' is registered twice", hint="rename one of the two")
            self._items[name] = cls
            return cls

        return add

    def _load_plugins(self) -> None:
        if not self._loaded:
            self._loaded = True
            for point in metadata.entry_points(group=self.group):
                try:
                    point.load()
                except Exception as error:  # a plug-in can fail in any way, and must not stop the others
                    self._broken[point.name] = f"{type(error).__name__}: {error}"
                    warnings.warn(f"{self.kind} plug-in '{point.name}' left out: {error}", stacklevel=3)

    def names(self) -> list[str]:
        """All registered names, plug-ins included, sorted."""
        self._load_plugins()
        return sorted(self._items)

    def get(self, name: str) -> type[T]:
        """The class registered as `name`; raises `OrthodxError` with the nearest name otherwise."""
        if name not in self._items:
            self._load_plugins()
        if name in self._broken and name not in self._items:
            raise OrthodxError(
                f"the {self.kind} plug-in '{name}' could not be loaded ({self._broken[name]})",
                hint="update or uninstall the package it comes from",
            )
        if name not in self._items:
            near = difflib.get_close_matches(name, self._items, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(self.names())}"
            raise OrthodxError(f"no {self.kind} is called '{name}'", hint=hint)
        return self._items[name]

    def origin(self, name: str) -> str:
        """The module that `name` comes from."""
        return self.get(name).__module__
