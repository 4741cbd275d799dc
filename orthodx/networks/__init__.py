"""nn.Modules and the registry: importing this room registers the encoders and heads in the box."""

from orthodx.networks import anatomy_head, diagnose_head, evidence_head, ortho, published, published_head, segment_head
from orthodx.networks.encoder import ENCODERS, ViewEncoder, register_encoder
from orthodx.networks.head import HEADS, Head, register_head

__all__ = [
    "ENCODERS",
    "HEADS",
    "Head",
    "ViewEncoder",
    "anatomy_head",
    "diagnose_head",
    "evidence_head",
    "ortho",
    "published",
    "published_head",
    "register_encoder",
    "register_head",
    "segment_head",
]
