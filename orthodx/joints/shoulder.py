"""The shoulder. Structures are those that radiologists name in its eight abnormalities; volumes have no source yet."""

from orthodx.joints.joint import TISSUE, Abnormality, Joint, Snomed, Structure
from orthodx.joints.view import View

SAGITTAL, CORONAL, AXIAL = View.SAGITTAL, View.CORONAL, View.AXIAL
_HUMERUS, _SCAPULA = ("85050009", "Humerus"), ("79601000", "Scapula")
_TENDON = Snomed(kind=("13024002", "Tendon"), category=TISSUE)
_CARTILAGE = Snomed(kind=("309312004", "Cartilage"), category=TISSUE)

SHOULDER = Joint(
    name="shoulder",
    structures=(
        Structure(1, "humerus", "#c9b18c", Snomed(kind=_HUMERUS), one_piece=True, always_seen=True),
        Structure(2, "scapula", "#7fa8d9", Snomed(kind=_SCAPULA), always_seen=True),
        Structure(3, "clavicle", "#9b7fd1", Snomed(kind=("51299004", "Clavicle")), one_piece=True),
        Structure(4, "supraspinatus_tendon", "#3fe0d0", _TENDON),
        Structure(5, "infraspinatus_tendon", "#2f6bff", _TENDON),
        Structure(6, "subscapularis_tendon", "#7cc47f", _TENDON),
        Structure(7, "biceps_long_head", "#f25f5c", _TENDON),
        Structure(8, "glenohumeral_cartilage", "#ffd23f", _CARTILAGE),
        Structure(9, "labrum", "#e83f8f"),
    ),
    abnormalities=(
        Abnormality("SSP", "supraspinatus tendon injury", "supraspinatus_tendon", 1, (CORONAL, SAGITTAL)),
        Abnormality("ISP", "infraspinatus tendon injury", "infraspinatus_tendon", 2, (CORONAL, SAGITTAL)),
        Abnormality("SSC", "subscapularis tendon injury", "subscapularis_tendon", 3, (AXIAL,)),
        Abnormality("LHBT_injury", "long head of biceps tendon injury", "biceps_long_head", 4, (AXIAL, SAGITTAL)),
        Abnormality("AC", "acromioclavicular joint abnormality", None, 5, (CORONAL, SAGITTAL)),
        Abnormality("GHJ", "glenohumeral joint abnormality", None, 6, (SAGITTAL, CORONAL, AXIAL)),
        Abnormality("LHBT_effusion", "long head of biceps tendon sheath effusion", None, 7, (AXIAL,)),
        Abnormality("SASD", "subacromial-subdeltoid bursa abnormality", None, 8, (CORONAL, SAGITTAL)),
    ),
)
