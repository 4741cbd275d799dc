"""The `dynunet` encoder: MONAI's DynUNet, the network of nnU-Net, the usual supervised baseline of masks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from orthodx.networks.encoders.encoder import register_encoder
from orthodx.networks.encoders.supervised import SupervisedEncoder, plain


@dataclass(frozen=True, kw_only=True)
class DynUNetConfig:
    """Channels of the five levels, the finest first."""

    channels: tuple[int, ...] = (16, 32, 64, 128, 256)

    def __post_init__(self) -> None:
        if len(self.channels) != 5 or any(not 1 <= c <= 4096 for c in self.channels):
            raise ValueError(f"needs five levels, not {self.channels}")


@register_encoder("dynunet")
class DynUNetEncoder(SupervisedEncoder):
    """U-Net of nnU-Net (Isensee et al. 2021) without its output; blocks `down_0..3`, `mid`, `up_3..0`.

    Input (B, 1, D, H, W), H and W multiples of 16. In plane it is halved four times; slices are thick, so in depth
    once, at the bottleneck, where an odd number of slices is filled up with the last one. `up_0` has the image's own
    resolution: the head `linear_segment` is nnU-Net's output layer on it.
    """

    Config = DynUNetConfig
    presets = {  # noqa: RUF012
        "small": DynUNetConfig(),
        "base": DynUNetConfig(channels=(32, 64, 128, 256, 320)),
    }

    def __init__(self, config: DynUNetConfig) -> None:
        from monai.networks.nets import DynUNet  # slow to import, and seldom needed

        super().__init__()
        self.config, flat = config, (1, 2, 2)
        net = DynUNet(
            spatial_dims=3,
            in_channels=1,
            out_channels=1,
            kernel_size=[(1, 3, 3), (1, 3, 3), 3, 3, 3],
            strides=[1, flat, flat, flat, 2],
            upsample_kernel_size=[flat, flat, flat, 2],
            filters=config.channels,
        )
        self.enter, self.down, self.mid, self.up = net.input_block, net.downsamples, net.bottleneck, net.upsamples
        strides = [(1, 1, 1), (1, 2, 2), (1, 4, 4), (1, 8, 8), (2, 16, 16)]
        levels = {**{f"down_{i}": i for i in range(4)}, "mid": 4, **{f"up_{i}": i for i in reversed(range(4))}}
        self.block_channels = {name: config.channels[level] for name, level in levels.items()}
        self.block_strides = {name: strides[level] for name, level in levels.items()}

    @property
    def finest(self) -> str:
        """The image's own resolution."""
        return "up_0"

    def walk(self, x: Tensor, t: Tensor) -> Iterator[tuple[str, Tensor]]:
        depth = x.shape[2]
        h, skips = plain(self.enter, x), []
        yield "down_0", h
        for i, layer in enumerate(self.down, start=1):
            skips.append(h)
            h = plain(layer, h)
            yield f"down_{i}", h
        skips.append(h)
        filled = h if depth % 2 == 0 else h[:, :, [*range(depth), depth - 1]]
        h = plain(self.mid, filled)
        yield "mid", h
        for i, layer in zip(reversed(range(4)), self.up, strict=True):
            skip = skips.pop()
            h = plain(layer, h, skip if i < 3 or depth % 2 == 0 else filled)[:, :, :depth]
            yield f"up_{i}", h
