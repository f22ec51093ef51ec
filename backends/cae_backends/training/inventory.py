"""What of a pool is finished, and what the result of each of its jobs depends on."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from cae_backends.contract_files import find_sidecar
from cae_backends.training.job_runner import Parent
from cae_backends.training.jobs import PoolJob, job_digest
from cae_backends.training.kinds.table import find_kind
from cae_backends.training.pool_store import PoolStore, Record, Result
from cae_core.arrays import sha256_of
from cae_core.errors import PoolError
from cae_core.opening.model_files import ModelFiles, suspect_digest

__all__ = ["Inventory"]


class Inventory:
    """The jobs of one pool, of which some are finished.

    Attributes:
        jobs: all of them, by name.
        records: records of the finished jobs, by name.
    """

    def __init__(self, jobs: Mapping[str, PoolJob], store: PoolStore, *, data: str, replace: bool) -> None:
        """Start without records.

        Args:
            jobs: by name.
            store: of the pool's folder.
            data: the digest of the images.
            replace: whether a finished model of other inputs may be overwritten.
        """
        self.jobs = jobs
        self.records: dict[str, Record] = {}
        self._store, self._data = store, data
        self._digests: dict[str, str] = {}
        # The source's are kept in any case: whatever a later plan adds most likely derives from it.
        self._keeping = {job.parent or name for name, job in jobs.items() if job.parent or job.relation == "source"}
        self._known = {} if replace else store.known_models()

    def is_ready(self, job: PoolJob) -> bool:
        """Return whether what ``job`` derives from is finished."""
        return not job.parent or job.parent in self.records

    def keeps_weights(self, job: PoolJob) -> bool:
        """Return whether other jobs derive from this one's weights, or are likely to."""
        return job.name in self._keeping

    def find(self, job: PoolJob) -> bool:
        """Take over what an earlier run has made of ``job``, which is ready; return whether nothing is left to do."""
        record = self._store.finished(job, self._digest(job))
        # a parent needs its weights, too
        if record is None or (self.keeps_weights(job) and job.origin is None and not record.weights_sha256):
            return False
        self.records[job.name] = record
        return True

    def keep(self, job: PoolJob, result: Result) -> None:
        """Write the files of a job.

        Raises:
            StorageError: the disk is full, or the folder cannot be written.
        """
        self.records[job.name] = self._store.keep(job, self._digest(job), result)

    def refuse_replacing(self, job: PoolJob) -> None:
        """Refuse to overwrite a finished model of other inputs.

        Raises:
            PoolError: ``job``, which is ready, would.
        """
        path = self._store.overwritten(job, self._digest(job), self._known)
        if path is not None:
            raise PoolError(
                f"{path}: this finished model was made with other settings, data or a parent that has changed; say "
                "--replace to make it anew in its place, or name another folder with --pool."
            )

    def content(self, job: PoolJob) -> Parent:
        """Return what other jobs derive from a finished one, or what the file of an `origin` holds."""
        if job.origin is not None:
            own = {name: path.read_bytes() for name, path in ModelFiles(str(job.origin)).paths.items()}
            return Parent(job, own.pop(job.origin.name), find_sidecar(job.origin), beside=own)
        return Parent(job, self._store.weights_path(self._digest(job)).read_bytes())

    def _parent_digest(self, job: PoolJob) -> str:
        inherited, parent = _inherited(self.records[job.parent]), self.jobs[job.parent]
        if parent.origin is None or find_kind(job.kind).starts_from != "weights":
            return inherited
        return inherited + _beside(parent.origin)

    def _digest(self, job: PoolJob) -> str:
        if job.name not in self._digests:
            origin = suspect_digest(job.origin) if job.origin is not None else ""
            parent = self._parent_digest(job) if job.parent else origin
            self._digests[job.name] = job_digest(job, data=self._data, parent=parent)
        return self._digests[job.name]


def _beside(origin: Path) -> str:
    """Return a digest of the contract beside a source's file: a copy of it was trained by that."""
    contract = find_sidecar(origin)
    if contract is None:
        return ""
    fields = contract.stated()
    if contract.mean_image is not None:
        fields["mean_image"] = sha256_of(contract.mean_image)
    return "/" + hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _inherited(record: Record) -> str:
    return record.weights_sha256 or record.models_sha256[0]
