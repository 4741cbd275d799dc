"""The `resnet18` encoder: MONAI's 3D ResNet-18, the usual supervised baseline of a diagnosis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from orthodx.networks.encoders.encoder import register_encoder
from orthodx.networks.encoders.supervised import SupervisedEncoder, plain


@dataclass(frozen=True, kw_only=True)
class ResNet18Config:
    """Channels of the four stages, groups of the normalisation."""

    channels: tuple[int, ...] = (64, 128, 256, 512)
    groups: int = 8

    def __post_init__(self) -> None:
        if len(self.channels) != 4 or self.groups < 1:
            raise ValueError(f"needs four stages, not {self}")
        if any(not 1 <= c <= 4096 or c % self.groups for c in self.channels):
            raise ValueError(f"channels must be four multiples of {self.groups}, not {self.channels}")


@register_encoder("resnet18")
class ResNet18Encoder(SupervisedEncoder):
    """ResNet-18 of MONAI's blocks (He et al. 2016); blocks `stage_0..3`, strides (2, 4, 4) to (8, 16, 16).

    Input (B, 1, D, H, W), H and W multiples of 16. Three things are not the textbook's: slices are thick, so the first
    convolution strides in plane only; the last stage keeps its resolution, as in DeepLab, so that multiples of 16
    suffice; groups normalise instead of batches, which are small.
    """

    Config = ResNet18Config
    presets = {"small": ResNet18Config()}  # noqa: RUF012

    def __init__(self, config: ResNet18Config) -> None:
        from monai.networks.nets.resnet import ResNetBlock  # slow to import, and seldom needed

        super().__init__()
        self.config, norm = config, ("group", {"num_groups": config.groups})

        def stage(c_in: int, c: int, stride: int) -> nn.Module:
            alike = stride == 1 and c_in == c
            skip = None if alike else nn.Sequential(nn.Conv3d(c_in, c, 1, stride), nn.GroupNorm(config.groups, c))
            return nn.Sequential(ResNetBlock(c_in, c, 3, stride, skip, norm=norm), ResNetBlock(c, c, 3, norm=norm))

        first, *_ = widths = config.channels
        self.stem = nn.Sequential(
            nn.Conv3d(1, first, 7, stride=(1, 2, 2), padding=3, bias=False),
            nn.GroupNorm(config.groups, first),
            nn.ReLU(inplace=True),
            nn.MaxPool3d(3, stride=2, padding=1),
        )
        shape = zip((first, *widths), widths, (1, 2, 2, 1), strict=False)
        self.stages = nn.ModuleList([stage(c_in, c, stride) for c_in, c, stride in shape])
        strides = [(2, 4, 4), (4, 8, 8), (8, 16, 16), (8, 16, 16)]
        self.block_channels = {f"stage_{i}": c for i, c in enumerate(widths)}
        self.block_strides = {f"stage_{i}": stride for i, stride in enumerate(strides)}

    def walk(self, x: Tensor, t: Tensor) -> Iterator[tuple[str, Tensor]]:
        h = plain(self.stem, x)
        for i, stage in enumerate(self.stages):
            h = plain(stage, h)
            yield f"stage_{i}", h
