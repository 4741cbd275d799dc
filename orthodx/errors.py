"""The one exception family; `orthodx.cli.exits` maps it to exit codes."""


class OrthodxError(Exception):
    """What a person can mend. `str(error)` is one line naming the thing; `hint` says the fix."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint

    @property
    def line(self) -> str:
        """Message and hint for a table's cell."""
        return f"{self}; {self.hint}" if self.hint else str(self)


def lacks_memory(error: BaseException) -> bool:
    """Whether memory could not be had: Python's own error, or torch's of any device."""
    signs = ("allocate memory", "out of memory", "is killed by signal: Killed")  # the last of a worker of torch's
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in signs)
    )


class UsageError(OrthodxError):
    """Options that contradict each other or name what does not exist (exit code 2)."""


class StudyError(OrthodxError):
    """One image, series or table that cannot be used; other cases go on."""


class NoInputError(OrthodxError):
    """Nothing usable was found at all (exit code 3)."""


class BundleError(OrthodxError):
    """A model bundle or checkpoint that is missing, altered or of the wrong kind."""
