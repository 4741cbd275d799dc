"""nn.Modules and the registry: importing this room registers the encoders and heads in the box."""

from orthodx.networks.encoders import ortho, published
from orthodx.networks.encoders.encoder import ENCODERS, ViewEncoder, register_encoder
from orthodx.networks.heads import anatomy, evidence, pooled, published_segment, skip_segment
from orthodx.networks.heads.head import HEADS, Head, Wanted, register_head

__all__ = [
    "ENCODERS",
    "HEADS",
    "Head",
    "ViewEncoder",
    "Wanted",
    "anatomy",
    "evidence",
    "ortho",
    "pooled",
    "published",
    "published_segment",
    "register_encoder",
    "register_head",
    "skip_segment",
]
