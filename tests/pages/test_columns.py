"""docs/columns.md names every column and key of every table and record that the commands write, and no other."""

import csv
import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

import orthodx
from orthodx.networks.encoders.ortho import OrthoConfig, OrthoEncoder
from orthodx.studies.sidecar import sidecar
from orthodx.studies.tables import write_table
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.knee.procedural import random_knee
from orthodx.synth.study_writer import write_cohort
from orthodx.trials.calibration import COLUMNS as CALIBRATION_COLUMNS

PAGE = Path(__file__).parents[2] / "docs/columns.md"
QUICK = {"workers": 0, "device": "cpu"}


@dataclass(frozen=True)
class Entry:
    """One table of the page. free: further names are allowed, such as those of labels."""

    file: str
    commands: frozenset
    names: frozenset
    free: bool
    values: tuple = ()  # (column, all it may hold), where the page lists them all

    def is_of(self, command, file):
        """Whether it tells of a file; `<...>` stands for any name."""
        pattern = re.sub(r"<\w+>", ".+", re.escape(self.file).replace(r"\<", "<").replace(r"\>", ">"))
        return command in self.commands and re.fullmatch(pattern, file) is not None


def named(cell):
    return re.findall(r"`([^`]+)`", cell)


def closed(unit):
    """All values of a column, where the page lists them, such as `ok`, `warned`; else nothing."""
    parts = unit.split(", ")
    listed = all(re.fullmatch(r"`[^`]+`|0|1|blank", part) for part in parts)
    return frozenset(part.strip("`") for part in parts) | {""} if listed and len(parts) > 1 else frozenset()


def entries():
    found = []
    for part in re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        file, commands = re.match(r"`(\S+)` \((.*)\)", part).groups()
        table = re.search(r"^\| (?:column|key) .*?(?:\n\n|\Z|\n$)", part, re.MULTILINE | re.DOTALL)[0]
        lines = [[cell.strip() for cell in line.split("|")[1:]] for line in table.strip().splitlines()[2:]]
        cells = [line[0] for line in lines]
        names = {name for cell in cells if not cell.startswith("*") for name in named(cell)}
        free = any(cell.startswith("*") for cell in cells)
        values = tuple((name, listed) for cell, unit, *_ in lines if (listed := closed(unit)) for name in named(cell))
        found.append(Entry(file, frozenset(commands.split(", ")), frozenset(names), free, values))
    return sorted(found, key=lambda entry: "<" in entry.file)  # a name of its own comes first


def names_in(path):
    """The columns of a table, the keys of a record."""
    if path.suffix == ".json":
        return set(json.loads(path.read_text(encoding="utf-8")))
    with path.open(newline="", encoding="utf-8") as file:
        return set(next(csv.reader(file, delimiter="\t" if path.suffix == ".tsv" else ",")))


def tables(folder):
    """All tables and records below a folder that people read."""
    kinds = (".csv", ".tsv", ".json")
    return [p for p in folder.rglob("*") if p.suffix in kinds and not any(x.startswith(".") for x in p.parts[-3:])]


@pytest.fixture(scope="module")
def visits(tmp_path_factory):
    """One injured coarse knee seen twice, and what followup says of it."""
    folder = tmp_path_factory.mktemp("visits")
    coarse = partial(random_knee, spacing_mm=1.6)
    write_cohort(folder / "synth", studies=1, visits=2, lesions=True, views=("sagittal",), anatomy=coarse)
    orthodx.followup(folder / "out", folder=folder / "synth", masks=folder / "synth/truth", no_change=True, workers=0)
    return folder


@pytest.fixture(scope="module")
def trained(images, knee, cohort, tmp_path_factory):
    """What one step of each kind of training writes."""
    out = tmp_path_factory.mktemp("trained")
    AnatomyBank(out / "bank").add("knee", knee)
    tiny = {**QUICK, "batch": 1, "crop": (4, 32, 32), "preset": "tiny", "steps": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OrthoEncoder.presets, "tiny", OrthoConfig(channels=(8, 8, 8, 8), time_channels=8))
        orthodx.pretrain(images["axial"], out / "plain", view="axial", **tiny)
        weights = out / "plain/encoder_axial.safetensors"
        orthodx.pretrain(images["axial"], out / "distilled", view="axial", distil=weights, **tiny)
        orthodx.pretrain(images["axial"], out / "aligned", view="axial", align=0.1, **tiny)
        more = {"views": "axial", "validate_every": 1, "patience": 1}
        orthodx.finetune(cohort, out / "masks", from_scratch=True, validation=out / "bank", **tiny, **more)
    return out


@pytest.fixture(scope="module")
def masks(cohort, bundle, diagnosis, taught, tmp_path_factory):
    """Commands with the options that add columns."""
    out = tmp_path_factory.mktemp("masks")
    orthodx.segment(cohort, out / "masks", model=bundle.path, keep_paths=True, preview=False, **QUICK)
    orthodx.evaluate(
        out / "report", masks=out / "masks", truth=cohort / "truth", manifest=cohort / "manifest.csv", by="center",
        workers=0, resamples=100,
    )  # fmt: skip
    orthodx.diagnose(cohort, out / "diagnosed/told.csv", model=diagnosis.path, keep_paths=True, **QUICK)
    rated = [{"image": image} for image in ("as it is", "spoiled")]  # tests/cli/test_calibrate.py makes a real one
    write_table(out / "calibration.csv", rated, CALIBRATION_COLUMNS)
    orthodx.convert(
        taught / "export new",
        out / "described",
        key=taught / "key",
        descriptions=True,
        link=out / "link.csv",
        workers=0,
    )
    return out


@pytest.fixture(scope="module")
def written(visits, trained, masks, taught, transferred):
    """(command, what the page calls the file) -> names of each such file that was written."""
    told = {}

    def add(command, folder, rename=lambda name: name):
        for path in tables(folder) if folder.is_dir() else [folder]:
            told.setdefault((command, rename(path.name)), []).append((path, names_in(path)))

    for name in ("old", "new"):
        add("convert", taught / name)
    add("convert", masks / "described")
    for link in (taught / "link.csv", masks / "link.csv"):
        add("convert", link)
    full = {"FlipAngle": 90, "EchoTrainLength": 8, "PixelBandwidth": 200, "ImagingFrequency": 128, "InversionTime": 150}
    told["convert", "full.json"] = [(Path("full.json"), set(sidecar(full, "magnitude", "a scanner that says all")))]
    add("models calibrate", masks / "calibration.csv")
    for folder in (taught / "masks", masks / "masks"):
        add("segment", folder)
    for stem in (taught / "own", taught / "shipped", masks / "diagnosed/told"):
        for end in (".csv", ".answers.csv", ".status.csv", ".run.json"):
            name = "run.json" if end == ".run.json" else f"predictions{end}"
            add("diagnose", stem.with_name(stem.name + end), lambda _, name=name: name)
    add("diagnose", taught / "why")
    for report in (taught / "report", masks / "report", transferred / "report", transferred / "transfer/report"):
        add("evaluate", report)
    add("followup", visits / "out")
    add("synth", visits / "synth")
    add("synth", trained / "bank")
    for run in ("plain", "distilled", "aligned"):
        add("pretrain", trained / run)
    add("finetune, masks", trained / "masks")
    add("finetune, labels", taught / "fit")
    arms = transferred / "transfer"
    for name in ("arms.csv", "run.json", "my-model", "split"):
        add("transfer", arms / name, lambda name: "manifest.csv" if name in ("train.csv", "test.csv") else name)
    for arm in (arms / "arms").iterdir():
        for path in tables(arm):
            of_diagnose = path.name.startswith("predictions.")
            name = "run.json" if path.name == "predictions.run.json" else path.name
            add("diagnose" if of_diagnose else "finetune, labels", path, lambda _, name=name: name)
    return told


def entry_of(page, command, file):
    """What the page says of a file of a command; `finetune, labels` has entries of its own, too."""
    if file == "validation.csv":
        return next(e for e in page if e.file == "predictions.csv")
    kind = set(command.split(", "))
    found = [e for e in page if e.is_of(command.split(", ")[0], file)]
    own = [e for e in found if kind <= e.commands] or [e for e in found if not {"masks", "labels"} & e.commands]
    return own[0] if own else None


def test_every_column_written_is_on_the_page_and_every_one_on_the_page_is_written(written):
    page = entries()
    seen, strange = {entry: set() for entry in page}, []
    for (command, file), found in written.items():
        entry = entry_of(page, command, file)
        for path, names in found:
            extra = names - entry.names if entry else names
            if entry is None or (extra and not entry.free):
                strange.append(f"{file} of {command}: {sorted(extra)} ({path})")
            elif entry:
                seen[entry] |= names
    assert not strange
    assert not {e.file: sorted(e.names - names) for e, names in seen.items() if e.names - names}


def test_columns_hold_no_other_values_than_the_page_lists(written):
    page, strange, looked = entries(), [], set()
    for (command, file), found in written.items():
        entry = entry_of(page, command, file)
        for path, _ in found:
            if path.suffix != ".csv":
                continue
            with path.open(newline="", encoding="utf-8") as table:
                rows = list(csv.DictReader(table))
            for column, listed in entry.values:
                there = {row[column] for row in rows if column in row}
                looked |= {(file, column)} if there - {""} else set()
                strange += [f"{file} of {command}: {column} is {value!r}" for value in there - listed]
    assert not strange
    assert len(looked) > 15


def test_the_page_tells_each_file_of_a_command_once():
    page = [(entry.file, command) for entry in entries() for command in entry.commands - {"masks", "labels"}]
    twice = {one for one in page if page.count(one) > 1}
    assert twice == {("metrics.csv", "finetune")}  # from masks and from labels: two kinds of table
