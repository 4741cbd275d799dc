"""The ankle. Structures are those that radiologists name in its four injuries; volumes have no source yet."""

from orthodx.joints.joint import TISSUE, Abnormality, Joint, Plate, Snomed, Structure
from orthodx.joints.view import View

SAGITTAL, CORONAL, AXIAL = View.SAGITTAL, View.CORONAL, View.AXIAL
_TALUS = ("67453005", "Talus")
_CARTILAGE = Snomed(kind=("309312004", "Cartilage"), category=TISSUE, region=_TALUS)
_LIGAMENT = Snomed(kind=("52082005", "Ligament"), category=TISSUE)

ANKLE = Joint(
    name="ankle",
    structures=(
        Structure(1, "tibia", "#7fa8d9", Snomed(kind=("12611008", "Tibia")), one_piece=True, always_seen=True),
        Structure(2, "fibula", "#9b7fd1", Snomed(kind=("87342007", "Fibula")), one_piece=True, always_seen=True),
        Structure(3, "talus", "#c9b18c", Snomed(kind=_TALUS), one_piece=True, always_seen=True),
        Structure(4, "calcaneus", "#7cc47f", Snomed(kind=("80144004", "Calcaneus")), one_piece=True),
        Structure(5, "other_foot_bones", "#d5a6bd"),
        Structure(6, "talar_cartilage", "#ffd23f", _CARTILAGE),
        Structure(7, "atfl", "#3fe0d0", _LIGAMENT),
        Structure(8, "cfl", "#2f6bff", _LIGAMENT),
        Structure(9, "achilles_tendon", "#f25f5c", Snomed(kind=("61352006", "Achilles Tendon"))),
    ),
    abnormalities=(
        Abnormality("ATFL", "anterior talofibular ligament injury", "atfl", 1, (AXIAL,)),
        Abnormality("CFL", "calcaneofibular ligament injury", "cfl", 2, (CORONAL, AXIAL)),
        Abnormality("ATR", "Achilles tendon rupture", "achilles_tendon", 3, (SAGITTAL, AXIAL)),
        Abnormality("OLT", "osteochondral lesion of the talus", "talar_cartilage", 4, (CORONAL, SAGITTAL)),
    ),
    plates=(Plate(layer="talar_cartilage", bone="talus", name="whole"),),
)
