"""The synthetic centers, their scanners, and what a protocol is: how each scanner would have been set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orthodx.joints import View

Setting = tuple[str, float, float, bool]  # sequence, TR ms, TE ms, fat suppressed


@dataclass(frozen=True)
class Center:
    """A hospital and its scanner: field in T, `noise` is the Rician sigma / bright signal.

    gaps: how often it leaves a field of a patient's record blank, relative to the usual.
    """

    name: str
    vendor: str
    field_strength: float
    noise: float
    gaps: float = 1.0


CENTERS: dict[str, Center] = {
    center.name: center
    for center in (
        Center("Northgate", "Siemens", 3.0, 0.012, 0.5),
        Center("Harbour", "GE", 1.5, 0.022, 1.0),
        Center("Meadow", "Philips", 3.0, 0.015, 0.8),
        Center("Outpost", "Esaote", 0.3, 0.06, 2.0),
        Center("Riverside", "Canon", 1.5, 0.025, 1.3),
        Center("Uplands", "United Imaging", 3.0, 0.014, 0.7),
    )
}


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """One sequence of one center. Times in ms, lengths in mm; `noise` is the Rician sigma / bright signal."""

    center: str
    vendor: str
    field_strength: float
    view: View
    sequence: str
    tr: float
    te: float
    fat_suppressed: bool
    pixel_mm: float
    slice_mm: float
    gap_mm: float
    slices: int
    matrix: int
    noise: float


def protocols(
    center: Center,
    settings: Mapping[View, Setting],
    *,
    pixel_mm: float,
    slice_mm: float,
    field_mm: float,
    reach_mm: Mapping[View, float],
) -> tuple[Protocol, ...]:
    """A center's protocols of one joint, one a view, in the order of `settings`.

    field_mm: side of the square field of view. reach_mm: what the slices of a view cover together, gaps of a tenth of
    a slice included.
    """
    return tuple(
        Protocol(
            center=center.name,
            vendor=center.vendor,
            field_strength=center.field_strength,
            view=view,
            sequence=sequence,
            tr=tr,
            te=te,
            fat_suppressed=suppressed,
            pixel_mm=pixel_mm,
            slice_mm=slice_mm,
            gap_mm=round(0.1 * slice_mm, 2),
            slices=round(reach_mm[view] / (1.1 * slice_mm)),
            matrix=round(field_mm / pixel_mm / 16) * 16,
            noise=center.noise,
        )
        for view, (sequence, tr, te, suppressed) in settings.items()
    )


def center_protocols(
    settings: Mapping[str, tuple[float, float, Sequence[Setting]]], *, field_mm: float, reach_mm: Mapping[View, float]
) -> dict[str, tuple[Protocol, ...]]:
    """Center -> its `protocols`.

    settings: center -> pixel and slice, mm, and the settings of its sagittal, coronal and axial series.
    """
    return {
        name: protocols(
            CENTERS[name],
            dict(zip((View.SAGITTAL, View.CORONAL, View.AXIAL), rows, strict=True)),
            pixel_mm=pixel,
            slice_mm=slice_mm,
            field_mm=field_mm,
            reach_mm=reach_mm,
        )
        for name, (pixel, slice_mm, rows) in settings.items()
    }
