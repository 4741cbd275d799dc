"""A folder of images is not one patient: put together is what names or folders say, at one place, and it is told."""

import nibabel as nib
import numpy as np
import pytest

from orthodx.joints import View
from orthodx.requests import GroupBy
from orthodx.studies.discover import find_series
from orthodx.studies.study import studies_of

AFFINES = {
    "sag": np.array([[0, 0, 3, 0], [0.5, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 0, 1.0]]),
    "cor": np.array([[0.5, 0, 0, 0], [0, 0, 3, 0], [0, 0.5, 0, 0], [0, 0, 0, 1.0]]),
    "ax": np.array([[0.5, 0, 0, 0], [0, 0.5, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1.0]]),
}


def put(path, plane="sag", at=(0, 0, 0)):
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = AFFINES[plane].copy()
    affine[:3, 3] = at
    nib.save(nib.Nifti1Image(np.random.default_rng(0).normal(size=(40, 40, 8)).astype(np.float32), affine), path)
    return path


def studies(*paths, **how):
    """study -> names of its series."""
    found = find_series(paths, **how)
    assert not found.refused
    return {s.study_id: sorted(one.path.name.removesuffix(".nii.gz") for one in s.series) for s in found.studies}


def people(*paths):
    return {s.study_id: s.patient_id for s in find_series(paths).studies}


SIX = [f"img{i}" for i in range(6)]


@pytest.mark.parametrize(
    ("names", "ids"),
    [
        (SIX, SIX),
        ([f"{name}_0000" for name in SIX], SIX),  # nnU-Net's
        (["k_0000", "k_0001", "m_0000"], ["k_0000", "k_0001", "m"]),
        ([f"IMG_{i:04d}" for i in range(1, 7)], [f"IMG_{i:04d}" for i in range(1, 7)]),
        ([f"sag_{i:03d}" for i in range(1, 4)], ["001", "002", "003"]),
        ([f"{i}_pd" for i in range(1, 4)], ["1", "2", "3"]),
        (["knee", "knee 2", "knee_3"], ["knee", "knee 2", "knee_3"]),
        (["sub-01_PDw", "sub-02_PDw", "sub-03_ses-1_acq-sag_T2w"], ["sub-01", "sub-02", "sub-03_ses-1"]),
        (["Max", "Anna"], ["Anna", "Max"]),
        ([f"set_{i:03d}" for i in range(3)], [f"set_{i:03d}" for i in range(3)]),  # called after their folder
        (["a sag", "a sag (1)", "a_sag_14"], ["a", "a 1", "a_14"]),
    ],
)
@pytest.mark.parametrize("below", ["", "all"])
def test_a_flat_folder_is_as_many_patients_as_images(tmp_path, names, ids, below):
    for name in names:
        put(tmp_path / "set" / below / f"{name}.nii.gz")
    assert sorted(studies(tmp_path / "set")) == sorted(ids)
    assert len(set(people(tmp_path / "set").values())) == len(names)


def test_a_folder_of_nnunet_has_a_study_a_case(tmp_path):
    for name in ("a_0000", "a_0001", "b_0000", "b_0001"):
        put(tmp_path / "imagesTs" / f"{name}.nii.gz", at=(100, 0, 0) if name == "b_0001" else (0, 0, 0))
    for i in range(1, 4):
        put(tmp_path / "imagesTs" / f"IMG_{i:04d}.nii.gz")
    assert studies(tmp_path) == {
        "a": ["a_0000", "a_0001"], "b": ["b_0000"], "b_0001": ["b_0001"],
        **{f"IMG_{i:04d}": [f"IMG_{i:04d}"] for i in range(1, 4)},
    }  # fmt: skip


@pytest.mark.parametrize(
    "names",
    [
        ["sagittal", "coronal", "axial"],
        ["sagittal", "sagittal_2", "cor"],
        ["pd_sag", "T2 fs cor", "ax-stir"],
        ["knee_sag", "knee_cor", "knee_ax_2"][:2],
        ["P 7_s003-1a2b", "P 7_s004-9f03", "P 7_s005-9f03_e2"],
        ["sagPDfs", "corT2w"],
    ],
)
@pytest.mark.parametrize("where", ["P 7", "."])
def test_views_of_one_folder_are_one_study_by_their_names(tmp_path, names, where):
    for name in names:
        put(tmp_path / "P 7" / f"{name}.nii.gz")
    assert studies(tmp_path / "P 7" if where == "." else tmp_path) == {"P 7": sorted(names)}


def test_a_folder_below_is_a_study_if_it_has_one_image_a_view(tmp_path):
    for patient in ("p1", "p2"):
        for name, plane in zip("abc", AFFINES, strict=True):
            put(tmp_path / patient / f"{name}.nii.gz", plane)
    assert studies(tmp_path) == {"p1": ["a", "b", "c"], "p2": ["a", "b", "c"]}
    put(tmp_path / "p2/d.nii.gz", "ax")
    assert studies(tmp_path) == {"p1": ["a", "b", "c"], **{name: [name] for name in "abcd"}}


def test_a_folder_that_names_one_image_a_view_is_a_study_wherever_it_lies(tmp_path):
    for name, plane in zip(("p1_pd_2", "P1", "p1-x"), AFFINES, strict=True):
        put(tmp_path / "p1" / f"{name}.nii.gz", plane)
    assert len(studies(tmp_path / "p1")) == 1
    put(tmp_path / "p1/other.nii.gz")
    assert len(studies(tmp_path / "p1")) == 4


def test_names_of_several_patients_in_one_folder_part_them(tmp_path):
    for patient in ("p1", "p11"):
        for plane in AFFINES:
            put(tmp_path / "all" / f"{patient}_{plane}_pd.nii.gz", plane)
    assert studies(tmp_path / "all") == {
        p: [f"{p}_{plane}_pd" for plane in ("ax", "cor", "sag")] for p in ("p1", "p11")
    }


def test_images_apart_in_the_world_are_not_one_study(tmp_path):
    put(tmp_path / "p/knee_ax.nii.gz", "ax")
    put(tmp_path / "p/knee_cor.nii.gz", "cor", at=(180, 0, 0))
    put(tmp_path / "p/knee_sag.nii.gz")
    assert studies(tmp_path) == {"p": ["knee_ax", "knee_sag"], "knee_cor": ["knee_cor"]}


def test_bids_is_a_study_a_subject_and_session(tmp_path):
    first = "sub-01/ses-1/anat/sub-01_ses-1"
    rest = ("sub-01/ses-2/anat/sub-01_ses-2_T2w", "sub-02/anat/sub-02_T1w", "sub-02/func/sub-02_bold")
    for name in (f"{first}_acq-sag_PDw", f"{first}_acq-cor_PDw", *rest):
        put(tmp_path / f"{name}.nii.gz")
    assert {study: len(names) for study, names in studies(tmp_path).items()} == {
        "sub-01_ses-1": 2, "sub-01_ses-2": 1, "sub-02": 2,
    }  # fmt: skip
    assert people(tmp_path) == {"sub-01_ses-1": "sub-01", "sub-01_ses-2": "sub-01", "sub-02": "sub-02"}


def test_subjects_of_two_data_sets_are_not_one(tmp_path):
    for site, session in (("A", 1), ("A", 2), ("B", 1), ("B", 3)):
        put(tmp_path / f"{site}/sub-01/ses-{session}/anat/sub-01_ses-{session}_PDw.nii.gz")
    assert people(tmp_path) == {
        "A_sub-01_ses-1": "A_sub-01", "sub-01_ses-2": "A_sub-01", "B_sub-01_ses-1": "B_sub-01",
        "sub-01_ses-3": "B_sub-01",
    }  # fmt: skip


def test_folders_of_one_name_are_told_apart_by_those_above(tmp_path):
    for place in ("x/p1/anat", "x/p2/anat", "y/p1/anat", "y/other"):
        put(tmp_path / place / "t1.nii.gz")
    assert set(studies(tmp_path)) == {"x_p1_anat", "p2_anat", "y_p1_anat", "other"}


def test_a_study_of_a_manifest_is_not_joined_by_a_folder_of_that_name(tmp_path):
    put(tmp_path / "cohort/k.nii.gz")
    (tmp_path / "cohort/manifest.csv").write_text("patient_id,study_id,series_id,path\n,p1,x,k.nii.gz\n")
    put(tmp_path / "more/p1/k.nii.gz")
    assert set(studies(tmp_path / "cohort", tmp_path / "more")) == {"p1", "more_p1"}


def test_one_study_id_in_two_manifests_without_patients_joins_nobody(tmp_path):
    for name, patient in (("A", "p"), ("B", "p"), ("C", "")):
        put(tmp_path / name / "k.nii.gz")
        rows = f"patient_id,study_id,series_id,path\n{patient},1,{name},k.nii.gz\n"
        (tmp_path / name / "manifest.csv").write_text(rows)
    assert studies(tmp_path / "A", tmp_path / "B") == {"1": ["k", "k"]}
    found = find_series([tmp_path / "A", tmp_path / "C"])
    assert not found.studies
    assert "give each a study_id of its own" in found.refused[0].reason


def test_files_that_are_given_one_by_one_are_studies_by_their_names(tmp_path):
    files = [put(tmp_path / "set" / f"{name}.nii.gz") for name in ("a", "b", "p_sag", "p_cor")]
    assert studies(*files) == {"a": ["a"], "b": ["b"], "p": ["p_cor", "p_sag"]}
    assert set(studies(files[0])) == {"a"}


RULES = {
    GroupBy.FOLDER: {"set": ["a", "b"], "coronal": ["7"], "sagittal": ["7", "8"]},
    GroupBy.NAME: {"a": ["a"], "b": ["b"], "7": ["7", "7"], "8": ["8"]},
    GroupBy.NONE: {"a": ["a"], "b": ["b"], "coronal_7": ["7"], "sagittal_7": ["7"], "8": ["8"]},
}


@pytest.mark.parametrize("by", GroupBy)
def test_a_person_can_say_what_makes_a_study(tmp_path, by):
    for name in ("a", "b", "sagittal/7", "sagittal/8", "coronal/7"):
        put(tmp_path / "set" / f"{name}.nii.gz")
    assert studies(tmp_path / "set", group_by=by) == RULES[by]


def test_what_was_put_together_is_said_in_one_line(tmp_path):
    for name in SIX:
        put(tmp_path / "flat" / f"{name}.nii.gz")
    put(tmp_path / "p1/sag.nii.gz")
    put(tmp_path / "p1/cor.nii.gz", "cor")
    change = "--group-by folder, name or none changes that"
    assert find_series([tmp_path / "flat"]).notes == [f"6 NIfTI images are 6 studies, each on its own; {change}"]
    assert find_series([tmp_path / "p1"]).notes == [f"2 NIfTI images are 1 study, put together: 'p1' (2); {change}"]
    put(tmp_path / "alone/k.nii.gz")
    assert find_series([tmp_path / "alone"]).notes == []


def test_every_image_keeps_its_view_and_one_study_one_patient(tmp_path):
    for plane in AFFINES:
        put(tmp_path / f"p/{plane}.nii.gz", plane)
    found = find_series([tmp_path])
    assert {s.view for s in found.series} == set(View)
    assert studies_of(found.series)[1] == {}
