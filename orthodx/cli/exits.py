"""Exit codes, and the one place where an error becomes a line and a code."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Iterator

from orthodx.errors import NoInputError, OrthodxError, StudyError, lacks_memory
from orthodx.studies.readable import readable
from orthodx.studies.stopping import Stopped

OK, BUG, USAGE, NO_INPUT, SOME_FAILED, INTERRUPTED = 0, 1, 2, 3, 8, 130


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
    except (Stopped, KeyboardInterrupt) as error:
        say_error("stopped", "go on with --resume")
        raise SystemExit(error.code if isinstance(error, Stopped) else INTERRUPTED) from None
    except (PermissionError, FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        if debug:
            traceback.print_exc()
        say_error(f"{error.filename}: {error.strerror}", "check the path and its permissions")
        raise SystemExit(USAGE) from None
    except OSError as error:
        if debug:
            traceback.print_exc()
        say_error(
            f"{error.filename or 'output'}: {error.strerror or error}",
            "check disk space and permissions, then --resume",
        )
        raise SystemExit(USAGE) from None
    except Exception as error:
        if debug:
            traceback.print_exc()
        if lacks_memory(error):
            say_error("out of memory", "use a smaller --batch or --crop, fewer --workers, or a larger machine")
            raise SystemExit(USAGE) from None
        say_error(f"a bug in orthodx: {type(error).__name__}: {error}", "run again with --debug and report it")
        raise SystemExit(BUG) from None
