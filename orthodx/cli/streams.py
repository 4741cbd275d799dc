"""What is printed never ends the work: who reads may leave (`| head -1`), and a terminal may not know every letter."""

from __future__ import annotations

import io
from typing import Any, TextIO

from orthodx.errors import UsageError


class _Patient(io.FileIO):
    """Takes everything; what nobody can be given any more is dropped. trouble: why, where it is worth telling."""

    trouble: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            pass
        except OSError as error:  # a full disk
            self.trouble = error
        return memoryview(data).nbytes


def patient(stream: TextIO) -> TextIO:
    """The stream, patient, with escapes for letters it cannot show; others than real files stay as they are."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_Patient(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def require_heard(stream: TextIO) -> None:
    """Raise `UsageError` where something printed was lost, but not because its reader had enough."""
    stream.flush()
    raw = getattr(getattr(stream, "buffer", None), "raw", None)
    if isinstance(raw, _Patient) and raw.trouble is not None:
        raise UsageError(f"standard output: {raw.trouble.strerror}", hint="check the disk space; files are whole")
