"""An order that nobody chose: it follows from calibration, suspect and a public beacon that is later than both.

Networks such as drand and the beacon of NIST publish a random number at known times, which nobody can foretell. Whoever
fixed calibration and suspect before it was out has one order and no other.
"""

import hashlib
import re
from datetime import UTC, datetime
from pathlib import Path

from cae_core.errors import OptionError, quoted
from cae_core.reading import read_limited, reading

__all__ = ["beacon_nonce", "check_beacon", "check_beacon_time", "moment", "parse_beacon", "read_beacon"]

_DIGITS = re.compile("[0-9a-f]{32,512}")  # drand's has 64, NIST's 128, the hash of a block 64
_LARGEST = 1 << 12


def parse_beacon(text: str) -> str:
    """Return the value of a beacon in its one form: lower case, without ``0x`` and white space around it.

    Example:
        >>> parse_beacon(" 0x00A1" + "F" * 28)
        '00a1ffffffffffffffffffffffffffff'

    Raises:
        OptionError: it is none.
    """
    value = _plain(text)
    _check_value(value)
    return value


def read_beacon(text_or_path: str) -> str:
    """Return the value of a beacon, see `parse_beacon`, that is written out or stands in a file; empty: there is none.

    Raises:
        OptionError: it is none, or the file cannot be read.
    """
    if not text_or_path or _DIGITS.fullmatch(_plain(text_or_path)) or not _is_there(text_or_path):
        return text_or_path and parse_beacon(text_or_path)
    with reading(text_or_path, OptionError, fault="this is no value of a beacon", remedy="Give the value alone."):
        return parse_beacon(read_limited(Path(text_or_path), _LARGEST).decode())


def check_beacon(value: str, time: str, *, sequential: bool) -> None:
    """Refuse a beacon that is not in its one form, has no time, or has nothing to decide; empty: there is none.

    Raises:
        OptionError: it is so.
    """
    if not value and not time:
        return
    if not value or not time:
        found, lacking = ("a value", "time") if value else ("a time", "value")
        raise OptionError(f"A beacon takes its value and its time; found {found} alone. Give its {lacking} too.")
    if not sequential:
        raise OptionError("A beacon decides the order of the sequential mode. Add --sequential, or leave it out.")
    _check_value(value)
    moment(time)


def check_beacon_time(time: str, asked: datetime) -> None:
    """Refuse a beacon later than the moment at which the suspect was asked.

    Args:
        time: the beacon's, ISO 8601; UTC where it says none.
        asked: with a zone.

    Raises:
        OptionError: it is later.
    """
    if moment(time) > asked:
        raise OptionError(
            f"The beacon's time, {time}, is later than the verification, {asked.isoformat()}. Give the time at which "
            "the beacon was published."
        )


def beacon_nonce(beacon: str, *, calibration: str, suspect: str) -> bytes:
    """Return the nonce that follows, 16 bytes.

    Args:
        beacon: its value, see `parse_beacon`.
        calibration: the calibration's digest, see `CalibratedFingerprint.content_sha256`.
        suspect: SHA-256 of the suspect's files.
    """
    told = f"cae verify: order|{calibration}|{suspect}|{beacon}"
    return hashlib.sha256(told.encode()).digest()[:16]


def moment(time: str) -> datetime:
    """Return an ISO date or time as a moment; UTC where it says no zone.

    Raises:
        OptionError: it is none.
    """
    try:
        found = datetime.fromisoformat(time)
    except ValueError as error:
        raise OptionError(
            f"The time of a beacon is an ISO date or time, such as 2026-05-01T12:00Z; found {quoted(time)}."
        ) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def _plain(text: str) -> str:
    return text.strip().lower().removeprefix("0x")


def _is_there(path: str) -> bool:
    try:
        return Path(path).exists()
    except OSError:  # too long for a path, for example
        return False


def _check_value(value: str) -> None:
    # one value has one form: else another spelling would be another order
    if not _DIGITS.fullmatch(value):
        raise OptionError(
            f"The value of a beacon is 32 to 512 hexadecimal digits; found {quoted(value)}. Give the random value that "
            "was published, and nothing else of the record."
        )
