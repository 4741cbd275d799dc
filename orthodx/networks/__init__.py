"""nn.Modules and the registry: importing this room registers the encoders and heads in the box."""

from orthodx.networks.encoders import dynunet, ortho, published, resnet18
from orthodx.networks.encoders.encoder import ENCODERS, ViewEncoder, register_encoder
from orthodx.networks.heads import (
    anatomy,
    evidence,
    fine_segment,
    linear_segment,
    pooled,
    published_segment,
    skip_segment,
)
from orthodx.networks.heads.head import HEADS, Head, Wanted, register_head

__all__ = [
    "ENCODERS",
    "HEADS",
    "Head",
    "ViewEncoder",
    "Wanted",
    "anatomy",
    "dynunet",
    "evidence",
    "fine_segment",
    "linear_segment",
    "ortho",
    "pooled",
    "published",
    "published_segment",
    "register_encoder",
    "register_head",
    "resnet18",
    "skip_segment",
]
