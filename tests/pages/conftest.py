"""Pages followed from DICOM to their ends; each once a session, for all who look at it."""

import re

import pytest

from orthodx.joints import ANKLE

from .following import DOCS, blocks, run, toys


@pytest.fixture(scope="session")
def transferred(tmp_path_factory):
    """Where docs/transfer.md led twelve toy ankles."""
    at = tmp_path_factory.mktemp("transfer")
    answers = toys(at, [f"dicom/{i}" for i in range(12)], ANKLE.codes, "ANKLE")
    answers.drop(columns="folder").to_csv(at / "reading.csv", index=False)
    lines = "".join(blocks("transfer.md", "From your DICOM")).splitlines()
    assert len(lines) == 4
    run(lines, at, {
        "orthodx transfer ankles": "--region 8 32 32 --epochs 1 --seeds 1 --device cpu --workers 0",
        "orthodx diagnose ankles": "--device cpu --workers 0",
        "orthodx evaluate": "--resamples 100",
    })  # fmt: skip
    return at


@pytest.fixture(scope="session")
def taught(tmp_path_factory):
    """Where docs/tutorial.md led twelve toy knees in folders of odd names."""
    at = tmp_path_factory.mktemp("tutorial")
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    (at / "my-knee.toml").write_text(re.search(r"```toml\n(.*?)```", text, re.DOTALL)[1], encoding="utf-8")
    folders = [f"export old/CD 1 (Müller & Söhne)/Knie li. - Nr. {i}, $HOME's" for i in range(8)]
    folders += [f"export new/#{i}; -rf *.dcm" for i in range(4)]
    answers = toys(at, folders, ["CYST", "EFFU"], "KNEE", seed=4)  # both answers of both labels on both sides
    answers.drop(columns="StudyInstanceUID").to_csv(at / "reading.csv", index=False)
    lines = "".join(blocks("tutorial.md", "The way")).splitlines()
    assert len(lines) == 7
    run(lines, at, {
        "orthodx segment": "--device cpu --workers 0",
        "orthodx diagnose": "--device cpu --workers 0",
        "orthodx finetune": "--region 8 32 32 --device cpu --workers 0",
        "orthodx evaluate": "--resamples 100",
    })  # fmt: skip
    return at
