"""The synthetic ankle: `SYNTHETIC` is all that the shared code sees of this package."""

from orthodx.joints import ANKLE
from orthodx.synth.ankle.injuries import INJURIES
from orthodx.synth.ankle.labelmaps import open_maps
from orthodx.synth.ankle.procedural import random_ankle
from orthodx.synth.ankle.protocols import PROTOCOLS, TURNS
from orthodx.synth.ankle.tissues import TISSUES, side_of
from orthodx.synth.grammar import CropCentres, SyntheticJoint

SYNTHETIC = SyntheticJoint(
    joint=ANKLE,
    tissues=TISSUES,
    body_part="ANKLE",
    protocols=PROTOCOLS,
    crops=CropCentres(mean_mm=(0.0, -4.0, -2.0), sd_mm=(9.0, 20.0, 18.0), reach_mm=40),
    turns=TURNS,
    random_anatomy=random_ankle,
    side_of=side_of,
    known_injuries=INJURIES,
    map_reader=open_maps,
)
