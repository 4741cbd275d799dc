"""The synthetic knee: `SYNTHETIC` is all that the shared code sees of this package."""

from orthodx.joints import KNEE
from orthodx.synth.grammar import CropCentres, SyntheticJoint
from orthodx.synth.knee.injuries import INJURIES
from orthodx.synth.knee.labelmaps import open_maps
from orthodx.synth.knee.procedural import knee_later, random_knee
from orthodx.synth.knee.protocols import PROTOCOLS
from orthodx.synth.knee.tissues import TISSUES, side_of

SYNTHETIC = SyntheticJoint(
    joint=KNEE,
    tissues=TISSUES,
    body_part="KNEE",
    protocols=PROTOCOLS,
    crops=CropCentres(mean_mm=(0.0, 10.0, 4.0), sd_mm=(11.0, 24.0, 26.0), reach_mm=48, limb_mm=90),
    random_anatomy=random_knee,
    side_of=side_of,
    later=knee_later,
    known_injuries=INJURIES,
    map_reader=open_maps,
)
