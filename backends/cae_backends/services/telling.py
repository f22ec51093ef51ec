"""What the core learns of a service before it is asked: by what it is known, and what its client may do."""

import math
import os
from pathlib import Path

from cae_backends.services.description import Description
from cae_core.errors import OptionError
from cae_core.files.digests import digest_of
from cae_core.opening.services import ServiceTold

__all__ = ["told_of"]

_SPARE_S = 60.0
"""Beside what the attempts may take."""


def told_of(service: Description, spec: str) -> ServiceTold:
    """Return what a description says.

    Raises:
        OptionError: an environment variable that it names is not set.
    """
    for name in service.secrets:
        if not os.environ.get(name):
            raise OptionError(f"{spec.partition('?')[0]}: the environment variable {name} is not set. Set it.")
    asked_by = {
        "form": service.form,
        "contract": service.contract.table(),
        **({"body": service.body, "answer": service.answer, "kind": service.kind} if service.form == "json" else {}),
    }
    pace = 0.0 if service.per_second is None else service.concurrency / service.per_second
    return ServiceTold(
        address=service.address,
        version=service.version,
        asked_by=digest_of(asked_by),
        ports=(service.port,),
        secrets=service.secrets,
        files=() if not service.certificates else (Path(service.certificates),),
        contract=service.contract,
        at_once=service.images * service.concurrency,
        # a request that is refused is divided, so that there may be one more for each of its images
        seconds=(1 + service.images) * (service.attempts * (service.seconds + service.longest_wait) + pace) + _SPARE_S,
        give_up=service.give_up,
        most_images=service.most_images,
        most_seconds=math.inf if service.most_seconds is None else service.most_seconds,
    )
