"""A verdict that was asked for, perhaps paid for, and cannot be printed is kept in a file."""

from collections.abc import Callable
from pathlib import Path

from cae_cli.streams import complain, flush_output, give_up_output
from cae_core.errors import StorageError, first_line

__all__ = ["print_or_keep"]


def print_or_keep(show: Callable[[], None], record: object, *, what: str, beside: Path) -> bool:
    """Print a record, or keep it in a file where that fails, and say where; return whether it was printed.

    Args:
        show: prints it.
        record: see `as_json`.
        what: it is, in a word, with which the file's name begins.
        beside: a file in whose folder it is kept, mode 0600; where that cannot be written, in the current one, or in
            that for temporary files. Where none can, stderr gets it.
    """
    try:
        show()
        failure: Exception | None = flush_output()
    except Exception as error:  # noqa: BLE001 - whatever went wrong while printing, the record is there
        failure = error
    if failure is None:
        return True
    give_up_output()
    reason = (isinstance(failure, OSError) and failure.strerror) or first_line(failure)
    complain(f"cae: the {what} cannot be printed ({reason}). {_kept(record, what, beside)}")
    return False


def _kept(record: object, what: str, beside: Path) -> str:
    """Write the record somewhere, and return a sentence that says where."""
    import secrets
    import tempfile

    from cae_core.files.records import readable_json
    from cae_core.files.storage import write_atomically

    content = readable_json(record)
    for folder in (beside.resolve().parent, Path.cwd(), Path(tempfile.gettempdir())):
        path = folder / f"{what}-{secrets.token_hex(4)}.json"  # another one's is not replaced
        try:
            write_atomically(path, content, mode=0o600)
        except StorageError:
            continue
        return f"It is kept in {path}."
    return f"No folder can be written either; here it is:\n{content.decode('ascii')}"
