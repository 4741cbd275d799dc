"""Plain data: for each joint its structures, abnormalities and views. The only place these names stand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class View(str, Enum):
    """Imaging plane of a series, decided by the slice normal in world coordinates."""

    SAGITTAL = "sagittal"
    CORONAL = "coronal"
    AXIAL = "axial"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Structure:
    """One segmented structure: its mask value (1..255), its name, its display colour."""

    value: int
    name: str
    colour: str


@dataclass(frozen=True)
class Joint:
    """A joint: what can be segmented (`structures`) and detected (`abnormalities`: code -> meaning).

    harms: abnormality -> the segmented structure that it is an injury of.
    """

    name: str
    structures: tuple[Structure, ...]
    abnormalities: dict[str, str]
    views: tuple[View, ...] = (View.SAGITTAL, View.CORONAL, View.AXIAL)
    harms: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> dict[int, str]:
        """Mask value -> structure name."""
        return {s.value: s.name for s in self.structures}


KNEE = Joint(
    name="knee",
    structures=(
        Structure(1, "femur", "#c9b18c"),
        Structure(2, "tibia", "#7fa8d9"),
        Structure(3, "fibula", "#9b7fd1"),
        Structure(4, "patella", "#7cc47f"),
        Structure(5, "femoral_cartilage", "#ffd23f"),
        Structure(6, "tibial_cartilage", "#ff8c42"),
        Structure(7, "patellar_cartilage", "#f25f5c"),
        Structure(8, "medial_meniscus", "#e83f8f"),
        Structure(9, "lateral_meniscus", "#a63fe8"),
        Structure(10, "acl", "#3fe0d0"),
        Structure(11, "pcl", "#2f6bff"),
    ),
    abnormalities={
        "ACL": "anterior cruciate ligament injury",
        "PCL": "posterior cruciate ligament injury",
        "MM": "medial meniscus injury",
        "LM": "lateral meniscus injury",
        "MCL": "medial collateral ligament injury",
        "LCL": "lateral collateral ligament injury",
        "PD": "patellar dislocation (the published abbreviation is unconfirmed)",
        "EFFU": "joint effusion",
    },
    harms={"ACL": "acl", "PCL": "pcl", "MM": "medial_meniscus", "LM": "lateral_meniscus"},
)

ANKLE = Joint(
    name="ankle",
    structures=(),
    abnormalities={
        "ATFL": "anterior talofibular ligament injury",
        "CFL": "calcaneofibular ligament injury",
        "ATR": "Achilles tendon rupture",
        "OLT": "osteochondral lesion of the talus",
    },
)

SHOULDER = Joint(
    name="shoulder",
    structures=(),
    abnormalities={
        "SSP": "supraspinatus tendon injury",
        "ISP": "infraspinatus tendon injury",
        "SSC": "subscapularis tendon injury",
        "LHBT_injury": "long head of biceps tendon injury",
        "AC": "acromioclavicular joint abnormality",
        "GHJ": "glenohumeral joint abnormality",
        "LHBT_effusion": "long head of biceps tendon sheath effusion",
        "SASD": "subacromial-subdeltoid bursa abnormality",
    },
)

JOINTS: dict[str, Joint] = {joint.name: joint for joint in (KNEE, ANKLE, SHOULDER)}
