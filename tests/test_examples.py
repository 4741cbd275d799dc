"""Programs in examples/ can be loaded: what they import is there under that name; the notebook runs through."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
PROGRAMS = sorted(EXAMPLES.rglob("*.py"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_an_example_loads(program, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(program.parent), *sys.path])
    spec = importlib.util.spec_from_file_location(f"example_{program.stem}", program)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    assert module.__doc__


def test_the_notebook_runs_from_top_to_bottom(tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    notebook = json.loads((EXAMPLES / "first_study.ipynb").read_text(encoding="utf-8"))
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell.get("outputs") for cell in notebook["cells"])  # what is kept would grow old
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for number, cell in enumerate(cells):
        exec(compile(cell, f"cell {number}", "exec"), names)
    plt.close("all")
    assert (tmp_path / "first_study/masks.png").stat().st_size > 10_000
    assert (tmp_path / "first_study/report/report.html").is_file()
    assert len(names["answers"]) == 8
    assert (names["scores"]["metric"] == "dice").sum() == 11
