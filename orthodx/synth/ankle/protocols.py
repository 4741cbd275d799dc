"""How the ankle is scanned at each synthetic center: smaller fields of view and finer pixels than a knee's.

Planes follow the mortise: coronal slices lie along the line through both malleoli, sagittal ones across it.
"""

from __future__ import annotations

from orthodx.joints import View
from orthodx.synth.protocols import Setting, center_protocols

MORTISE_DEG = -12.0  # the lateral malleolus of a right ankle lies so far behind the medial one
TURNS = dict.fromkeys(View, MORTISE_DEG)
FIELD_MM = 150
REACH_MM = {View.SAGITTAL: 76.0, View.CORONAL: 92.0, View.AXIAL: 100.0}
# center -> pixel and slice, mm; settings of the sagittal, coronal and axial series
SETTINGS: dict[str, tuple[float, float, tuple[Setting, Setting, Setting]]] = {
    "Northgate": (0.40, 3.0, (("PD", 3000, 30, True), ("PD", 2800, 32, True), ("PD", 3200, 34, True))),
    "Harbour": (0.50, 3.0, (("T1", 580, 12, False), ("PD", 2600, 28, True), ("PD", 2600, 30, True))),
    "Meadow": (0.36, 2.5, (("PD", 2700, 28, True), ("T2", 4200, 72, True), ("T2", 4000, 68, False))),
    "Outpost": (0.75, 4.0, (("T1", 520, 18, False), ("T2STAR", 600, 14, False), ("PD", 2000, 22, False))),
    "Riverside": (0.55, 3.5, (("PD", 2500, 20, False), ("T2", 3600, 78, True), ("PD", 2700, 26, True))),
    "Uplands": (0.45, 2.0, (("PD", 2900, 30, True), ("DESS", 17, 6, True), ("PD", 3000, 32, True))),
}
PROTOCOLS = center_protocols(SETTINGS, field_mm=FIELD_MM, reach_mm=REACH_MM)
