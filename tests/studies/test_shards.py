"""Shards of one run: every study belongs to one of them, and all of them may write into one place at once."""

import multiprocessing

import pytest

from orthodx.errors import UsageError
from orthodx.studies.claim import OWNER, Owner, Place, claimed, turn
from orthodx.studies.receipts import Receipts
from orthodx.studies.shards import Seldom, Shard, shard_of


@pytest.fixture(autouse=True)
def hurried(monkeypatch):
    monkeypatch.setattr("orthodx.studies.claim._PATIENCE", 0.2)


def hold(folder, shard=None, resume=False, options=(("model", "a"),), stem=""):
    owner = Owner(by="orthodx segment", options=dict(options), resume=resume, shard=shard_of(shard))
    return claimed(Place(folder, stem), owner)


def finish(folder, case):
    (folder / f"{case}.txt").write_text(case)
    Receipts(folder / ".done").write(case, {}, [folder / f"{case}.txt"], {"case": case})


def refused(*more, **named):
    with pytest.raises(UsageError) as caught, hold(*more, **named):
        pass
    return caught.value.line


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_every_study_is_of_one_shard(count):
    studies = [f"study-{i}" for i in range(200)] + ["Müller", " knee 1 ", ""]
    for study in studies:
        assert sum(Shard(i, count).has(study) for i in range(1, count + 1)) == 1


def test_a_study_stays_in_its_shard_whatever_its_id_is_written_with():
    assert Shard(1, 3).has("study-7")
    assert [Shard(i, 5).has("Mu\u0308ller ") for i in range(1, 6)] == [
        Shard(i, 5).has("M\u00fcller") for i in range(1, 6)
    ]
    assert Shard(1, 4).has("")  # what belongs to no study


def test_shards_are_about_alike():
    sizes = [sum(Shard(i, 4).has(f"study-{n:04d}") for n in range(4000)) for i in range(1, 5)]
    assert sum(sizes) == 4000
    assert max(sizes) < 1.1 * min(sizes)


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "1/0", "-1/3", "1/3/5", "a/b", "1.5/3", "٣/٤/٥"])
def test_what_is_no_shard_is_refused(text):
    with pytest.raises(UsageError, match="is no shard"):
        shard_of(text)


def test_a_shard_is_read_as_people_write_it():
    assert [shard_of(text) for text in ("2/3", " 2 / 3 ", None)] == [Shard(2, 3), Shard(2, 3), None]


@pytest.mark.parametrize("stem", ["", "predictions"])
def test_shards_share_a_place_and_nobody_else_does(tmp_path, stem):
    with hold(tmp_path, "1/3", stem=stem), hold(tmp_path, "2/3", stem=stem):
        assert "another run is writing there" in refused(tmp_path, "2/3", stem=stem)
        assert "another run is writing there" in refused(tmp_path, "2/4", stem=stem)
        assert "another run is writing there" in refused(tmp_path, stem=stem)
    assert list(tmp_path.glob(".*lock")) == []


def test_a_shard_waits_for_no_run_that_is_not_of_its_kind(tmp_path, monkeypatch):
    monkeypatch.setattr("orthodx.studies.claim._OF_SHARDS", 0.3)
    with hold(tmp_path):
        assert "another run is writing there" in refused(tmp_path, "1/2")


def test_further_shards_need_no_resume_and_the_same_one_does(tmp_path):
    with hold(tmp_path, "1/2"):
        finish(tmp_path, "one")
    with hold(tmp_path, "2/2"):
        finish(tmp_path, "two")
    assert "already holds results" in refused(tmp_path, "1/2")
    assert "already holds results" in refused(tmp_path, "1/3")
    assert "already holds results" in refused(tmp_path)
    with hold(tmp_path, "1/2", resume=True), hold(tmp_path, "2/2", resume=True):
        pass
    with hold(tmp_path, resume=True):
        pass
    assert {path.name for path in tmp_path.glob("*.txt")} == {"one.txt", "two.txt"}


def test_a_run_without_shards_is_not_gone_on_with_by_one(tmp_path):
    with hold(tmp_path):
        finish(tmp_path, "one")
    assert "already holds results" in refused(tmp_path, "1/2")


def test_shards_have_the_same_options(tmp_path):
    with hold(tmp_path, "1/2"):
        finish(tmp_path, "one")
    assert "other options (model)" in refused(tmp_path, "2/2", options=[("model", "b")])


def test_what_another_shard_has_half_written_is_left_alone(tmp_path):
    with hold(tmp_path, "1/2"):
        (tmp_path / ".part-mine").write_text("half")
        with hold(tmp_path, "2/2"):
            pass
        assert (tmp_path / ".part-mine").exists()
    assert not (tmp_path / ".part-mine").exists()


def test_a_run_in_the_folder_above_leaves_a_shard_alone(tmp_path):
    with hold(tmp_path / "inner", "1/2"):
        (tmp_path / "inner/.part-mine").write_text("half")
        (tmp_path / "other").mkdir()
        (tmp_path / "other/.part-old").write_text("half")
        with hold(tmp_path):
            pass
        assert (tmp_path / "inner/.part-mine").exists()
    assert not (tmp_path / "other/.part-old").exists()


def test_a_shard_of_which_nothing_came_takes_nothing_from_the_others(tmp_path):
    with hold(tmp_path, "1/2"):
        with pytest.raises(ZeroDivisionError), hold(tmp_path, "2/2"):
            raise ZeroDivisionError
        assert (tmp_path / OWNER).exists()
        finish(tmp_path, "one")
    assert (tmp_path / OWNER).exists()


def _add(folder, number):
    for _ in range(20):
        with turn(Place(folder), Shard(number, 4)):
            count = int((folder / "count").read_text())
            (folder / "count").write_text(str(count + 1))


def test_what_all_write_is_written_by_one_at_a_time(tmp_path):
    (tmp_path / "count").write_text("0")
    jobs = [multiprocessing.get_context("spawn").Process(target=_add, args=(tmp_path, i + 1)) for i in range(3)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert (tmp_path / "count").read_text() == "60"


def test_together_is_put_now_and_then_only():
    due = Seldom(seconds=1000)
    assert [due(), due()] == [True, False]
    due.last -= 2000
    assert due()
