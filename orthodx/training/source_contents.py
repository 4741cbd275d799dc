"""What a source of training samples is made of: its identity, its studies, and that validation shares none of it."""

from __future__ import annotations

import hashlib

from orthodx.errors import UsageError
from orthodx.studies.run_record import sha256
from orthodx.synth.anatomy_bank import AnatomyBank
from orthodx.synth.source import SyntheticSource
from orthodx.training.diagnosis.splits import refuse_leakage
from orthodx.training.left_out import LeftOut
from orthodx.training.sources import Mixture, Source
from orthodx.training.study_source import StudySource


def identity(source: Source) -> str:
    """A short hash of a source's anatomies (names) and series (names, and with masks what both hold).

    It is what `--resume` must find again.
    """
    if isinstance(source, Mixture):
        names = [identity(one) for one in source.sources]
    elif isinstance(source, StudySource):
        names = sorted(source.contents)
    else:
        names = list(source.anatomies.names) if isinstance(source.anatomies, AnatomyBank) else []
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:12]


def studies_of(source: Source) -> int:
    """How many studies samples come from; 0 of banks alone."""
    return sum(len(one.studies) for one in _parts(source) if isinstance(one, StudySource))


def left_out_of(source: Source) -> list[LeftOut]:
    """The inputs that could not be used."""
    return [one for part in _parts(source) if isinstance(part, StudySource) for one in part.refused]


def refuse_shared(train: Source, validation: Source) -> None:
    """Raises `UsageError` where a study, a patient, an image or an anatomy of a bank is on both sides."""
    sides = [[case for one in _studies(side) for case in one.cases.values()] for side in (train, validation)]
    refuse_leakage(*sides)
    banks = [{name: bank for bank in _banks(side) for name in bank.names} for side in (train, validation)]
    for name in sorted(banks[0].keys() & banks[1].keys()):
        one, two = (side[name] for side in banks)
        if sha256(one.folder / f"{name}.npy") == sha256(two.folder / f"{name}.npy"):
            raise UsageError(
                f"anatomy '{name}' is in training and in validation", hint="make a bank with another --seed"
            )


def _parts(source: Source) -> list[SyntheticSource | StudySource]:
    return list(source.sources) if isinstance(source, Mixture) else [source]


def _studies(source: Source) -> list[StudySource]:
    return [one for one in _parts(source) if isinstance(one, StudySource)]


def _banks(source: Source) -> list[AnatomyBank]:
    anatomies = [one.anatomies for one in _parts(source) if isinstance(one, SyntheticSource)]
    return [one for one in anatomies if isinstance(one, AnatomyBank)]
