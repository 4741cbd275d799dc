"""Synthetic centers and their knee protocols: what each scanner would have been set to."""

from __future__ import annotations

from dataclasses import dataclass

from orthodx.joints import View


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


def _center(
    name: str, vendor: str, tesla: float, noise: float, pixel: float, slice_mm: float,
    sequences: dict[View, tuple[str, float, float, bool]],
) -> tuple[Protocol, ...]:  # fmt: skip
    matrix = round(160 / pixel / 16) * 16
    reach = {View.SAGITTAL: 100.0, View.CORONAL: 92.0, View.AXIAL: 104.0}
    return tuple(
        Protocol(
            center=name, vendor=vendor, field_strength=tesla, view=view, sequence=kind, tr=tr, te=te,
            fat_suppressed=suppressed, pixel_mm=pixel, slice_mm=slice_mm, gap_mm=round(0.1 * slice_mm, 2),
            slices=round(reach[view] / (1.1 * slice_mm)), matrix=matrix, noise=noise,
        )
        for view, (kind, tr, te, suppressed) in sequences.items()
    )  # fmt: skip


_S, _C, _A = View.SAGITTAL, View.CORONAL, View.AXIAL
CENTERS: dict[str, tuple[Protocol, ...]] = {
    p[0].center: p
    for p in (
        _center("Northgate", "Siemens", 3.0, 0.012, 0.45, 3.0,
                {_S: ("PD", 3000, 30, True), _C: ("PD", 2800, 32, True), _A: ("PD", 3200, 34, True)}),
        _center("Harbour", "GE", 1.5, 0.022, 0.55, 3.5,
                {_S: ("PD", 2200, 20, False), _C: ("T1", 600, 12, False), _A: ("PD", 2600, 30, True)}),
        _center("Meadow", "Philips", 3.0, 0.015, 0.40, 2.5,
                {_S: ("T2", 4000, 75, False), _C: ("PD", 2500, 25, True), _A: ("T2", 3800, 70, True)}),
        _center("Outpost", "Esaote", 0.3, 0.06, 0.80, 4.5,
                {_S: ("T1", 520, 18, False), _C: ("T2STAR", 620, 14, False), _A: ("T1", 560, 18, False)}),
        _center("Riverside", "Canon", 1.5, 0.025, 0.60, 4.0,
                {_S: ("T2STAR", 480, 12, False), _C: ("PD", 2400, 18, False), _A: ("T2", 3600, 80, True)}),
        _center("Uplands", "United Imaging", 3.0, 0.014, 0.50, 1.6,
                {_S: ("DESS", 17, 6, True), _C: ("PD", 2900, 30, True), _A: ("PD", 3000, 32, True)}),
    )
}  # fmt: skip
