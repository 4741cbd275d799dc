"""Lesions that only knees have, as plain data: what was drawn for a patient, enough to paint it again.

Drawn in `orthodx.synth.knee.patients`, painted by `orthodx.synth.knee.injuries.PAINTERS`, kept in `study.json`.
"""

from __future__ import annotations

from dataclasses import dataclass

from orthodx.joints import KNEE

# values of lesion masks: the abnormalities in their order, then what belongs to none of them
VALUES: dict[str, int] = {
    **KNEE.lesion_values,
    "bone_bruise": 9,
    "osteophyte": 10,
    "meniscal_degeneration": 11,
}
# a label is 1 when at least so much of a knee is marked (mL): smaller traces would not be reported
LEAST_ML: dict[str, float] = {
    "ACL": 0.08,
    "PCL": 0.08,
    "MM": 0.02,
    "LM": 0.02,
    "MCL": 0.08,
    "LCL": 0.03,
    "PD": 0.5,
    "EFFU": 10.0,
}


@dataclass(frozen=True, kw_only=True)
class MeniscusTear:
    """A tear of a meniscus, or signal inside it.

    code: "MM" or "LM". pattern: "oblique" (to the lower surface), "vertical", "radial", "bucket_handle" (the inner
    rim lies in the notch) or "degeneration" (reaches no surface: no tear). where_deg: middle of the tear on the
    meniscus's arc, 0 lateral edge of the compartment, 90 front, -90 posterior horn, in the frame of a medial-left
    compartment. arc_deg: its extent. width_mm: of the line.
    """

    code: str
    pattern: str
    where_deg: float
    arc_deg: float
    width_mm: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class PatellarDislocation:
    """State after a lateral dislocation: shift and tilt that stay, and the two bruises of the impact."""

    shift_mm: float
    tilt_deg: float
    patella_bruise_mm: float
    condyle_bruise_mm: float
    seed: int
    code: str = "PD"
