"""The sentences of a record: they are the words of the release that wrote it, and say nothing that its fields do not.

A reason or a remedy is written better in a later release, while facts and figures stay. So a record tells the number of
its wording, and is held against the sentences of this release only where these are the same.
"""

from collections.abc import Mapping
from typing import Any, cast

__all__ = ["WORDING", "comparable", "reworded"]

WORDING = 2
"""The number of the present wording; records of before it was numbered are of the first."""

_SENTENCES = frozenset({"evasion", "reason", "remedy", "warnings", "words"})


def comparable(
    derived: Mapping[str, Any], record: Mapping[str, Any], *, wording: object
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what is derived and what is recorded, both without their sentences where the record has another wording.

    Args:
        derived: by this release.
        record: of this release or another one.
        wording: what the record says of its wording; None where it says nothing.
    """
    if wording == WORDING:
        return dict(derived), dict(record)
    return _told(derived), _told(record)


def reworded(record: Mapping[str, Any], derived: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with the sentences of this release, where it has another wording; otherwise as it is."""
    if record.get("wording") == WORDING:
        return dict(record)
    return _said(record, derived) | {"wording": WORDING}


def _said(values: Mapping[str, Any], derived: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` with the sentences of ``derived``, down to those of findings."""
    return {
        name: derived.get(name, value)
        if name in _SENTENCES
        else _said(cast("Mapping[str, Any]", value), derived[name])
        if isinstance(value, dict) and isinstance(derived.get(name), dict)
        else value
        for name, value in values.items()
    }


def _told(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` without sentences, down to those of findings."""
    kept = {name: value for name, value in values.items() if name not in _SENTENCES and name != "wording"}
    return {
        name: _told(cast("Mapping[str, Any]", value)) if isinstance(value, dict) else value
        for name, value in kept.items()
    }
