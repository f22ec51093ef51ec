"""Trainers and exporters that are found as if a third party's package were installed, in this process alone."""

from collections.abc import Mapping
from importlib.metadata import EntryPoint, EntryPoints, entry_points

import pytest

__all__ = ["install"]


def install(patch: pytest.MonkeyPatch, groups: Mapping[str, Mapping[str, str]]) -> None:
    """Install entry points, group -> name -> ``module:attribute``; one of that name that is there gives way."""

    def found(*, group: str) -> EntryPoints:
        values = groups.get(group, {})
        ours = [EntryPoint(name, value, group) for name, value in values.items()]
        return EntryPoints([*(point for point in entry_points(group=group) if point.name not in values), *ours])

    patch.setattr("cae_backends.training.trainers.entry_points", found)
