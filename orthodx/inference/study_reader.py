"""A diagnosis at work: one series -> what its head saw; all series of a study -> one answer a label."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from scipy.special import logit
from torch import Tensor

from orthodx.bundles.bundle import Bundle
from orthodx.errors import BundleError
from orthodx.grid.region import Region, joint_region
from orthodx.joints import View
from orthodx.networks.diagnosis.combinations import stacked, study_rows
from orthodx.networks.encoders.encoder import ViewEncoder
from orthodx.networks.familiarity import pooled
from orthodx.networks.reading import Reader, ask
from orthodx.studies.records import Record
from orthodx.studies.volume import Volume

DIGITS = 6  # of a probability: what is written is what is compared with the threshold
UNVALIDATED = 0.5  # threshold of a label that the bundle names none for


@dataclass(frozen=True, eq=False)
class Reading:
    """What one series says.

    vector: (W,) of its view's head. region: the part that was read. heat: (L, D', H', W') >= 0 over the region,
    None unless asked for. slice_numbers: (D,) the file's own slice, from 1, behind each slice of the region;
    slices: how many the file has. strangeness: above 1 the series is unlike what the model has learned from; None where
    nobody has calibrated that. features: block -> pooled (2C,), of those asked for.
    """

    series_id: str
    view: View
    vector: Tensor
    region: Region
    heat: Tensor | None
    slice_numbers: np.ndarray
    slices: int
    strangeness: float | None = None
    features: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Answer:
    """What a study says about L labels, means over the combinations of its series.

    probability, threshold, threshold_logit, image_logit, probability_without_record: (L,). weights, view_logits: (L, 3)
    of sagittal, coronal, axial; a missing view has weight 0 and logit NaN. record_logit, record_share: (L,), None where
    nothing is known of the patient. Logits are before the temperature.
    """

    labels: tuple[str, ...]
    probability: np.ndarray
    threshold: np.ndarray
    threshold_logit: np.ndarray
    image_logit: np.ndarray
    weights: np.ndarray
    view_logits: np.ndarray
    probability_without_record: np.ndarray
    record_logit: np.ndarray | None
    record_share: np.ndarray | None
    strangeness: float | None = None

    @property
    def strange(self) -> bool:
        """Whether the study is unlike what the model has learned from: then its probabilities are no answer."""
        return self.strangeness is not None and self.strangeness > 1

    @property
    def positive(self) -> np.ndarray:
        """(L,) bool: at or above the threshold."""
        return self.probability >= self.threshold


class StudyReader:
    """Encoders and diagnosis of one bundle, each loaded once, on one device.

    Raises `BundleError` for a bundle that cannot diagnose.
    """

    def __init__(self, bundle: Bundle, device: torch.device) -> None:
        self.bundle, self.device = bundle, device
        self.diagnoser = bundle.diagnoser().to(device)
        assert bundle.info.diagnosis is not None  # or it could not diagnose
        self.info = bundle.info.diagnosis
        if self.diagnoser.head(View.SAGITTAL).detail != self.info.region.detail:
            raise BundleError(f"{bundle.info.name}: its head and its region differ in detail", hint="fit it again")
        self.labels = self.diagnoser.config.labels
        temperatures = [self.info.temperatures.get(label, 1.0) for label in self.labels]
        self._temperature = torch.tensor(temperatures, device=device)
        self._read = Reader(lambda view: bundle.encoder(view, "diagnose"), device, self.info.noising)
        self.familiar = bundle.familiarity("diagnose")

    @property
    def thresholds(self) -> dict[str, float]:
        """Label -> probability from which it is positive."""
        return {label: self.info.thresholds.get(label, UNVALIDATED) for label in self.labels}

    @property
    def heat_is(self) -> str:
        """What the heat of a reading is, in words."""
        return self.diagnoser.head(View.SAGITTAL).heat_is

    @property
    def reads_records(self) -> bool:
        """Whether a health record changes anything."""
        return self.diagnoser.coding is not None

    def knows(self, view: View) -> bool:
        """Whether the bundle reads series of this view."""
        return view in self.info.encoders

    def encoder(self, view: View) -> ViewEncoder:
        """The encoder of a view."""
        return self._read.encoder(view)

    @torch.inference_mode()
    def read(
        self, series_id: str, volume: Volume, view: View, *, with_heat: bool, blocks: Collection[str] = ()
    ) -> Reading:
        """The middle of one series through encoder and head.

        with_heat: keep where each label's evidence lies. blocks: whose pooled features are told.
        """
        region = joint_region(volume, self.bundle.info.grid, view, self.info.region)
        x, head = region.image[None, None].to(self.device), self.diagnoser.head(view)
        own = () if self.familiar is None else (self.familiar.config.block,)
        found = self._read.blocks(view, x, head, {*blocks, *own})
        summary = ask(head.summary, found, x)
        heat = ask(head.heat, found, x)[0].float().cpu() if with_heat else None
        numbers, slices = _slice_numbers(volume, region)
        features = {name: pooled(found[name], x).cpu() for name in {*blocks, *own}}
        strangeness = None
        if self.familiar is not None:
            strangeness = self.familiar.strangeness(features[self.familiar.config.block], view)
        vector = head.vector(summary.float())[0]
        return Reading(series_id, view, vector, region, heat, numbers, slices, strangeness, features)

    @torch.inference_mode()
    def answer(self, readings: Sequence[Reading], record: Record | None) -> Answer:
        """One answer from series of up to three views and the patient's record.

        Every combination of one series a view is fused, and the probabilities are averaged (`study_rows`). A study is
        as strange as its series are in the median.
        """
        vectors, present = _combined(readings)
        diagnoser, known = self.diagnoser, self._understands(record)
        image = diagnoser.image_logits(vectors, present)
        mixed = diagnoser.mix(image, [record] * len(image)) if known else image
        own = diagnoser.view_logits(vectors).transpose(1, 2)  # (B, L, 3)
        own = torch.where(present[:, None], own, torch.nan)
        return Answer(
            labels=self.labels,
            probability=self._probability(mixed),
            threshold=(threshold := np.array(list(self.thresholds.values()))),
            threshold_logit=self._temperature.cpu().numpy() * logit(threshold.clip(1e-6, 1 - 1e-6)),
            image_logit=_mean(image),
            weights=_mean(diagnoser.weights(vectors, present)),
            view_logits=_mean(own),
            probability_without_record=self._probability(image),
            record_logit=_mean(diagnoser.record_logits([record])) if known else None,
            record_share=_mean(1 - diagnoser.record.alpha[None]) if known and diagnoser.record is not None else None,
            strangeness=None if self.familiar is None else float(np.median([r.strangeness for r in readings])),
        )

    def _probability(self, logits: Tensor) -> np.ndarray:
        return _mean((logits / self._temperature).sigmoid()).round(DIGITS)

    def _understands(self, record: Record | None) -> bool:
        coding = self.diagnoser.coding
        return coding is not None and bool(coding.known([record])[0])


def _combined(readings: Sequence[Reading]) -> tuple[Tensor, Tensor]:
    """Vectors (B, 3, W) of B combinations, and (B, 3) bool which views there are; the order of series is no matter."""
    groups = {v: sorted((r for r in readings if r.view == v), key=lambda r: r.series_id) for v in View}
    rows = study_rows([[len(group) for group in groups.values()]])
    vectors = stacked({v: [[r.vector for r in group]] for v, group in groups.items()}, rows, readings[0].vector.shape)
    return vectors.to(readings[0].vector), torch.from_numpy(rows.present).to(vectors.device)


def _mean(values: Tensor) -> np.ndarray:
    """Mean over the combinations, the first axis."""
    return values.cpu().double().mean(0).numpy()


def _slice_numbers(volume: Volume, region: Region) -> tuple[np.ndarray, int]:
    """(D,) number, from 1, of the file's slice nearest to each slice of the region, and the file's number of slices."""
    depth, height, width = region.image.shape
    to_file = np.linalg.inv(volume.affine) @ region.affine
    axis = int(np.abs(to_file[:3, 0] * volume.spacing_mm).argmax())
    centres = np.array([[d, (height - 1) / 2, (width - 1) / 2, 1] for d in range(depth)])
    index = (centres @ to_file.T)[:, axis].round().astype(int)
    return index.clip(0, volume.shape[axis] - 1) + 1, volume.shape[axis]
