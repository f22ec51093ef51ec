"""The modules that verdicts rest on, the tests that have to find a fault in each, and the faults that are none."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["MODULES", "Tested", "explained"]


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A module and its tests.

    Attributes:
        tests: files below ``tests``; the examples in the module's docstrings are run, too.
        within: names of functions and classes; where given, faults are put into these alone.
    """

    tests: tuple[str, ...]
    within: tuple[str, ...] = ()


_ID = ("id", "content_sha256", "metadata", "tensors", "_told_kind")

MODULES = {
    "cae_core/verification/decision.py": Tested(
        tests=(
            "core/verification/test_decision.py",
            "core/verification/test_source_ranks.py",
            "core/verification/test_verdict.py",
            "core/calibration/test_exposure_groups.py",
            "core/calibration/test_leaving_out.py::test_a_recipe_is_one_draw",
            "core/verification/test_repeated.py::TestEachAttack::test_many_nonces",
        )
    ),
    "cae_core/verification/deciding_score.py": Tested(tests=("core/verification/test_options.py",)),
    "cae_core/verification/options.py": Tested(tests=("core/verification/test_options.py",)),
    "cae_core/statistics/ranks.py": Tested(tests=("core/statistics/test_ranks.py",)),
    "cae_core/statistics/group_ranks.py": Tested(tests=("core/statistics/test_group_ranks.py",)),
    "cae_core/statistics/path_ranks.py": Tested(tests=("core/statistics/test_path_ranks.py",)),
    "cae_core/statistics/source_ranks.py": Tested(tests=("core/statistics/test_source_ranks.py",)),
    "cae_core/statistics/thresholds.py": Tested(
        tests=(
            "core/statistics/test_thresholds.py",
            "core/calibration/test_file.py::test_a_parametric_one_on_a_single_reference_is_refused",
        )
    ),
    "cae_core/statistics/multiplicity.py": Tested(tests=("core/statistics/test_multiplicity.py",)),
    "cae_core/statistics/e_process.py": Tested(tests=("core/statistics/test_e_process.py",)),
    "cae_core/calibration/standing.py": Tested(tests=("core/calibration/test_standing.py",)),
    "cae_core/verification/ledger.py": Tested(tests=("core/verification/test_ledger.py",)),
    "cae_core/verification/ledger_lines.py": Tested(tests=("core/verification/test_ledger_lines.py",)),
    "cae_core/verification/ledger_index.py": Tested(tests=("core/verification/test_ledger_index.py",)),
    "cae_core/files/digests.py": Tested(tests=("core/files/test_digests.py", "core/files/test_failing_disks.py")),
    "cae_core/arrays.py": Tested(tests=("core/test_arrays.py",)),
    "cae_core/fingerprint/file.py": Tested(
        tests=("core/fingerprint/test_file.py",), within=tuple(f"Fingerprint.{name}" for name in _ID)
    ),
    "cae_core/calibration/file.py": Tested(
        tests=("core/calibration/test_file.py",), within=("calibration_digest", "_pack", "_digest")
    ),
}
"""By path, in the order of the report."""


def explained() -> dict[str, dict[str, str]]:
    """Return, for each module, why no test can find a fault, by the fault's id."""
    content = tomllib.loads((Path(__file__).parent / "explained.toml").read_text(encoding="utf-8"))
    return {
        module: {identity: group["why"] for group in groups for identity in group["mutants"]}
        for module, groups in content.items()
    }
