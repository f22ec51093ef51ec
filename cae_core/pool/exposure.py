"""To how many of a fingerprint's seeds a member of a pool was exposed, by what its manifest says of its training."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.errors import OptionError, PoolError
from cae_core.fingerprint.file import Fingerprint
from cae_core.pool.manifest import PoolMember
from cae_core.pool.trained_on import TrainedOn
from cae_core.statistics.exposure import Exposure

__all__ = ["exposure_of"]


def exposure_of(member: PoolMember, fingerprint: Fingerprint) -> Exposure:
    """Return whether the member's training saw all, some or none of the seeds of the examples.

    What the manifest says of the images goes before what it says in a word, which must not contradict it.

    Raises:
        PoolError: it does; or the file of its indices cannot be read.
    """
    declared = Exposure(member.exposure)
    if member.trained_on is None:
        return declared
    try:
        found = _of_images(member.trained_on, fingerprint)
    except OptionError as error:
        raise PoolError(f"{member.path}: {error}") from error
    if Exposure.UNKNOWN not in (found, declared) and found != declared:
        raise PoolError(
            f'{member.path}: the manifest says exposure = "{declared}", and by its trained_on the model was '
            f"{found.words.replace('its', 'the fingerprint' + chr(39) + 's')}. Correct one of the two."
        )
    return found if declared == Exposure.UNKNOWN else declared


def _of_images(trained: TrainedOn, fingerprint: Fingerprint) -> Exposure:
    """Return the exposure by the images; unknown where some seed's data set is none that is spoken of."""
    seen = np.zeros(len(fingerprint), bool)
    known = np.zeros(len(fingerprint), bool)
    for rows, places, same in _shared(trained, fingerprint):
        known[rows] = True
        if same:
            seen[rows] = trained.saw(places)
    if not known.all():
        return Exposure.PARTLY if seen.any() else Exposure.UNKNOWN
    return Exposure.ALL if seen.all() else Exposure.PARTLY if seen.any() else Exposure.NONE


def _shared(trained: TrainedOn, fingerprint: Fingerprint) -> Iterator[tuple[NDArray[np.bool_], Labels, bool]]:
    """Yield the seeds of each data set of which it is known whether it is the one trained on.

    That is which of the examples they belong to, bool (n,), their places in that data set, int64 (k,), and whether it
    is the one. A fingerprint of before does not know the places: then only data sets of which all or nothing was seen
    are told.
    """
    data: Mapping[str, Any] = fingerprint.generation.get("data", {})
    index = fingerprint.seed_index
    everywhere = np.ones(len(fingerprint), bool)
    same = _is_same(trained, data, str(data.get("split", "test")))
    if same is False or (same and (trained.is_whole or index is not None)):
        yield everywhere, np.zeros(len(fingerprint), np.int64) if index is None else index, same
    elif same is None and index is not None:
        first = 0
        for part in data.get("parts", ()):
            rows = (index >= first) & (index < first + part["count"])
            same = _is_same(trained, {**part, "name": data.get("name", "")}, part["split"])
            if same is not None:
                yield rows, index[rows] - first, same
            first += part["count"]


def _is_same(trained: TrainedOn, data: Mapping[str, Any], split: str) -> bool | None:
    """Return whether a model was trained on this data set; None where that is not known.

    Two splits of one name share no image, but for a form of data that has none.
    """
    digest = data.get("sha256", "")
    if digest in trained.apart_from:
        return False
    if trained.is_digest:
        return True if digest == trained.data else None
    if data.get("name", "") != trained.data:
        return None
    if trained.data.lower().endswith(".npz"):  # one split, given whole whichever is asked
        return True
    if "all" in (split, trained.split):
        return True if split == trained.split else None
    return split == trained.split
