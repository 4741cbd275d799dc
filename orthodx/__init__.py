"""orthodx: read musculoskeletal MRI with diffusion foundation models.

The Python API mirrors the commands: `orthodx.segment(["study/"], "masks/")`. Functions load on first use,
so that importing the package is instant.
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
    "open_bundle": "orthodx.bundles.bundle",
    "find_series": "orthodx.studies.discover",
    "read_volume": "orthodx.studies.nifti",
    "write_cohort": "orthodx.synth.study_writer",
    "random_knee": "orthodx.synth.knee.procedural",
}
__all__ = ["__version__", *_API]


def __getattr__(name: str) -> Any:
    if name in _API:
        return getattr(import_module(_API[name]), name)
    raise AttributeError(f"module 'orthodx' has no attribute '{name}'")
