"""What is learned from voxel-wise truth: structures (`segment`), the `evidence` of lesions, or both."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from orthodx.joints import Joint, View
from orthodx.networks.layout import coarse, coarse_labels

Samples = Iterable[tuple[View, Tensor, Tensor]]
Heads = Mapping[str, Any]
Blocks = Callable[[View, Tensor], Mapping[str, Tensor]]
Truth = Literal["structures", "lesions", "both"]


class DenseTask(Protocol):
    """truth: what the samples' truth holds, as mask values of `joint`. heads: part -> registered head it is made for.

    closer: parts whose image and truth may be finer in plane than what the encoders see.
    """

    joint: Joint
    truth: Truth
    heads: Mapping[str, str]
    closer: frozenset[str]

    def columns(self, view: View) -> list[str]:
        """Names of one view's scores."""

    def loss(self, heads: Heads, blocks: Mapping[str, Tensor], image: Tensor, truth: Tensor) -> Tensor:
        """Loss of images (B, 1, D, H, W) with truth (B, D, H, W) uint8, or (B, 2, D, H, W) of both tasks."""

    def validate(self, heads: Heads, blocks: Blocks, samples: Samples) -> dict[str, float]:
        """Column -> score, over samples of one image (1, 1, D, H, W) and truth (D, H, W), or (2, D, H, W), each."""


class SegmentTask:
    """Structures by the head's own loss; validated by the Dice of all voxels pooled."""

    truth: Truth = "structures"
    heads: Mapping[str, str] = MappingProxyType({"segment": "skip_segment"})
    closer: frozenset[str] = frozenset(heads)

    def __init__(self, joint: Joint) -> None:
        self.joint = joint
        self._classes = torch.tensor(joint.classes)

    def columns(self, view: View) -> list[str]:
        return [f"dice_{view}_{name}" for name in self.joint.names.values()]

    def _classes_of(self, truth: Tensor) -> Tensor:
        return self._classes.to(truth.device, non_blocking=True)[truth.long()]

    def loss(self, heads: Heads, blocks: Mapping[str, Tensor], image: Tensor, truth: Tensor) -> Tensor:
        head = heads["segment"]
        return head.loss(head(blocks, image), self._classes_of(truth))

    def validate(self, heads: Heads, blocks: Blocks, samples: Samples) -> dict[str, float]:
        head = heads["segment"]
        overlap: dict[View, Tensor] = {}
        size: dict[View, Tensor] = {}
        for view, image, values in samples:
            found: Tensor = head(blocks(view, coarse(image, head.detail)), image).argmax(1)[0].cpu()
            truth = self._classes_of(values).cpu()
            for total in (overlap, size):
                total.setdefault(view, torch.zeros(256))
            overlap[view] += torch.bincount(truth[found == truth].flatten(), minlength=256)
            size[view] += torch.bincount(truth.flatten(), minlength=256) + torch.bincount(
                found.flatten(), minlength=256
            )
        return {
            f"dice_{view}_{name}": float(2 * overlap[view][known] / size[view][known])
            for view in size
            for known, name in enumerate(self.joint.names.values(), start=1)
            if size[view][known] > 0
        }


class LesionTask:
    """Evidence maps by the lesion masks; validated by the AUROC of the strongest evidence in a crop."""

    truth: Truth = "lesions"
    heads: Mapping[str, str] = MappingProxyType({"evidence": "evidence"})
    closer = frozenset(heads)
    least = 12  # voxels, as the encoder sees them, of a lesion that a crop must show to be asked about it

    def __init__(self, joint: Joint) -> None:
        self.joint = joint
        self.values = torch.tensor(list(joint.lesion_values.values()))

    def columns(self, view: View) -> list[str]:
        return [f"auroc_{view}_{name}" for name in self.joint.codes]

    def masks(self, truth: Tensor) -> Tensor:
        """(B, D, H, W) lesion values -> (B, L, D, H, W) bool."""
        values = self.values.to(truth.device, non_blocking=True)
        return truth[:, None] == values[None, :, None, None, None]

    def _least(self, head: Any) -> int:
        return int(self.least * head.detail**2)

    def loss(self, heads: Heads, blocks: Mapping[str, Tensor], image: Tensor, truth: Tensor) -> Tensor:
        """The maps' loss, and the crop's answer from them, where it is clear."""
        head = heads["evidence"]
        maps, lesions = head.maps(blocks, image), self.masks(truth)
        voxels = lesions.sum((2, 3, 4)).float()
        answer = torch.where(voxels == 0, 0.0, torch.where(voxels >= self._least(head), 1.0, torch.nan))
        strongest = maps.flatten(2).topk(8, 2).values.mean(2)
        return head.map_loss(maps, lesions) + 0.2 * head.loss(strongest, answer)

    def validate(self, heads: Heads, blocks: Blocks, samples: Samples) -> dict[str, float]:
        from sklearn.metrics import roc_auc_score  # slow to import

        head = heads["evidence"]
        found: dict[View, list[np.ndarray]] = {}
        true: dict[View, list[np.ndarray]] = {}
        for view, image, truth in samples:
            maps = head.maps(blocks(view, coarse(image, head.detail)), image)
            found.setdefault(view, []).append(maps.flatten(2).topk(8, 2).values.mean(2)[0].cpu().numpy())
            voxels = self.masks(truth[None]).sum((2, 3, 4))[0]
            true.setdefault(view, []).append((voxels >= self._least(head)).cpu().numpy())
        out = {}
        for view in found:
            score, answer = np.stack(found[view]), np.stack(true[view])
            for i, name in enumerate(self.joint.codes):
                if 0 < answer[:, i].sum() < len(answer):
                    out[f"auroc_{view}_{name}"] = float(roc_auc_score(answer[:, i], score[:, i]))
        return out


class JointTask:
    """Both at once, so that one encoder serves both: truth (B, 2, D, H, W) holds structures, then lesions."""

    truth: Truth = "both"
    heads: Mapping[str, str] = MappingProxyType({**SegmentTask.heads, **LesionTask.heads})
    closer = LesionTask.closer

    def __init__(self, joint: Joint) -> None:
        self.joint = joint
        self.structures, self.lesions = SegmentTask(joint), LesionTask(joint)

    def columns(self, view: View) -> list[str]:
        return [*self.structures.columns(view), *self.lesions.columns(view)]

    def loss(self, heads: Heads, blocks: Mapping[str, Tensor], image: Tensor, truth: Tensor) -> Tensor:
        detail = heads["evidence"].detail
        plain = self.structures.loss(heads, blocks, coarse(image, detail), coarse_labels(truth[:, 0], detail))
        return plain + self.lesions.loss(heads, blocks, image, truth[:, 1])

    def validate(self, heads: Heads, blocks: Blocks, samples: Samples) -> dict[str, float]:
        kept, detail = list(samples), heads["evidence"].detail
        plain = [(view, coarse(image, detail), coarse_labels(truth[0], detail)) for view, image, truth in kept]
        out = self.structures.validate(heads, blocks, plain)
        return out | self.lesions.validate(heads, blocks, [(view, image, truth[1]) for view, image, truth in kept])


def dense_task(task: str, probe: bool, joint: Joint) -> DenseTask:
    """The dense task behind a command's task ("segment" or "diagnose").

    Evidence of lesions is learned together with the structures, unless the encoders are left alone (probe).
    """
    return SegmentTask(joint) if task == "segment" else LesionTask(joint) if probe else JointTask(joint)
