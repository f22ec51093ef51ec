"""What a fingerprint's file says of its making: held against the form that it is read by, before anybody reads it.

The id covers these words and says nothing of their form, which is whatever the file's maker wrote.
"""

from collections.abc import Mapping
from typing import Any

from cae_core.errors import OptionError, quoted
from cae_core.files.fields import read_field
from cae_core.fingerprint.control_sources import described_controls
from cae_core.fingerprint.query_log import QueryLog

__all__ = ["check_provenance"]

_POOLS = ("surrogates", "references")
_MOST_PARTS = 16
_TEXTS = ("name", "sha256", "ancestor", "twin", "recipe", "form")


def check_provenance(metadata: Mapping[str, Any]) -> None:
    """Refuse metadata of a fingerprint whose names, digests, pools or settings are of other types than they are.

    What a command does not find it says itself; the source alone must be described, by its accuracy.

    Args:
        metadata: the JSON object of the file.

    Raises:
        OptionError: naming the field.
    """
    read_field(metadata, "class_names", list[str])
    generation: dict[str, Any] = read_field(metadata, "generation", dict)
    read_field(generation, "settings", dict, {})
    for part in ("source", "data"):
        _check_texts(read_field(generation, part, dict, {}), part)
    _check_data(generation.get("data", {}))
    accuracy = generation.get("source", {}).get("accuracy")
    if not isinstance(accuracy, int | float) or isinstance(accuracy, bool):  # its range is looked at with the others
        raise OptionError(f"source: accuracy must be a number; found {quoted(accuracy)}.")
    for pool in _POOLS:
        for member in read_field(generation, pool, list[dict[str, Any]], []):
            _check_texts(member, pool)
    for control in described_controls(generation):
        for member in (control, *read_field(control, "surrogates", list[dict[str, Any]], [])):
            _check_texts(member, "controls")
    QueryLog.of(generation)
    _check_tools(read_field(metadata, "tools", dict))


def _check_texts(described: Mapping[str, Any], where: str) -> None:
    """Refuse a description of a model or data set in which a word is no text."""
    try:
        for name in _TEXTS:
            read_field(described, name, str, "")
    except OptionError as error:
        raise OptionError(f"{where}: {error}") from error


def _check_data(data: Mapping[str, Any]) -> None:
    """Refuse a description of data whose split is no text, or whose parts are no counts and digests."""
    try:
        read_field(data, "split", str, "")
        counts = [_count_of(part) for part in read_field(data, "parts", list[dict[str, Any]], [])]
    except OptionError as error:
        raise OptionError(f"data: {error}") from error
    if len(counts) > _MOST_PARTS:  # of each a model's training images may be drawn again
        raise OptionError(f"data: there are at most {_MOST_PARTS} parts; found {len(counts)}.")
    if counts and min(counts) < 0:
        raise OptionError(f"data: count must be a number of images; found {min(counts)}.")


def _count_of(part: Mapping[str, Any]) -> int:
    read_field(part, "split", str)
    read_field(part, "sha256", str)
    count: int = read_field(part, "count", int)
    return count


def _check_tools(tools: Mapping[str, Any]) -> None:
    odd = next((name for name, version in tools.items() if not isinstance(version, str)), None)
    if odd is not None:
        raise OptionError(f"tools: {quoted(odd)} must be a text; found {quoted(tools[odd])}.")
