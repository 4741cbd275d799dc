"""How the knee is scanned at each synthetic center."""

from __future__ import annotations

from orthodx.joints import View
from orthodx.synth.protocols import Setting, center_protocols

FIELD_MM = 160
REACH_MM = {View.SAGITTAL: 100.0, View.CORONAL: 92.0, View.AXIAL: 104.0}
# center -> pixel and slice, mm; settings of the sagittal, coronal and axial series
SETTINGS: dict[str, tuple[float, float, tuple[Setting, Setting, Setting]]] = {
    "Northgate": (0.45, 3.0, (("PD", 3000, 30, True), ("PD", 2800, 32, True), ("PD", 3200, 34, True))),
    "Harbour": (0.55, 3.5, (("PD", 2200, 20, False), ("T1", 600, 12, False), ("PD", 2600, 30, True))),
    "Meadow": (0.40, 2.5, (("T2", 4000, 75, False), ("PD", 2500, 25, True), ("T2", 3800, 70, True))),
    "Outpost": (0.80, 4.5, (("T1", 520, 18, False), ("T2STAR", 620, 14, False), ("T1", 560, 18, False))),
    "Riverside": (0.60, 4.0, (("T2STAR", 480, 12, False), ("PD", 2400, 18, False), ("T2", 3600, 80, True))),
    "Uplands": (0.50, 1.6, (("DESS", 17, 6, True), ("PD", 2900, 30, True), ("PD", 3000, 32, True))),
}
PROTOCOLS = center_protocols(SETTINGS, field_mm=FIELD_MM, reach_mm=REACH_MM)
