"""The user's own code as a suspect: ``py:package.module:callable`` and ``cmd:program``, run as he would run them.

Nothing stands around it, which the verdict records; so it is taken from the command line only, see
`cae_core.opening.own_code`.
"""

from dataclasses import dataclass

from cae_core.contract import Contract, Task
from cae_core.loaders import Device
from cae_core.models import Model

__all__ = ["LOADER", "OwnCodeLoader"]


@dataclass(frozen=True)
class OwnCodeLoader:
    """Opens a callable or a program."""

    name: str = "own code"
    suffixes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ("cmd", "py")
    gradients: bool = False
    takes_task: bool = True

    def open(self, spec: str, *, contract: Contract | None, device: Device, task: Task | None = None) -> Model:  # noqa: ARG002
        """Open ``spec``.

        With a ``contract`` the code gets the tensor that it describes, and its answers are read by it.

        Raises:
            ModelError: it cannot be imported or run, or is written otherwise.
        """
        from cae_backends.own_code.callables import open_callable
        from cae_backends.own_code.programs import open_program

        opener = open_callable if spec.startswith("py:") else open_program
        return opener(spec, contract=contract, task=task)


LOADER = OwnCodeLoader()
"""What the entry point names."""
