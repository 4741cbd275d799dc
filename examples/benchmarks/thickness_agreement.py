"""How well do masks on the grid of an image tell the thickness of cartilage that is known?

    python examples/benchmarks/thickness_agreement.py BANK OUT [--knees 50] [--model-knees 20]

BANK holds procedural knees (`orthodx synth --bank`; those that are missing are built on voxels of 0.7 mm). What is
measured in the anatomy itself is the known thickness. Each knee is scanned in three views by a center at random, with
everyday obliquity; its true masks are measured on each image's grid, in the best series too, as `segment` chooses it.
--model-knees: of so many the images are segmented by knee-small as well. Prints mean difference and 95 % limits of
agreement (1.96 sd, Bland & Altman 1986) by plate; OUT/agreement.csv has every number.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import orthodx
from orthodx.joints import KNEE
from orthodx.measuring.of_study import EXTRUSION, MEAN, how_seen, measure_study
from orthodx.studies.manifest import COLUMNS, MANIFEST
from orthodx.studies.nifti import write_image
from orthodx.studies.tables import write_table
from orthodx.studies.volume import Volume
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.deformation import NO_DEFORMATION
from orthodx.synth.knee.procedural import random_knee
from orthodx.synth.knee.protocols import PROTOCOLS
from orthodx.synth.knee.tissues import TISSUES, side_of
from orthodx.synth.patient_writer import scan_params
from orthodx.synth.scanner import render

SEED, SPACING_MM = 1800, 0.7


def rows_of(volume: Volume, study: str, series: str, view: str, side: str) -> list[dict]:
    """A label map's rows of volumes.csv, as `segment` makes them."""
    shown = how_seen(volume.data, volume.affine, volume.spacing_mm)
    counts = np.bincount(volume.data.ravel(), minlength=256)
    ml = float(np.prod(volume.spacing_mm)) / 1000
    about = {"study_id": study, "series_id": series, "view": view, "laterality": side, "unsure": False}
    return [
        {**about, "structure": name, "voxels": int(counts[v]), "ml": counts[v] * ml, **shown.get(v, {})}
        for v, name in KNEE.names.items()
    ]


def numbers(rows: list[dict], volumes: dict[str, Volume]) -> dict[tuple[str, str, str], float]:
    """(structure, plate, measure) -> mm."""
    found = measure_study(rows, volumes.get, KNEE).rows
    return {(r["structure"], r["plate"], r["measure"]): r["value"] for r in found if r["measure"] in (MEAN, EXTRUSION)}


def one_knee(bank: AnatomyBank, i: int, images: Path | None) -> tuple[list[dict], list[dict]]:
    """Rows (knee, in, structure, plate, measure, known, found), and rows of a manifest where images are written."""
    tissues, affine = (np.array(a) for a in bank[i])
    side, name = side_of(tissues), bank.names[i]
    fine = Volume(TISSUES.structure_of[tissues], affine, name)
    known = numbers(rows_of(fine, name, "fine", "", side), {"fine": fine})
    rng = np.random.default_rng([SEED, i, 1])
    center = list(PROTOCOLS)[int(rng.integers(len(PROTOCOLS)))]
    volumes, rows, listed = {}, {}, []
    for protocol in PROTOCOLS[center]:
        params = scan_params(protocol, rng.normal(0, 3, 3), TISSUES, rng)
        image, truth = render(torch.from_numpy(tissues), affine, params, NO_DEFORMATION, TISSUES)
        view = str(protocol.view)
        volumes[view] = Volume(truth.numpy(), params.plane.affine, view)
        rows[view] = rows_of(volumes[view], name, view, view, side)
        if images is not None:
            path = f"{name}/{name}-{view}.nii.gz"
            (images / name).mkdir(parents=True, exist_ok=True)
            write_image(
                images / path, (image.numpy() * 1000).round().clip(0, 32767).astype(np.int16), params.plane.affine
            )
            ids = {"patient_id": name, "study_id": name, "series_id": f"{name}-{view}"}
            listed.append({**ids, "path": path, "joint": "knee", "laterality": side, "view": view, "center": center})
    found = {view: numbers(rows[view], volumes) for view in volumes}
    found["best series"] = numbers([row for view in rows.values() for row in view], volumes)
    out = []
    for where, values in found.items():
        for key, value in values.items():
            about = dict(zip(("structure", "plate", "measure"), key, strict=True))
            out.append({"knee": name, "in": f"true masks, {where}", **about, "known": known[key], "found": value})
    return out, listed


def by_model(out: Path, known: pd.DataFrame) -> pd.DataFrame:
    """The same rows of the images in `out`/images, by knee-small's measures.csv."""
    orthodx.segment(out / "images", out / "masks", model="knee-small", resume=True)
    key = ["knee", "structure", "plate", "measure"]
    table = pd.read_csv(out / "masks" / "measures.csv", keep_default_na=False)
    table = table.rename(columns={"study_id": "knee", "value": "found"})[[*key, "found"]]
    table["found"] = pd.to_numeric(table["found"], errors="coerce")
    truth = known[known["in"] == "true masks, best series"][[*key, "known"]]
    return truth.merge(table, on=key).assign(**{"in": "masks of knee-small, best series"})


def report(table: pd.DataFrame) -> None:
    """Mean difference and limits of agreement, a line a plate."""
    for (where, structure, plate, measure), rows in table.groupby(["in", "structure", "plate", "measure"], sort=False):
        apart = (rows["found"] - rows["known"]).dropna()
        if len(apart) < 2:
            continue
        bias, reach = apart.mean(), 1.96 * apart.std(ddof=1)
        limits = f"{bias:+.2f} ({bias - reach:+.2f} to {bias + reach:+.2f})"
        print(f"{where} | {structure} {plate} {measure} | n {len(apart)} | {rows['known'].mean():.2f} | {limits}")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bank", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--knees", type=int, default=50)
    parser.add_argument("--model-knees", type=int, default=0)
    given = parser.parse_args()
    bank = AnatomyBank(given.bank)
    for i in range(len(bank), given.knees):
        bank.add(f"knee-{SEED}-{i:04d}", random_knee(np.random.default_rng([SEED, i]), spacing_mm=SPACING_MM))
    rows, listed = [], []
    for i in range(given.knees):
        of_knee, images = one_knee(bank, i, given.out / "images" if i < given.model_knees else None)
        rows, listed = rows + of_knee, listed + images
        write_table(given.out / "agreement.csv", rows, list(rows[0]))
        print(f"{i + 1} of {given.knees}", flush=True)
    table = pd.DataFrame(rows).astype({"known": float, "found": float})
    report(table)
    if listed:
        write_table(given.out / "images" / MANIFEST, listed, COLUMNS)
        of_model = by_model(given.out, table)
        report(of_model)
        table = pd.concat([table, of_model])
    table.to_csv(given.out / "agreement.csv", index=False)


if __name__ == "__main__":
    main()
