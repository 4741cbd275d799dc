"""Where lesions are painted: a copy of an anatomy's tissues, a mask of what was changed, and landmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage, special

from orthodx.synth.anatomy import Anatomy
from orthodx.synth.solids import Field, Point, smooth_noise
from orthodx.synth.tissues import TissueTable

SOFT = ("fat", "fat_pad", "muscle", "capsule", "fluid", "oedema")  # what swelling, blood and fluid may replace


@dataclass(frozen=True)
class Window:
    """A box of a canvas: views (X, Y, Z) of its tissues and lesion mask, and world points (3, X, Y, Z), mm."""

    tissues: np.ndarray
    lesions: np.ndarray
    points: np.ndarray
    mm: float
    table: TissueTable

    def of(self, *names: str) -> np.ndarray:
        """Where the tissue is one of `names`."""
        return np.isin(self.tissues, self.table.of(*names))

    def paint(self, where: np.ndarray, tissue: str | None, value: int) -> None:
        """Turn `where` into a tissue (None leaves it) and mark it in the lesion mask."""
        if tissue is not None:
            self.tissues[where] = self.table[tissue]
        self.lesions[where] = value

    def noise(self, rng: np.random.Generator, scale_mm: float) -> Field:
        """Smooth noise of unit variance."""
        return smooth_noise(rng, self.tissues.shape, self.mm, scale_mm)

    def flakes(self, rng: np.random.Generator, density: Field) -> np.ndarray:
        """A mask as dense as `density` (0..1), in strands of a few millimetres: a slice shows them as grey."""
        grain = 0.8 * self.noise(rng, 3.5) + 0.6 * rng.standard_normal(self.tissues.shape, np.float32)
        return density > special.ndtr(grain)

    def distance(self, inside: np.ndarray) -> Field:
        """Distance from a mask, mm."""
        return ndimage.distance_transform_edt(~inside, sampling=self.mm).astype(np.float32)

    def radius(self, centre: Point, radii: Point) -> Field:
        """Ellipsoidal radius: 1 at the surface of the ellipsoid."""
        return np.sqrt(sum(((self.points[i] - centre[i]) / radii[i]) ** 2 for i in range(3)))


class Canvas:
    """A joint being injured. `lateral` is the sign of lateral on the x axis."""

    def __init__(self, anatomy: Anatomy, table: TissueTable) -> None:
        self.table = table
        self.tissues = np.array(anatomy.tissues)
        self.lesions = np.zeros_like(self.tissues)
        self.affine, self.mm = anatomy.affine, anatomy.spacing_mm
        self._boxes = ndimage.find_objects(self.tissues, max_label=max(table.values()))
        self.lateral = 1.0 if anatomy.side == "right" else -1.0

    def bounds(self, name: str) -> tuple[np.ndarray, np.ndarray] | None:
        """Lowest and highest world point of a tissue, mm; None where there is none."""
        box = self._boxes[self.table[name] - 1]
        if box is None:
            return None
        low, high = (np.array([getattr(s, end) for s in box]) for end in ("start", "stop"))
        return low * self.mm + self.affine[:3, 3], (high - 1) * self.mm + self.affine[:3, 3]

    def window(self, low: Point, high: Point) -> Window:
        """The box from `low` to `high`, mm, as far as it lies in the anatomy."""
        shape = np.array(self.tissues.shape)
        start = np.clip(np.rint((np.array(low) - self.affine[:3, 3]) / self.mm).astype(int), 0, shape - 2)
        stop = np.clip(np.rint((np.array(high) - self.affine[:3, 3]) / self.mm).astype(int) + 1, start + 2, shape)
        spans = zip(start, stop, self.affine[:3, 3], strict=True)
        axes = [(np.arange(a, b) * self.mm + origin).astype(np.float32) for a, b, origin in spans]
        box = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        points = np.stack(np.meshgrid(*axes, indexing="ij"))
        return Window(self.tissues[box], self.lesions[box], points, self.mm, self.table)

    def around(self, name: str, margin_mm: float) -> Window | None:
        """The box of a tissue, widened."""
        bounds = self.bounds(name)
        return None if bounds is None else self.window(bounds[0] - margin_mm, bounds[1] + margin_mm)

    def centre(self, name: str) -> np.ndarray | None:
        """Middle of a tissue's box, mm."""
        bounds = self.bounds(name)
        return None if bounds is None else (bounds[0] + bounds[1]) / 2
