"""The imaging planes."""

from __future__ import annotations

from enum import Enum


class View(str, Enum):
    """Imaging plane of a series, decided by the slice normal in world coordinates."""

    SAGITTAL = "sagittal"
    CORONAL = "coronal"
    AXIAL = "axial"

    def __str__(self) -> str:
        return self.value
