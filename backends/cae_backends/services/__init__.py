"""Services that answer over HTTP: Open Inference Protocol v2, TensorFlow Serving, and JSON that a TOML file describes.

Importing this package imports no HTTP client. A service is asked by a client in a process of its own, which has the
network and the named secrets, and neither labels nor files; see `cae_core.opening.services`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cae_core.contract import Contract, Task
from cae_core.errors import ModelError
from cae_core.loaders import Device
from cae_core.models import Model

if TYPE_CHECKING:
    from cae_backends.services.model import ServiceModel
    from cae_core.opening.services import ServiceTold

__all__ = ["LOADER", "ServiceLoader"]


@dataclass(frozen=True)
class ServiceLoader:
    """Describes services and asks them; it opens no file as a model, so that no list, folder or pool names one."""

    name: str = "services"
    suffixes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    gradients: bool = False

    def serves(self, spec: str) -> bool:
        """Return whether ``spec`` is an address, or the path of a TOML file, which describes one."""
        return spec.startswith(("http://", "https://")) or Path(spec).suffix.lower() == ".toml"

    def told(self, spec: str, *, contract: Contract | None, task: Task) -> "ServiceTold":
        """Return what the description of a service says; nothing is asked.

        Raises:
            OptionError: the description is wrong, or an environment variable that it names is not there.
            ContractError: nobody says what the service takes.
        """
        from cae_backends.services.description import read_description
        from cae_backends.services.telling import told_of

        return told_of(read_description(spec, contract=contract, task=task), spec)

    def client(self, spec: str, *, contract: Contract | None, task: Task) -> "ServiceModel":
        """Return what asks the service.

        Raises:
            BackendMissing: what it takes is not installed.
            OptionError: as of `told`.
        """
        from cae_backends.services.description import read_description
        from cae_backends.services.model import ServiceModel

        return ServiceModel(read_description(spec, contract=contract, task=task))

    def open(self, spec: str, *, contract: Contract | None, device: Device) -> Model:  # noqa: ARG002
        """Refuse to open a service as a model; see `cae_core.loaders.Loader.open`.

        Raises:
            ModelError: always.
        """
        raise ModelError(f"{spec}: a service is asked by `cae verify` alone.")


LOADER = ServiceLoader()
"""What the entry point names."""
