"""The exceptions of the whole project, drawn once.

    CaeError
    ├── OptionError          an option or setting outside its range
    ├── DataError            images, labels or a data set that cannot be used
    ├── ContractError        an input or output contract that is missing, malformed or does not fit
    ├── ModelError           a model that cannot be opened, or that answers what no classifier answers
    │   └── BackendMissing   the framework that a model needs is not installed
    ├── PoolError            a pool manifest, or a pool with too few members
    ├── FingerprintError     a fingerprint file that is missing, broken, foreign or of another version
    ├── GenerationError      no fingerprint can be generated from what was given
    ├── VerdictError         a recorded verdict, seal or claim that is broken, edited or of something else
    ├── StudyError           a study file, or its folder, that cannot be used
    ├── ExecutionError       workers that cannot be reached, or that have died
    └── StorageError         the disk is full or a file cannot be written
        ├── OverwriteError   a file is there already that is never overwritten
        └── UnrecordedVerdict   the ledger cannot be told of a verdict, which it holds (in verification.remembered)

Every message says what was expected, what was found and what to do. Foreign exceptions are turned into
one of these where they cross the border, with ``raise ... from exc``.
"""

from collections.abc import Generator, Mapping
from contextlib import contextmanager

from cae_core.foreign_text import visible

__all__ = [
    "BackendMissing",
    "CaeError",
    "ContractError",
    "ContractMissing",
    "DataError",
    "ExecutionError",
    "FingerprintError",
    "GenerationError",
    "ModelError",
    "OptionError",
    "OverwriteError",
    "PoolError",
    "StorageError",
    "StudyError",
    "VerdictError",
    "first_line",
    "quoted",
    "renaming",
]


class CaeError(Exception):
    """Base of everything that this project raises on purpose."""


class OptionError(CaeError, ValueError):
    """An option or setting is outside its range."""


class DataError(CaeError, ValueError):
    """Images, labels or a data set cannot be used as they are."""


class ContractError(CaeError, ValueError):
    """An input or output contract is missing, malformed or does not fit the model or the images."""


class ContractMissing(ContractError):  # noqa: N818 - the sentence reads better without the suffix
    """Nobody says what a model takes and answers."""


class ModelError(CaeError):
    """A model cannot be opened or run, or answers what no classifier answers."""


class BackendMissing(ModelError):  # noqa: N818 - the sentence reads better without the suffix
    """The framework that a model needs is not installed."""


class PoolError(CaeError):
    """A pool manifest is wrong, or a pool has too few members."""


class FingerprintError(CaeError):
    """A fingerprint file is missing, broken, foreign, or of an unknown version."""


class GenerationError(CaeError):
    """No fingerprint can be generated from what was given."""


class StudyError(CaeError):
    """A study file, or its folder, that cannot be used."""


class ExecutionError(CaeError):
    """The workers that were to do a part of the work cannot be reached, or have died."""


class StorageError(CaeError):
    """A file cannot be written: the disk is full, or the folder is not writable."""


class OverwriteError(StorageError):
    """A file is there already that is never overwritten."""


class VerdictError(CaeError):
    """A recorded verdict, a seal or a claim is broken, edited, or about something else."""


def first_line(error: BaseException) -> str:
    r"""Return the first line of a foreign exception's message, to stand in a sentence; its type where it has none.

    At most 200 characters, without the point or colon at its end, and `visible`: a framework names what it reads.

    Example:
        >>> first_line(ValueError("no such axis\nTraceback of the runtime ..."))
        'no such axis'
    """
    line = (_told(error).strip().splitlines() or [type(error).__name__])[0].rstrip(":. ")
    return visible(line if len(line) <= 200 else line[:199] + "…", longest=None)


def _told(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - some frameworks' exceptions cannot say what happened
        return ""


@contextmanager
def renaming(names: Mapping[str, str]) -> Generator[None]:
    """Tell what goes wrong by other names: a copy's or a draft's means nothing to whoever reads the message.

    Args:
        names: what a message may say, and what it is to say instead.

    Raises:
        CaeError: what the body raises, of the same class.
    """
    try:
        yield
    except CaeError as error:
        text = str(error)
        for found, told in names.items():
            text = text.replace(found, told)
        error.args = (text,)
        raise


def quoted(value: object) -> str:
    """Return a foreign value as one short piece of a sentence: its beginning, at most 80 characters, `visible`.

    Example:
        >>> quoted("NHWC"), quoted(1 << 20000)
        ("'NHWC'", 'int too large to be shown')
    """
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # thousands of digits, or lists within lists
        return f"{type(value).__name__} too large to be shown"
    return visible(text if len(text) <= 80 else text[:79] + "…", longest=None)
