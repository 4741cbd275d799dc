"""What viewers read of a mask: each format by its own grammar, and the same names and colours in all of them."""

import csv
import re
import xml.etree.ElementTree as ET

import nibabel as nib
import numpy as np
import pytest

from orthodx.joints import JOINTS, KNEE, Joint, Structure
from orthodx.studies.label_tables import LABEL_TABLES, rgb, write_label_tables
from orthodx.studies.nifti import read_volume, write_mask
from orthodx.studies.volume import Volume

ODD = Joint("odd", (Structure(255, "high signal", "#00fF7f"), Structure(3, "Sehne ü", "#102030")))
AFFINE = np.array([[0, 0, -4.0, 30], [0.6, 0, 0, -20], [0, -0.7, 0, 40], [0, 0, 0, 1]])


def slicer(path):
    """vtkMRMLColorTableStorageNode: number, name without blanks, red, green, blue, alpha."""
    rows = [line.split() for line in path.read_text("utf-8").splitlines() if not line.startswith("#")]
    return {int(n): (name, *map(int, rest)) for n, name, *rest in rows}


def itk_snap(path):
    line = re.compile(r'\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+([\d.]+)\s+([01])\s+([01])\s+"(.+)"')
    rows = [line.fullmatch(text).groups() for text in path.read_text("utf-8").splitlines() if not text.startswith("#")]
    return {int(n): (name, int(r), int(g), int(b), float(alpha)) for n, r, g, b, alpha, _, _, name in rows}


def bids(path):
    with path.open(encoding="utf-8", newline="") as file:
        return {int(row["index"]): (row["name"], row["color"]) for row in csv.DictReader(file, delimiter="\t")}


@pytest.mark.parametrize("joint", [*JOINTS.values(), ODD], ids=lambda joint: joint.name)
def test_every_value_has_its_name_and_colour_in_each_table(joint, tmp_path):
    write_label_tables(tmp_path, joint)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(LABEL_TABLES)
    ctbl, label, dseg = (
        slicer(tmp_path / "labels.ctbl"),
        itk_snap(tmp_path / "labels.label"),
        bids(tmp_path / "dseg.tsv"),
    )
    assert list(ctbl) == list(label) == list(dseg) == sorted(joint.values)
    assert (ctbl[0][-1], label[0][-1]) == (0, 0)  # the background hides nothing
    for s in joint.structures:
        assert ctbl[s.value] == (s.name.replace(" ", "_"), *rgb(s.colour), 255)
        assert label[s.value] == (s.name, *rgb(s.colour), 1)
        assert dseg[s.value] == (s.name, s.colour.upper())


@pytest.mark.parametrize("joint", [KNEE, ODD], ids=lambda joint: joint.name)
def test_a_mask_holds_its_names_and_reads_as_it_did_without(joint, tmp_path):
    image = Volume(np.zeros((20, 24, 9), np.float32), AFFINE, "image", (1, 1))
    labels = np.random.default_rng(0).choice(np.array(joint.values, np.uint8), (20, 24, 9))
    for name, named in (("bare", None), ("named", joint)):
        write_mask(tmp_path / f"{name}.nii.gz", labels, image, named)
    bare, named = (nib.load(tmp_path / f"{name}.nii.gz") for name in ("bare", "named"))
    for mask in (bare, named):
        np.testing.assert_array_equal(np.asarray(mask.dataobj), labels)
    np.testing.assert_array_equal(bare.affine, named.affine)
    headers = [{k: v.tobytes() for k, v in one.header.items() if k != "vox_offset"} for one in (bare, named)]
    assert headers[0] == headers[1]
    np.testing.assert_array_equal(read_volume(tmp_path / "named.nii.gz").data, labels)
    (extension,) = named.header.extensions
    assert (extension.get_code(), extension.get_sizeondisk() % 16) == (30, 0)
    table = ET.fromstring(extension.text.rstrip("\0")).find("VolumeInformation/LabelTable")
    told = {int(one.get("Key")): (one.text, *(round(float(one.get(c)) * 255) for c in ("Red", "Green", "Blue")))
            for one in table}  # fmt: skip
    assert told == {0: ("background", 0, 0, 0), **{s.value: (s.name, *rgb(s.colour)) for s in joint.structures}}
