"""Exit codes, and the one place where an error becomes a line and a code."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator

from orthodx.errors import NoInputError, OrthodxError, StudyError
from orthodx.studies.readable import readable

OK, BUG, USAGE, NO_INPUT, SOME_FAILED = 0, 1, 2, 3, 8
PIPE_CLOSED = 141  # 128 + SIGPIPE, as shells know it


def say_error(message: str, hint: str | None = None) -> None:
    """One line on stderr."""
    line = f"error: {message}" + (f" -> {hint}" if hint else "")
    print(readable(line.replace("\n", " ")), file=sys.stderr)


@contextlib.contextmanager
def handled(debug: bool) -> Iterator[None]:
    """Turn what goes wrong inside into one line and an exit code; `debug` shows the traceback too."""
    try:
        yield
    except OrthodxError as error:
        if debug:
            traceback.print_exc()
        say_error(str(error), error.hint)
        raise SystemExit(NO_INPUT if isinstance(error, (NoInputError, StudyError)) else USAGE) from None
    except KeyboardInterrupt:
        say_error("stopped", "run again with --resume")
        raise SystemExit(130) from None
    except BrokenPipeError:  # `orthodx ... | head`: whoever read has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nothing is left to fail at exit
        raise SystemExit(PIPE_CLOSED) from None
    except (PermissionError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        if debug:
            traceback.print_exc()
        say_error(f"{error.filename}: {error.strerror}", "check the path and its permissions")
        raise SystemExit(USAGE) from None
    except OSError as error:
        if debug:
            traceback.print_exc()
        say_error(
            f"{error.filename or 'output'}: {error.strerror}",
            "check disk space and permissions, then --resume",
        )
        raise SystemExit(USAGE) from None
    except Exception as error:
        if debug:
            traceback.print_exc()
        say_error(f"a bug in orthodx: {type(error).__name__}: {error}", "run again with --debug and report it")
        raise SystemExit(BUG) from None
