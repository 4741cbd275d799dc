"""Plain data: for each joint its structures, abnormalities and views. The only place these names stand."""

from orthodx.joints.ankle import ANKLE
from orthodx.joints.files import DATASET, JOINTS, joint_beside, open_joint, plates_of
from orthodx.joints.joint import Abnormality, Joint, Plate, SidedPair, Snomed, Structure
from orthodx.joints.knee import KNEE
from orthodx.joints.shoulder import SHOULDER
from orthodx.joints.view import View

DEFAULT_JOINT = KNEE  # where neither the user nor the data says which

__all__ = [
    "ANKLE",
    "DATASET",
    "DEFAULT_JOINT",
    "JOINTS",
    "KNEE",
    "SHOULDER",
    "Abnormality",
    "Joint",
    "Plate",
    "SidedPair",
    "Snomed",
    "Structure",
    "View",
    "joint_beside",
    "open_joint",
    "plates_of",
]
