"""Frozen features, computed once: the summary of every series, kept by the content of image and weights."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from orthodx.networks.encoders.encoder import ViewEncoder
from orthodx.networks.heads.pooled import DiagnoseHead
from orthodx.networks.precision import native_bf16
from orthodx.networks.reading import CLEAN, Noising, ask, blocks_of
from orthodx.networks.weights import load_file
from orthodx.studies.writing import atomic
from orthodx.training.diagnosis.study_cases import SeriesRegion

LARGE = 4096  # numbers in a summary above which it is kept as float16


def weights_hash(*modules: nn.Module) -> str:
    """SHA-256 of all parameters and buffers but the parts of a head that are fitted to labels."""
    digest = hashlib.sha256()
    for module in modules:
        for name, tensor in module.state_dict().items():
            if name.split(".")[0] not in getattr(module, "fitted", ()):
                digest.update(name.encode())
                digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class Summaries:
    """Summaries of regions by one frozen encoder and head, in `folder` as one safetensors file a series."""

    def __init__(
        self, folder: Path, encoder: ViewEncoder, head: DiagnoseHead, device: torch.device, noising: Noising = CLEAN
    ) -> None:
        self.folder, self.encoder, self.head, self.device = folder, encoder.eval(), head, device
        self.noising = noising
        summary = type(head).summary  # two heads without weights may still differ in what they make of a block
        how = (type(encoder).__name__, getattr(encoder, "config", None), summary.__module__, summary.__qualname__)
        noisy = f" {noising} {device.type}" if noising.timestep else ""  # each kind of device draws its own noise
        precision = " bf16" if native_bf16(device) else ""
        tokens = getattr(getattr(head, "config", None), "tokens", "")  # positions a pooled block is averaged to
        self.weights = f"{weights_hash(encoder, head)} {how} {head.blocks} {tokens}{noisy}{precision}"

    @torch.inference_mode()
    def __call__(self, regions: Iterable[SeriesRegion]) -> list[Tensor]:
        """A summary (...) float32 of each region."""
        return [self._one(region) for region in regions]

    def _one(self, region: SeriesRegion) -> Tensor:
        key = hashlib.sha256(f"{region.content} {self.weights}".encode()).hexdigest()[:32]
        path = self.folder / f"{key}.safetensors"
        try:
            return load_file(path)["summary"].float()
        except (OSError, SafetensorError, KeyError):
            pass
        image = torch.from_numpy(region.load().astype("float32"))[None, None].to(self.device)
        blocks = blocks_of(self.encoder, image, self.head.blocks, detail=self.head.detail, noising=self.noising)
        summary = ask(self.head.summary, blocks, image)[0].float().cpu()
        kept = summary.half() if summary.numel() > LARGE else summary
        with atomic(path) as temporary:
            save_file({"summary": kept}, temporary)
        return kept.float()  # what a later run will find
