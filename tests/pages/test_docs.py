"""The pages in docs/ tell of what is there."""

import ast
import re
from pathlib import Path

import pytest

from orthodx.joints import open_joint

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("docs/**/*.md"),
        ROOT / "CONTRIBUTING.md",
        *ROOT.glob("orthodx/bundles/shipped/*/*.md"),
        *ROOT.glob("**/README.md"),
    ]
)


def defined(path):
    """Names that a file defines: functions, classes, `Class.method`, assignments."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{one.name}" for one in node.body if isinstance(one, ast.FunctionDef)}
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {one.id for one in targets if isinstance(one, ast.Name)}
    return names


def test_every_place_that_the_design_names_is_there():
    places = re.findall(r"`([\w/]+\.py): ([\w.]+)`", (ROOT / "docs/design.md").read_text(encoding="utf-8"))
    assert len(places) > 50
    gone = [f"{file}: {name}" for file, name in places if name not in defined(ROOT / "orthodx" / file)]
    assert not gone


def test_every_room_is_in_the_design():
    rooms = {p.parent.name for p in ROOT.glob("orthodx/*/__init__.py")}
    assert rooms == set(re.findall(r"^\| `orthodx/(\w+)/`", (ROOT / "docs/design.md").read_text(), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_files_of_a_page_are_there(page):
    text = page.read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)(?:#[\w-]*)?\)", text) if "://" not in link]
    files = re.findall(r"`((?:orthodx|tests|examples)/[\w/.-]+\.\w+)`", text)
    assert not [link for link in links if not (page.parent / link).exists()]
    assert not [file for file in files if not (ROOT / file).exists()]


def test_the_index_leads_to_every_page():
    text = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    pages = {str(page.relative_to(ROOT / "docs")) for page in ROOT.glob("docs/**/*.md")} - {"index.md"}
    assert set(re.findall(r"\]\(([\w/]+\.md)\)", text)) == pages


def test_the_citation_is_of_this_version_under_its_licences():
    cited = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (version,) = re.findall(r"^version = \"(.+)\"$", project, re.MULTILINE)
    (licences,) = re.findall(r"^license = \"(.+)\"$", project, re.MULTILINE)
    assert re.findall(r"^version: (.+)$", cited, re.MULTILINE) == [version]
    assert re.search(r"^license:\n((?:  - .+\n)+)", cited, re.MULTILINE)[1].split()[1::2] == licences.split(" AND ")
    assert "arxiv.org/abs/2602.20752" in cited


def test_the_container_is_built_from_what_is_there():
    recipe = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    sources = [one for line in re.findall(r"^COPY (.+) \S+$", recipe, re.MULTILINE) for one in line.split()]
    assert {"pyproject.toml", "constraints.txt", "orthodx"} <= set(sources)
    assert not [one for one in sources if not (ROOT / one).exists()]
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    assert kept == set(sources)
    python = re.search(r"^FROM python:(3\.\d+)-slim$", recipe, re.MULTILINE)[1]
    assert f"Python {python}" in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()[0]


def test_the_joint_on_its_page_is_one(tmp_path):
    text = (ROOT / "docs/joints.md").read_text(encoding="utf-8")
    (tmp_path / "shown.toml").write_text(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1])
    shown, whole = open_joint(tmp_path / "shown.toml"), open_joint(ROOT / "examples/joints/wrist.toml")
    assert shown.structures[0] == whole.structures[0]
    assert shown.abnormalities[0] == whole.abnormalities[0]
    assert shown.names == whole.names
