"""The workers of a cluster, as several commands take them."""

from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from cae_backends.execution.crew import Crew

__all__ = ["cluster_named"]


def cluster_named(address: str | None, resources: list[str]) -> "AbstractContextManager[Crew] | None":
    """Return what gives the workers of the cluster at an address; None where none is named.

    Args:
        address: of a Dask scheduler.
        resources: that each job takes, such as ``GPU=1``.

    Raises:
        OptionError: resources without a cluster.
        BadParameter: they are not such.
    """
    from cae_core.errors import OptionError

    if address is None and resources:
        raise OptionError("--resource is for a cluster. Name one with --cluster.")
    if address is None:
        return None
    from cae_backends.execution.dask import cluster

    taken: dict[str, float] = {}
    for resource in resources:
        name, _, amount = resource.partition("=")
        try:
            taken[name] = float(amount)
        except ValueError as error:
            raise typer.BadParameter(f"expected NAME=NUMBER, such as GPU=1; found {resource!r}") from error
    return cluster(address, resources=taken)
