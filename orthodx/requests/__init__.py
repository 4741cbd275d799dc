"""What can be asked of each command: its options as one frozen object. Light to import: nothing heavy in here."""

from orthodx.requests.conversion import ConvertRequest
from orthodx.requests.evaluation import EvaluateRequest, Settings
from orthodx.requests.followup import FollowupRequest
from orthodx.requests.grouping import GroupBy
from orthodx.requests.inference import DiagnoseRequest, SegmentRequest
from orthodx.requests.request import Request, takes
from orthodx.requests.synthesis import SynthRequest
from orthodx.requests.training import FinetuneRequest, Noise, PretrainRequest, RecipeName, Task
from orthodx.requests.transfer import TransferRequest

__all__ = [
    "ConvertRequest",
    "DiagnoseRequest",
    "EvaluateRequest",
    "FinetuneRequest",
    "FollowupRequest",
    "GroupBy",
    "Noise",
    "PretrainRequest",
    "RecipeName",
    "Request",
    "SegmentRequest",
    "Settings",
    "SynthRequest",
    "Task",
    "TransferRequest",
    "takes",
]
