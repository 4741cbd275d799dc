"""orthodx: read musculoskeletal MRI with diffusion foundation models.

The Python API mirrors the commands and takes text or paths: `orthodx.segment("study/", "masks/")`. Functions load on
first use, so that importing the package is instant, and need no main guard in a script.
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

__version__ = version("orthodx")

_API = {
    "convert": "orthodx.studies.convert",
    "segment": "orthodx.inference.segment",
    "diagnose": "orthodx.inference.diagnose",
    "evaluate": "orthodx.evaluation.evaluate",
    "followup": "orthodx.evaluation.followup",
    "pretrain": "orthodx.training.pretrain",
    "finetune": "orthodx.training.finetune",
    "transfer": "orthodx.trials.transfer",
    "synth": "orthodx",  # the room can be called
    "open_bundle": "orthodx.bundles.bundle",
    "open_joint": "orthodx.joints",
    "find_series": "orthodx.studies.discover",
    "read_volume": "orthodx.studies.nifti",
}
__all__ = ["__version__", *_API]


def __getattr__(name: str) -> Any:
    if name not in _API:
        raise AttributeError(f"module 'orthodx' has no attribute '{name}'")
    found = import_module("orthodx.synth") if name == "synth" else getattr(import_module(_API[name]), name)
    globals()[name] = found  # a submodule of the same name must not take its place
    return found


def __dir__() -> list[str]:
    return sorted(__all__)
