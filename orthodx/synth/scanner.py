"""The scanner: an anatomy and sampled `ScanParams` -> an MR image and its truth on the same grid.

Everything random is drawn in `sample_scan` and kept in the parameters, so any image can be replayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from orthodx.grid.spec import axis_matrix
from orthodx.joints import View
from orthodx.synth import artefacts
from orthodx.synth.deformation import Deformation
from orthodx.synth.mottling import Mottle
from orthodx.synth.signals import jitter, mr_like_signal, random_signal, water_excited_signal
from orthodx.synth.solids import rotation
from orthodx.synth.tissues import TissueTable

SUB_SLICES = 5


@dataclass(frozen=True, kw_only=True)
class Plane:
    """An imaging slab. affine: (4, 4), index (d, h, w) -> world mm; shape (D, H, W); thickness in mm."""

    affine: np.ndarray
    shape: tuple[int, int, int]
    thickness_mm: float

    def moved_to(self, centre_mm: np.ndarray) -> Plane:
        """The same slab with its middle at `centre_mm`, mm."""
        affine = self.affine.copy()
        affine[:3, 3] = centre_mm - affine[:3, :3] @ ((np.array(self.shape) - 1) / 2)
        return replace(self, affine=affine)

    def turned(self, degrees: float) -> Plane:
        """The same slab turned about the world's z axis."""
        turn = np.eye(4)
        turn[:3, :3] = rotation(2, degrees)
        return replace(self, affine=turn @ self.affine)


@dataclass(frozen=True, kw_only=True)
class ScanParams:
    """All that is random about one acquisition (lengths in pixels of the image, angles applied in `Plane`)."""

    plane: Plane
    signal: np.ndarray  # (256,)
    shading: np.ndarray  # coarse log-sensitivity, (d, h, w)
    texture: float
    blur_px: tuple[float, float]
    noise: float  # Rician sigma relative to the image's 99th percentile
    gamma: float = 1.0
    fat_shift_px: tuple[float, float] = (0.0, 0.0)  # chemical shift along rows, columns
    fat_unevenness: np.ndarray | None = None  # coarse log of what uneven suppression leaves of fat, (d, h, w)
    mottles: tuple[Mottle, ...] = ()
    gibbs_keep: float = 1.0
    ghost: tuple[int, float] = (0, 0.0)
    wrap_rows: int = 0
    seed: int = 0


def make_plane(
    view: View,
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float],
    thickness_mm: float,
    centre_mm: np.ndarray,
    angles_deg: Sequence[float] = (0, 0, 0),
) -> Plane:
    """A slab of `view` turned by `angles_deg` about world x, y, z; spacing is (slice, pixel) in mm."""
    turn = rotation(0, angles_deg[0]) @ rotation(1, angles_deg[1]) @ rotation(2, angles_deg[2])
    matrix = turn @ axis_matrix(view) @ np.diag([spacing_mm[0], spacing_mm[1], spacing_mm[1]])
    affine = np.eye(4)
    affine[:3, :3] = matrix
    return Plane(affine=affine, shape=shape, thickness_mm=thickness_mm).moved_to(np.asarray(centre_mm))


def sample_scan(rng: np.random.Generator, plane: Plane, signal: np.ndarray, noise: float) -> ScanParams:
    """Draw the acquisition's imperfections; `noise` is the Rician sigma relative to the bright tissue."""
    rare = rng.random(5)
    steep = rng.uniform(0.05, 0.55)
    shading = rng.normal(0, steep, (3, 3, 3)) + rng.normal(0, steep, 3)[None, :, None] * np.array([-1, 0, 1])
    return ScanParams(
        plane=plane,
        signal=jitter(signal, rng),
        shading=shading.astype(np.float32),
        texture=float(rng.uniform(0.2, 1.3)),
        blur_px=(float(rng.uniform(0.25, 0.75)), float(rng.uniform(0.25, 0.75))),
        noise=noise,
        gamma=float(np.exp(rng.normal(0, 0.15))),
        fat_shift_px=(0.0, float(rng.integers(-2, 3)) if rare[0] < 0.35 else 0.0),
        gibbs_keep=float(rng.uniform(0.55, 0.9)) if rare[1] < 0.2 else 1.0,
        ghost=(int(rng.integers(8, 50)), float(rng.uniform(0.02, 0.12))) if rare[2] < 0.15 else (0, 0.0),
        wrap_rows=int(rng.integers(2, 10)) if rare[3] < 0.04 else 0,
        seed=int(rng.integers(2**31)),
    )


def random_contrast(
    rng: np.random.Generator, tissues: TissueTable, fully_random: float = 0.3, water_excited: float = 0.0
) -> np.ndarray:
    """Signals for training: like MR; like a DESS by share `water_excited`; any at all by share `fully_random`."""
    drawn = rng.random()
    if drawn < fully_random:
        return random_signal(rng, tissues)
    return (water_excited_signal if drawn > 1 - water_excited else mr_like_signal)(rng, tissues)


def tissue_indices(
    plane: Plane, deformation: Deformation, affine: np.ndarray, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Anatomy voxel coordinates (3, D, H, W) of the slab's pixel centres, and of one mm along the normal (3,)."""
    d, h, w = plane.shape
    counts = [max(2, int(np.ceil(n * s / 14)) + 1) for n, s in zip(plane.shape, _spacing(plane), strict=True)]
    axes = [torch.linspace(0, n - 1, c) for n, c in zip(plane.shape, counts, strict=True)]
    index = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    world = index @ torch.from_numpy(plane.affine[:3, :3].T).float() + torch.from_numpy(plane.affine[:3, 3]).float()
    inverse = torch.from_numpy(np.linalg.inv(affine)).float()
    coarse = deformation(world) @ inverse[:3, :3].T + inverse[:3, 3]
    coarse = coarse.permute(3, 0, 1, 2)[None].to(device)
    fine = functional.interpolate(coarse, size=(d, h, w), mode="trilinear", align_corners=True)[0]
    normal = plane.affine[:3, 0] / np.linalg.norm(plane.affine[:3, 0])
    return fine, torch.from_numpy(np.linalg.inv(affine)[:3, :3] @ deformation.matrix @ normal).float().to(device)


def _spacing(plane: Plane) -> np.ndarray:
    return np.linalg.norm(plane.affine[:3, :3], axis=0)


def look_up(volume: Tensor, at: Tensor) -> Tensor:
    """Nearest value (D, H, W) uint8 at voxel coordinates (3, D, H, W); air outside the volume."""
    index = (at + 0.5).floor_().int()
    inside = torch.ones(at.shape[1:], dtype=torch.bool, device=at.device)
    for axis, n in enumerate(volume.shape):
        inside &= (index[axis] >= 0) & (index[axis] < n)
        index[axis].clamp_(0, n - 1)
    flat = (index[0] * volume.shape[1] + index[1]) * volume.shape[2] + index[2]
    return volume.view(-1)[flat.long()] * inside


def render(
    volume: Tensor, affine: np.ndarray, params: ScanParams, deformation: Deformation, tissues: TissueTable
) -> tuple[Tensor, Tensor]:
    """Image (D, H, W) float32 >= 0 and structures (D, H, W) uint8 of one acquisition.

    volume: (X, Y, Z) uint8 anatomy on any device, values of `tissues`; affine: its voxel -> world mm.
    """
    device = volume.device
    plane = params.plane
    centre, along = tissue_indices(plane, deformation, affine, device)
    water_of = torch.from_numpy(params.signal * (1 - tissues.fat_fraction)).to(device)
    fat_of = torch.from_numpy(params.signal * tissues.fat_fraction).to(device)
    water, fat = torch.zeros(plane.shape, device=device), torch.zeros(plane.shape, device=device)
    mixed = [_Mixed(mottle, water_of, fat_of, plane.shape) for mottle in params.mottles]
    truth = rough = None
    for i in range(SUB_SLICES):  # slice profile: the mean over the slice's thickness
        offset = ((i + 0.5) / SUB_SLICES - 0.5) * plane.thickness_mm
        tissue = look_up(volume, centre + (along * offset).view(3, 1, 1, 1)).int()
        water += water_of[tissue]
        fat += fat_of[tissue]
        for each in mixed:
            each.add(tissue, water, fat)
        if i == SUB_SLICES // 2:
            truth = torch.from_numpy(tissues.structure_of).to(device)[tissue]
            rough = torch.from_numpy(tissues.roughness).to(device)[tissue]
    assert truth is not None
    assert rough is not None
    if params.fat_unevenness is not None:
        fat = artefacts.coil_shading(fat, torch.from_numpy(params.fat_unevenness).to(device))
    fat = artefacts.shifted(fat, params.fat_shift_px)
    image = (water + fat) / SUB_SLICES
    generator = torch.Generator(device=device).manual_seed(params.seed)
    grain = torch.randn(plane.shape, generator=generator, device=device)
    d, h, w = plane.shape
    patches = torch.randn((max(2, d // 2), max(4, h // 8), max(4, w // 8)), generator=generator, device=device)
    grain = 1.6 * artefacts.blur(grain, (1.1, 0.8)) + 0.6 * artefacts.smooth_field(plane.shape, patches)
    image = image * (1 + params.texture * rough * grain).clamp_min(0)
    image = artefacts.blur(image, params.blur_px)
    if params.gibbs_keep < 1:
        image = artefacts.gibbs(image, params.gibbs_keep)
    if params.ghost[0]:
        image = artefacts.ghost(image, *params.ghost)
    image = artefacts.coil_shading(image, torch.from_numpy(params.shading).to(device))
    if params.wrap_rows:
        image, truth = artefacts.wrap(image, params.wrap_rows), _without_edges(truth, params.wrap_rows)
    bright = image.flatten()[:: max(1, image.numel() // 4096)].quantile(0.99)
    image = artefacts.rician(image, params.noise * float(bright), generator)
    return (image / bright.clamp_min(1e-6)).pow(params.gamma), truth


class _Mixed:
    """What a mottle adds to the signals of water and fat while slices are summed."""

    def __init__(self, mottle: Mottle, water_of: Tensor, fat_of: Tensor, shape: tuple[int, int, int]) -> None:
        inside = torch.zeros(len(water_of), device=water_of.device)
        inside[list(mottle.values)] = 1
        self.water = inside * (water_of[mottle.towards] - water_of)
        self.fat = inside * (fat_of[mottle.towards] - fat_of)
        self.pattern = mottle.pattern(shape, water_of.device)

    def add(self, tissue: Tensor, water: Tensor, fat: Tensor) -> None:
        """tissue (D, H, W) of one sub-slice; water and fat are changed in place."""
        water.addcmul_(self.pattern, self.water[tissue])
        fat.addcmul_(self.pattern, self.fat[tissue])


def on_plane(labels: Tensor, affine: np.ndarray, params: ScanParams, deformation: Deformation) -> Tensor:
    """Any labels (X, Y, Z) uint8 of an anatomy, (D, H, W) in the middle of each slice of an acquisition."""
    at, _ = tissue_indices(params.plane, deformation, affine, labels.device)
    seen = look_up(labels, at)
    return _without_edges(seen, params.wrap_rows) if params.wrap_rows else seen


def _without_edges(truth: Tensor, rows: int) -> Tensor:
    out = truth.clone()
    out[:, :rows] = 0
    out[:, -rows:] = 0
    return out
