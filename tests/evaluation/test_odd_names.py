"""Names that would break a terminal, a page, a table or a picture are shown with substitutes, never raw."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from orthodx.cli.app import app

NAMES = ("[/red]", "<img src=x onerror=alert(1)>", "ACL+", "ACL-", r"$\frac$", "a|[x](http://evil)", "\x1b[31mESC")
NAMES += ("膝" * 120,)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd") / "M\udcfcller\x1b[31m"
    folder.mkdir()
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (40, len(NAMES)))
    chance = np.clip(0.5 + 0.3 * (truth - 0.5) + rng.normal(0, 0.2, truth.shape), 0, 1).round(3)
    for name, values in (("predictions", chance), ("labels", truth)):
        head = ",".join(["study_id", *(f'"{n}"' for n in NAMES)])
        lines = [",".join([f"S{i}", *map(str, row)]) for i, row in enumerate(values.tolist())]
        (folder / f"{name}.csv").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    (folder / "ehr.csv").write_text("study_id,sex\n" + "".join(f"S{i},<b>{i % 2}</b>\n" for i in range(40)))
    line = ["evaluate", "--predictions", folder / "predictions.csv", "--labels", folder / "labels.csv", "--ehr",
            folder / "ehr.csv", "--by", "Sex", "--out", folder / "out", "--resamples", 100, "--worst", 1,
            "--compare", folder / "predictions.csv"]  # fmt: skip
    done = CliRunner().invoke(app, [*map(str, line)])
    assert done.exit_code == 0, done.output
    return folder / "out", done.output


def test_nothing_raw_reaches_terminal_or_files(report):
    out, shown = report
    assert "[/red]" in shown
    texts = [shown, *(f.read_text(encoding="utf-8") for f in out.rglob("*.*") if f.suffix != ".png")]
    for text in texts:
        assert "\x1b" not in text
        assert not any("\ud800" <= sign <= "\udfff" for sign in text)


def test_no_tag_or_link_of_a_name_is_live(report):
    out, _ = report
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page
    methods = (out / "methods.md").read_text(encoding="utf-8")
    assert "<" not in methods
    assert r"a\|\[x\](http://evil)" in methods


def test_every_label_has_figures_of_its_own(report):
    assert len([*report[0].glob("figures/roc_*.svg")]) == len(NAMES)


def test_names_come_back_from_the_tables(report):
    told = json.loads((report[0] / "summary.json").read_text(encoding="utf-8"))
    assert set(told["counts"]["diagnosis"]["labels"]) == {*NAMES[:6], "\\x1b[31mESC", NAMES[7]}
