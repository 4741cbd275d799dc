"""Twenty real series of eight vendors: equal to their stored reference, or refused by name. Never a third thing."""

import csv
import subprocess
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from orthodx.errors import NoInputError
from orthodx.studies.convert import convert

DATA = Path(__file__).parents[2].parent / "shared/data"
CONVERTED = {
    "compressed_j2k": 1, "compressed_jpegll": 1, "compressed_jpegls": 1, "compressed_rle": 1,
    "failing_slicecount_001": 1, "failing_sliceorientation_001": 2, "ge_anat_sag": 1, "hitachi_anat_oblique": 1,
    "hyperfine_anat": 1, "philips_anat_classic": 1, "philips_enhanced_anat": 1, "siemens_sag_t1_classic": 1,
    "siemens_xa30_enhanced_3d": 1,
}  # fmt: skip
REFUSED = {
    "failing_gantrytilting_001": "sheared",
    "failing_sliceincrement_001": "not evenly spaced",
    "ge_multiphase": "4D",
    "rgb_colour_mr": "secondary capture",
    "siemens_mosaic_sagittal": "mosaic",
    "siemens_xa30_sr_document": "structured report",
    "uih_dti_4d": "mosaic",
}
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real series are not beside this checkout")


@pytest.fixture(autouse=True)
def _own_key(tmp_path, monkeypatch):
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def unequal(made, reference):
    """Why two images are not the same one in the world, or "" where they are."""
    a, b = nib.as_closest_canonical(made), nib.as_closest_canonical(reference)
    if a.shape != b.shape:
        return f"shape {a.shape} against {b.shape}"
    corners = np.array([[*np.array(i) * (np.array(a.shape) - 1), 1] for i in np.ndindex(2, 2, 2)]).T
    off = np.linalg.norm(((a.affine - b.affine) @ corners)[:3], axis=0).max()
    if off > 0.1:
        return f"a corner lies {off:.2f} mm off"
    return "" if np.allclose(a.get_fdata(), b.get_fdata(), rtol=1e-6, atol=1e-3) else "other values"


def references(name, tmp_path):
    """Stored ones; Philips enhanced was stored with private scaling, so it is made anew without (`-p n`)."""
    if name != "philips_enhanced_anat":
        return [nib.load(p) for p in sorted((DATA / "dicom" / name / "reference_dcm2niix").glob("*.nii.gz"))]
    dcm2niix = pytest.importorskip("dcm2niix")
    command = [dcm2niix.bin, "-p", "n", "-b", "n", "-f", "ref", "-o", str(tmp_path), str(DATA / "dicom" / name)]
    subprocess.run(command, check=True, capture_output=True)
    return [nib.load(tmp_path / "ref.nii")]


def test_the_list_is_whole():
    assert {p.name for p in (DATA / "dicom").iterdir()} == {*CONVERTED, *REFUSED}


@pytest.mark.parametrize("name", CONVERTED)
def test_a_real_series_equals_its_reference(name, tmp_path):
    outcomes = convert([DATA / "dicom" / name / "dicom"], tmp_path / "out")
    assert [o.status for o in outcomes] == ["converted"] * CONVERTED[name]
    wanted = references(name, tmp_path)
    for row in table(tmp_path / "out/manifest.csv"):
        made = nib.load(tmp_path / "out" / row["path"])
        assert "" in [unequal(made, reference) for reference in wanted]


@pytest.mark.parametrize("name", REFUSED)
def test_a_series_that_cannot_be_proved_is_refused_by_name(name, tmp_path):
    with pytest.raises(NoInputError):
        convert([DATA / "dicom" / name / "dicom"], tmp_path / "out")
    reasons = [row["reason"] for row in table(tmp_path / "out/series.csv")]
    assert reasons
    assert all(REFUSED[name] in reason for reason in reasons)
    assert not list(tmp_path.rglob("*.nii.gz"))


def test_the_ge_knee_is_two_echoes_of_a_known_center(tmp_path):
    (tmp_path / "sites.csv").write_text("institution,center\ncenter a,Harbour Hospital\n")
    for site_map, center in ((None, "Center A"), (tmp_path / "sites.csv", "Harbour Hospital")):
        out = tmp_path / center
        convert([DATA / "knee_ge_3t_dicom"], out, site_map=site_map)
        rows = table(out / "manifest.csv")
        assert [(r["view"], r["oblique"], r["field_strength"], r["center"], r["te"]) for r in rows] == [
            ("sagittal", "0", "3.0", center, "6.312"),
            ("sagittal", "0", "3.0", center, "37.872"),
        ]
