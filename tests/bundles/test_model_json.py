"""`model.json` of both schemas is read; a number that cannot be is refused, wherever it stands."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from orthodx.bundles.bundle import SHIPPED, open_bundle, verify
from orthodx.bundles.model_json import INFO, read_info, write_info
from orthodx.errors import BundleError
from orthodx.joints import KNEE, View
from orthodx.networks.reading import Reader

SCHEMA_1 = Path(__file__).parent / "schema_1.json"  # the shipped knee-small's, before schema 2


def test_schema_1_says_the_same_as_schema_2():
    old, now = read_info(SCHEMA_1), open_bundle("knee-small").info
    new = replace(
        now,
        version=old.version,
        joint=replace(now.joint, plates=KNEE.plates),  # which its file, older than plates, does not name
        grid=replace(now.grid, min_slice_mm=old.grid.min_slice_mm),  # since 0.3.1
        training=now.training[: len(old.training)],  # 0.4.0 goes on from there
        sha256=old.sha256,
    )
    diagnosis = {
        file for file in old.sha256 if file.startswith("diagnose_")
    }  # encoders; the record's share is of 0.7.1
    assert {file: now.sha256[file] for file in diagnosis} == {file: old.sha256[file] for file in diagnosis}
    assert json.loads(SCHEMA_1.read_text())["schema"] == 1
    assert json.loads((SHIPPED / "knee-small" / INFO).read_text())["schema"] == 2
    assert new.diagnosis.synthetic_only  # which schema 1 does not say
    assert set(new.familiarity) == {"segment", "diagnose"}  # since 0.4.1, with quality and thresholds
    fitted = {name: getattr(old.diagnosis, name) for name in ("thresholds", "temperatures")}  # anew for 0.7.1
    told = replace(new.diagnosis, synthetic_only=False, **fitted)
    assert old == replace(new, familiarity={}, quality={}, diagnosis=told)
    assert new.joint == KNEE
    assert new.tasks == ["segment", "diagnose"]


def test_what_is_written_is_read_again(tmp_path):
    info = read_info(SCHEMA_1)
    write_info(tmp_path, info)
    assert read_info(tmp_path / INFO) == info


def test_a_joint_of_schema_1_that_is_not_in_the_box_keeps_its_structures(tmp_path):
    raw = json.loads(SCHEMA_1.read_text())
    raw |= {"joint": "wrist", "structures": {"1": "radius", "3": "ulna"}, "heads": {}, "diagnosis": None}
    (tmp_path / INFO).write_text(json.dumps(raw))
    assert read_info(tmp_path / INFO).joint.names == {1: "radius", 3: "ulna"}


def numbers(node, path=()):
    """Where the numbers of a description stand; a training record may hold any."""
    if isinstance(node, dict):
        for key, value in node.items():
            if path or key != "training":
                yield from numbers(value, (*path, key))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from numbers(value, (*path, i))
    elif isinstance(node, (int, float)) and not isinstance(node, bool):
        yield path


def write(folder, raw, path=(), value=None):
    """The description with another value at a place."""
    raw = json.loads(json.dumps(raw))
    at = raw
    for key in path[:-1]:
        at = at[key]
    if path:
        at[path[-1]] = value
    (folder / INFO).write_text(json.dumps(raw))
    return folder / INFO


def test_no_number_may_be_nan_endless_huge_or_text(tmp_path):
    raw = json.loads((SHIPPED / "knee-small" / INFO).read_text())
    places = list(numbers(raw))
    assert len(places) > 100
    for path in places:
        for value in (float("nan"), float("inf"), -float("inf"), 1e30, -1e30, "1", [1], {}, True):
            where = write(tmp_path, raw, path, value)
            with pytest.raises(BundleError) as caught:
                read_info(where)
            assert str(where) in str(caught.value), (path, value)
            assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("grid", "pixel_mm"), 0),
        (("grid", "overlap"), 16),
        (("grid", "slices"), 1.5),
        (("diagnosis", "temperatures", "ACL"), 0),
        (("diagnosis", "temperatures", "ACL"), -1.0),
        (("diagnosis", "thresholds", "ACL"), 0.0),
        (("diagnosis", "thresholds", "ACL"), 1.01),
        (("diagnosis", "label_fraction"), 0),
        (("diagnosis", "region", "detail"), 9),
        (("diagnosis", "synthetic_only"), "yes"),
        (("diagnosis", "synthetic_only"), 1),
        (("joint", "abnormalities", 0, "seen_in"), ["oblique"]),
        (("joint", "abnormalities", 0, "seen_in"), "axial"),
        (("joint", "abnormalities", 0, "seen_in"), 3),
        (("diagnosis", "diagnoser", "labels"), ["ACL", "ACL"]),
        (("diagnosis", "diagnoser", "head"), "../x"),
        (("encoders", "axial", "config", "groups"), 0),
        (("encoders", "axial", "config", "groups"), 5),
        (("encoders", "axial", "config", "channels"), []),
        (("encoders", "axial", "config", "heads"), 0),
        (("encoders", "axial", "config", "channels", 0), -32),
        (("encoders", "axial", "config", "surprise"), 1),
        (("encoders", "axial", "file"), "../encoder_axial.safetensors"),
        (("encoders", "axial", "name"), "none such"),
        (("encoders", "diagonal"), {}),
        (("heads", "segment", "config", "classes"), 1),
        (("joint", "structures", 0, "value"), 300),
        (("joint", "structures", 0, "value"), 2),
        (("joint", "name"), ""),
        (("joint", "abnormalities", 0, "harms"), "elbow"),
        (("joint", "abnormalities", 0, "meaning"), 1.5),
        (("joint", "abnormalities", 0, "meaning"), "\x1b[31mred"),
        (("joint", "abnormalities", 0, "meaning"), "x" * 300),
        (("joint", "structures", 0, "snomed", "kind"), ["\ud800", "Femur"]),
        (("joint", "structures", 0, "snomed", "kind"), [None, "Femur"]),
        (("joint", "structures", 0, "name"), "x" * 5000),
        (("diagnosis", "diagnoser", "stacking"), []),
        (("diagnosis", "diagnoser", "fusion"), ["gating"]),
        (("diagnosis", "temperatures"), {}),
        (("diagnosis", "thresholds"), {"ACL": 0.5}),
        (("schema",), 3),
        (("sha256",), None),
    ],
)
def test_what_cannot_be_is_refused_when_it_is_read(tmp_path, path, value):
    raw = json.loads((SHIPPED / "knee-small" / INFO).read_text())
    with pytest.raises(BundleError, match=str(tmp_path)) as caught:
        verify_all(write(tmp_path, raw, path, value))
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("stride", [0, -1, 300, 3])
@pytest.mark.parametrize("what", ["segment", "diagnose"])
def test_a_head_that_does_not_fit_its_encoder_is_refused(bundle, diagnosis, tmp_path, what, stride):
    made = bundle if what == "segment" else diagnosis
    shutil.copytree(made.path, tmp_path / "b")
    raw = json.loads((tmp_path / "b" / INFO).read_text())
    path = ("heads", "segment", "config", "stride", 0)
    if what == "diagnose":
        path = ("diagnosis", "diagnoser", "head_config", "block_strides", 1, 0)
    where = write(tmp_path / "b", raw, path, stride)
    with pytest.raises(BundleError, match=r"impossible|stride and channels|does not match|is \(.*, not \("):
        read_with(where.parent, what)


def read_with(folder, what):
    damaged, image = open_bundle(folder), torch.zeros(1, 1, 8, 32, 32)
    head = damaged.head(what) if what == "segment" else damaged.diagnoser().head(View.SAGITTAL)
    Reader(lambda view: damaged.encoder(view, what), torch.device("cpu")).blocks(View.SAGITTAL, image, head)


def verify_all(path):
    """As a user meets it: `models verify` builds the networks."""
    for one in SHIPPED.glob("knee-small/*.safetensors"):
        (path.parent / one.name).symlink_to(one)
    verify(open_bundle(path.parent))


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "[" * 100_000, '{"schema": 2, "name": 1e999}', "\0"])
def test_what_is_no_description_is_refused(tmp_path, text):
    (tmp_path / INFO).write_text(text)
    with pytest.raises(BundleError, match="not a model description"):
        read_info(tmp_path / INFO)
