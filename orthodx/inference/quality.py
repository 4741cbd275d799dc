"""How good a mask is expected to be: the Dice that a reader's own would have with it, without one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import logit
from torch import Tensor

from orthodx.bundles.model_json import QualityCurve
from orthodx.joints import Joint

LEAST, MOST = 0.01, 0.995  # a Dice below or above says no more
NEAREST = 0.3  # of the limit of strangeness: nearer ones say no more


@dataclass(frozen=True)
class Firmness:
    """What two looks at an image say of one structure.

    agreement: Dice between the two. promised: Dice that their mean probabilities p promise the mask M of the places
    where the structure is the likeliest class, 2 sum_M p / (|M| + sum p).
    """

    agreement: float
    promised: float


def firmness(first: Tensor, second: Tensor, mean: Tensor, joint: Joint) -> dict[int, Firmness]:
    """Structure value -> how firm it is, of those that a look shows; probabilities (K, D, H, W) of two looks."""
    a, b = first.max(0).indices, second.max(0).indices  # as argmax, in a quarter of its time
    chance, here = mean.max(0)
    classes = len(joint.values)
    inside = torch.bincount(here.flatten(), chance.flatten().float(), minlength=classes)
    number = torch.bincount(here.flatten(), minlength=classes)
    out = {}
    for known, value in enumerate(joint.values[1:], start=1):
        size = int((a == known).sum() + (b == known).sum())
        if size:
            both = int(((a == known) & (b == known)).sum())
            whole = float(number[known]) + float(mean[known].sum(dtype=torch.float32))
            out[value] = Firmness(2 * both / size, 2 * float(inside[known]) / max(whole, 1e-6))
    return out


def inputs_of_curve(firm: Firmness, strangeness: float | None) -> np.ndarray:
    """(4,) what a `QualityCurve` weighs; a series is as strange as the limit where nobody knows."""
    near = 0.0 if strangeness is None else np.log(max(strangeness, NEAREST))
    return np.array([1.0, *logit(np.clip([firm.agreement, firm.promised], LEAST, MOST)), near])


def expected_dice(
    firm: Mapping[int, Firmness], strangeness: float | None, curves: Mapping[str, QualityCurve], joint: Joint
) -> dict[int, float]:
    """Structure value -> expected Dice by the bundle's curves; the agreement of the looks where it has none."""
    out = {}
    for value, one in firm.items():
        curve = curves.get(joint.names[value])
        out[value] = one.agreement if curve is None else curve.of(inputs_of_curve(one, strangeness).tolist())
    return out
