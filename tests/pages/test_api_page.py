"""docs/api.md: its example runs, and its table names every function with the arguments it needs."""

import inspect
import re

import orthodx

from .following import DOCS, toys

PAGE = (DOCS / "api.md").read_text(encoding="utf-8")


def test_the_example_of_the_page_leads_from_dicom_to_answers(tmp_path, monkeypatch, capsys):
    toys(tmp_path, ["export/Müller, A."], ["ACL"], "KNEE")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ORTHODX_KEY", str(tmp_path / "key"))
    exec(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1], {})
    said = capsys.readouterr().out
    assert said.count("converted") == 2
    assert said.count("    femur ") == 2
    assert "(32, 32, 8)" in said
    assert (tmp_path / "predictions.csv").is_file()
    assert not list(tmp_path.glob("masks/previews"))


def test_the_table_names_every_function_and_what_it_needs():
    told = dict(re.findall(r"^\| `(\w+)\((.*?)\)`", PAGE, re.MULTILINE))
    assert told.keys() == set(orthodx.__all__) - {"__version__"}
    for name, words in told.items():
        given = [word.partition("=")[0] for word in words.split(", ")]
        parameters = inspect.signature(getattr(orthodx, name)).parameters
        assert set(given) <= parameters.keys()
        needed = {
            key for key, one in parameters.items() if one.default is one.empty and one.kind is not one.VAR_KEYWORD
        }
        assert needed <= set(given)
