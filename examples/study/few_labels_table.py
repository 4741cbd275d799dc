"""The scores of few_labels.py as one table in the repository, and the tables and the curve of docs/study.md from it.

    python examples/study/few_labels_table.py DICE.csv [--work WORK] [--figures FOLDER]

With --work, DICE.csv is written first: the Dice of every run, series and structure. Intervals and tests are those of
`orthodx evaluate`: means over patients, seeds of one arm and number averaged and their scatter counted in, pretrained
against the others on the same patients, Holm over all differences of a table.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from orthodx.evaluation.comparison import Run
from orthodx.evaluation.figures import efficiency
from orthodx.evaluation.label_efficiency import label_efficiency
from orthodx.evaluation.notices import Notices
from orthodx.evaluation.rows import ALL_STRUCTURES, Row
from orthodx.evaluation.run_facts import RunFacts
from orthodx.joints import KNEE

LABELLED = 64  # patients of the whole training cohort
CURVES = {  # arm -> how its encoders began, which names its curve
    "tuned": "pretrained",
    "frozen": "pretrained, frozen",
    "scratch": "from scratch",
    "tuned3": "pretrained, longer",
    "scratch3": "from scratch, longer",
    "dynunet": "from scratch, dynunet",
}
AT_ONE_TIME, LONGER = ("tuned", "frozen", "dynunet", "scratch"), ("tuned3", "scratch3")  # compared first with last
UNSEEN = ("Riverside", "Uplands")
FACTS = ["arm", "labelled", "seed", "center", "field_strength", "patient_id", "series_id"]


def collected(work: Path) -> pd.DataFrame:
    """A row a run and series: FACTS, then the Dice of each structure."""
    parts = []
    for path in sorted(work.glob("scores/*/per_case.csv")):
        arm, count, seed = path.parent.name.split("-")
        cases = pd.read_csv(path)
        dice = cases[cases["metric"] == "dice"].astype({"value": float})
        ids = ["center", "field_strength", "patient_id", "series_id"]
        wide = dice.pivot(index=ids, columns="target", values="value")[list(KNEE.names.values())].round(4).reset_index()
        parts.append(wide.assign(arm=arm, labelled=int(count), seed=int(seed.removeprefix("seed"))))
    return pd.concat(parts)[[*FACTS, *KNEE.names.values()]].sort_values(FACTS[:3] + FACTS[-1:])


def runs(table: pd.DataFrame) -> list[Run]:
    """The runs of a table, as `evaluate` knows them."""
    found = []
    for (arm, count, seed), part in table.groupby(["arm", "labelled", "seed"]):
        long = part.melt(["patient_id", "series_id"], list(KNEE.names.values()), "structure", "dice")
        long = long.assign(study_id=long["patient_id"], state="scored")
        facts = RunFacts(f"{arm}-{count}-seed{seed}", {}, count / LABELLED, CURVES[arm], "", {})
        found.append(Run(facts, masks=long))
    return found


def estimates(table: pd.DataFrame) -> list[Row]:
    """Every point and difference."""
    return label_efficiency(runs(table), Notices(lambda line, refused: None))


def told(row: Row | None, signed: bool = False) -> str:
    """A value with its interval."""
    if row is None:
        return ""
    sign = "+" if signed else ""
    return f"{row.value:{sign}.3f} ({row.low:{sign}.3f} to {row.high:{sign}.3f})"


def lines(rows: Sequence[Row], target: str, table: pd.DataFrame, arms: Sequence[str]) -> Iterator[str]:
    """A Markdown table of one target: a line a number of labelled patients; the first arm minus the last."""

    def find(count: int, arm: str, against: str = "") -> Row | None:
        wanted = {"group": f"{count / LABELLED:.4g}", "target": target, "note": CURVES[arm]}
        wanted["against"] = CURVES[against] if against else ""
        return next((r for r in rows if all(getattr(r, k) == v for k, v in wanted.items())), None)

    first, last = arms[0], arms[-1]
    yield f"| labelled patients (seeds) | {' | '.join(arms)} | {first} - {last} | p (Holm) |"
    yield "|---" * (len(arms) + 3) + "|"
    for count, part in table[table["arm"].isin(arms)].groupby("labelled"):
        drawn = ", ".join(str(part[part["arm"] == arm]["seed"].nunique()) for arm in arms)
        gap = find(int(count), first, last)
        p = "" if gap is None or gap.p_holm is None else f"{gap.p_holm:.2g}"
        cells = [told(find(int(count), arm)) for arm in arms]
        yield f"| {count} ({drawn}) | {' | '.join(cells)} | {told(gap, signed=True)} | {p} |"


def main() -> None:
    """Collect, estimate, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", type=Path)
    parser.add_argument("--work", type=Path, help="folder of few_labels.py, whose scores are written to the table")
    parser.add_argument("--figures", type=Path, help="folder for the curve")
    options = parser.parse_args()
    if options.work:
        collected(options.work).to_csv(options.table, index=False)
    table = pd.read_csv(options.table, dtype={"patient_id": str, "series_id": str})
    every, unseen = estimates(table), estimates(table[table["center"].isin(UNSEEN)])
    for heading, rows, target, arms in (
        ("All test patients, mean of the structures", every, ALL_STRUCTURES, AT_ONE_TIME),
        ("Unseen centers, mean of the structures", unseen, ALL_STRUCTURES, AT_ONE_TIME),
        ("All test patients, three times the steps", every, ALL_STRUCTURES, LONGER),
        ("Unseen centers, three times the steps", unseen, ALL_STRUCTURES, LONGER),
        ("All test patients, femur", every, "femur", AT_ONE_TIME),
        ("All test patients, medial meniscus", every, "medial_meniscus", AT_ONE_TIME),
        ("All test patients, ACL", every, "acl", AT_ONE_TIME),
    ):
        print(f"\n{heading}\n", *lines(rows, target, table, arms), sep="\n")
    if options.figures:
        options.figures.mkdir(parents=True, exist_ok=True)
        efficiency(every, ALL_STRUCTURES, "Dice", options.figures)


if __name__ == "__main__":
    main()
