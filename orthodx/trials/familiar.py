"""Fitting what a model has learned from, and how good its masks are expected to be, to readings of known series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.covariance import LedoitWolf
from sklearn.model_selection import GroupKFold
from torch import Tensor

from orthodx.bundles.model_json import QualityCurve
from orthodx.joints import View
from orthodx.networks.familiarity import Familiarity, FamiliarityConfig

FOLDS = 5
KNOWN = 0.95  # share of held-out known series that the limit calls known
LEAST_VARIANCE = 1e-4  # of the largest: what series hardly differ in would tell rounding
SHRINK = 1e-3  # weight of the squared slopes beside the mean cross-entropy
SLACK = 0.85  # of the expected Dice that all but one in twenty usual series have: less is worth a warning
FEWEST_RATED = 20  # series that show a structure, below which its quality stays an agreement


@dataclass(frozen=True, eq=False)
class Known:
    """Pooled features (2C,) of one series, its view and its patient."""

    features: Tensor
    view: View
    patient: str


def fit_familiarity(
    known: Sequence[Known], block: str, seed: int, margin: float = 1.0
) -> tuple[Familiarity, np.ndarray]:
    """The familiarity with these series, and the strangeness (N,) of each by a fit without its patient.

    One covariance for all views, shrunken (Ledoit and Wolf 2004). The limit, strangeness 1, is `margin` times the 95th
    percentile of the distances that series have when their patients are left out. Needs two patients.
    """
    x = np.stack([one.features.double().numpy() for one in known])
    views = np.array([list(View).index(one.view) for one in known])
    patients = np.array([one.patient for one in known])
    distance = np.zeros(len(x))
    folds = GroupKFold(min(FOLDS, len(np.unique(patients))), shuffle=True, random_state=seed)
    for train, test in folds.split(x, groups=patients):
        centre, whiten = _gaussian(x[train], views[train])
        distance[test] = np.linalg.norm((x[test] - centre[views[test]]) @ whiten.T, axis=1)
    limit = margin * float(np.quantile(distance, KNOWN))
    centre, whiten = _gaussian(x, views)
    out = Familiarity(FamiliarityConfig(block=block, channels=x.shape[1] // 2))
    out.centre.copy_(torch.from_numpy(centre))
    out.whiten.copy_(torch.from_numpy(whiten / limit))
    return out.eval(), distance / limit


def _gaussian(x: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means (3, 2C) of the views and a whitening (2C, 2C) of what differs from them; an absent view has all views'."""
    centre = np.tile(x.mean(0), (len(View), 1))
    for view in np.unique(views):
        centre[view] = x[views == view].mean(0)
    scale = (x - centre[views]).std(0).clip(1e-6)  # channels of small values are as telling as others
    covariance = LedoitWolf(assume_centered=True).fit((x - centre[views]) / scale).covariance_
    values, vectors = np.linalg.eigh(covariance)
    values = values.clip(LEAST_VARIANCE * values.max())
    return centre, (vectors / np.sqrt(values)).T / scale


def fit_curve(inputs: np.ndarray, dice: np.ndarray, usual: np.ndarray) -> QualityCurve | None:
    """The curve of one structure; None where too few masks of it are known, or all are alike.

    inputs: (N, 4) of `inputs_of_curve`. dice: (N,) true. usual: (N,) bool, series as they come, not spoiled ones.
    """
    if len(dice) < FEWEST_RATED or np.ptp(dice) < 0.01 or not usual.any():
        return None

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        z = inputs @ weights
        slope = inputs.T @ (expit(z) - dice) / len(dice)
        own = np.r_[0.0, weights[1:]]
        return float(np.mean(np.logaddexp(0, z) - dice * z) + SHRINK * own @ own), slope + 2 * SHRINK * own

    within = [(None, None), (0, None), (0, None), (None, 0)]  # firmer is never worse, stranger never better
    weights = minimize(loss, np.array([0.0, 0.5, 0.5, 0.0]), jac=True, method="L-BFGS-B", bounds=within).x
    low = SLACK * float(np.quantile(expit(inputs[usual] @ weights), 1 - KNOWN))
    a, b, c, d = (round(float(w), 5) for w in weights)
    return QualityCurve(weights=(a, b, c, d), unsure_below=round(low, 4))
