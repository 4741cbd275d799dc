"""Converting cohorts: ids that betray no one, nothing overwritten, nothing half-written, centers by the user's map."""

import contextlib
import csv
import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
import uuid
import zipfile

import nibabel as nib
import numpy as np
import pydicom
import pytest

from orthodx.errors import NoInputError, UsageError
from orthodx.studies.convert import compact, convert
from orthodx.studies.dicom_files import candidates
from orthodx.studies.grouping import sort_files
from orthodx.studies.identity import load_key
from orthodx.studies.metadata import center, describe, fat_suppressed
from orthodx.studies.sidecar import sidecar
from orthodx.studies.site_map import SiteMap, read_site_map
from orthodx.synth.dicom_writer import write_dicom_series

ROW = dict(
    patient_id="P1", study_id="S1", series_id="A", center="Harbour", vendor="GE MEDICAL SYSTEMS", laterality="left",
    view="axial", sequence="pd", field_strength=1.5, tr=3000.0, te=30.0, fat_suppressed=True,
)  # fmt: skip
DATA = np.random.default_rng(3).integers(1, 2000, (16, 18, 6)).astype(np.int16)
TAGS = [
    "PatientName", "PatientID", "PatientBirthDate", "PatientBirthTime", "PatientSex", "PatientAge",
    "PatientAddress", "PatientComments", "OtherPatientIDs", "OtherPatientNames", "PatientMotherBirthName",
    "MilitaryRank", "EthnicGroup", "Occupation", "PatientTelephoneNumbers", "AdditionalPatientHistory",
    "AccessionNumber", "StudyID", "StudyDate", "SeriesDate", "AcquisitionDate", "ContentDate", "StudyTime",
    "SeriesTime", "StudyDescription", "SeriesDescription", "ProtocolName", "ReferringPhysicianName",
    "PerformingPhysicianName", "OperatorsName", "NameOfPhysiciansReadingStudy", "RequestingPhysician",
    "InstitutionAddress", "InstitutionalDepartmentName", "StationName", "DeviceSerialNumber", "ImageComments",
    "RequestedProcedureDescription", "PerformedProcedureStepDescription", "SequenceName",
    "PerformedProcedureStepID", "ManufacturerModelName", "SoftwareVersions", "StudyComments",
    "BodyPartExamined", "ScanOptions", "Manufacturer", "MagneticFieldStrength", "ScanningSequence",
    "FrameOfReferenceUID",
]  # fmt: skip


@pytest.fixture(autouse=True)
def key(tmp_path, monkeypatch):
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))
    return tmp_path / "key"


def put(folder, number=1, **changes):
    return write_dicom_series(folder, DATA, np.diag([0.5, 0.6, 3, 1]), {**ROW, **changes}, number)


def table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def everything(folder):
    parts = [p.relative_to(folder).as_posix().encode() for p in folder.rglob("*")]
    for path in folder.rglob("*"):
        if path.is_file():
            parts.append(path.read_bytes())
            if path.name.endswith(".nii.gz"):
                parts.append(nib.load(path).header.binaryblock)
    return b"\n".join(parts)


def test_no_planted_value_of_fifty_tags_is_in_any_output(tmp_path):
    folder = put(tmp_path / "dcm")
    planted = []
    for path in folder.iterdir():
        ds = pydicom.dcmread(path)
        for k, keyword in enumerate(TAGS):
            vr = pydicom.datadict.dictionary_VR(keyword)
            value = {"DA": f"1913{k % 12 + 1:02d}17", "TM": f"0{k % 9}1713.731", "AS": "087Y", "UI": f"1.2.3.731.{k}",
                     "DS": f"7.31{k:02d}731", "CS": f"SENT{k}INEL"}.get(vr, f"Sent{k}inel^731")  # fmt: skip
            setattr(ds, keyword, value)
            planted.append(value)
        block = ds.private_block(0x0029, "SENTINELCREATOR", create=True)
        block.add_new(1, "LO", "SentinelPrivate")
        planted += [ds.StudyInstanceUID, ds.SeriesInstanceUID, ds.SOPInstanceUID, "SENTINELCREATOR", "SentinelPrivate"]
        ds.save_as(path)
    odd = put(tmp_path / "bad", series_id="B", study_id="S2")
    for path in sorted(odd.iterdir())[2:3]:
        path.unlink()
    for path in odd.iterdir():
        ds = pydicom.dcmread(path)
        ds.PatientName, ds.PatientID = "Sent0inel^731", "Refused^731"
        planted += ["Refused^731", ds.StudyInstanceUID, ds.SeriesInstanceUID]
        ds.save_as(path)
    outcomes = convert([tmp_path / "dcm", odd], tmp_path / "out")
    assert [o.status for o in outcomes].count("converted") == 1
    # the field strength is a number of the scanner, kept raw by the metadata rules
    harmless = {v for v in planted if v.startswith("7.31")}
    written = everything(tmp_path / "out").lower()
    assert len(TAGS) >= 40
    assert [v for v in set(planted) - harmless if v.encode().lower() in written] == []


def test_nifti_header_text_is_empty(tmp_path):
    (outcome,) = convert([put(tmp_path / "dcm")], tmp_path / "out")
    header = nib.load(tmp_path / "out" / outcome.row["path"]).header
    for name in ("descrip", "aux_file", "db_name", "intent_name"):
        assert bytes(header[name].tobytes()).strip(b"\0") == b""
    assert not header.extensions


def test_descriptions_come_only_when_asked_for(tmp_path):
    folder = put(tmp_path / "dcm")
    convert([folder], tmp_path / "a")
    convert([folder], tmp_path / "b", descriptions=True)
    assert "description" not in table(tmp_path / "a/manifest.csv")[0]
    assert table(tmp_path / "b/manifest.csv")[0]["description"] == "axial pd"


def test_ids_follow_the_key_and_the_key_stays_outside(tmp_path):
    folder = put(tmp_path / "dcm")
    ids = []
    for name, key in (("a", "k1"), ("b", "k1"), ("c", "k2")):
        (outcome,) = convert([folder], tmp_path / name, key=tmp_path / key)
        ids.append(outcome.series_id)
    assert ids[0] == ids[1] != ids[2]
    assert (tmp_path / "k1").stat().st_mode & 0o077 == 0
    with pytest.raises(UsageError, match="output folder"):
        convert([folder], tmp_path / "d", key=tmp_path / "d/key")
    (tmp_path / "short").write_bytes(b"abc")
    with pytest.raises(UsageError, match="too short"):
        load_key(tmp_path / "short")


def test_same_named_series_of_two_studies_do_not_meet(tmp_path):
    put(tmp_path / "dcm/one")
    put(tmp_path / "dcm/two", patient_id="P2", study_id="S2", series_id="A2")
    outcomes = convert([tmp_path / "dcm"], tmp_path / "out")
    assert len({o.row["path"] for o in outcomes}) == len(list((tmp_path / "out").rglob("*.nii.gz"))) == 2


def test_an_earlier_conversion_is_not_overwritten(tmp_path):
    folder = put(tmp_path / "dcm")
    convert([folder], tmp_path / "out")
    before = everything(tmp_path / "out")
    with pytest.raises(UsageError, match="already holds results"):
        convert([folder], tmp_path / "out")
    assert everything(tmp_path / "out") == before


def test_resume_keeps_what_is_whole_and_redoes_what_is_not(tmp_path):
    folder, other = put(tmp_path / "dcm/one"), put(tmp_path / "dcm/two", 2, series_id="B")
    out = tmp_path / "out"
    first = convert([folder], out)
    kept = out / first[0].row["path"]
    stamp = kept.stat().st_mtime_ns
    (kept.parent / ".part-left.nii.gz").write_bytes(b"half")
    statuses = {o.series_id: o.status for o in convert([tmp_path / "dcm"], out, resume=True)}
    assert sorted(statuses.values()) == ["converted", "kept"]
    assert kept.stat().st_mtime_ns == stamp
    assert not list(out.rglob(".part-*"))
    assert len(table(out / "manifest.csv")) == 2
    kept.write_bytes(kept.read_bytes()[:100])  # half of a copy
    os.utime(next(other.iterdir()), ns=(1, 1))  # a file has changed
    assert {o.status for o in convert([tmp_path / "dcm"], out, resume=True)} == {"converted"}
    assert nib.load(kept).shape == (16, 18, 6)
    convert([folder], out, resume=True)
    assert len(table(out / "manifest.csv")) == 2  # the other series, not given this time, is not forgotten


def test_a_killed_run_leaves_only_whole_files_and_can_go_on(tmp_path):
    for n in range(8):
        put(tmp_path / f"dcm/{n}", n, series_id=f"A{n}")
    out = tmp_path / "out"
    code = "import sys, orthodx, pathlib; orthodx.convert([pathlib.Path(sys.argv[1])], pathlib.Path(sys.argv[2]))"
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "dcm"), str(out)])
    while process.poll() is None and not list((out / ".done").glob("[!.]*.json")):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    finished = list((out / ".done").glob("[!.]*.json"))
    assert finished
    for path in out.rglob("*.nii.gz"):
        if not path.name.startswith("."):
            assert np.asarray(nib.load(path).dataobj).shape == (16, 18, 6)
    outcomes = convert([tmp_path / "dcm"], out, resume=True)
    assert sum(o.status == "kept" for o in outcomes) >= 1
    assert len(table(out / "manifest.csv")) == 8


@pytest.mark.parametrize(
    "content",
    [lambda whole: b"", lambda whole: bytes(600), lambda whole: b"<html>not found</html>", lambda whole: whole[:100],
     lambda whole: gzip.compress(whole)],
    ids=["empty", "zeros", "html", "cut", "gzipped"],
)  # fmt: skip
def test_a_slice_that_cannot_be_read_is_a_hole_in_its_series_and_in_no_other(tmp_path, content):
    hurt = put(tmp_path / "dcm/a", 1, series_id="A")
    put(tmp_path / "dcm/b", 2, series_id="B")
    last = sorted(hurt.iterdir())[-1]
    last.write_bytes(content(last.read_bytes()))
    (hurt / "README.txt").write_text("no slice")
    (hurt / "VERSION").write_text("no slice")
    told = []
    convert([tmp_path / "dcm"], tmp_path / "out", tell=lambda o, done, total: told.append(o))
    assert sorted(o.status for o in told) == ["converted", "converted", "refused"]
    (named,) = (o for o in told if o.status == "refused")
    assert last.name in named.label
    warned = {
        row["slices"]: "a damaged file lies beside it" in row["warnings"]
        for row in table(tmp_path / "out/manifest.csv")
    }
    assert warned == {"5": True, "6": False}
    assert json.loads((tmp_path / "out/run.json").read_text())["files_not_dicom"] == 2


NAMES = {  # what names of slices look like, and of one that was hurt
    "numbers": lambda k: f"IM{k:04d}.dcm",
    "UIDs": lambda k: f"MR.1.3.12.2.1107.5.2.{k * 7919}.{k}",
    "hashes": lambda k: f"{hashlib.md5(bytes([k])).hexdigest()}.dcm",
    "UUIDs": lambda k: str(uuid.UUID(int=(k + 3) * 7919**8)),
    "a folder each": lambda k: f"{k:02d}/image",
    "a transfer that broke": lambda k: f"{k}.dcm" + (".part" if k == 5 else ""),
}


@pytest.mark.parametrize("names", NAMES)
def test_a_hole_is_known_by_its_name(tmp_path, names):
    whole = put(tmp_path / "whole", 1)
    for k, path in enumerate(sorted(whole.iterdir())):
        place = tmp_path / "dcm" / NAMES[names](k)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes() if k != 5 else b"\0" * 500)
    (tmp_path / "dcm/README").write_text("no slice")
    told = []
    convert([tmp_path / "dcm"], tmp_path / "out", tell=lambda o, done, total: told.append(o))
    (named,) = (o for o in told if o.status == "refused")
    assert named.label.endswith(NAMES[names](5))
    assert "zeros instead of DICOM" in named.reason
    (row,) = table(tmp_path / "out/manifest.csv")
    assert "a damaged file lies beside it" in row["warnings"]


def test_gzipped_slices_and_hurt_ones_of_several_folders_are_all_named(tmp_path):
    packed, hurt, other = (put(tmp_path / f"dcm/{n}", n, series_id=f"A{n}") for n in range(3))
    for path in packed.iterdir():
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    (hurt / "IM0002.dcm").write_bytes(b"<html>")
    (hurt / "IM0003.dcm").write_bytes(b"<html>")
    (other / "IM0006.dcm").write_bytes(b"")
    told = []
    with contextlib.suppress(NoInputError):
        convert([tmp_path / "dcm"], tmp_path / "out", tell=lambda o, done, total: told.append(o))
    said = "\n".join(f"{o.label}: {o.reason}" for o in told if o.status == "refused")
    assert "0/IM0001.dcm.gz, IM0002.dcm.gz, IM0003.dcm.gz" in said
    assert "compressed with gzip: unpack it first (6 files)" in said
    assert "1/IM0002.dcm, IM0003.dcm: a web page instead of DICOM" in said
    assert "2/IM0006.dcm: an empty file" in said
    assert "IM0" not in (tmp_path / "out/series.csv").read_text()


def test_files_without_a_preamble_are_read(tmp_path):
    put(tmp_path / "whole")
    (tmp_path / "bare").mkdir()
    for path in (tmp_path / "whole").iterdir():
        (tmp_path / "bare" / path.name).write_bytes(path.read_bytes()[132:])
    images = []
    for name in ("whole", "bare"):
        convert([tmp_path / name], tmp_path / f"{name}.out")
        images.append(next((tmp_path / f"{name}.out").rglob("*.nii.gz")).read_bytes())
    assert images[0] == images[1]


def test_a_zip_is_read_in_place_and_its_traps_are_refused(tmp_path):
    folder = put(tmp_path / "dcm")
    with zipfile.ZipFile(tmp_path / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.iterdir():
            archive.write(path, f"deep/er/{path.stem}")
        archive.writestr("../../evil.dcm", b"x")
        archive.writestr("bomb", bytes(60_000_000))
    told = []
    convert([tmp_path / "study.zip"], tmp_path / "out", tell=lambda o, done, total: told.append(o))
    assert sorted(o.status for o in told) == ["converted", "refused", "refused"]
    reasons = " ".join(o.reason for o in told)
    assert "leads out of the archive" in reasons
    assert "impossible size" in reasons
    assert not (tmp_path / "evil.dcm").exists()
    (tmp_path / "half.zip").write_bytes((tmp_path / "study.zip").read_bytes()[:900])
    with pytest.raises(NoInputError):
        convert([tmp_path / "half.zip"], tmp_path / "out2")
    assert "not a whole zip" in table(tmp_path / "out2/failures.csv")[0]["reason"]


@pytest.mark.parametrize("bytes_each", [300 << 20, 1 << 30])
def test_a_zip_that_unpacks_to_far_too_much_as_a_whole_is_refused_unread(tmp_path, monkeypatch, bytes_each):
    folder = put(tmp_path / "dcm")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
        for k in range(20):
            archive.writestr(f"part{k}", bytes(1000) + bytes(range(256)) * 100)
            archive.infolist()[-1].file_size = bytes_each  # as the table of contents will say
    monkeypatch.setattr(zipfile.ZipFile, "open", lambda *_: pytest.fail("a member was opened"))
    with pytest.raises(NoInputError):
        convert([tmp_path / "bomb.zip"], tmp_path / "out")
    (failure,) = table(tmp_path / "out/failures.csv")
    assert "impossible size as a whole" in failure["reason"]


def test_a_large_archive_of_ordinary_images_is_no_bomb(tmp_path, monkeypatch):
    folder = put(tmp_path / "dcm")
    with zipfile.ZipFile(tmp_path / "large.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    monkeypatch.setattr("orthodx.studies.dicom_files.WHOLE_BYTES", 1000)
    (outcome,) = convert([tmp_path / "large.zip"], tmp_path / "out")
    assert outcome.status == "converted"


def test_of_a_member_only_what_is_asked_for_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "notes.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("notes", np.random.default_rng(0).bytes(30_000_000))
    (file,), _ = candidates([tmp_path / "notes.zip"])
    tracemalloc.start()
    with file.peek() as stream:
        stream.read(132)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


def test_a_large_member_is_unpacked_in_bounded_memory_and_whole(tmp_path, monkeypatch):
    whole = np.random.default_rng(0).bytes(30_000_000)
    with zipfile.ZipFile(tmp_path / "notes.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("notes", whole)
    monkeypatch.setattr("orthodx.studies.dicom_files._IN_MEMORY", 1_000_000)
    (file,), _ = candidates([tmp_path / "notes.zip"])
    tracemalloc.start()
    with file.open() as stream:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert stream.read() == whole
    assert peak < 6_000_000


def test_a_header_that_never_ends_is_read_in_bounded_memory_and_named(tmp_path, monkeypatch):
    path = sorted(put(tmp_path / "dcm").iterdir())[2]
    ds = pydicom.dcmread(path)
    block = ds.private_block(0x0029, "BIG", create=True)
    for k in range(20):
        block.add_new(k, "OB", np.random.default_rng(k).bytes(1_000_000))
    ds.save_as(path)
    with zipfile.ZipFile(tmp_path / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for one in path.parent.iterdir():
            archive.write(one, one.name)
    monkeypatch.setattr("orthodx.studies.dicom_files._Beginning.left", 4_000_000)
    tracemalloc.start()
    found = sort_files(candidates([tmp_path / "study.zip"])[0])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 12_000_000
    assert [file.name for out in found.left_out for file in out.files] == ["IM0003.dcm"]


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("at_once", [0, 1 << 20])
def test_a_flipped_bit_in_a_zip_is_seen(tmp_path, monkeypatch, kind, at_once):
    monkeypatch.setattr("orthodx.studies.dicom_files._AT_ONCE", at_once)
    folder = put(tmp_path / "dcm")
    with zipfile.ZipFile(tmp_path / "study.zip", "w", kind) as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, path.name)
    raw = bytearray((tmp_path / "study.zip").read_bytes())
    with zipfile.ZipFile(tmp_path / "study.zip") as archive:
        hurt = archive.getinfo("IM0003.dcm")
    raw[hurt.header_offset + 30 + len(hurt.filename) + hurt.compress_size - 40] ^= 4
    (tmp_path / "study.zip").write_bytes(bytes(raw))
    told = []
    with contextlib.suppress(NoInputError):
        convert([tmp_path / "study.zip"], tmp_path / "out", tell=lambda o, done, total: told.append(o))
    assert not [o for o in told if o.status == "converted"]
    assert "IM0003.dcm" in " ".join(f"{o.label} {o.reason}" for o in told)


def test_members_of_one_name_and_overlapping_ones_are_refused(tmp_path):
    folder = put(tmp_path / "dcm")
    with zipfile.ZipFile(tmp_path / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
        archive.writestr("notes", b"one")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("notes", b"two")
    told = []
    convert([tmp_path / "study.zip"], tmp_path / "out", tell=lambda o, done, total: told.append(o))
    assert sorted((o.status, "stands twice" in o.reason) for o in told)[-2:] == [("refused", True)] * 2
    with zipfile.ZipFile(tmp_path / "same.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("part", np.random.default_rng(0).bytes(10_000))
        archive.filelist += archive.filelist * 9  # ten entries, one and the same place
    with pytest.raises(NoInputError):
        convert([tmp_path / "same.zip"], tmp_path / "out2")
    assert "impossible size as a whole" in table(tmp_path / "out2/failures.csv")[0]["reason"]


def test_a_zip_of_many_series_is_read_by_many_processes(tmp_path):
    for n in range(8):
        data = np.random.default_rng(n).integers(1, 2000, (64, 64, 20)).astype(np.int16)
        write_dicom_series(tmp_path / f"dcm/{n}", data, np.diag([0.5, 0.6, 3, 1]), {**ROW, "series_id": f"A{n}"}, n)
    with zipfile.ZipFile(tmp_path / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((tmp_path / "dcm").rglob("*.dcm")):
            archive.write(path, path.relative_to(tmp_path / "dcm"))
    line = [sys.executable, "-m", "orthodx", "convert", str(tmp_path / "study.zip"), "--workers", "4", "--out"]
    for run in "ab":
        done = subprocess.run([*line, str(tmp_path / run)], capture_output=True, text=True)
        assert (done.returncode, len(table(tmp_path / run / "manifest.csv"))) == (0, 8), done.stderr


def test_workers_make_the_same_bytes(tmp_path):
    for n in range(3):
        put(tmp_path / f"dcm/{n}", n, series_id=f"A{n}")
    convert([tmp_path / "dcm"], tmp_path / "a", workers=0)
    convert([tmp_path / "dcm"], tmp_path / "b", workers=2)
    images = [sorted((tmp_path / x).rglob("*.nii.gz")) for x in "ab"]
    assert [p.read_bytes() for p in images[0]] == [p.read_bytes() for p in images[1]]
    assert len(images[0]) == 3


def test_the_site_map_wins_in_order(tmp_path):
    path = tmp_path / "sites.csv"
    path.write_text(
        "institution,vendor,study_id,center\nharbour,ge,,First\nHarbour,,,Second\n,,study-1,Third\n,,,Rest\n"
    )
    sites = read_site_map(path)
    assert sites.center({"InstitutionName": "HARBOUR "}, {"vendor": "GE"}) == "First"
    assert sites.center({"InstitutionName": "Harbour"}, {"vendor": "Siemens"}) == "Second"
    assert sites.center({}, {"vendor": "", "study_id": "study-1"}) == "Third"
    assert sites.center({}, {}) == "Rest"
    assert SiteMap().center({}, {}) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [("institution,name\na,b\n", "unknown column 'name'"), ("institution\na\n", "no column 'center'"),
     ("institution,center\na,\n", "row 2 names no center")],
)  # fmt: skip
def test_a_site_map_no_one_can_follow_is_refused(tmp_path, text, reason):
    (tmp_path / "sites.csv").write_text(text)
    with pytest.raises(UsageError, match=reason):
        read_site_map(tmp_path / "sites.csv")


@pytest.mark.parametrize("text", ["", "DV28.0_R02", "syngo MR E11", "Software version 3"])
def test_a_software_is_no_center(text):
    assert center({"InstitutionName": text}) == "unknown"


def test_facts_become_columns_by_rule():
    facts = {
        "MagneticFieldStrength": "15000", "ImagingFrequency": 63.87, "Manufacturer": "Philips Medical Systems",
        "ImageLaterality": "R", "BodyPartExamined": "KNEE", "ScanningSequence": ["SE", "Muster"],
        "SeriesDescription": "FAST_GEMS t2", "InversionTime": 150.0,
    }  # fmt: skip
    row = describe(facts)
    assert (row["field_strength"], row["vendor"], row["laterality"], row["joint"]) == (1.5, "Philips", "right", "knee")
    assert (row["sequence"], row["ti"], row["fat_suppressed"]) == ("SE", 150.0, "")
    assert fat_suppressed({"ScanOptions": ["FS"]}) == ("1", "ScanOptions")
    assert fat_suppressed({"ScanOptions": ["PFP", "SP"]}) == ("0", "ScanOptions")


@pytest.mark.parametrize(
    ("name", "found"),
    [("SAG T2 FAT SAT", "1"), ("PD Fat-Sat", "1"), ("T2_FSAT_3mm", "1"), ("cor FATSUPP", "1"), ("pd_fs_tra", "1"),
     ("PD SAG NON FS", "0"), ("T1 COR NO FATSAT", "0"), ("PD w/o FS", "0"), ("non-fs pd", "0"), ("T1 SAG", ""),
     ("FSE FAT quant", ""), ("PD FS and PD non FS", "1")],
)  # fmt: skip
def test_names_tell_of_fat_suppression_and_of_its_absence(name, found):
    assert fat_suppressed({"SeriesDescription": name})[0] == found


def test_the_sidecar_has_seconds_and_sources():
    made = sidecar({"EchoTime": 30.0, "RepetitionTime": 3000.0, "FlipAngle": 90.0, "ScanOptions": "FS"}, "phase", "x 1")
    assert (made["EchoTime"], made["RepetitionTime"], made["FlipAngle"]) == (0.03, 3.0, 90.0)
    assert made["FieldSources"]["EchoTime"] == "0018,0081"
    assert made["ComplexImageComponent"] == "PHASE"
    assert made["FatSuppressed"] is True
    json.dumps(made)


def test_values_are_kept_in_the_smallest_type():
    assert compact(np.array([1.0, -3.0])).dtype == np.int16
    assert compact(np.array([0, 60_000])).dtype == np.uint16
    assert compact(np.array([-70_000.0, 1])).dtype == np.int32
    assert compact(np.array([0.5])).dtype == np.float32
