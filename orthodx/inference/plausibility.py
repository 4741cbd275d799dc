"""Cleaning a mask, and what about it a reader should be warned of."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from scipy import ndimage

from orthodx.bundles.model_json import QualityCurve
from orthodx.joints import Joint, plates_of
from orthodx.measuring.sides import members

LOW_AGREEMENT = 0.7  # of two looks: a structure below is unsure, where there is no curve
ISLAND = 0.12  # of the largest piece: smaller ones are dropped
CRUMB = 0.03  # the same of cartilage and menisci, which slices part into pieces
CUT = 0.3  # of the largest piece: what the edge of the image leaves of a bone beside its main part
STRAND_MM = 8.0  # how far the edges of a bone may reach beyond its cores, besides half a neck
HANGING = 0.03  # of the bone: smaller parts are its own roughness
COARSE_MM = 1.0  # fine enough to find necks
NEAR_MM = 2.0  # a gap that a blurred or dark border layer leaves between a structure and what it lies on


def as_anatomy(labels: np.ndarray, spacing_mm: np.ndarray, joint: Joint) -> np.ndarray:
    """Drop what cannot be: islands, second pieces of what is one piece, and what lies on none of what it lies on.

    labels: (I, J, K) uint8. spacing_mm: (3,), of these axes. Pieces of at least `ISLAND` of the largest stay; of layers
    that have plates and of sided pairs, which may rightly lie in several, those of at least `CRUMB`. What hangs on a
    bone by a thin neck goes, too: it is soft tissue like it, a tongue of the patella in Hoffa's fat. The edge of the
    image may cut one bone into pieces: these stay where they reach the edge and have at least `CUT` of the largest.
    """
    out = labels.copy()
    value = {name: v for v, name in joint.names.items()}
    layers = {plate.layer for plate in plates_of(joint)} | {name for pair in joint.pairs for name in members(pair)}
    reach = np.maximum(np.rint(NEAR_MM / spacing_mm).astype(int), 1)
    places = dict(enumerate(ndimage.find_objects(out), start=1))
    for s in sorted(joint.structures, key=lambda s: bool(s.lies_on)):  # what others lie on comes first
        if (place := places.get(s.value)) is None:
            continue
        box = _grown(place, reach, out.shape)
        below = None
        if s.lies_on:
            on = np.isin(out[box], [value[name] for name in s.lies_on]).astype(np.uint8)
            below = ndimage.maximum_filter(on, 2 * reach + 1) > 0
        pieces, sizes = _pieces(out[box] == s.value, below)
        if s.one_piece:
            out[box][_hanging(pieces == sizes.argmax(), box, labels.shape, spacing_mm, s.neck_mm)] = 0
            pieces, sizes = _pieces(out[box] == s.value, below)  # without it others may lie apart
            kept = (sizes >= CUT * sizes.max()) & _at_the_edge(pieces, box, labels.shape, len(sizes) - 1)
            kept[sizes.argmax()] = sizes.max() > 0
        else:
            kept = sizes >= (CRUMB if s.name in layers else ISLAND) * sizes.max()
        kept &= sizes > 0
        kept[0] = True
        out[box][~kept[pieces]] = 0
    return out


def _pieces(inside: np.ndarray, below: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Connected pieces of a structure (I, J, K) from 1 on, and (n + 1,) their voxels: 0 of what lies on nothing."""
    pieces, n = ndimage.label(inside, ndimage.generate_binary_structure(3, 2))
    sizes = np.bincount(pieces.ravel(), minlength=n + 1)
    if below is not None:
        sizes[np.bincount(pieces[below], minlength=n + 1) == 0] = 0
    sizes[0] = 0
    return pieces, sizes


def _grown(box: tuple[slice, ...], margin: np.ndarray, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """A box of an image of that shape with a margin in voxels."""
    sides = zip(box, margin, shape, strict=True)
    return tuple(slice(max(s.start - m, 0), min(s.stop + m, size)) for s, m, size in sides)


def _hanging(
    inside: np.ndarray, box: tuple[slice, ...], shape: tuple[int, ...], spacing_mm: np.ndarray, neck_mm: float
) -> np.ndarray:
    """What of a piece (I, J, K) bool, seen in a box of the image, hangs on it by a neck, and ends inside the image.

    Deeper than half a neck, the piece falls apart into cores; each voxel belongs to its nearest core. What lies further
    from all of them than a bone's own edges do is a strand that has no core.
    """
    step = np.maximum((COARSE_MM / spacing_mm).astype(int), 1)
    coarse = inside[tuple(slice(s // 2, None, s) for s in step)]
    beyond = [(int(s.start == 0), int(s.stop == n)) for s, n in zip(box, shape, strict=True)]
    ground = np.pad(np.pad(coarse, beyond, mode="edge"), [(1 - a, 1 - b) for a, b in beyond])
    mm = spacing_mm * step
    deep = ndimage.distance_transform_edt(ground, sampling=mm)[1:-1, 1:-1, 1:-1] > neck_mm / 2
    cores, n = ndimage.label(deep)
    if n == 0:
        return np.zeros_like(inside)
    away, nearest = ndimage.distance_transform_edt(cores == 0, sampling=mm, return_indices=True)
    part = cores[tuple(nearest)] * coarse
    strands, more = ndimage.label(coarse & (away > neck_mm / 2 + STRAND_MM), ndimage.generate_binary_structure(3, 3))
    part[strands > 0] = n + strands[strands > 0]
    sizes = np.bincount(part.ravel(), minlength=n + more + 1)
    sizes[0] = 0
    off = sizes >= HANGING * sizes.sum()
    off[n + 1 :] = True
    off &= ~_at_the_edge(part, box, shape, n + more)
    off[[0, sizes[: n + 1].argmax()]] = False
    fine = np.kron(off[part], np.ones(step, bool))
    lacking = [(0, max(0, a - b)) for a, b in zip(inside.shape, fine.shape, strict=True)]
    whole = np.pad(fine, lacking, mode="edge")[tuple(slice(n) for n in inside.shape)]
    return np.asarray(inside & whole)


def _at_the_edge(pieces: np.ndarray, box: tuple[slice, ...], shape: tuple[int, ...], n: int) -> np.ndarray:
    """(n + 1,) whether each piece reaches the edge of the whole image."""
    touches = np.zeros(n + 1, bool)
    for axis, (part, size) in enumerate(zip(box, shape, strict=True)):
        for index, edge in ((0, part.start == 0), (-1, part.stop == size)):
            if edge:
                touches[np.unique(pieces.take(index, axis))] = True
    return touches


def volumes_ml(labels: np.ndarray, voxel_mm3: float, joint: Joint) -> dict[int, tuple[int, float]]:
    """Structure value -> (voxels, mL)."""
    counts = np.bincount(labels.ravel(), minlength=256)
    return {value: (int(counts[value]), float(counts[value]) * voxel_mm3 / 1000) for value in joint.names}


def warnings_for(
    volumes: Mapping[int, tuple[int, float]],
    quality: Mapping[int, float] | None,
    joint: Joint,
    curves: Mapping[str, QualityCurve] = MappingProxyType({}),
) -> list[str]:
    """What a reader should look at: nothing found, structures always seen, impossible volumes, unsure structures.

    quality: structure value -> expected Dice, which `curves` say when to doubt; agreement where there is no curve. None
    where nobody has asked for it.
    """
    if not any(voxels for voxels, _ in volumes.values()):
        return [f"the mask is empty: is this {'an' if joint.name[0] in 'aeiou' else 'a'} {joint.name}?"]
    notes = []
    for s in joint.structures:
        voxels, ml = volumes[s.value]
        low, high = s.plausible_ml or (0.0, np.inf)
        if voxels == 0:
            if s.always_seen:
                notes.append(f"no {s.name} found")
        elif not low <= ml <= high:
            notes.append(f"{s.name} of {ml:.1f} mL is implausible ({low:g}-{high:g})")
        elif quality is not None and unsure(sure := quality.get(s.value, 0.0), curve := curves.get(s.name)):
            limit = "" if curve is None else f", limit {curve.unsure_below:.2f}"
            notes.append(f"{s.name} is unsure ({'agreement' if curve is None else 'expected Dice'} {sure:.2f}{limit})")
    return notes


def unsure(quality: float, curve: QualityCurve | None) -> bool:
    """Whether a structure's quality is lower than is usual."""
    return quality < (LOW_AGREEMENT if curve is None else curve.unsure_below)


def strange(strangeness: float | None, bundle: str) -> list[str]:
    """A warning where a series is unlike those that a bundle has learned from."""
    if strangeness is None or strangeness <= 1:
        return []
    return [f"{unlike(bundle)} ({strangeness:.1f} times the limit)"]


def unlike(bundle: str) -> str:
    """What is said of a strange series or study."""
    return f"unlike what {bundle} has learned from"
