"""What a joint must say of itself: every one in the box, and a made-up one of two tissues and one abnormality."""

import json
import pickle
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from orthodx.errors import UsageError
from orthodx.grid.spec import GridSpec
from orthodx.joints import JOINTS, Abnormality, Joint, Structure, View
from orthodx.studies.manifest import read_manifest
from orthodx.synth import grammar
from orthodx.synth.anatomy import Anatomy
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.bank import BankRequest, write_bank
from orthodx.synth.focus import Focus
from orthodx.synth.grammar import DEFAULT, CropCentres, SyntheticJoint, register, synthetic
from orthodx.synth.injuries import Injuries
from orthodx.synth.patients import UNHURT, Clinic, Mechanism
from orthodx.synth.protocols import CENTERS, protocols
from orthodx.synth.relaxation import MARROW, MUSCLE
from orthodx.synth.source import SyntheticSource
from orthodx.synth.study_writer import CohortRequest, write_cohort
from orthodx.synth.tissues import Tissue, TissueTable

MM = 4.0


@dataclass(frozen=True, kw_only=True)
class Crack:
    width_mm: float
    code: str = "OLE"


def ball(rng):
    """A round bone in a round limb, somewhat larger or smaller."""
    axes = np.meshgrid(*[np.arange(-48, 48, MM)] * 3, indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes)) * rng.uniform(0.9, 1.1)
    tissues = np.zeros(radius.shape, np.uint8)
    tissues[radius < 40], tissues[radius < 20] = TABLE["flesh"], TABLE["bone"]
    affine = np.diag([MM, MM, MM, 1.0])
    affine[:3, 3] = -48
    return Anatomy(tissues, affine, "left", "ball", joint="elbow")


def crack(canvas, lesion):
    window = canvas.around("bone", 2.0)
    line = np.abs(window.points[0]) < lesion.width_mm / 2
    window.paint(line & window.of("bone"), "flesh", 1)


def lesions_of(rng, mechanism, age):
    return [Crack(width_mm=8.0) for chance in mechanism.first.values() if rng.random() < chance]


def severe(lesion):
    return lesion.width_mm > 10


def left(tissues):
    return "left"


ELBOW = Joint("elbow", (Structure(3, "ulna", "#ffffff"),), (Abnormality("OLE", "olecranon fracture", "ulna", 1),))
TABLE = TissueTable(ELBOW, {"bone": Tissue(1, MARROW, "marrow", "ulna"), "flesh": Tissue(2, MUSCLE, "muscle")})
MADE_UP = SyntheticJoint(
    joint=ELBOW,
    tissues=TABLE,
    body_part="ELBOW",
    protocols={
        "Harbour": protocols(
            CENTERS["Harbour"],
            dict.fromkeys(View, ("PD", 3000, 30, False)),
            pixel_mm=3.0,
            slice_mm=8.0,
            field_mm=96,
            reach_mm=dict.fromkeys(View, 70.0),
        )
    },
    crops=CropCentres(mean_mm=(0, 0, 0), sd_mm=(5, 5, 5), reach_mm=30),
    random_anatomy=ball,
    side_of=left,
    known_injuries=Injuries(
        values={"OLE": 1},
        least_ml={"OLE": 0.5},
        sites={"OLE": "bone"},
        painters={Crack: crack},
        clinic=Clinic(
            mechanisms={
                UNHURT: Mechanism(age=(40, 5), events={"none": 1}),
                "fall": Mechanism(first={"OLE": 1.0}, age=(60, 5), events={"fall": 1}),
            },
            case_mix={"Harbour": {UNHURT: 0.5, "fall": 0.5}},
            gaps={"Harbour": 1.0},
            lesions_of=lesions_of,
            severe=severe,
        ),
    ),
)


@pytest.fixture
def elbow(monkeypatch):
    monkeypatch.setattr(grammar, "REGISTERED", {})
    register(MADE_UP)
    return MADE_UP


def make_all(folder):
    """Samples, banks and studies of the made-up joint; returns what is true of them."""
    register(MADE_UP)
    request = BankRequest(joint="elbow", anatomies=4, seed=3, lesions=True, prevalence=0.5)
    bank = AnatomyBank(write_bank(folder / "bank", request))
    source = SyntheticSource(bank, GridSpec(), (4, 32, 32), truth="both", focus=Focus(bank, 0.5))
    samples = [source[i, View.AXIAL] for i in range(12)]
    manifest = write_cohort(folder / "cohort", joint="elbow", studies=2, lesions=True, formats=("nifti", "dicom"))
    return {
        "names": bank.names,
        "joint": bank.joint,
        "hurt": (bank.marked[:, 1] > 0).tolist(),
        "image": [float(min(s[0].min() for s in samples)), float(max(s[0].max() for s in samples))],
        "structures": sorted({int(v) for s in samples for v in s[1][0].unique()}),
        "lesions": sorted({int(v) for s in samples for v in s[1][1].unique()}),
        "rows": [[row["patient_id"], row["joint"]] for row in read_manifest(manifest)[0]],
        "foreign": sorted(m for m in sys.modules if m.startswith(tuple(f"orthodx.synth.{j}" for j in JOINTS))),
    }


def test_a_made_up_joint_goes_through_all_that_is_shared_and_no_package_is_touched(tmp_path):
    code = f"import json, pathlib, runpy; made = runpy.run_path({str(Path(__file__))!r}, run_name='made_up'); "
    code += f"print(json.dumps(made['make_all'](pathlib.Path({str(tmp_path)!r}))))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["foreign"] == []
    assert found["names"] == [f"elbow-0003-{i:04d}" for i in range(4)]
    assert found["joint"] == "elbow"
    assert set(found["hurt"]) == {True, False}
    assert -1 <= found["image"][0] < found["image"][1] <= 1
    assert found["structures"] == [0, 3]
    assert found["lesions"] == [0, 1]
    assert found["rows"] == [[f"patient-0000-{i:04d}", "elbow"] for i in range(2) for _ in View]
    tables = {(tmp_path / "cohort" / name).read_text().splitlines()[0] for name in ("labels.csv", "ehr.csv")}
    assert "study_id,OLE" in tables
    assert json.loads((tmp_path / "cohort/lesions/values.json").read_text()) == {"OLE": 1}


def test_dicom_says_which_body_part_it_is(elbow, tmp_path):
    import pydicom

    write_cohort(tmp_path, joint="elbow", studies=1, formats=("dicom",))
    image = pydicom.dcmread(next(tmp_path.rglob("*.dcm")))
    assert image.BodyPartExamined == "ELBOW"
    assert str(image.PatientName) == "Synthetic^Elbow"
    assert image.Laterality == "L"


def test_a_bank_knows_its_joint_and_takes_no_other(elbow, knee, tmp_path):
    bank = AnatomyBank(write_bank(tmp_path / "elbows", joint="elbow", anatomies=1))
    assert json.loads((tmp_path / "elbows/joint.json").read_text()) == {"joint": "elbow"}
    assert bank.synthetic is elbow
    assert bank(np.random.default_rng(0)).joint == "elbow"
    for write in (lambda: bank.add("x", knee), lambda: write_bank(tmp_path / "elbows", anatomies=1)):
        with pytest.raises(UsageError, match="holds anatomies of the elbow"):
            write()
    with pytest.raises(UsageError, match="is of the elbow") as caught:
        write_cohort(tmp_path / "cohort", studies=1, anatomy=bank)
    assert "--joint elbow" in caught.value.hint
    (tmp_path / "elbows/joint.json").write_text("{}")
    with pytest.raises(UsageError, match="names no joint"):
        _ = AnatomyBank(tmp_path / "elbows").joint


def test_a_bank_that_names_no_joint_is_of_the_default(knee, tmp_path):
    AnatomyBank(tmp_path).add("one", knee)
    assert json.loads((tmp_path / "joint.json").read_text()) == {"joint": knee.joint} == {"joint": DEFAULT}
    (tmp_path / "joint.json").unlink()
    bank = AnatomyBank(tmp_path)
    assert bank.joint == DEFAULT
    assert bank.synthetic.joint is JOINTS[DEFAULT]
    bank.add("two", knee)
    assert len(AnatomyBank(tmp_path)) == 2


def test_joints_that_are_not_there_are_named_and_the_others_listed(elbow):
    with pytest.raises(UsageError, match="no synthetic wrist yet") as caught:
        synthetic("wrist")
    assert caught.value.hint == f"use --joint {' or '.join((*IN_THE_BOX, 'elbow'))}"
    for name in ("solids", "knee.tissues", "../joints", ""):
        with pytest.raises(UsageError, match="no synthetic"):
            synthetic(name)


def test_what_a_joint_lacks_is_said_before_anything_is_made(monkeypatch, tmp_path):
    monkeypatch.setitem(grammar.REGISTERED, "elbow", replace(MADE_UP, known_injuries=None))
    for request in (CohortRequest, BankRequest):
        with pytest.raises(UsageError, match="no synthetic injuries of the elbow"):
            request(joint="elbow", lesions=True)
    with pytest.raises(UsageError, match="no label maps of the elbow"):
        synthetic("elbow").open_maps(tmp_path)
    with pytest.raises(UsageError, match="no center is called 'Meadow'"):
        CohortRequest(joint="elbow", centers=("Meadow",))


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (Tissue(1, MARROW, "marrow"), "value"),
        (Tissue(0, MARROW, "marrow"), "value"),
        (Tissue(5, MARROW, "stone"), "kind"),
        (Tissue(5, MARROW), "kind"),
        (Tissue(5, MARROW, "marrow", "radius"), "structure"),
        (Tissue(5, MARROW, healthy="brass"), "healthy self"),
        (Tissue(5, MARROW, healthy="bone"), "share of fluid"),
    ],
)
def test_a_tissue_that_cannot_be_is_refused(row, what):
    with pytest.raises(UsageError, match=f"the {what} of the tissue 'new'"):
        TissueTable(ELBOW, {**TABLE.rows, "new": row})


IN_THE_BOX = [joint for joint in JOINTS if (Path(grammar.__file__).parent / joint).is_dir()]


@pytest.fixture(params=IN_THE_BOX)
def made(request):
    return synthetic(request.param)


def test_every_joint_in_the_box_is_whole(made):
    assert made.joint is JOINTS[made.name]
    assert set(made.tissues.structure_of) == set(made.joint.values)
    for name, rows in made.protocols.items():
        assert name in CENTERS
        assert [row.view for row in rows] == list(View)
    again = pickle.loads(pickle.dumps(made))
    assert dict(again.tissues) == dict(made.tissues)


def test_the_injuries_of_every_joint_in_the_box_are_whole(made):
    injuries, clinic = made.injuries, made.injuries.clinic
    assert {code: injuries.values[code] for code in made.joint.codes} == made.joint.lesion_values
    assert len(set(injuries.values.values())) == len(injuries.values)
    assert tuple(injuries.least_ml) == made.joint.codes
    assert set(injuries.sites) == set(made.joint.codes)
    assert set(injuries.sites.values()) <= set(made.tissues)
    assert set(clinic.case_mix) == set(clinic.gaps) == set(made.protocols)
    assert all(set(mix) == set(clinic.mechanisms) for mix in clinic.case_mix.values())
    drawn = {type(lesion) for i in range(300) for lesion in made.patient_of(0, i, next(iter(made.protocols))).lesions}
    assert drawn == set(injuries.painters)
