"""The whole jobs, from files to files: what the command line calls and a script may call as well.

The search is imported by the jobs that search: a verification starts without it.
"""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cae_core.calibration.calibrated import CalibratedFingerprint, load_calibrated, save_calibrated
from cae_core.containment.limits import GENEROUS, Limits
from cae_core.contract import Contract
from cae_core.errors import ContractMissing, GenerationError, OptionError
from cae_core.files.digests import sha256_of_text
from cae_core.files.outputs import FINGERPRINT, LEDGER, RUN_STATE, check_output
from cae_core.files.records import read_record
from cae_core.fingerprint.file import Fingerprint, load_fingerprint, save_fingerprint
from cae_core.loaders import Device
from cae_core.models import Model
from cae_core.opening.model_files import ModelFiles, suspect_digest
from cae_core.opening.opened import Opened
from cae_core.opening.party import Party
from cae_core.opening.recorded_answers import is_answer_file
from cae_core.opening.services import service_loader
from cae_core.paths import StrPath
from cae_core.progress import Progress, StageProgress, detail, silent, stage
from cae_core.verification.known_models import check_self, refuse_known_file
from cae_core.verification.ledger import ledger_of
from cae_core.verification.options import DEFAULT, VerificationOptions
from cae_core.verification.remembered import UnrecordedVerdict, verify_remembered
from cae_core.verification.verdict import Suspect, Verdict
from cae_core.verification.verify import VerificationPlan, plan_verification, verify

if TYPE_CHECKING:
    from cae_core.calibration.calibrate import CalibrationSettings
    from cae_core.dataset import ImageSet
    from cae_core.generation.generate import GenerationResult
    from cae_core.generation.settings import GenerationSettings
    from cae_core.pool.members import OpenPool
    from cae_core.pool.roles import CalibrationMembers, GenerationMembers
    from cae_core.verification.exporting import Export
    from cae_core.verification.replay import Replay
    from cae_core.verification.statement import Statement

__all__ = [
    "calibrate_fingerprint",
    "checkpoint_of",
    "controls_of",
    "export_images",
    "forget_checkpoint",
    "generate_fingerprint",
    "generate_from_log",
    "plan_suspect",
    "replay_file",
    "state_file",
    "verify_files",
    "verify_model",
    "verify_suspect",
]


def checkpoint_of(output: StrPath) -> Path:
    """Return where an interrupted generation of ``output`` keeps its state."""
    return Path(output).with_name(Path(output).name + ".partial")


def controls_of(output: StrPath) -> Path:
    """Return the folder where a generation of ``output`` keeps the control sources' fingerprints until it is done."""
    return Path(output).with_name(Path(output).name + ".controls")


def forget_checkpoint(
    output: Path,
    data: "ImageSet",
    settings: "GenerationSettings",
    provenance: "Mapping[str, Any]",
    *,
    controls: int = 0,
) -> None:
    """Delete the state of the generation with these inputs, which was killed after ``output`` was written, if any.

    So are the fingerprints of its ``controls``, so many control sources.
    """
    from cae_core.generation.generate import refuse_other_inputs

    if controls:
        _forget_controls(output, controls)

    with suppress(GenerationError):  # another run's stays
        refuse_other_inputs(checkpoint_of(output), data, settings, provenance)
        checkpoint_of(output).unlink(missing_ok=True)


def generate_fingerprint(
    members: "GenerationMembers",
    data: "ImageSet",
    *,
    settings: "GenerationSettings",
    output: StrPath,
    controls: "Sequence[GenerationMembers]" = (),
    opened: "OpenPool | None" = None,
    replace: bool = False,
    progress: Progress = silent,
) -> "GenerationResult":
    """Open the pools, generate a fingerprint and write it to ``output``.

    With ``controls``, the members of control sources, a fingerprint of each is made likewise, and their examples are
    put into the same file; what is done of them is kept in `controls_of` the output until then.

    An interrupted run leaves its state beside ``output`` and goes on from there when it is called again with the same
    inputs; the state of another run is given up only with ``replace``. ``opened`` is what the job has hashed already,
    and says where it runs its models.

    Raises:
        GenerationError: the state of a run with other inputs is kept there.
        OptionError: ``output`` is one of the models, or a file of another kind; see `check_output`.
        PoolError: a pool is empty, a file has changed, or one file plays two parts; or see `check_alike`.
        CaeError: see `generate`, `open_white_boxes` and `save_fingerprint`.
    """
    from cae_core.generation.controls import check_alike, with_controls
    from cae_core.generation.generate import generate, refuse_other_inputs
    from cae_core.generation.white_boxes import open_white_boxes, origin_of, provenance_of
    from cae_core.pool.members import OpenPool

    output = Path(output)
    used = [member.path for member in members.everyone]
    check_output(output, FINGERPRINT, inputs=used)
    check_output(checkpoint_of(output), RUN_STATE, inputs=used)
    opened = opened or OpenPool()
    detail(progress, "opening models", "hashing their files")
    check_alike(members, controls, opened=opened)
    provenance = provenance_of(members, opened=opened)
    checkpoint = checkpoint_of(output)
    if not replace:  # before anything takes long
        refuse_other_inputs(checkpoint, data, settings, provenance)
    made = _control_fingerprints(
        controls, data, settings=settings, folder=controls_of(output), opened=opened, replace=replace, progress=progress
    )
    opening = stage(progress, "opening models")
    white_boxes = open_white_boxes(members, opened=opened, images=data.images, progress=opening)
    detail(progress, "preparing", "the models are put together for the search")
    result = generate(
        white_boxes,
        data,
        settings,
        provenance=provenance,
        checkpoint=checkpoint,
        replace=replace,
        progress=progress,
    )
    origin = origin_of(members, white_boxes, opened=opened)
    fingerprint = dataclasses.replace(result.fingerprint, origin=origin)
    result = dataclasses.replace(result, fingerprint=with_controls(fingerprint, made) if made else fingerprint)
    save_fingerprint(result.fingerprint, output)
    checkpoint.unlink(missing_ok=True)
    _forget_controls(output, len(made))
    return result


def _forget_controls(output: Path, count: int) -> None:
    """Remove the control sources' fingerprints, once their examples are in ``output``; what else lies there stays."""
    for number in range(1, count + 1):
        _control_file(controls_of(output), number).unlink(missing_ok=True)
    with suppress(OSError):
        controls_of(output).rmdir()


def _control_file(folder: Path, number: int) -> Path:
    return folder / f"control-{number:02d}.safetensors"


def generate_from_log(
    members: "GenerationMembers",
    controls: "Sequence[GenerationMembers]",
    log: "ImageSet",
    data: "ImageSet",
    *,
    date: str,
    settings: "GenerationSettings",
    output: StrPath,
    logs_tried: int = 1,
    opened: "OpenPool | None" = None,
    progress: StageProgress = silent,
) -> Fingerprint:
    """Choose examples of the source and of its controls from a query log, and write them to ``output``.

    Args:
        members: of which the source counts; a log takes neither surrogates nor references.
        controls: of the control sources, likewise.
        log: the images that were asked; the labels do not count.
        data: labelled benign images.
        date: on which the log's digest was fixed, such as 2026-05-31.
        settings: ``count`` and ``seed`` count.
        output: the fingerprint's file.
        logs_tried: how many logs were tried, this one included.
        opened: what the job has hashed already.
        progress: called with the sources asked and their number.

    Raises:
        OptionError: no control source, no such date, images of another size, or see `check_output`.
        GenerationError: the log has too few images on which a source stands alone.
        CaeError: see `check_alike`, and as models are opened and asked.
    """
    from cae_core.generation.controls import check_alike, with_controls
    from cae_core.generation.query_log import (
        accuracies,
        choose_from_log,
        distinct,
        fingerprint_from_log,
        log_of,
        told_by,
    )
    from cae_core.generation.white_boxes import provenance_of
    from cae_core.pool.members import OpenPool

    if not controls:
        raise OptionError("A query log is judged by control sources, and there are none. Name them with --control.")
    opened = opened or OpenPool()
    everyone = [dataclasses.replace(each, surrogates=(), references=()) for each in (members, *controls)]
    check_output(Path(output), FINGERPRINT, inputs=[each.source.path for each in everyone])
    described = log_of(log.images, date=date, logs_tried=logs_tried)
    check_alike(everyone[0], everyone[1:], opened=opened)
    images = distinct(log.images)
    told: list[NDArray[np.float64]] = []
    right: list[float] = []
    for done, each in enumerate(everyone, start=1):
        detail(progress, "asking sources", each.source.name)
        model = opened.open(each.source).model
        told.append(told_by(model, images, len(data.class_names)))
        right += accuracies([model], data)
        progress(done, len(everyone))
    made = [
        fingerprint_from_log(
            images,
            chosen,
            data,
            log=described,
            settings=settings,
            provenance=provenance_of(each, opened=opened),
            accuracy=accuracy,
        )
        for each, chosen, accuracy in zip(everyone, choose_from_log(np.stack(told), settings.count), right, strict=True)
    ]
    fingerprint = with_controls(made[0], made[1:])
    save_fingerprint(fingerprint, Path(output))
    return fingerprint


def _control_fingerprints(
    controls: "Sequence[GenerationMembers]",
    data: "ImageSet",
    *,
    settings: "GenerationSettings",
    folder: Path,
    opened: "OpenPool",
    replace: bool,
    progress: Progress,
) -> list[Fingerprint]:
    """Return each control source's fingerprint, made now or before an interruption; they are kept in ``folder``."""
    from cae_core.generation.controls import control_settings, is_made_of
    from cae_core.generation.white_boxes import provenance_of

    if controls:
        folder.mkdir(mode=0o700, exist_ok=True)
    made: list[Fingerprint] = []
    for number, members in enumerate(controls, start=1):
        detail(progress, "control sources", f"{number} of {len(controls)}: {members.source.name}")
        own, path = control_settings(settings, number), _control_file(folder, number)
        provenance = provenance_of(members, opened=opened)
        if path.exists() and is_made_of(load_fingerprint(path), data, own, provenance):
            made.append(load_fingerprint(path))
            continue
        result = generate_fingerprint(
            members, data, settings=own, output=path, opened=opened, replace=replace, progress=progress
        )
        made.append(result.fingerprint)
    return made


def calibrate_fingerprint(
    fingerprint: StrPath,
    members: "CalibrationMembers",
    *,
    settings: "CalibrationSettings",
    output: StrPath | None = None,
    opened: "OpenPool | None" = None,
    progress: StageProgress = silent,
) -> CalibratedFingerprint:
    """Calibrate the fingerprint in a file and write both to ``output``, or back where None.

    ``opened`` is what the job has hashed already, and says where it runs its models.

    Raises:
        OptionError: ``output`` is one of the models, or a file of another kind; see `check_output`.
        CaeError: see `load_fingerprint`, `cae_core.calibration.calibrate.calibrate` and `save_calibrated`.
    """
    from cae_core.calibration.calibrate import calibrate

    asked = (*members.generation, *members.screen, *members.references, *members.surrogates)
    check_output(Path(output or fingerprint), FINGERPRINT, inputs=[member.path for member in asked])
    loaded = load_fingerprint(fingerprint)
    calibration = calibrate(loaded, members, settings=settings, opened=opened, progress=progress).calibration
    subject = CalibratedFingerprint(fingerprint=loaded, calibration=calibration)
    save_calibrated(subject, Path(output or fingerprint))
    return subject


def verify_suspect(
    suspect: StrPath,
    fingerprint: StrPath,
    *,
    contract: Contract | None = None,
    data: "ImageSet | None" = None,
    device: Device = "auto",
    trusted: bool = False,
    options: VerificationOptions = DEFAULT,
    nonce: bytes | None = None,
    case: str = "",
    self_check: bool = False,
    ledger: StrPath | None = "auto",
    answers: StrPath | None = None,
    offline: bool = False,
    limits: Limits = GENEROUS,
    progress: StageProgress = silent,
) -> Verdict:
    """Open the suspect and judge it by the fingerprint in a file, and by its calibration where it has one.

    The suspect runs in a process of its own, unless it is ``trusted``; the verdict says so.

    Args:
        suspect: a path or an address, see `open_black_box`; or code of one's own, see `own_code`.
        fingerprint: the fingerprint's file.
        contract: contract that replaces the suspect's own.
        data: labelled images of the task, which find the suspect's contract if nobody states it; the suspect is asked
            by each contract that is left, and the verdict that claims least counts.
        device: device on which the suspect runs.
        trusted: whether the suspect's file is your own: it then runs in this process; see `open_black_box`.
        options: how the suspect is asked and judged.
        nonce: number that determines the order of the questions; None: drawn once the ledger has recorded all else.
        case: name of the case, at most 200 characters, which the verdict states.
        self_check: whether the suspect is meant to be the source's own file; another file is refused then.
        ledger: file that records which suspect has seen which examples, and how often it was verified. ``"auto"``:
            `ledger_of` the fingerprint, beside it; None: none is kept, and the verdict cannot say.
        answers: file for a service's answers, so that an interrupted run goes on; None: beside the ledger.
        offline: whether a service is judged by its kept answers, and nobody is asked.
        limits: limits of the suspect's process.
        progress: is called with the number of queries done and in total.

    Raises:
        PoolError: the suspect is one of the models that made the fingerprint or its calibration.
        StorageError: the ledger cannot be used; nothing was asked.
        UnrecordedVerdict: it could not be written any more once the suspect was asked; it holds the verdict.
        CaeError: see `load_calibrated`, `open_black_box` and `verify`.
    """
    kept = None if ledger is None else ledger_of(Path(fingerprint)) if ledger == "auto" else Path(ledger)
    if kept is not None:
        check_output(kept, LEDGER, inputs=[Path(fingerprint), Path(suspect)])
    if is_answer_file(os.fspath(suspect)):
        from cae_core.verification.recorded import verify_recorded

        unwanted = (contract, data, nonce, answers)
        if kept is None or trusted or self_check or offline or any(given is not None for given in unwanted):
            raise OptionError(
                "Recorded answers are judged as they were exported, by the ledger's entry: leave --contract, --data, "
                "--trusted, --nonce, --self-check, --answers, --offline and --no-ledger out."
            )
        return verify_recorded(
            Path(suspect), load_calibrated(fingerprint), ledger=kept, options=options, case=case, limits=limits
        )
    loader = service_loader(os.fspath(suspect))
    if loader is not None:
        from cae_core.verification.serviced import verify_service

        if kept is None or trusted or self_check or data is not None:
            raise OptionError(
                "A service needs the ledger, does not run here, and has a stated contract: leave "
                "--no-ledger, --trusted, --self-check and --data out."
            )
        return verify_service(
            os.fspath(suspect),
            loader,
            load_calibrated(fingerprint),
            ledger=kept,
            contract=contract,
            options=options,
            nonce=nonce,
            case=case,
            answers=None if answers is None else Path(answers),
            offline=offline,
            limits=limits,
            progress=progress,
        )
    if answers is not None or offline:
        raise OptionError("--answers and --offline are for services. Leave them out.")
    return verify_files(
        ModelFiles(os.fspath(suspect)),
        load_calibrated(fingerprint),
        party=Party(device=device, limits=limits),
        contract=contract,
        data=data,
        trusted=trusted,
        named_by_user=True,
        options=options,
        nonce=nonce,
        case=case,
        self_check=self_check,
        ask=verify if kept is None else partial(verify_remembered, ledger=kept),
        progress=progress,
    )


def verify_files(
    files: ModelFiles,
    subject: CalibratedFingerprint,
    *,
    party: Party,
    contract: Contract | None = None,
    data: "ImageSet | None" = None,
    trusted: bool = False,
    named_by_user: bool = False,
    options: VerificationOptions = DEFAULT,
    nonce: bytes | None = None,
    case: str = "",
    self_check: bool = False,
    ask: Callable[..., Verdict] = verify,
    progress: StageProgress = silent,
) -> Verdict:
    """Open the suspect that lies in these files and judge it; see `verify_suspect`.

    Args:
        files: of the suspect; they must not change until it has answered.
        subject: the fingerprint, and its calibration where it has one.
        party: opens the suspect, and ends with it.
        contract: see `verify_suspect`, as of all others.
        data: by which a contract is found that nobody states.
        trusted: whether the suspect's file is one's own.
        named_by_user: whether the user has named it himself, so that it may be code of his own.
        options: how it is asked and judged.
        nonce: decides the order of the questions.
        case: a name for the case.
        self_check: whether the suspect is meant to be the source's file.
        ask: `verify`, or `verify_remembered` with a ledger.
        progress: called with the queries done and in total.

    Raises:
        CaeError: see `verify_suspect`.
    """
    name = files.spec
    unrecorded: UnrecordedVerdict | None = None
    try:
        named, task = Suspect.of(files), subject.fingerprint.task
        refuse_known_file(subject, name, named.sha256)
        try:
            opened = party.black_box(
                name, contract=contract, trusted=trusted, named_by_user=named_by_user, files=files, task=task
            )
            rivals: list[Opened[Model]] = []
        except ContractMissing:
            if data is None:
                raise
            from cae_core.contract_search.suspects import open_by_accuracy

            taken = np.concatenate([subject.fingerprint.images, subject.fingerprint.probe_images])
            opened, *rivals = open_by_accuracy(
                party,
                name,
                data,
                taken,
                task=task,
                files=files,
                trusted=trusted,
                named_by_user=named_by_user,
                progress=progress,
            )
        if self_check:
            check_self(subject, name, named.sha256)
        verdict = ask(
            opened.model,
            subject,
            named=named,
            options=options,
            nonce=nonce,
            case=case,
            self_check=self_check,
            containment=opened.containment,
            rivals=[rival.model for rival in rivals],
            progress=progress,
        )
    except UnrecordedVerdict as error:
        verdict, unrecorded = error.verdict, error
    finally:
        party.end()
    files.check_unchanged()
    if unrecorded is not None:
        raise unrecorded
    return verdict


def verify_model(
    suspect: Model,
    fingerprint: StrPath,
    *,
    name: str,
    options: VerificationOptions = DEFAULT,
    nonce: bytes | None = None,
    case: str = "",
    ledger: StrPath | None = "auto",
    progress: StageProgress = silent,
) -> Verdict:
    """Judge a suspect that is a model of this process, such as a `black_box` of one's own.

    It is asked here, in no process of its own, and the verdict says so.

    Args:
        suspect: has one method, `Model.predict`.
        fingerprint: the file.
        name: of the suspect, which identifies it: no file says what it is. Its SHA-256 stands in verdict and ledger.
        options: how it is asked and judged.
        nonce: decides the order of the questions; see `verify_suspect`, as of all others.
        case: a name for the case.
        ledger: file that remembers which suspect has seen which examples.
        progress: called with the queries done and in total.

    Raises:
        CaeError: see `verify_suspect`.
    """
    kept = None if ledger is None else ledger_of(Path(fingerprint)) if ledger == "auto" else Path(ledger)
    if kept is not None:
        check_output(kept, LEDGER, inputs=[Path(fingerprint)])
    return (verify if kept is None else partial(verify_remembered, ledger=kept))(
        suspect,
        load_calibrated(fingerprint),
        named=Suspect(name=name, sha256=sha256_of_text(name)),
        options=options,
        nonce=nonce,
        case=case,
        progress=progress,
    )


def export_images(
    fingerprint: StrPath, folder: StrPath, *, suspect: str, ledger: StrPath = "auto", case: str = ""
) -> "Export":
    """Write the images into a folder, for somebody else who asks the suspect; `verify_suspect` takes the answers.

    Args:
        fingerprint: the fingerprint's file.
        folder: a new or empty folder for the images.
        suspect: name of the suspect, for ledger and verdict.
        ledger: the ledger, as for `verify_suspect`; there must be one.
        case: name of the case.

    Raises:
        CaeError: see `load_calibrated` and `export_queries`.
    """
    from cae_core.verification.exporting import export_queries

    kept = ledger_of(Path(fingerprint)) if ledger == "auto" else Path(ledger)
    check_output(kept, LEDGER, inputs=[Path(fingerprint)])
    return export_queries(load_calibrated(fingerprint), Path(folder), suspect=suspect, ledger=kept, case=case)


def plan_suspect(suspect: StrPath, fingerprint: StrPath, *, options: VerificationOptions = DEFAULT) -> VerificationPlan:
    """Say what verifying a suspect would ask; nothing is asked and the suspect is not opened.

    Args:
        suspect: a path or an address.
        fingerprint: the fingerprint's file.
        options: how the suspect would be asked and judged.

    Raises:
        CaeError: see `load_calibrated` and `plan_verification`.
    """
    if is_answer_file(os.fspath(suspect)):
        raise OptionError("Recorded answers ask nothing, so there is nothing to plan. Leave --dry-run out.")
    digest = suspect_digest(os.fspath(suspect))
    return plan_verification(load_calibrated(fingerprint), suspect_sha256=digest, options=options)


def replay_file(record: StrPath, fingerprint: StrPath) -> "Replay":
    """Derive the verdict in a JSON file again, by the fingerprint in a file and its calibration.

    Raises:
        VerdictError: it is no verdict, or not one of this fingerprint.
        CaeError: see `load_calibrated` and `replay_verdict`.
    """
    from cae_core.verification.replay import replay_verdict

    return replay_verdict(read_record(Path(record)), load_calibrated(fingerprint), origin=str(record))


def state_file(record: StrPath, fingerprint: StrPath) -> "Statement":
    """Return the verdict in a JSON file as an in-toto statement about the files that were read for it.

    Raises:
        VerdictError: it is no verdict, not one of this fingerprint, or its answers do not give it.
        CaeError: see `load_calibrated` and `state_verdict`.
    """
    from cae_core.verification.statement import state_verdict

    name = Path(fingerprint).name
    return state_verdict(read_record(Path(record)), load_calibrated(fingerprint), fingerprint=name, origin=str(record))
