"""Services as the core sees them: what is told of one beforehand, and a client that asks it in a process of its own.

The client has the network and the secrets that the description names, and neither labels nor files: it gets images and
gives labels. What it answers is believed as little as what a foreign model answers.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from cae_core import loaders
from cae_core.arrays import Floats32, Images, Labels
from cae_core.containment.child import Answer, Child
from cae_core.containment.frames import MOST_CLASSES, BadFrame, readable
from cae_core.containment.limits import GENEROUS, Limits
from cae_core.containment.record import Containment
from cae_core.contract import Contract, Task
from cae_core.errors import ModelError
from cae_core.files.digests import digest_of
from cae_core.opening.contained import possible_labels

__all__ = ["Asked", "ServiceClient", "ServiceLoader", "ServiceProcess", "ServiceTold", "client_of", "service_loader"]

T = TypeVar("T")

_NUMBERS = count()
_MOST_VERSIONS = 100
_MOST_SENT = 1 << 40


@dataclass(frozen=True, kw_only=True)
class ServiceTold:
    """What a description says of a service; nothing was asked for it.

    Attributes:
        address: without credentials and query.
        version: of the model, as its owner declares it; empty where he does not.
        asked_by: digest of how it is asked: protocol, contract, and what else shapes request and answer.
        ports: to which its client connects.
        secrets: names of the environment variables that its client gets.
        files: that its client reads beside the description.
        contract: what it takes and answers.
        at_once: how many images the client is given together.
        seconds: that the client may take for these.
        give_up: after so many images in a row without an answer the run ends, to be gone on with.
        most_images: that may be sent in all, each sending counted; None: no limit.
        most_seconds: that a run may take.
    """

    address: str
    version: str
    asked_by: str
    ports: tuple[int, ...]
    secrets: tuple[str, ...]
    files: tuple[Path, ...] = ()
    contract: Contract
    at_once: int
    seconds: float
    give_up: int
    most_images: int | None
    most_seconds: float

    @property
    def sha256(self) -> str:
        """By which the service is known: its address, how it is asked, and the declared version."""
        return digest_of({"address": self.address, "asked_by": self.asked_by, "version": self.version})


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a service answered.

    Attributes:
        labels: int64 (n,), `cae_core.models.NO_ANSWER` where there is none.
        scores: float32 (n, c) where it told them of all, else None.
        reached: bool (n,), whether it answered at all.
        requests: how many were sent, answered or not.
        sent: how many images were in them.
        versions: of the model, as the answers say.
        why: the last reason why an image was not answered; empty where all were.
        fault: what keeps from asking on, a sentence; empty where nothing does.
    """

    labels: Labels
    scores: Floats32 | None = field(repr=False)
    reached: NDArray[np.bool_]
    requests: int
    sent: int
    versions: tuple[str, ...] = ()
    why: str = ""
    fault: str = ""


class ServiceClient(Protocol):
    """What asks a service; it runs in the child."""

    def ask(self, images: Images) -> Asked:
        """Ask ``images``, uint8 (n, h, w, k)."""
        ...


class ServiceLoader(Protocol):
    """What a backend that knows services has beside `cae_core.loaders.Loader`."""

    def serves(self, spec: str) -> bool:
        """Return whether ``spec`` looks like a service's address, or the file that describes one."""
        ...

    def told(self, spec: str, *, contract: Contract | None, task: Task) -> ServiceTold:
        """Return what is known of the service beforehand."""
        ...

    def client(self, spec: str, *, contract: Contract | None, task: Task) -> ServiceClient:
        """Return what asks it."""
        ...


def service_loader(spec: str) -> ServiceLoader | None:
    """Return the backend that asks the service ``spec``; None where it is none."""
    for loader in loaders.installed_loaders():
        serves: Callable[[str], bool] | None = getattr(loader, "serves", None)
        if serves is not None and serves(spec):
            return cast("ServiceLoader", loader)
    return None


def client_of(spec: str, *, contract: Contract | None, task: Task) -> ServiceClient:
    """Return what asks the service ``spec``, in this process.

    Raises:
        ModelError: no installed backend knows services.
    """
    loader = service_loader(spec)
    if loader is None:
        raise ModelError(f"{spec}: no installed backend can ask services.")
    return loader.client(spec, contract=contract, task=task)


class ServiceProcess:
    """The client of a service, in a process of its own.

    Args:
        spec: the address, or the path of its description.
        told: what is known of it.
        contract: that replaces the description's; None: its own applies.
        task: the classes of the data.
        limits: of the process.

    Attributes:
        containment: what stands around the client.
    """

    def __init__(
        self, spec: str, told: ServiceTold, *, contract: Contract | None, task: Task, limits: Limits = GENEROUS
    ) -> None:
        from cae_core.opening.party import SERVING, lock_child, start_child
        from cae_core.opening.serving import contract_table

        self._told, self._limits, self._number = told, limits, next(_NUMBERS)
        self._child: Child = start_child(SERVING, limits=limits, scratch=False)
        # nobody reads a query in a message, where a secret may stand
        self._origin = told.address
        layers = lock_child(
            self._child,
            (*_files(spec), *told.files),
            memory=limits.bytes_of_memory(0),
            threads=limits.threads,
            device="cpu",
            origin=self._origin,
            ports=told.ports,
            secrets={name: os.environ.get(name, "") for name in told.secrets},
        )
        if layers is None:
            raise ModelError(f"{self._origin}: the process for the client did not start as expected.")
        self.containment = Containment(child=True, layers=layers)
        mean = None if contract is None else contract.mean_image
        header = {
            "do": "service",
            "id": self._number,
            "spec": spec,
            "contract": None if contract is None else contract_table(contract),
            "mean": mean is not None,
            "task": {"classes": task.classes, "names": list(task.names)},
        }
        self._ask(header, [] if mean is None else [mean], lambda _: None, seconds=limits.opening_seconds(0))

    def ask(self, images: Images) -> Asked:
        """Ask ``images``, uint8 (n, h, w, k).

        Raises:
            ModelError: the service cannot be asked, or the client ends or answers what none answers.
        """
        number = len(images)

        def read(answer: Answer) -> Asked:
            classes = answer.number("classes", least=0, most=MOST_CLASSES)
            labels = answer.array(np.int64, (number,))
            reached = answer.array(np.uint8, (number,)) != 0
            scores = answer.array(np.float32, (number, classes)) if classes else None
            return Asked(
                labels=possible_labels(labels, scores),
                scores=scores,
                reached=reached,
                requests=answer.number("requests", least=0, most=_MOST_SENT),
                sent=answer.number("sent", least=0, most=_MOST_SENT),
                versions=_versions(answer),
                why=readable(answer.header.get("why", ""), longest=200),
                fault=readable(answer.header.get("fault", "")),
            )

        seconds = self._limits.seconds or self._told.seconds
        return self._ask({"do": "ask", "id": self._number, "spec": self._origin}, [images], read, seconds=seconds)

    def end(self) -> None:
        """End the process."""
        self._child.end()

    def _ask(
        self, header: dict[str, Any], arrays: list[NDArray[Any]], read: Callable[[Answer], T], *, seconds: float
    ) -> T:
        return self._child.ask(header, arrays, seconds=seconds, origin=self._origin, read=read)


def _files(spec: str) -> tuple[Path, ...]:
    """Return the description's own file; what it names, such as a mean image, lies in its folder and is no secret."""
    path = Path(spec)
    if spec.startswith(("http://", "https://")):
        return ()
    from cae_core.contract import files_named

    return (path, *files_named(path))


def _versions(answer: Answer) -> tuple[str, ...]:
    told = answer.header.get("versions")
    if not isinstance(told, list) or len(cast("list[object]", told)) > _MOST_VERSIONS:
        raise BadFrame("versions that are none")
    return tuple(readable(version, longest=200) for version in cast("list[object]", told))
