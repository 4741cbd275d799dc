"""Three hundred random damages, from a seed: never a bug, never a wrong volume, never a hang, nothing lost unnamed."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from typer.testing import CliRunner

from orthodx.cli.app import app
from orthodx.synth.dicom_writer import write_dicom_series

LIMIT_S = 60  # a case that takes longer hangs


@dataclass
class Damage:
    """What was done. lost: files that hold nothing to read any more, which somebody has to be told of."""

    words: str
    lost: list[Path] = field(default_factory=list)


Harm = Callable[[np.random.Generator, list[Path]], Damage]


def one(rng: np.random.Generator, files: list[Path]) -> Path:
    return files[rng.integers(len(files))]


def cut(rng, files):
    path = one(rng, files)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * rng.uniform(0.02, 0.98))])
    return Damage(f"cut {path.name}", [path])


def zeros(rng, files):
    path = one(rng, files)
    path.write_bytes(bytes(path.stat().st_size))
    return Damage(f"zeros in {path.name}", [path])


def empty(rng, files):
    path = one(rng, files)
    path.write_bytes(b"")
    return Damage(f"nothing in {path.name}", [path])


def page(rng, files):
    path = one(rng, files)
    path.write_bytes(b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n" * 20)
    return Damage(f"HTML in {path.name}", [path])


def noise_inside(rng, files):
    """A few bytes of one file replaced; where they fall decides what that means."""
    path = one(rng, files)
    whole = bytearray(path.read_bytes())
    at = int(rng.integers(len(whole)))
    for i in range(at, min(at + int(rng.integers(1, 9)), len(whole))):
        whole[i] = int(rng.integers(256))
    path.write_bytes(bytes(whole))
    return Damage(f"noise in {path.name} at {at}")


def gone(rng, files):
    path = one(rng, files)
    path.unlink()
    return Damage(f"{path.name} deleted")


def swap(rng, files):
    a, b = (files[i] for i in rng.choice(len(files), 2, replace=False))
    first, second = a.read_bytes(), b.read_bytes()
    a.write_bytes(second)
    b.write_bytes(first)
    return Damage(f"{a.name} and {b.name} swapped")


def duplicate(rng, files):
    path = one(rng, files)
    path.with_name("copy of " + path.name).write_bytes(path.read_bytes())
    return Damage(f"{path.name} twice")


def rename(rng, files):
    path = one(rng, files)
    name = str(rng.choice(["IMAGE", "a b.DCM", "x.txt", "ünï.dcm", "-rf", "IM.0001.bak", "$(id).dcm"]))
    path.rename(path.with_name(name))
    return Damage(f"{path.name} -> {name}")


def gzipped(rng, files):
    path = one(rng, files)
    path.write_bytes(gzip.compress(path.read_bytes()))
    return Damage(f"{path.name} gzipped", [path])


TAGS: dict[str, list[object]] = {
    "ImagePositionPatient": [None, "", ["0", "0", "0"], ["1e9", "0", "0"], ["10.5", "-20", "40"]],
    "ImageOrientationPatient": [None, ["1", "0", "0", "0", "1", "0"], ["0"] * 6, ["0", "1", "0", "0", "0", "1"]],
    "PixelSpacing": [None, ["0", "0"], ["0.1", "0.1"], ["-1", "1"], ["0.7", "0.6"]],
    "Rows": [0, 1, 23, 25, 65535],
    "Columns": [0, 19, 21],
    "BitsStored": [1, 12, 32],
    "BitsAllocated": [8, 32],
    "PixelRepresentation": [0, 3],
    "SamplesPerPixel": [3, 0],
    "PhotometricInterpretation": ["RGB", "MONOCHROME1", ""],
    "InstanceNumber": [None, "1", "-3", "999999"],
    "EchoTime": [None, "0", "30.001", "90"],
    "SeriesInstanceUID": [None, "1.2.3", ""],
    "StudyInstanceUID": ["1.2.3", ""],
    "SOPInstanceUID": [None, "1.2.3.4"],
    "PatientID": ["", "another", "../../etc"],
    "ImageType": [["DERIVED", "SECONDARY"], ["ORIGINAL", "PRIMARY", "T1 MAP"], "", ["ORIGINAL", "PRIMARY", "P"]],
    "RescaleSlope": ["0", "2", "-1", "1e30"],
    "RescaleIntercept": ["100", "-1e9"],
    "SliceThickness": [None, "0", "-4", "400"],
    "SpacingBetweenSlices": [None, "0", "40"],
    "Modality": [None, "CT", "SR"],
    "SpecificCharacterSet": ["ISO_IR 13", "ISO_IR 192"],
    "TemporalPositionIdentifier": ["1", "2"],
    "NumberOfFrames": ["0", "2", "100000"],
}


def retag(rng, files):
    """One tag of one file, or of all of them, set to another value, blanked or taken away."""
    chosen = files if rng.random() < 0.25 else [one(rng, files)]
    name = str(rng.choice(list(TAGS)))
    value = TAGS[name][rng.integers(len(TAGS[name]))]
    for path in chosen:
        ds = pydicom.dcmread(path, force=True)
        if value is None:
            if name in ds:
                delattr(ds, name)
        else:
            setattr(ds, name, value)
        ds.save_as(path, enforce_file_format=False)
    return Damage(f"{name} = {value!r} in {len(chosen)} files")


@contextmanager
def within_the_limit(words: str) -> Iterator[None]:
    """Fails the test where what is inside hangs."""

    def late(*_: object) -> None:
        raise AssertionError(f"still running after {LIMIT_S} s: {words}")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


SLICES = 9
AFFINE = np.array([[0, 0, -4.0, 30], [0.6, 0, 0, -20], [0, -0.7, 0, 40], [0, 0, 0, 1]])
DATA = np.random.default_rng(3).integers(1, 2000, (20, 24, SLICES)).astype(np.int16)
ROW = dict(
    patient_id="P1", study_id="S1", series_id="A", center="Harbour", vendor="SIEMENS", laterality="left",
    view="sagittal", sequence="pd", field_strength=3.0, tr=3000.0, te=30.0, fat_suppressed=True,
)  # fmt: skip
ON_FILES = (
    *(cut, zeros, empty, page, noise_inside, gone, swap),
    *(duplicate, rename, gzipped),
)
ON_SERIES = (*ON_FILES, *[retag] * 8)
BATCH = int(os.environ.get("ORTHODX_DAMAGES", 10))  # damages a test: a name for each of 300 would drown the others
EXITS = {0, 3, 8}


@pytest.fixture(autouse=True)
def _own_key(tmp_path, monkeypatch):
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))


def run(*words: object) -> tuple[int, str]:
    """Exit code, and all that was said."""
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
    return done.exit_code, done.output


def slices_in(folder: Path):
    """Read apart from the product: world mm (20 x 24, 3) and values of each file that says where its pixels are."""
    for path in sorted(folder.iterdir()):
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ds = pydicom.dcmread(path, force=True)
            stored = ds.pixel_array.astype(float) * float(ds.get("RescaleSlope", 1) or 1)
            values = stored + float(ds.get("RescaleIntercept", 0) or 0)
            down, right = map(float, ds.PixelSpacing)
            turn = np.array(ds.ImageOrientationPatient, float).reshape(2, 3)
            j, i = np.meshgrid(*map(np.arange, values.shape), indexing="ij")
            mm = (
                np.array(ds.ImagePositionPatient, float)
                + i[..., None] * turn[0] * right
                + j[..., None] * turn[1] * down
            )
            yield (mm * [-1, -1, 1]).reshape(-1, 3), values.ravel()


def strangers(path: Path, folder: Path) -> int:
    """Voxels of an image that no file of the folder has at that place of the world."""
    image = nib.load(path)
    data, back = image.get_fdata(), np.linalg.inv(image.affine)
    known = np.zeros(data.shape, bool)
    for mm, values in slices_in(folder):
        at = mm @ back[:3, :3].T + back[:3, 3]
        index = np.rint(at).astype(int)
        inside = (np.abs(at - index) < 0.05).all(1) & (index >= 0).all(1) & (index < data.shape).all(1)
        where = tuple(index[inside].T)
        same = np.isclose(data[where], values[inside], rtol=1e-5, atol=1e-3)
        known[tuple(axis[same] for axis in where)] = True
    return int((~known).sum())


@pytest.mark.parametrize("batch", range(17))
def test_a_damaged_series_is_converted_rightly_or_refused_by_name(tmp_path, batch):
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        rng, root = np.random.default_rng([7, seed]), tmp_path / str(seed)
        folder = write_dicom_series(root / "dcm", DATA, AFFINE, ROW, 7)
        harm = ON_SERIES[rng.integers(len(ON_SERIES))]
        damage = harm(rng, sorted(folder.iterdir()))
        words = f"seed {seed}: {damage.words}"
        with within_the_limit(words):
            code, said = run("convert", folder, "--out", root / "out", "--workers", 0)
        assert code in EXITS, f"{words}: exit {code}: {said}"
        for image in (root / "out").rglob("*.nii.gz"):
            assert not strangers(image, folder), f"{words}: voxels out of place in {image.name}: {said}"
        for lost in damage.lost:
            assert lost.name in said, f"{words}: not named in: {said}"
        shutil.rmtree(root)


# bytes of a NIfTI-1 header: dim, datatype, pixdim, vox_offset, scl_slope, qform_code, sform_code, srow_x, magic
FIELDS = (
    *((40, 2), (44, 2), (70, 2), (76, 4), (80, 4), (108, 4), (112, 4), (252, 2), (254, 2), (280, 4)),
    (344, 4),
)


def noise_in_header(rng: np.random.Generator, files: list[Path]) -> Damage:
    """One field of a NIfTI header set to what it cannot be, or to what it can."""
    path = one(rng, [f for f in files if f.name.endswith(".nii.gz")])
    image = nib.load(path)
    raw = bytearray(image.header.binaryblock + b"\0\0\0\0" + np.asarray(image.dataobj).tobytes(order="F"))
    at, many = [
        (40, 2),
        (44, 2),
        (70, 2),
        (76, 4),
        (80, 4),
        (108, 4),
        (112, 4),
        (252, 2),
        (254, 2),
        (280, 4),
        (344, 4),
    ][rng.integers(11)]
    raw[at : at + many] = rng.integers(0, 256, many).astype(np.uint8).tobytes()

    path.write_bytes(gzip.compress(bytes(raw), 1))
    return Damage(f"header of {path.name} at {at}")


def edited_table(rng: np.random.Generator, files: list[Path]) -> Damage:
    """A table as somebody's editor leaves it: a line twice, gone or cut, a cell blank, other signs, another code."""
    path = next(f for f in files if f.name == "manifest.csv")
    lines = path.read_text().splitlines()
    k = int(rng.integers(len(lines)))
    kind = str(rng.choice(["twice", "gone", "cut", "blank", "semicolons", "utf16", "nul", "comma"]))
    cells = lines[k].split(",")
    match kind:
        case "twice":
            lines.insert(k, lines[k])
        case "gone":
            del lines[k]
        case "cut":
            lines[k] = lines[k][: int(rng.integers(len(lines[k])))]
        case "blank":
            cells[int(rng.integers(len(cells)))] = ""
            lines[k] = ",".join(cells)
        case "semicolons":
            lines = [line.replace(",", ";") for line in lines]
        case "nul":
            lines[k] = lines[k][:5] + "\0" + lines[k][5:]
        case "comma":
            lines = [line + "," for line in lines]
    path.write_text("\n".join(lines) + "\n", encoding="utf-16" if kind == "utf16" else "utf-8")
    return Damage(f"manifest {kind}, line {k}")


@pytest.fixture(scope="module")
def small_cohort(tmp_path_factory):
    """Two studies of two views: small images in a manifest."""
    root = tmp_path_factory.mktemp("small")
    lines = ["patient_id,study_id,series_id,path,view"]
    for study in ("s1", "s2"):
        for view, turn in (("sagittal", AFFINE), ("axial", np.diag([0.7, 0.7, 4.0, 1.0]))):
            path = root / study / f"{study}-{view}.nii.gz"
            path.parent.mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(DATA, turn), path)
            lines.append(f"p-{study},{study},{study}-{view},{study}/{path.name},{view}")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root


ON_COHORT = (*(h for h in ON_FILES if h is not rename), *[noise_in_header] * 5, *[edited_table] * 5)


def fits(mask, image) -> bool:
    """Whether a mask has the grid of an image."""
    return mask.shape == image.shape[:3] and np.allclose(mask.affine, image.affine, atol=1e-3)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("batch", range(13))
def test_of_a_damaged_cohort_every_mask_fits_its_image_and_every_loss_is_named(tmp_path, batch, small_cohort, bundle):
    for seed in range(batch * BATCH, (batch + 1) * BATCH):
        rng, root = np.random.default_rng([8, seed]), tmp_path / str(seed)
        shutil.copytree(small_cohort, root / "in")
        files = sorted(p for p in (root / "in").rglob("*") if p.is_file())
        harm = ON_COHORT[rng.integers(len(ON_COHORT))]
        whole = [p for p in files if p.suffix == ".gz"] if harm in (gone, swap) else files
        damage = harm(rng, whole)
        words = f"seed {seed}: {damage.words}"
        line = (
            "segment",
            root / "in",
            "-o",
            root / "out",
            "--model",
            bundle.path,
            "--no-preview",
            "--device",
            "cpu",
        )
        with within_the_limit(words):
            code, said = run(*line, "--workers", 0)
        assert code in EXITS, f"{words}: exit {code}: {said}"
        for mask in (root / "out").glob("*.nii.gz"):
            named = list((root / "in").rglob(mask.name))  # none where the manifest's id is what was damaged
            made, images = nib.load(mask), [nib.load(path) for path in named or whole if path.suffix == ".gz"]
            assert any(fits(made, image) for image in images), f"{words}: {mask.name} fits no image"
        for lost in damage.lost:
            assert lost.name in said or (lost.name == "manifest.csv"), f"{words}: not named in: {said}"
        shutil.rmtree(root)


def test_the_limit_ends_what_hangs(monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "LIMIT_S", 1)
    read, _ = os.pipe()
    with pytest.raises(AssertionError, match="still running"), within_the_limit("a pipe"):
        os.read(read, 1)
