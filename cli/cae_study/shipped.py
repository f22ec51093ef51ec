"""The studies that come with the package, by name."""

from pathlib import Path

from cae_core.errors import StudyError

__all__ = ["shipped_studies", "study_named"]

_FOLDER = Path(__file__).parent / "shipped"


def shipped_studies() -> dict[str, Path]:
    """Return the files of the studies that come with the package, by their names."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.toml")) if not path.stem.startswith("plan-")}


def study_named(name: str) -> Path:
    """Return the file of a study: a path, or the name of one that comes with the package.

    Raises:
        StudyError: there is no such file or study.
    """
    if Path(name).suffix == ".toml" or Path(name).exists():
        return Path(name)
    known = shipped_studies()
    if name not in known:
        raise StudyError(f"There is no study {name!r}; known are {', '.join(known)}. Or name a file (.toml).")
    return known[name]
