"""What an earlier run finished: one receipt a case, believed only while all it tells of is still so."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orthodx.studies.keys import file_name
from orthodx.studies.run_record import sha256, write_json

DONE = ".done"  # the folder of receipts in a folder of results


@dataclass(frozen=True)
class Receipts:
    """Receipts in `folder`. common: what every case of the run is made with, such as the model and the options."""

    folder: Path
    common: Mapping[str, Any] = field(default_factory=dict)

    def begin(self, case: str, outputs: Iterable[Path]) -> None:
        """Say whose the outputs will be, before they are written: a killed run leaves no file that nobody owns.

        What an earlier run made of the case, and this one will not, goes.
        """
        begun, before = {os.path.relpath(path, self.folder) for path in outputs}, self.outputs_of(case)
        write_json(self._path(case), {"begun": sorted(begun | before)})
        for name in before - begun:
            (self.folder / name).unlink(missing_ok=True)

    def outputs_of(self, case: str) -> set[str]:
        """The files of a case, finished or not, relative to the folder of receipts."""
        kept = self._kept(self._path(case))
        return set(kept.get("outputs") or kept.get("begun") or ())

    def owns(self, case: str, path: Path) -> bool:
        """Whether this file is an output of the case."""
        return os.path.relpath(path, self.folder) in self.outputs_of(case)

    def altered(self, case: str) -> list[Path]:
        """Outputs of a finished case that are there, and are not what was written."""
        kept = self._kept(self._path(case))
        if "outputs" not in kept:
            return []
        files = {Path(os.path.normpath(self.folder / name)): told for name, told in kept["outputs"].items()}
        return [path for path, (_, digest) in files.items() if path.is_file() and sha256(path) != digest]

    def fail(self, case: str, made_from: Mapping[str, Any], result: Any) -> None:
        """Keep that a case failed, and take away what an earlier run made of it."""
        for name in self.outputs_of(case):
            (self.folder / name).unlink(missing_ok=True)
        made = {**self.common, **made_from}
        write_json(self._path(case), {"failed": True, "made_from": made, "outputs": {}, "result": result})

    def write(self, case: str, made_from: Mapping[str, Any], outputs: Iterable[Path], result: Any) -> None:
        """Keep what became of a case, once its outputs are written. made_from, result: plain values."""
        files = {os.path.relpath(path, self.folder): [path.stat().st_size, sha256(path)] for path in outputs}
        made = {**self.common, **made_from}
        write_json(self._path(case), {"made_from": made, "outputs": files, "result": result})

    def find(
        self, case: str, made_from: Mapping[str, Any], needs: Callable[[Any], Iterable[Path]] = lambda result: ()
    ) -> Any | None:
        """The result of a case; None unless it was made from the same and its outputs hold what was written.

        needs: outputs that must be among them.
        """
        try:
            kept = json.loads(self._path(case).read_text(encoding="utf-8"))
            made = json.loads(json.dumps({**self.common, **made_from}, default=str))
            if kept["made_from"] != made or kept.get("failed"):
                return None
            wanted = {os.path.relpath(path, self.folder) for path in needs(kept["result"])}
            whole = wanted <= kept["outputs"].keys() and all(
                sha256(self.folder / name) == digest for name, (_, digest) in kept["outputs"].items()
            )
            return kept["result"] if whole else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def results(self) -> dict[str, Any]:
        """Receipt's name -> result, of all whose outputs are there at full size, whatever they were made from."""
        found = {}
        for path in sorted(self.folder.glob("[!.]*.json")):
            kept = self._kept(path)
            try:
                sizes = {name: (self.folder / name).stat().st_size for name in kept["outputs"]}
                if all(sizes[name] == size for name, (size, _) in kept["outputs"].items()):
                    found[path.stem] = kept["result"]
            except (OSError, ValueError, KeyError, TypeError, AttributeError):
                continue
        return found

    def result(self, case: str) -> Any | None:
        """What became of a case in an earlier run, whole or not; None where nothing is known."""
        return self._kept(self._path(case)).get("result")

    def made_from(self, case: str) -> Mapping[str, Any]:
        """What the case was last made from; empty where nothing is known of it."""
        made = self._kept(self._path(case)).get("made_from")
        return made if isinstance(made, dict) else {}

    def cases(self) -> list[str]:
        """Names of all receipts, finished or not."""
        return sorted(path.stem for path in self.folder.glob("[!.]*.json"))

    def drop(self, case: str) -> None:
        """Take away all that an earlier run made of a case, and its receipt."""
        for name in self.outputs_of(case):
            (self.folder / name).unlink(missing_ok=True)
        self._path(case).unlink(missing_ok=True)

    def any(self) -> bool:
        """Whether an earlier run began or finished anything that did not fail."""
        return any(not self._kept(path).get("failed") for path in self.folder.glob("[!.]*.json"))

    @staticmethod
    def _kept(path: Path) -> dict[str, Any]:
        try:
            return dict(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return {}

    def _path(self, case: str) -> Path:
        return self.folder / f"{file_name(case)}.json"
