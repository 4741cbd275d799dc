"""`orthodx synth`: studies with their truth, or a bank of anatomies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from orthodx.errors import UsageError
from orthodx.joints import DEFAULT_JOINT
from orthodx.requests import SynthRequest, takes
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.grammar import synthetic


@takes(SynthRequest)
def synth(request: SynthRequest, *, tell: Callable[[str, int, int], None] = lambda name, done, total: None) -> Path:
    """Make synthetic studies and return their manifest, or with `bank` a folder of anatomies.

    tell: called after each with (name, done, total). Raises `UsageError` for a joint, center or format unknown here,
    and for options that contradict each other.

    >>> orthodx.synth("cohort", studies=1, lesions=True, formats=["nifti", "dicom"])
    PosixPath('cohort/manifest.csv')
    """
    if request.maps and request.anatomy is None:
        raise UsageError("--map picks from a folder of label maps", hint="give the folder with --anatomy")
    if request.bank:
        only = ("centers", "formats", "views", "visits", "cartilage_loss")  # a bank is gone on with, asked or not
        request.refuse(only, "is for studies, not for --bank")
    if request.prevalence is not None and not request.lesions:
        raise UsageError("--prevalence is the share of injured joints", hint="add --lesions")
    joint, drawn = _drawn(request)
    common: dict[str, Any] = {
        "joint": joint,
        "seed": request.seed,
        "lesions": request.lesions,
        "prevalence": request.prevalence,
        "workers": request.workers,
        "tell": tell,
    }
    if drawn is not None:
        common["anatomy"] = drawn
    if request.bank:
        from orthodx.synth.bank import write_bank

        return write_bank(request.out, anatomies=request.studies, **common)
    from orthodx.synth.study_writer import write_cohort

    if request.centers:
        common["centers"] = request.centers
    names = ("studies", "formats", "views", "visits", "cartilage_loss", "resume")
    return write_cohort(request.out, **{name: getattr(request, name) for name in names}, **common)


def _drawn(request: SynthRequest) -> tuple[str, Any]:
    """The joint, and what its anatomies are drawn from: a bank or label maps; None for procedural ones."""
    asked = request.joint or DEFAULT_JOINT.name
    if request.anatomy is None:
        return asked, None
    kept = AnatomyBank(request.anatomy)
    if not len(kept):
        return asked, synthetic(asked).open_maps(request.anatomy, request.maps or None)
    if request.maps:
        raise UsageError(f"{request.anatomy} is a bank, and --map picks label maps", hint="leave --map out")
    if request.joint not in (None, kept.joint):
        raise UsageError(
            f"--joint: {request.anatomy} is a bank of the {kept.joint}, not of the {request.joint}",
            hint="leave --joint out",
        )
    return kept.joint, kept
