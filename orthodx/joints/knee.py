"""The knee.

Plausible volumes are of whole structures of adult knees, mL. A field of view may cut the shafts, so only gross errors
lie outside (cartilage: Eckstein 2006; menisci: Wirth 2010; cruciates: Simon 2010; bones: own range).
"""

from orthodx.joints.joint import TISSUE, Abnormality, Joint, Plate, SidedPair, Snomed, Structure
from orthodx.joints.view import View

SAGITTAL, CORONAL, AXIAL = View.SAGITTAL, View.CORONAL, View.AXIAL
_FEMUR, _TIBIA, _PATELLA = ("71341001", "Femur"), ("12611008", "Tibia"), ("64234005", "Patella")
_CARTILAGE = ("309312004", "Cartilage")
_MENISCUS = Snomed(kind=("74135004", "Meniscus"), category=TISSUE)
_LIGAMENT = Snomed(kind=("52082005", "Ligament"), category=TISSUE)
_PLATEAU = ("tibial_cartilage", "tibia")


def _cartilage_on(bone: tuple[str, str]) -> Snomed:
    return Snomed(kind=_CARTILAGE, category=TISSUE, region=bone)


KNEE = Joint(
    name="knee",
    structures=(
        Structure(1, "femur", "#c9b18c", Snomed(kind=_FEMUR), (40, 600), one_piece=True, always_seen=True),
        Structure(2, "tibia", "#7fa8d9", Snomed(kind=_TIBIA), (30, 500), one_piece=True, always_seen=True),
        Structure(3, "fibula", "#9b7fd1", Snomed(kind=("87342007", "Fibula")), (1, 120), one_piece=True),
        Structure(4, "patella", "#7cc47f", Snomed(kind=_PATELLA), (5, 50), one_piece=True, neck_mm=8, always_seen=True),
        Structure(5, "femoral_cartilage", "#ffd23f", _cartilage_on(_FEMUR), (3, 45), lies_on=("femur",)),
        Structure(6, "tibial_cartilage", "#ff8c42", _cartilage_on(_TIBIA), (1.5, 20), lies_on=("tibia",)),
        Structure(7, "patellar_cartilage", "#f25f5c", _cartilage_on(_PATELLA), (0.7, 10), lies_on=("patella",)),
        Structure(8, "medial_meniscus", "#e83f8f", _MENISCUS, (0.6, 8), lies_on=_PLATEAU),
        Structure(9, "lateral_meniscus", "#a63fe8", _MENISCUS, (0.6, 8), lies_on=_PLATEAU),
        Structure(10, "acl", "#3fe0d0", _LIGAMENT, (0.4, 7), lies_on=("femur", "tibia")),
        Structure(11, "pcl", "#2f6bff", _LIGAMENT, (0.4, 8), lies_on=("femur", "tibia")),
    ),
    abnormalities=(
        Abnormality("ACL", "anterior cruciate ligament injury", "acl", 1, (SAGITTAL,)),
        Abnormality("PCL", "posterior cruciate ligament injury", "pcl", 2, (SAGITTAL,)),
        Abnormality("MM", "medial meniscus injury", "medial_meniscus", 3, (SAGITTAL, CORONAL)),
        Abnormality("LM", "lateral meniscus injury", "lateral_meniscus", 4, (SAGITTAL, CORONAL)),
        Abnormality("MCL", "medial collateral ligament injury", None, 5, (CORONAL, AXIAL)),
        Abnormality("LCL", "lateral collateral ligament injury", None, 6, (CORONAL, AXIAL)),
        Abnormality("PD", "patellar dislocation (the published abbreviation is unconfirmed)", None, 7, (AXIAL,)),
        Abnormality("EFFU", "joint effusion", None, 8, (SAGITTAL, AXIAL)),
    ),
    pairs=(
        SidedPair(
            medial="medial_meniscus",
            lateral="lateral_meniscus",
            bone="tibia",
            lateral_bone="fibula",
            whole_mm=55.0,
            midline_mm=5.0,
        ),
    ),
    plates=(
        Plate(layer="femoral_cartilage", bone="femur", name="whole"),
        Plate(layer="femoral_cartilage", bone="femur", name="medial", side="medial", notch="behind"),
        Plate(layer="femoral_cartilage", bone="femur", name="lateral", side="lateral", notch="behind"),
        Plate(layer="femoral_cartilage", bone="femur", name="trochlea", notch="before"),
        Plate(layer="tibial_cartilage", bone="tibia", name="whole"),
        Plate(layer="tibial_cartilage", bone="tibia", name="medial", side="medial"),
        Plate(layer="tibial_cartilage", bone="tibia", name="lateral", side="lateral"),
        Plate(layer="patellar_cartilage", bone="patella", name="whole"),
    ),
)
