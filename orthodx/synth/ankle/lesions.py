"""Lesions that only ankles have, as plain data: what was drawn for a patient, enough to paint it again.

Drawn in `orthodx.synth.ankle.patients`, painted by `orthodx.synth.ankle.injuries.PAINTERS`, kept in `study.json`.
"""

from __future__ import annotations

from dataclasses import dataclass

from orthodx.joints import ANKLE

# values of lesion masks: the abnormalities in their order, then what belongs to none of them
VALUES: dict[str, int] = {
    **ANKLE.lesion_values,
    "bone_bruise": 5,
    "osteophyte": 6,
    "effusion": 7,
    "tendinosis": 8,
    "soft_oedema": 9,
}
# a label is 1 when at least so much of an ankle is marked (mL): smaller traces would not be reported
LEAST_ML: dict[str, float] = {"ATFL": 0.06, "CFL": 0.05, "ATR": 0.3, "OLT": 0.06}


@dataclass(frozen=True, kw_only=True)
class AchillesTear:
    """A tear of the Achilles tendon.

    level_mm: how high above the top of the heel bone. share: of its thickness that is torn, from behind; 1 where it
    is torn through. gap_mm: between the ends, 0 unless it is torn through. thickening: of the ends, relative to the
    thickness. wave_mm: how far the slack ends sway. oedema_mm: width of the oedema in front of it.
    """

    level_mm: float
    share: float
    gap_mm: float
    thickening: float
    wave_mm: float
    oedema_mm: float
    seed: int
    code: str = "ATR"


@dataclass(frozen=True, kw_only=True)
class Tendinosis:
    """An Achilles tendon that is thick and somewhat grey, but not torn: no rupture."""

    level_mm: float
    length_mm: float
    thickening: float
    grey: float
    seed: int
    code: str = "tendinosis"


@dataclass(frozen=True, kw_only=True)
class SoftOedema:
    """Wet fat after a blow or of a tired vein, over ligaments and tendons that may be whole.

    site: a name of `lesion_fluid.OEDEMA`. size: relative to the usual. density: share of wet strands in the middle.
    """

    site: str
    size: float
    density: float
    seed: int
    code: str = "soft_oedema"


@dataclass(frozen=True, kw_only=True)
class OsteochondralLesion:
    """A lesion of the talar dome: bone and the cartilage on it.

    side: "medial" or "lateral" shoulder of the dome. forward_mm: from the dome's middle. radius_mm, depth_mm: of the
    piece of bone. softened: share of the cartilage over it that is soft. oedema_mm: round it. cyst_mm: radius of a
    cyst below it, 0 for none. fragment: "none", "attached" (a grey line), "loose" (fluid round it) or "displaced" (an
    empty crater, the piece in front of the joint).
    """

    side: str
    forward_mm: float
    radius_mm: float
    depth_mm: float
    softened: float
    oedema_mm: float
    cyst_mm: float
    fragment: str
    seed: int
    code: str = "OLT"
