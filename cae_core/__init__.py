"""The method, framework-neutral: conferrable adversarial examples over a model protocol and NumPy arrays.

What others use is found here by name, and imported when it is asked for. Behind it, one room for each step of the
method, each importing only from those after it: `disputes` and `scan`, `workflows`, `verification`, `generation` and
`calibration`, `pool`, `fingerprint`, `opening`, `method`, `statistics` and `files`; see docs/design.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from cae_core.version import __version__

if TYPE_CHECKING:
    from cae_core.calibration.calibrate import CalibrationSettings
    from cae_core.calibration.calibrated import CalibratedFingerprint, load_calibrated
    from cae_core.contract import Contract
    from cae_core.disputes.case import judge_files
    from cae_core.disputes.sealing import seal_file
    from cae_core.errors import CaeError
    from cae_core.fingerprint.file import Fingerprint, load_fingerprint
    from cae_core.generation.settings import GenerationSettings
    from cae_core.models import DifferentiableModel, Model, Predictions
    from cae_core.opening.opened import open_model
    from cae_core.pool.manifest import read_pool
    from cae_core.scan.scan import ScanSettings, scan_suspects
    from cae_core.verification.options import VerificationOptions
    from cae_core.verification.remembered import UnrecordedVerdict
    from cae_core.verification.verdict import Verdict
    from cae_core.workflows import (
        calibrate_fingerprint,
        export_images,
        generate_fingerprint,
        plan_suspect,
        replay_file,
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
    "Model",
    "Predictions",
    "ScanSettings",
    "UnrecordedVerdict",
    "Verdict",
    "VerificationOptions",
    "__version__",
    "calibrate_fingerprint",
    "export_images",
    "generate_fingerprint",
    "judge_files",
    "load_calibrated",
    "load_fingerprint",
    "open_model",
    "plan_suspect",
    "read_pool",
    "replay_file",
    "scan_suspects",
    "seal_file",
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
    "Model": "models",
    "Predictions": "models",
    "ScanSettings": "scan.scan",
    "UnrecordedVerdict": "verification.remembered",
    "Verdict": "verification.verdict",
    "VerificationOptions": "verification.options",
    "calibrate_fingerprint": "workflows",
    "export_images": "workflows",
    "generate_fingerprint": "workflows",
    "judge_files": "disputes.case",
    "load_calibrated": "calibration.calibrated",
    "load_fingerprint": "fingerprint.file",
    "open_model": "opening.opened",
    "plan_suspect": "workflows",
    "read_pool": "pool.manifest",
    "replay_file": "workflows",
    "scan_suspects": "scan.scan",
    "seal_file": "disputes.sealing",
    "verify_suspect": "workflows",
}
"""In which module each name stands."""


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever stands there
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
