"""How NIfTI files without a manifest become studies, where a person says it."""

from __future__ import annotations

from enum import Enum


class GroupBy(str, Enum):
    """folder: all images of a folder. name: what names share, view and contrast aside. none: every image alone."""

    FOLDER = "folder"
    NAME = "name"
    NONE = "none"

    def __str__(self) -> str:
        return self.value
