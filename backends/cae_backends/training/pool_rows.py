"""The manifest of a trained pool: the members that its jobs have made, and those that were added from elsewhere."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from cae_backends.training.jobs import PoolJob, ancestor_of
from cae_backends.training.pool_store import PoolData, PoolStore, Record
from cae_backends.training.training_images import TrainingImages
from cae_core.files.digests import sha256_of_file
from cae_core.files.exclusion import exclusive
from cae_core.files.outputs import MANIFEST, ONNX_MODEL, OutputKind, check_output
from cae_core.pool.check import check_added
from cae_core.pool.manifest import Pool, PoolMember, parse_member, read_pool
from cae_core.pool.manifest_writing import ManifestRow, foreign_rows, write_manifest

__all__ = ["check_places", "write_members"]


def check_places(jobs: Iterable[PoolJob], store: PoolStore, manifest: Path) -> None:
    """Refuse before the training what the manifest would refuse after it, such as a second source.

    Raises:
        OptionError: a model or the manifest would take the place of something else; see `check_output`.
        PoolError: the jobs' members and those that were added make no pool.
    """
    jobs = tuple(jobs)
    used = [job.origin for job in jobs if job.origin is not None]
    used += [job.weights.path for job in jobs if job.weights is not None and job.weights.path is not None]
    check_output(manifest, MANIFEST, inputs=used)
    _check_models(
        [path for job in jobs if job.origin is None for path in store.model_paths(job)], store, manifest, used
    )
    places = [(path, job) for job in jobs for path in store.model_paths(job)]
    added = foreign_rows(manifest, trained=store.known_models(), rows=[{"path": path} for path, _ in places])
    planned = [PoolMember(path=path, role=job.role, relation=job.relation) for path, job in places]
    Pool.checked([*planned, *_members(added, manifest)], manifest)


def _check_models(places: Iterable[Path], store: PoolStore, manifest: Path, used: Iterable[Path]) -> None:
    """Refuse to write a model over something else.

    What a run of this folder has written may be of any exporter, and where the manifest has a model a damaged one lies.
    """
    known = store.known_models()
    listed = {member.path.resolve() for member in read_pool(manifest).members} if manifest.exists() else set[Path]()

    def is_model(path: Path, head: bytes) -> bool:
        return ONNX_MODEL.recognised(path, head) or path.resolve() in listed or sha256_of_file(path) in known

    inputs, kind = list(used), OutputKind(words=ONNX_MODEL.words, recognised=is_model)
    for path in places:
        check_output(path, kind, inputs=inputs)


def write_members(manifest: Path, made: Sequence[tuple[PoolJob, Record]], store: PoolStore, data: PoolData) -> None:
    """Write what the jobs have made into the manifest, and after it what was added from elsewhere.

    Args:
        manifest: the file; its added members stay.
        made: finished jobs, in the manifest's order.
        store: of the manifest's folder.
        data: on which they were trained; by the test images one model is told from another.

    Raises:
        PoolError: a model was added in one role and made in another, or stands there twice.
        StorageError: the folder cannot be written.
    """
    jobs = {job.name: job for job, _ in made}
    images = TrainingImages.of(data)
    rows = [
        row
        for job, record in made
        for row in _rows(job, record, store, ancestor=ancestor_of(job, jobs), trained_on=images.seen_by(job))
    ]
    with exclusive(manifest):  # what is added between reading and writing would be lost
        added = foreign_rows(manifest, trained=store.known_models(), rows=rows)
        if added:
            check_added(_members(rows, manifest), _members(added, manifest), data.test)
        write_manifest(manifest, [*rows, *added])


def _members(rows: Iterable[ManifestRow], manifest: Path) -> list[PoolMember]:
    given = ({name: value for name, value in row.items() if value not in (None, "")} for row in rows)
    return [parse_member({**row, "path": str(row["path"])}, manifest) for row in given]


def _rows(
    job: PoolJob, record: Record, store: PoolStore, *, ancestor: str, trained_on: ManifestRow | None
) -> list[ManifestRow]:
    """Return the ``[[model]]`` tables of a job's members."""
    kinds = [job.kind, *(f"{job.kind}, epoch {epoch} of {job.recipe.epochs}" for epoch in job.snapshot_epochs)]
    paths = store.model_paths(job)
    return [
        {
            "path": path.relative_to(store.folder) if path.is_relative_to(store.folder) else path,
            "role": job.role,
            "relation": job.relation,
            "kind": kind,
            "architecture": job.architecture,
            "parent": job.parent,
            "ancestor": ancestor,
            "seed": job.seed if job.origin is None else None,
            "recipe": job.recipe_name,
            "trained_on": trained_on,
            "accuracy": round(accuracy, 6),
            "sha256": digest,
            # what was trained here is one's own, the source of a plan only by the plan's word
            "trusted": job.origin is None or job.trusted or None,
            "contract": record.contract or None,  # else the file's own applies
        }
        for path, kind, accuracy, digest in zip(paths, kinds, record.accuracies, record.models_sha256, strict=True)
    ]
