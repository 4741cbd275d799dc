"""How much a health record should weigh in the answers of a finished model: chosen on studies that it has not seen."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from orthodx.inference.study_reader import Answer, StudyReader
from orthodx.networks.weights import load_file
from orthodx.training.diagnosis.calibration import fit_temperature
from orthodx.training.diagnosis.fusion_stage import best_shares

FEWEST_RECORDS = 30  # answered studies with a record, below which its share stays as it was
SHARE = "record.alpha_param"  # logit of the image's


@dataclasses.dataclass(frozen=True, eq=False)
class Reweighed:
    """Shares and temperatures anew, by label, and the answers with them: (N, L) probabilities."""

    shares: dict[str, float]
    temperatures: dict[str, float]
    probability: np.ndarray


def reweighed(
    reader: StudyReader, answers: Sequence[Answer], truth: np.ndarray, labels: Sequence[str]
) -> Reweighed | None:
    """The record's share with the lowest cross-entropy on known answers, and the temperature that goes with it.

    truth: (N, L) 1, 0 or NaN, all of the reader's labels. labels: those to change. None where too few have a record. Of
    several series of one view the means of their logits are taken.
    """
    heard = np.array([one.record_logit is not None for one in answers])
    if heard.sum() < FEWEST_RECORDS or reader.diagnoser.record is None:
        return None
    image = np.stack([one.image_logit for one in answers])
    record = np.stack([one.image_logit if one.record_logit is None else one.record_logit for one in answers])
    with torch.inference_mode():
        before = 1 - reader.diagnoser.record.alpha.double().cpu().numpy()
    changed = np.isin(reader.labels, labels)
    shares = np.where(changed, best_shares(image[heard], record[heard], truth[heard], np.ones(heard.sum())), before)
    mixed = (1 - shares) * image + shares * record
    old = np.array([reader.info.temperatures.get(label, 1.0) for label in reader.labels])
    temperatures = np.where(changed, fit_temperature(mixed, truth), old)
    return Reweighed(
        dict(zip(reader.labels, map(float, shares), strict=True)),
        dict(zip(reader.labels, map(float, temperatures), strict=True)),
        1 / (1 + np.exp(-mixed / temperatures)),
    )


def weights_with(reader: StudyReader, shares: dict[str, float]) -> dict[str, Tensor]:
    """The tensors of the diagnosis with other shares of the record."""
    kept = load_file(reader.bundle.path / reader.info.file)
    image = 1 - torch.tensor([shares[label] for label in reader.labels], dtype=torch.float64)
    return {**kept, SHARE: image.logit().to(kept[SHARE].dtype)}
