"""What a model takes and what it answers: said once, in a file, and never guessed in silence.

Wrong range, layout and normalisation are the most frequent cause of wrong results in this field. The whole
input contract is affine in the image, so it and its adjoint stand here, once, for every backend.

``fields`` holds the contract itself, ``checks`` what none can mean; ``layouts``, ``integers`` and ``answers`` are the
arithmetic, ``task`` the classes that a model is asked about, ``texts`` how contracts are written and read, and
``patterns`` files of several.
"""

from cae_core.contract.fields import SMALLEST_PROBABILITY, Contract, contract_of
from cae_core.contract.layouts import FLAT, fitted
from cae_core.contract.patterns import FOLDER_CONTRACTS, Contracts, read_contracts
from cae_core.contract.task import Task
from cae_core.contract.texts import (
    METADATA_PREFIX,
    contract_from_metadata,
    files_named,
    metadata_of,
    parse_contract,
    read_contract,
)

__all__ = [
    "FLAT",
    "FOLDER_CONTRACTS",
    "METADATA_PREFIX",
    "SMALLEST_PROBABILITY",
    "Contract",
    "Contracts",
    "Task",
    "contract_from_metadata",
    "contract_of",
    "files_named",
    "fitted",
    "metadata_of",
    "parse_contract",
    "read_contract",
    "read_contracts",
]
