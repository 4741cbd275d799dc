"""What is learned from voxel-wise truth: structures (`segment`), the `evidence` of lesions, or both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import Tensor

from orthodx.errors import UsageError
from orthodx.joints import KNEE, View
from orthodx.networks.evidence_head import EvidenceHead
from orthodx.networks.layout import coarse

Samples = Iterable[tuple[View, Tensor, Tensor]]
Heads = Mapping[str, Any]
Features = Callable[[View, Tensor], Mapping[str, Tensor]]


class DenseTask(Protocol):
    """truth: what the samples' truth holds. heads: part -> registered head it is made for.

    closer: parts whose image and truth may be finer in plane than what the encoders see.
    """

    truth: Literal["structures", "lesions", "both"]
    heads: Mapping[str, str]
    closer: frozenset[str]

    def columns(self, view: View) -> list[str]:
        """Names of one view's scores."""

    def loss(self, heads: Heads, features: Mapping[str, Tensor], image: Tensor, truth: Tensor) -> Tensor:
        """Loss of images (B, 1, D, H, W) with truth (B, D, H, W) uint8, or (B, 2, D, H, W) of both tasks."""

    def validate(self, heads: Heads, features: Features, samples: Samples) -> dict[str, float]:
        """Column -> score, over samples of one image (1, 1, D, H, W) and truth (D, H, W), or (2, D, H, W), each."""


class SegmentTask:
    """Structures by the head's own loss; validated by the Dice of all voxels pooled."""

    truth: Literal["structures", "lesions", "both"] = "structures"
    heads: Mapping[str, str] = MappingProxyType({"segment": "skip_segment"})
    closer: frozenset[str] = frozenset()

    def columns(self, view: View) -> list[str]:
        return [f"dice_{view}_{name}" for name in KNEE.names.values()]

    def loss(self, heads: Heads, features: Mapping[str, Tensor], image: Tensor, truth: Tensor) -> Tensor:
        head = heads["segment"]
        return head.loss(head(features, image), truth)

    def validate(self, heads: Heads, features: Features, samples: Samples) -> dict[str, float]:
        head = heads["segment"]
        overlap: dict[View, Tensor] = {}
        size: dict[View, Tensor] = {}
        for view, image, truth in samples:
            found: Tensor = head(features(view, image), image).argmax(1)[0].cpu()
            truth = truth.long()
            for total in (overlap, size):
                total.setdefault(view, torch.zeros(256))
            overlap[view] += torch.bincount(truth[found == truth].flatten(), minlength=256)
            size[view] += torch.bincount(truth.flatten(), minlength=256) + torch.bincount(
                found.flatten(), minlength=256
            )
        return {
            f"dice_{view}_{name}": float(2 * overlap[view][value] / size[view][value])
            for view in size
            for value, name in KNEE.names.items()
            if size[view][value] > 0
        }


class LesionTask:
    """Evidence maps by the lesion masks; validated by the AUROC of the strongest evidence in a crop."""

    truth: Literal["structures", "lesions", "both"] = "lesions"
    heads: Mapping[str, str] = MappingProxyType({"evidence": "evidence"})
    closer = frozenset(heads)
    values = torch.arange(1, len(KNEE.codes) + 1)  # of lesion masks, `orthodx.synth.knee.lesions.VALUES`
    least = 12  # voxels, as the encoder sees them, of a lesion that a crop must show to be asked about it

    def columns(self, view: View) -> list[str]:
        return [f"auroc_{view}_{name}" for name in KNEE.codes]

    def masks(self, truth: Tensor) -> Tensor:
        """(B, D, H, W) lesion values -> (B, L, D, H, W) bool."""
        return truth[:, None] == self.values.to(truth.device)[None, :, None, None, None]

    def _least(self, head: Any) -> int:
        return int(self.least * head.detail**2)

    def loss(self, heads: Heads, features: Mapping[str, Tensor], image: Tensor, truth: Tensor) -> Tensor:
        """The maps' loss, and the crop's answer from them, where it is clear."""
        head = heads["evidence"]
        if not isinstance(head, EvidenceHead):
            raise UsageError("lesion masks teach evidence maps only", hint="use --head evidence")
        maps, lesions = head.maps(features, image), self.masks(truth)
        voxels = lesions.sum((2, 3, 4)).float()
        answer = torch.where(voxels == 0, 0.0, torch.where(voxels >= self._least(head), 1.0, torch.nan))
        strongest = maps.flatten(2).topk(8, 2).values.mean(2)
        return head.map_loss(maps, lesions) + 0.2 * head.loss(strongest, answer)

    def validate(self, heads: Heads, features: Features, samples: Samples) -> dict[str, float]:
        head = heads["evidence"]
        found: dict[View, list[np.ndarray]] = {}
        true: dict[View, list[np.ndarray]] = {}
        for view, image, truth in samples:
            maps = head.maps(features(view, coarse(image, head.detail)), image)
            found.setdefault(view, []).append(maps.flatten(2).topk(8, 2).values.mean(2)[0].cpu().numpy())
            voxels = self.masks(truth[None]).sum((2, 3, 4))[0]
            true.setdefault(view, []).append((voxels >= self._least(head)).cpu().numpy())
        out = {}
        for view in found:
            score, answer = np.stack(found[view]), np.stack(true[view])
            for i, name in enumerate(KNEE.codes):
                if 0 < answer[:, i].sum() < len(answer):
                    out[f"auroc_{view}_{name}"] = float(roc_auc_score(answer[:, i], score[:, i]))
        return out


class JointTask:
    """Both at once, so that one encoder serves both: truth (B, 2, D, H, W) holds structures, then lesions."""

    truth: Literal["structures", "lesions", "both"] = "both"
    structures, lesions = SegmentTask(), LesionTask()
    heads: Mapping[str, str] = MappingProxyType({**SegmentTask.heads, **LesionTask.heads})
    closer = LesionTask.closer

    def columns(self, view: View) -> list[str]:
        return [*self.structures.columns(view), *self.lesions.columns(view)]

    def loss(self, heads: Heads, features: Mapping[str, Tensor], image: Tensor, truth: Tensor) -> Tensor:
        detail = heads["evidence"].detail
        plain = self.structures.loss(heads, features, coarse(image, detail), truth[:, 0, :, ::detail, ::detail])
        return plain + self.lesions.loss(heads, features, image, truth[:, 1])

    def validate(self, heads: Heads, features: Features, samples: Samples) -> dict[str, float]:
        kept, detail = list(samples), heads["evidence"].detail
        plain = [(view, coarse(image, detail), truth[0, :, ::detail, ::detail]) for view, image, truth in kept]
        out = self.structures.validate(heads, features, plain)
        return out | self.lesions.validate(heads, features, [(view, image, truth[1]) for view, image, truth in kept])


def dense_task(task: str, probe: bool) -> DenseTask:
    """The dense task behind a command's task ("segment" or "diagnose").

    Evidence of lesions is learned together with the structures, unless the encoders are left alone (probe).
    """
    return SegmentTask() if task == "segment" else LesionTask() if probe else JointTask()
