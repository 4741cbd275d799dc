"""Lesions of a shoulder as plain data: what was drawn for a patient, enough to paint it again.

Drawn in `orthodx.synth.shoulder.patients`, painted by `orthodx.synth.shoulder.injuries.PAINTERS`, kept in
`study.json`.
"""

from __future__ import annotations

from dataclasses import dataclass

from orthodx.joints import SHOULDER

# values of lesion masks: the abnormalities in their order, then what belongs to none of them
VALUES: dict[str, int] = {
    **SHOULDER.lesion_values,
    "bone_bruise": 9,
    "magic_angle": 10,
    "tuberosity_cyst": 11,
    "ac_wear": 12,
    "fatty_muscle": 13,
}
# a label is 1 when at least so much of a shoulder is marked (mL): smaller traces would not be reported
LEAST_ML: dict[str, float] = {
    "SSP": 0.15,
    "ISP": 0.15,
    "SSC": 0.15,
    "LHBT_injury": 0.06,
    "AC": 0.3,
    "GHJ": 0.15,
    "LHBT_effusion": 0.25,
    "SASD": 0.6,
}


@dataclass(frozen=True, kw_only=True)
class CuffTear:
    """Tendinosis or a tear of one tendon of the rotator cuff.

    code: "SSP", "ISP" or "SSC". zone_mm: from the foot, how much of the tendon is degenerated. swelling_mm: its
    thickening. depth: share of the thickness that is torn, 0 for tendinosis, 1 for a tear from joint to bursa. surface:
    where a partial tear begins, "joint", "bursa" or "inside". where: its middle across the tendon, -1 back or low .. 1.
    width: share of the tendon's width. from_foot_mm: footprint left standing. length_mm: of the gap along the tendon,
    with retraction.
    """

    code: str
    zone_mm: float
    swelling_mm: float
    depth: float
    surface: str
    where: float
    width: float
    from_foot_mm: float
    length_mm: float
    seed: int


@dataclass(frozen=True, kw_only=True)
class BicepsInjury:
    """The long biceps tendon: signal and swelling, a gap (0: none), a shift out of its groove towards medial."""

    swelling_mm: float
    share: float
    gap_mm: float
    shift_deg: float
    seed: int
    code: str = "LHBT_injury"


@dataclass(frozen=True, kw_only=True)
class SheathFluid:
    """Fluid in the sheath of the long biceps tendon."""

    volume_ml: float
    seed: int
    code: str = "LHBT_effusion"


@dataclass(frozen=True, kw_only=True)
class AcArthrosis:
    """Wear of the acromioclavicular joint.

    spur_mm: osteophytes above and below. capsule_mm: thickening. oedema_mm: reach of marrow oedema into both bones, 0
    for none. fluid: share of the joint space that holds fluid. code: "AC", or "ac_wear" where it is too little for it.
    """

    spur_mm: float
    capsule_mm: float
    oedema_mm: float
    fluid: float
    seed: int
    code: str = "AC"


@dataclass(frozen=True, kw_only=True)
class JointEffusion:
    """Fluid added to the glenohumeral joint: axillary pouch, subscapular recess, round the head."""

    volume_ml: float
    seed: int
    code: str = "GHJ"


@dataclass(frozen=True, kw_only=True)
class CartilageLoss:
    """A defect of the cartilage of `bone`: radius, share of its thickness; marrow oedema beneath, spur of the head."""

    bone: str
    radius_mm: float
    depth: float
    oedema_mm: float
    spur_mm: float
    seed: int
    code: str = "GHJ"


@dataclass(frozen=True, kw_only=True)
class LabralTear:
    """where_deg: middle of the tear on the rim, 0 above, 90 in front, 180 below. cyst_mm: radius of a cyst, 0: none."""

    where_deg: float
    arc_deg: float
    width_mm: float
    cyst_mm: float
    seed: int
    code: str = "GHJ"


@dataclass(frozen=True, kw_only=True)
class BursalFluid:
    """Fluid in the subacromial-subdeltoid bursa; a wall thickened by `wall_mm`."""

    volume_ml: float
    wall_mm: float
    seed: int
    code: str = "SASD"


@dataclass(frozen=True, kw_only=True)
class BoneBruise:
    """Marrow oedema, or an impaction of `dent_mm`. site: a name of `lesion_bone.SITES`."""

    site: str
    radius_mm: float
    dent_mm: float
    seed: int
    code: str = "bone_bruise"


@dataclass(frozen=True, kw_only=True)
class TuberosityCyst:
    """A small cyst in the greater tuberosity: common with age, no label."""

    radius_mm: float
    where_mm: float
    seed: int
    code: str = "tuberosity_cyst"


@dataclass(frozen=True, kw_only=True)
class MagicAngle:
    """Signal in a sound supraspinatus tendon where its fibres lie at 55 degrees to the field: on short echoes only."""

    length_mm: float
    seed: int
    code: str = "magic_angle"


@dataclass(frozen=True, kw_only=True)
class FattyMuscle:
    """Streaks of fat in the muscle of a tendon that has long been torn, or of an old person. of: "SSP" or "ISP"."""

    of: str
    share: float
    seed: int
    code: str = "fatty_muscle"
