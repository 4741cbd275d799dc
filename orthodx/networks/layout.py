"""How tensors lie in memory: channels-last, in which convolutions and normalisation need no copies between them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def channels_last(module: nn.Module) -> None:
    """Store the convolution weights channels-last, the format the activations then take."""
    for parameter in module.parameters():
        if parameter.ndim in (4, 5):
            formats = {4: torch.channels_last, 5: torch.channels_last_3d}
            parameter.data = parameter.data.contiguous(memory_format=formats[parameter.ndim])


def image_channels_last(x: Tensor) -> Tensor:
    """The image (B, 1, D, H, W) with the strides of channels-last.

    One channel fits both layouts, and torch takes such an image for channels-first: the first convolution would
    write channels-first and everything after it copy.
    """
    b, _, d, h, w = x.shape
    return x.reshape(b, d, h, w, 1).permute(0, 4, 1, 2, 3)


def coarse(image: Tensor, detail: int) -> Tensor:
    """What an encoder sees of an image that a head sees `detail` times finer in plane: (..., D, H, W) -> its means."""
    return image if detail == 1 else functional.avg_pool3d(image, (1, detail, detail))


def coarse_labels(labels: Tensor, detail: int) -> Tensor:
    """The labels (..., D, H, W) of `coarse`'s pixels: each the one in its middle.

    Where that lies between two, the one before and the one after take turns like the squares of a chessboard, so that
    labels do not move against their image.
    """
    rows, columns = torch.meshgrid(
        *(torch.arange(n // detail, device=labels.device) for n in labels.shape[-2:]), indexing="ij"
    )
    inside = torch.where((rows + columns) % 2 == 0, (detail - 1) // 2, detail // 2)
    return labels[..., rows * detail + inside, columns * detail + inside]
