"""What a scanner adds to a clean image: coil shading, blur, ghosts, Gibbs ringing, wrap, Rician noise.

Images are (D, H, W) float tensors >= 0, rows along the phase-encoding direction.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional


def smooth_field(shape: tuple[int, int, int], control: Tensor) -> Tensor:
    """Smooth field (D, H, W) through a coarse `control` grid (d, h, w)."""
    return functional.interpolate(control[None, None], size=shape, mode="trilinear", align_corners=True)[0, 0]


def coil_shading(image: Tensor, control: Tensor) -> Tensor:
    """Multiply by exp of a smooth field: the sensitivity of the coil."""
    return image * smooth_field(tuple(image.shape), control).exp()  # type: ignore[arg-type]


def blur(image: Tensor, sigma_px: tuple[float, float]) -> Tensor:
    """In-plane Gaussian blur with standard deviations (rows, columns) in pixels."""
    out = image[:, None]
    for axis, sigma in ((2, sigma_px[0]), (3, sigma_px[1])):
        if sigma > 0.05:
            radius = max(1, int(3 * sigma + 0.5))
            x = torch.arange(-radius, radius + 1, dtype=image.dtype, device=image.device)
            kernel = torch.exp(-0.5 * (x / sigma) ** 2)
            kernel = (kernel / kernel.sum()).view([1, 1, -1, 1] if axis == 2 else [1, 1, 1, -1])
            pad = (0, 0, radius, radius) if axis == 2 else (radius, radius, 0, 0)
            out = functional.conv2d(functional.pad(out, pad, mode="replicate"), kernel)
    return out[:, 0]


def gibbs(image: Tensor, keep: float) -> Tensor:
    """Keep only the central share `keep` of the phase-encoding frequencies: ringing at edges."""
    spectrum = torch.fft.fft(image, dim=1)
    frequency = torch.fft.fftfreq(image.shape[1], device=image.device).abs()
    return torch.fft.ifft(spectrum * (frequency <= keep / 2)[None, :, None], dim=1).real.clamp_min(0)


def ghost(image: Tensor, shift_px: int, strength: float) -> Tensor:
    """Add displaced faint copies along the phase-encoding direction: pulsation or motion."""
    return image + strength * (image.roll(shift_px, 1) + image.roll(-shift_px, 1)) / 2


def shifted(image: Tensor, by_px: tuple[float, float]) -> Tensor:
    """Moved along rows and columns by parts of a pixel too, round the edges: the chemical shift of fat."""
    for axis, by in ((1, by_px[0]), (2, by_px[1])):
        whole, part = int(by // 1), by % 1
        if by:
            moved = image.roll(whole, axis)
            image = moved if not part else (1 - part) * moved + part * image.roll(whole + 1, axis)
    return image


def wrap(image: Tensor, rows: int) -> Tensor:
    """Fold the outer `rows` rows over the opposite edge: a field of view smaller than the limb."""
    out = image[:, rows:-rows].clone()
    out[:, :rows] += image[:, -rows:]
    out[:, -rows:] += image[:, :rows]
    return functional.pad(out, (0, 0, rows, rows))


def rician(image: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """Magnitude of the image plus complex Gaussian noise of standard deviation `sigma`."""
    noise = torch.randn((2, *image.shape), generator=generator, device=image.device) * sigma
    return torch.sqrt((image + noise[0]) ** 2 + noise[1] ** 2)
