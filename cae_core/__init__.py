"""Verification of model ownership by conferrable adversarial examples: the jobs, their settings and their results.

One function does each job, from files to files:

    generate_fingerprint    make a fingerprint of a source model, with surrogates and references
    calibrate_fingerprint   give it p-values, by models that had no part in making it
    verify_suspect          judge one suspect: a file, a service, recorded answers
    verify_model            judge a model of this process, such as a `black_box` made of a function
    scan_suspects           judge many suspects, with a correction for their number
    plan_suspect            say beforehand how many queries a verification takes
    export_images           write the images for somebody else who asks the suspect
    replay_file             derive a recorded verdict again
    state_file              return a recorded verdict as an in-toto statement
    seal_file, judge_files  claim ownership without showing the fingerprint, and judge such a claim

Four open what is in files: `load_fingerprint`, `load_calibrated`, `open_model` and `read_pool`. `generation_members`
and `calibration_members` say which models play which part.

    from cae_core import verify_suspect

    verdict = verify_suspect("theirs.onnx", "fingerprint.safetensors")
    print(verdict.decision.verdict, verdict.decision.p_value)

A name is imported when it is asked for. Behind the names there is one room for each step of the method, each importing
only from those after it: `disputes` and `scan`, `workflows`, `verification`, `generation` and `calibration`, `pool`,
`fingerprint`, `opening`, `method`, `statistics` and `files`; see docs/design.md. The models of every framework are
opened by the package `cae_backends`; images are read by `cae_backends.datasets.open_data`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cae_core.version import __version__

if TYPE_CHECKING:
    from cae_core.calibration.calibrate import CalibrationSettings
    from cae_core.calibration.calibrated import CalibratedFingerprint, load_calibrated
    from cae_core.contract import Contract
    from cae_core.dataset import ImageSet
    from cae_core.disputes.case import judge_files
    from cae_core.disputes.sealing import seal_file
    from cae_core.errors import CaeError
    from cae_core.fingerprint.file import Fingerprint, load_fingerprint
    from cae_core.generation.settings import GenerationSettings
    from cae_core.models import DifferentiableModel, Model, Predictions
    from cae_core.opening.opened import open_model
    from cae_core.own_models import WhiteBox, black_box
    from cae_core.pool.manifest import read_pool
    from cae_core.pool.roles import calibration_members, generation_members
    from cae_core.scan.scan import ScanSettings, scan_suspects
    from cae_core.verification.options import VerificationOptions
    from cae_core.verification.remembered import UnrecordedVerdict
    from cae_core.verification.statement import Statement
    from cae_core.verification.verdict import Verdict
    from cae_core.workflows import (
        calibrate_fingerprint,
        export_images,
        generate_fingerprint,
        plan_suspect,
        replay_file,
        state_file,
        verify_model,
        verify_suspect,
    )

__all__ = [
    "CaeError",
    "CalibratedFingerprint",
    "CalibrationSettings",
    "Contract",
    "DifferentiableModel",
    "Fingerprint",
    "GenerationSettings",
    "ImageSet",
    "Model",
    "Predictions",
    "ScanSettings",
    "Statement",
    "UnrecordedVerdict",
    "Verdict",
    "VerificationOptions",
    "WhiteBox",
    "__version__",
    "black_box",
    "calibrate_fingerprint",
    "calibration_members",
    "export_images",
    "generate_fingerprint",
    "generation_members",
    "judge_files",
    "load_calibrated",
    "load_fingerprint",
    "open_model",
    "plan_suspect",
    "read_pool",
    "replay_file",
    "scan_suspects",
    "seal_file",
    "state_file",
    "verify_model",
    "verify_suspect",
]

_HOMES = {
    "CaeError": "errors",
    "CalibratedFingerprint": "calibration.calibrated",
    "CalibrationSettings": "calibration.calibrate",
    "Contract": "contract",
    "DifferentiableModel": "models",
    "Fingerprint": "fingerprint.file",
    "GenerationSettings": "generation.settings",
    "ImageSet": "dataset",
    "Model": "models",
    "Predictions": "models",
    "ScanSettings": "scan.scan",
    "Statement": "verification.statement",
    "UnrecordedVerdict": "verification.remembered",
    "Verdict": "verification.verdict",
    "VerificationOptions": "verification.options",
    "WhiteBox": "own_models",
    "black_box": "own_models",
    "calibrate_fingerprint": "workflows",
    "calibration_members": "pool.roles",
    "export_images": "workflows",
    "generate_fingerprint": "workflows",
    "generation_members": "pool.roles",
    "judge_files": "disputes.case",
    "load_calibrated": "calibration.calibrated",
    "load_fingerprint": "fingerprint.file",
    "open_model": "opening.opened",
    "plan_suspect": "workflows",
    "read_pool": "pool.manifest",
    "replay_file": "workflows",
    "scan_suspects": "scan.scan",
    "seal_file": "disputes.sealing",
    "state_file": "workflows",
    "verify_model": "workflows",
    "verify_suspect": "workflows",
}
"""In which module each name stands."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever stands there
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """Return every name, imported or not, so that `help` and an editor find them."""
    return sorted({*globals(), *__all__})
