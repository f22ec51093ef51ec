"""Claims as a claimant may make them up: whatever his files are, record, seal and timestamp fit them."""

import copy
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import onnx

from cae_backends.attestation.seals import attest_seal, response_of
from cae_core.contract import Contract
from cae_core.fingerprint.file import Fingerprint, load_fingerprint, save_fingerprint
from cae_core.opening.model_files import ModelFiles
from cae_core.pool.manifest_writing import write_manifest
from tests.backends.timestamping import Authority
from tests.cli.test_seal_and_judge import Court

__all__ = ["Accusation", "Claimant", "carry_code"]

QUICK = ("--count", "10", "--iterations", "10", "--sample", "3")
"""Of a regeneration that still tells a copy from nineteen references."""


@dataclass(frozen=True)
class Accusation:
    """A sealed and dated claim.

    Attributes:
        arguments: of `cae judge`, but for the suspect and the working folder.
    """

    arguments: Sequence[str | Path]

    def against(self, suspect: Path, workdir: Path, *more: str | Path) -> list[str | Path]:
        """Return the whole command."""
        return ["judge", *self.arguments, "--suspect", suspect, "--workdir", workdir, *QUICK, *more]


@dataclass(frozen=True)
class Claimant:
    """Makes claims that fit his files, in a folder of their own each.

    Attributes:
        court: an honest case: its fingerprint is the one that he copies from.
        authority: dates his seals, now.
    """

    court: Court
    authority: Authority

    def claim(
        self,
        folder: Path,
        source: Path,
        *,
        name: str = "Example Ltd",
        members: Mapping[str, Sequence[Path]] | None = None,
        contract: Contract | None = None,
        claim: str = "claim.safetensors",
        seal: str = "seal.json",
        **described: Any,  # noqa: ANN401 - of different types
    ) -> Accusation:
        """Say that the fingerprint was made of ``source``, and seal it.

        Args:
            folder: of his files.
            source: the claimed one.
            name: his own.
            members: the surrogates and references that he says he took; None: those of the court, and none is replayed.
            contract: of the source, where it is another than the court's.
            claim: the fingerprint's name.
            seal: its seal's.
            described: replaces attributes of the fingerprint; ``of_source`` adds to what it says of the source.
        """
        folder.mkdir(parents=True, exist_ok=True)
        fingerprint, sealed = folder / claim, folder / seal
        save_fingerprint(self._said(source, members or {}, contract, described), fingerprint)
        request = attest_seal(fingerprint, sealed, fpr=0.05, claimant=name).request
        assert request is not None
        response_of(sealed).write_bytes(self.authority.answer(request.read_bytes()))
        time.sleep(1.1)  # a timestamp has whole seconds, and a suspect that may be accused is younger
        dated = ("--timestamp", response_of(sealed), "--tsa-certificate", self.authority.root)
        given = ("--claim", fingerprint, "--seal", sealed, "--source", source, "--pool", self._judges(folder, source))
        since = ("--suspect-since", datetime.now(UTC).replace(microsecond=0).isoformat())
        pool = () if members is None else ("--claimant-pool", _manifest(folder / "claimants.toml", source, members))
        return Accusation((*given, "--data", "digits", "--seals", "1", *dated, *since, *pool))

    def _said(
        self,
        source: Path,
        members: Mapping[str, Sequence[Path]],
        contract: Contract | None,
        described: dict[str, Any],
    ) -> Fingerprint:
        honest = load_fingerprint(self.court.claim)
        generation, files = copy.deepcopy(dict(honest.generation)), ModelFiles(str(source))
        generation["source"] |= {"sha256": files.digest, **described.pop("of_source", {})}
        for relation, paths in members.items():
            for row, path in zip(generation[f"{relation}s"], paths, strict=True):
                row["sha256"] = ModelFiles(str(path)).digest
        origin = {**honest.origin, "files": list(files.lines)}
        if contract is not None:
            origin |= {"contract": contract.table(), "contract_sha256": contract.digest}
        return replace(honest, generation=generation, origin=origin, **described)

    def _judges(self, folder: Path, source: Path) -> Path:
        """Write the judge's manifest for this source: its copies are derived from weights that are the same."""
        path = folder / "judge.toml"
        named = json.dumps(str(source))[1:-1]  # whatever a stranger calls it, TOML writes it as JSON does
        path.write_text(self.court.judge.read_text().replace(str(self.court.pool.source), named))
        return path


def _manifest(path: Path, source: Path, members: Mapping[str, Sequence[Path]]) -> Path:
    rows: list[dict[str, Any]] = [{"path": str(source), "role": "source", "relation": "source"}]
    for relation, paths in members.items():
        rows += [{"path": str(path), "role": "generate", "relation": relation} for path in paths]
    write_manifest(path, rows)
    return path


def carry_code(model: Path, target: Path, marker: Path) -> Path:
    """Write a model again whose names are code that makes the file ``marker``: of nodes, weights, outputs, and its own.

    Where the file cannot be made, in a sandbox, the code fails, and with it whatever ran it.
    """
    proto = onnx.load(model)
    graph, renamed = proto.graph, dict[str, str]()
    kept = {value.name for value in (*graph.input, *graph.output)}
    for place, weight in enumerate(graph.initializer):
        renamed[weight.name] = weight.name = _code(marker, f"w{place}")
    for place, node in enumerate(graph.node):
        node.name = _code(marker, f"n{place}")
        renamed |= {output: _code(marker, f"o{place}") for output in node.output if output not in kept}
    for node in graph.node:
        node.input[:] = [renamed.get(name, name) for name in node.input]
        node.output[:] = [renamed.get(name, name) for name in node.output]
    graph.name = graph.doc_string = proto.producer_name = _code(marker, "g")
    target.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, target)
    return target


def _code(marker: Path, name: str) -> str:
    own = '[n for n in getattr(self, chr(95)+"modules") if n[:2] == chr(113)+chr(34)][0]'
    return f'q" if __import__("pathlib").Path("{marker}").touch() else {own}, "{name}'
