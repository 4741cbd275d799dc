"""What lies in the joint space of a procedural knee: cartilage layers, menisci, cruciates, collaterals, fluid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from orthodx.synth.knee.posture import carried
from orthodx.synth.solids import Field, bezier, fade, smooth_noise, tube

Masks = dict[str, np.ndarray]


@dataclass(frozen=True)
class Bones:
    """Distance fields (X, Y, Z) mm of the four bones and the points in each bone's own frame (3, X, Y, Z)."""

    femur_points: np.ndarray
    tibia_points: np.ndarray
    patella_points: np.ndarray
    patella_centre: np.ndarray
    femur: Field
    tibia: Field
    fibula: Field
    patella: Field

    def crop(self, box: tuple[slice, ...]) -> Bones:
        """The same bones seen in a box of the grid."""
        every = (slice(None), *box)
        points = (self.femur_points[every], self.tibia_points[every], self.patella_points[every])
        fields = (self.femur[box], self.tibia[box], self.fibula[box], self.patella[box])
        return Bones(*points, self.patella_centre, *fields)

    @property
    def any(self) -> Field:
        """Distance to the nearest bone, mm."""
        return np.minimum(np.minimum(self.femur, self.tibia), np.minimum(self.fibula, self.patella))


def articulate(
    bones: Bones,
    normals: Masks,
    s: Mapping[str, float],
    rng: np.random.Generator,
    mm: float,
    moved: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None,
) -> Masks:
    """Masks (X, Y, Z) bool of every structure in and round the joint.

    s: the shape; of its entries that few shapes have, `bare_front` and `bare_back` are the degrees round the condyles
    by which femoral cartilage ends early, `bare_medial` and `bare_lateral` the shares of the trochlea's flanks,
    `bare_rim` and `bare_patella` those of the plateaus' and facets' radius that have none.
    moved: where the points of femur and tibia (3, X, Y, Z) lay when the joint was first seen, and where the grid
    begins (3,), mm; None at first.
    """
    shape = bones.femur.shape
    rough = 1 + 0.12 * smooth_noise(rng, shape, mm, 12.0)
    rough_f, rough_t = (rough, rough) if moved is None else (carried(rough, at, moved[2], mm) for at in moved[:2])
    even = np.float32(1 - s.get("cartilage_loss", 0.0))
    left_f, left_t = _left(even, s, rough_f, rng, mm, moved)
    fx, fy, fz = bones.femur_points
    tx, ty, tz = bones.tibia_points

    angle = np.rad2deg(np.arctan2(fz - 22, fy + 2))  # 0 = anterior, -90 = distal, +-180 = posterior
    turn = np.where(angle > 90, angle - 360, angle)  # posterior-superior is below -180
    bare = {where: s.get(f"bare_{where}", 0.0) for where in ("front", "back", "medial", "lateral", "rim", "patella")}
    covered = fade(turn - bare["back"], -212, -203) * fade(-turn - bare["front"], -32, -24)
    sideways = normals["femur"][0]
    flank = fade(turn, -80, -60) * np.where(sideways < 0, np.float32(bare["medial"]), np.float32(bare["lateral"]))
    covered = covered * fade(0.86 * (1 - flank) - np.abs(sideways), 0.0, 0.12)
    covered = covered * (1 - (np.abs(fx) < s["notch_width"] + 0.5) * fade(-fy, -4, 4) * (fz < 36))
    thick_f = s["femoral_cartilage"] * rough_f * covered * (1 + 0.25 * (turn > -50))
    worn_f = thick_f * left_f
    femoral = (bones.femur >= 0) & (bones.femur < worn_f) & (thick_f > 0.5)

    px, _, pz = bones.patella_points - np.asarray(bones.patella_centre, np.float32).reshape(3, 1, 1, 1)
    high, wide = (s[f"patella_{side}"] * (1 - bare["patella"]) for side in ("height", "width"))
    facet = fade(-normals["patella"][1], 0.35, 0.55) * fade(pz + 0.55 * high, 0, 3)
    thick_p = s["patellar_cartilage"] * rough_f * facet * np.clip(1.15 - (np.abs(px) / wide) ** 2, 0, 1)
    worn_p = thick_p * left_f
    patellar = (bones.patella >= 0) & (bones.patella < worn_p) & (thick_p > 0.6) & ~femoral & (bones.femur > 0)

    rho, compartments = {}, {"medial": (-20.5, -4.5, 17.5, 22.5), "lateral": (20.5, -5.5, 17.0, 19.5)}
    grow = s["plateau_width"] * 0.5
    for name, (xc, yc, rx, ry) in compartments.items():
        rho[name] = np.sqrt(((tx - xc) / (rx + grow)) ** 2 + ((ty - yc) / ry) ** 2)
    nearest = np.minimum(rho["medial"], rho["lateral"])
    up = fade(normals["tibia"][2], 0.55, 0.75) * (1 - fade(nearest + bare["rim"], 0.86, 1.0)) * fade(np.abs(tx), 7, 10)
    thick_t = s["tibial_cartilage"] * rough_t * up * (1.25 - 0.4 * nearest)
    worn_t = thick_t * left_t
    tibial = (bones.tibia >= 0) & (bones.tibia < worn_t) & (thick_t > 0.5) & ~femoral & (bones.femur > 0)

    free = ~(femoral | tibial | patellar) & (bones.any > 0)
    out: Masks = {"femoral_cartilage": femoral, "tibial_cartilage": tibial, "patellar_cartilage": patellar}
    for name, (xc, yc, rx, _) in compartments.items():
        inward = np.sign(-xc) * (tx - xc) / rx  # towards the midline
        gap = fade(inward / np.maximum(rho[name], 0.2), 0.72 if name == "medial" else 0.86, 0.97)
        width = s["meniscus_width"] * (1.15 if name == "lateral" else 1.0) * (1 + 0.15 * fade(-(ty - yc), 0, 15))
        inner = 1.02 - width
        along = (rho[name] - inner) / width
        height = 0.6 + s["meniscus_height"] * np.clip(along, 0, 1)
        above = bones.tibia - worn_t
        wedge = (along > 0) & (rho[name] < 1.05 + 0.03 * rough) & (above > 0) & (above < height)
        wedge &= (tz > -9) & (bones.femur > np.maximum(worn_f, 0.3)) & (bones.femur < 11) & (gap < 0.5)
        out[f"{name}_meniscus"] = wedge & free

    out.update(_ligaments(bones, s, rng))
    taken = np.zeros(shape, bool)
    for name in ("medial_meniscus", "lateral_meniscus"):
        taken |= out[name]
    for name in ("pcl", "acl", "mcl", "lcl"):
        out[name] &= free & ~taken
        taken |= out[name]

    film = s["fluid_film"] * np.clip(rough, 0.4, 1.8)
    near = (bones.femur < thick_f * even + film) & (thick_f > 0.8)
    near |= (bones.patella < thick_p * even + film) & (thick_p > 0.8)
    near |= (bones.tibia < thick_t * even + film) & (thick_t > 0.8)
    recess = np.abs(fy - 31.5 - 0.06 * (fz - 50)) < s["recess"] * np.clip(rough, 0.3, 2) / 2
    recess &= (fz > 44) & (fz < 44 + 9 * s["recess"]) & (np.abs(fx) < 22)
    gutters = (np.abs(fx) > 34) & (np.abs(fx) < 36 + 0.6 * s["recess"]) & (np.abs(fz - 30) < 14) & (fy > -2) & (fy < 18)
    out["fluid"] = (near | recess | (gutters & (bones.femur < 3))) & free & ~taken
    return out


def _left(
    even: np.float32,
    s: Mapping[str, float],
    like: Field,
    rng: np.random.Generator,
    mm: float,
    moved: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
) -> tuple[np.ndarray | np.float32, np.ndarray | np.float32]:
    """Share of the layers left on femur and patella, and on the tibia; what `worn_patches` take is deepest in spots.

    worn_patches: share of the thickness that is gone where they are deepest; nothing is drawn where a shape has none.
    """
    if not s.get("worn_patches"):
        return even, even
    spots = smooth_noise(rng, like.shape, mm, 14.0)
    on_femur, on_tibia = (spots, spots) if moved is None else (carried(spots, at, moved[2], mm) for at in moved[:2])
    left = [even * (1 - np.float32(s["worn_patches"]) * fade(each, 0.3, 1.3)) for each in (on_femur, on_tibia)]
    return left[0], left[1]


def _place(points: np.ndarray, path: np.ndarray, radii: np.ndarray, flat: tuple[float, float, float]) -> np.ndarray:
    """Inside a tube given in the frame of `points`."""
    return tube(points, path, radii, flat) < 0


def _ligaments(bones: Bones, s: Mapping[str, float], rng: np.random.Generator) -> Masks:
    """Cruciates and collaterals. Ends are given in the tibial frame; the femoral ends move little with flexion."""
    j = rng.normal(0, 1.0, (8, 3))
    p = bones.tibia_points
    acl, pcl = s["acl_radius"], s["pcl_radius"]
    cruciate = np.linspace(0, 1, 9)
    acl_path = bezier(np.array([9.0, -17, 21]) + j[0], np.array([2.5, -5, 10]) + j[1], np.array([-1.0, 8, -2]) + j[2])
    pcl_path = bezier(np.array([-7.5, 0, 15]) + j[3], np.array([-4, -22, 16]) + j[4], np.array([0.0, -27, -9]) + j[5])
    mcl_path = bezier((-40, -3, 28), (-43.5, 0, 2), (-31, 6, -48))
    lcl_path = bezier((38, -7, 27), (42, -14, 6), (36 + s["plateau_width"], -20, -14 + s["fibula_height"]))
    flat = (1.0, 1.35, 1.0)
    return {
        "acl": _place(p, acl_path, acl * (1 + 0.25 * cruciate**2) * np.ones(9), flat),
        "pcl": _place(p, pcl_path, pcl * (1.1 - 0.2 * cruciate), flat),
        "mcl": _place(p, mcl_path, np.full(9, 6.5), (3.2, 1.0, 1.0)),
        "lcl": _place(p, lcl_path, np.full(9, 2.4), (1.0, 1.0, 1.0)),
    }
