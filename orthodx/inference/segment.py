"""`orthodx segment`: studies in; masks, volumes, status and previews out. One model load, one case at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any

from orthodx.bundles.bundle import Bundle
from orthodx.errors import NoInputError, UsageError
from orthodx.inference.dicom_seg import require_highdicom
from orthodx.inference.model_choice import chosen_bundle
from orthodx.inference.predict import Segmenter
from orthodx.inference.segment_case import Case
from orthodx.inference.segment_files import FORMATS, SegmentFiles
from orthodx.inference.segment_job import Job
from orthodx.measuring.of_study import MEASURES_FILE
from orthodx.networks.device import pick_device
from orthodx.requests import SegmentRequest, takes
from orthodx.studies.claim import Owner, Place, claimed, turn
from orthodx.studies.discover import among, find_series, of_shard, require_any
from orthodx.studies.label_tables import LABEL_TABLES, write_label_tables
from orthodx.studies.mask_files import VOLUMES
from orthodx.studies.nameless import nameless_command
from orthodx.studies.readable import counted
from orthodx.studies.receipts import Receipts
from orthodx.studies.run_record import RUN, inputs_of, write_run
from orthodx.studies.series import ids_note
from orthodx.studies.shards import shard_of

TABLES = ("status.csv", VOLUMES, MEASURES_FILE, RUN, *LABEL_TABLES)


@takes(SegmentRequest)
def segment(
    request: SegmentRequest,
    *,
    tell: Callable[[Case, int, int], None] = lambda case, done, total: None,
    note: Callable[[str], None] = lambda line: None,
    command: Sequence[str] = (),
) -> list[Case]:
    """Segment every series of some studies; one `Case` a series.

    Writes masks `<series_id>.nii.gz` (uint8, exactly the input's grid), `volumes.csv`, `measures.csv`, `status.csv`,
    `previews/<series_id>.png`, `previews/thickness/<study_id>.png` and `run.json`. tell: called after each case with
    (case, done, total). note: told facts worth knowing. Raises `NoInputError` when there was nothing to read,
    `UsageError` for options that cannot be met.

    >>> cases = orthodx.segment("cohort", "masks", preview=False)
    >>> cases[0].volumes[0]["structure"]
    'femur'
    """
    started, out, shard = datetime.now(timezone.utc), request.out, shard_of(request.shard)
    _check_formats(request.formats)
    everything = among(find_series(request.studies, request.view, request.group_by), request.only)
    require_any(everything, request.studies)
    found = of_shard(everything, shard)
    there = f"{counted(len(found.series), 'series')} of {counted(len(found.studies), 'studies')}"
    for line in (*found.notes, ids_note(found.series), there):
        if line:
            note(line)
    bundle = chosen_bundle(request.model, request.joint, everything.series, note)
    segmenter = Segmenter(bundle, pick_device(request.device))
    place = Place(out)
    ways = {"fused": request.fuse_views, "fast": request.fast}
    common = {"model": bundle.digest, **{way: True for way, asked in ways.items() if asked}}
    receipts = Receipts(place.receipts, common)
    files = SegmentFiles(request, receipts, everything.studies)
    job = Job(segmenter, request, files, shard, everything)
    files.spare_images(found.series)
    options = {"model": bundle.digest, "view": str(request.view or ""), "group_by": str(request.group_by or "")}
    outputs = [out / name for name in TABLES]
    options |= {name: "yes" for name in ("fuse_views", "fast") if getattr(request, name)}
    owner = Owner(by="orthodx segment", options=options, outputs=outputs, resume=request.resume, shard=shard)
    with claimed(place, owner):
        files.spare_others(found.series, job.measurer)
        if "nifti" in request.formats:
            write_label_tables(out, bundle.info.joint)
        cases = job.all(found, tell)
        states = [case.status for case in cases] if shard is None else [row["status"] for row in job.together([])]
        facts = {
            "model": {
                "name": bundle.info.name,
                "version": bundle.info.version,
                "sha256": bundle.digest,
                **_taught(bundle),
            },
            "joint": bundle.info.joint.to_json(),
            "device": str(segmenter.device),
            "inputs": [*inputs_of(found.series), *job.earlier_inputs(found.series)],
            "counts": {status: states.count(status) for status in ("ok", "warned", "failed")},
        }
        words = nameless_command(command, request, keep_paths=request.keep_paths)
        with turn(place, shard):
            write_run(out / RUN, command=words, started=started, facts=facts)
    if cases and all(c.status == "failed" for c in cases):
        raise NoInputError("no case could be segmented", hint=f"the reasons are in {out / 'status.csv'}")
    return cases


def _taught(bundle: Bundle) -> dict[str, Any]:
    """How the masks were learned, for `evaluate`: share of the labels, start and kind of the encoders."""
    last = bundle.info.taught("segment")
    if "from_scratch" not in last:
        return {}
    told = {"label_fraction": last.get("label_fraction", 1.0), "from_scratch": last["from_scratch"]}
    told["frozen"] = last.get("encoder_share") == 0
    return {**told, "encoder": next(iter(bundle.info.encoders.values())).name}


def _check_formats(formats: Sequence[str]) -> None:
    unknown = [f for f in formats if f not in FORMATS]
    if unknown or not formats:
        raise UsageError(f"no format '{', '.join(unknown)}'", hint=f"formats are {', '.join(FORMATS)}")
    if "dicom-seg" in formats:
        require_highdicom()
