"""The synthetic shoulder: `SYNTHETIC` is all that the shared code sees of this package."""

from orthodx.joints import SHOULDER
from orthodx.synth.grammar import CropCentres, SyntheticJoint
from orthodx.synth.shoulder.injuries import INJURIES
from orthodx.synth.shoulder.labelmaps import open_maps
from orthodx.synth.shoulder.procedural import random_shoulder
from orthodx.synth.shoulder.protocols import PROTOCOLS, TURNS
from orthodx.synth.shoulder.tissues import TISSUES, side_of

SYNTHETIC = SyntheticJoint(
    joint=SHOULDER,
    tissues=TISSUES,
    body_part="SHOULDER",
    protocols=PROTOCOLS,
    turns=TURNS,
    crops=CropCentres(mean_mm=(2.0, 2.0, 4.0), sd_mm=(20.0, 20.0, 22.0), reach_mm=42),
    random_anatomy=random_shoulder,
    side_of=side_of,
    known_injuries=INJURIES,
    map_reader=open_maps,
)
