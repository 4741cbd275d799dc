"""How the shoulder is scanned at each synthetic center."""

from __future__ import annotations

from orthodx.joints import View
from orthodx.synth.protocols import Setting, center_protocols
from orthodx.synth.shoulder.procedural import SCAPULAR_PLANE_DEG

FIELD_MM = 150
REACH_MM = {View.SAGITTAL: 96.0, View.CORONAL: 78.0, View.AXIAL: 96.0}
# paracoronal: along the supraspinatus; parasagittal: across it; axial slices lie straight in the patient
TURNS: dict[View, float] = {View.SAGITTAL: SCAPULAR_PLANE_DEG, View.CORONAL: SCAPULAR_PLANE_DEG}
# center -> pixel and slice, mm; settings of the sagittal, coronal and axial series
SETTINGS: dict[str, tuple[float, float, tuple[Setting, Setting, Setting]]] = {
    "Northgate": (0.45, 3.0, (("T2", 3800, 70, True), ("PD", 2900, 32, True), ("PD", 3100, 34, True))),
    "Harbour": (0.55, 3.5, (("T1", 620, 12, False), ("PD", 2600, 30, True), ("PD", 2700, 30, True))),
    "Meadow": (0.40, 3.0, (("PD", 2600, 25, True), ("T2", 3900, 72, True), ("PD", 2500, 22, False))),
    "Outpost": (0.80, 4.5, (("T1", 540, 18, False), ("T2", 2800, 80, False), ("T2STAR", 600, 14, False))),
    "Riverside": (0.60, 4.0, (("T2", 3600, 80, False), ("PD", 2500, 28, True), ("T2STAR", 500, 12, False))),
    "Uplands": (0.50, 2.5, (("PD", 2800, 32, True), ("PD", 3000, 34, True), ("PD", 3000, 30, True))),
}
PROTOCOLS = center_protocols(SETTINGS, field_mm=FIELD_MM, reach_mm=REACH_MM)
