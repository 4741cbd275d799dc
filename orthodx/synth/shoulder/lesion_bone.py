"""Bruises, impactions, cysts and the worn acromioclavicular joint.

Impaction behind the head and the torn labrum opposite: Workman et al., AJR 1992;158:11. Acromioclavicular wear: Stein
et al., J Shoulder Elbow Surg 2001;10:204 (spurs, capsule, oedema on both sides of the joint).
"""

from __future__ import annotations

import numpy as np

from orthodx.synth.lesion_bone import CORTEX_MM, bruise_at
from orthodx.synth.lesion_canvas import SOFT, Canvas
from orthodx.synth.shoulder.landmarks import frame_of
from orthodx.synth.shoulder.lesions import VALUES, AcArthrosis, BoneBruise, TuberosityCyst

# site -> bone, and a point lateral, forward and up from the head's middle in units of its radius
SITES: dict[str, tuple[str, tuple[float, float, float]]] = {
    "posterolateral_head": ("humerus", (0.25, -0.8, 0.5)),
    "greater_tuberosity": ("humerus", (0.85, -0.2, 0.45)),
    "lesser_tuberosity": ("humerus", (0.55, 0.65, 0.0)),
    "anterior_glenoid": ("scapula", (-1.25, 0.45, -0.35)),
    "acromion": ("scapula", (-0.3, 0.0, 1.5)),
}


def bruise_bone(canvas: Canvas, bruise: BoneBruise) -> None:
    """Paint a bruise where its mechanism leaves it, and press the surface in where it is an impaction."""
    frame = frame_of(canvas)
    if frame is None:
        return
    bone, where = SITES[bruise.site]
    at = frame.at(*(w * frame.radius for w in where))
    bruise_at(canvas, bone, at, bruise.radius_mm, bruise.seed, VALUES["bone_bruise"])
    if bruise.dent_mm > 0:
        out = (at - frame.middle) / np.linalg.norm(at - frame.middle)
        centre = frame.middle + out * (frame.radius + 12.5 - bruise.dent_mm)
        window = canvas.window(centre - 14, centre + 14)
        pressed = (window.radius(centre, (12.5,) * 3) < 1) & window.of(
            bone, f"{bone}_cortex", f"{bone}_bruise", "glenohumeral_cartilage"
        )
        rim = pressed & (window.radius(centre, (11.6,) * 3) > 1)
        window.paint(pressed, "fluid", VALUES["bone_bruise"])
        window.paint(rim, f"{bone}_cortex", VALUES["bone_bruise"])


def make_cyst(canvas: Canvas, cyst: TuberosityCyst) -> None:
    """A drop of fluid with a dark rim under the tuberosity's surface."""
    frame = frame_of(canvas)
    if frame is None:
        return
    r = frame.radius
    centre = frame.at(0.72 * r, cyst.where_mm, 0.5 * r)
    window = canvas.window(centre - 3 * cyst.radius_mm, centre + 3 * cyst.radius_mm)
    marrow = window.of("humerus", "humerus_bruise")
    ball = window.radius(centre, (cyst.radius_mm,) * 3)
    window.paint(marrow & (ball < 1 + 0.8 / cyst.radius_mm), "humerus_cortex", VALUES["tuberosity_cyst"])
    window.paint(marrow & (ball < 1), "fluid", VALUES["tuberosity_cyst"])


def wear_ac(canvas: Canvas, worn: AcArthrosis) -> None:
    """Paint the arthrosis of the acromioclavicular joint."""
    window, value = canvas.around("ac_disc", 16.0), VALUES[worn.code]
    if window is None:
        return
    rng = np.random.default_rng(worn.seed)
    noise = window.noise(rng, 5.0)
    disc = window.of("ac_disc")
    if not disc.any():
        return
    middle = window.points[:, disc].mean(1)
    from_disc, up = window.distance(disc), window.points[2] - middle[2]
    near = np.sqrt(sum((window.points[i] - middle[i]) ** 2 for i in range(3)))
    for bone in ("clavicle", "scapula"):
        solid = window.of(bone, f"{bone}_cortex")
        if worn.oedema_mm > 0:
            wet = window.of(bone) & window.flakes(rng, 1.5 * (1.1 - from_disc / worn.oedema_mm) + 0.1 * noise)
            window.paint(wet, f"{bone}_bruise", value)
        # spurs at the joint's edges: above, and below towards the supraspinatus
        tip = worn.spur_mm * (1 + 0.3 * noise) * np.clip(1.4 - from_disc / 5.0, 0, 1) * (np.abs(up) > 2.0)
        tip = tip * np.where(up < 0, 1.0, 0.7)
        spur = (window.distance(solid) < tip) & window.of(*SOFT, "ac_capsule", "bursa") & (near < 17)
        window.paint(spur, f"{bone}_cortex", value)
        window.paint(spur & (window.distance(~(spur | solid)) > CORTEX_MM), bone, value)
    capsule = window.of("ac_capsule", "ac_disc")
    thick = (window.distance(capsule) < worn.capsule_mm * (1 + 0.25 * noise)) & window.of(*SOFT, "bursa")
    window.paint(thick, "ac_capsule_swollen", value)
    window.paint(window.of("ac_capsule") & window.flakes(rng, np.full(disc.shape, 0.35, np.float32)), None, value)
    wet = disc & (noise < -1 + 2.6 * worn.fluid) if worn.fluid > 0 else np.zeros_like(disc)
    window.paint(wet, "fluid", value)
