"""Fingerprints of all sources in one file, and the refusal of sources that are not treated alike."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from cae_core.errors import FingerprintError, OptionError, PoolError
from cae_core.fingerprint.file import LabelledImages, load_fingerprint, save_fingerprint
from cae_core.fingerprint.kinds import CONTROL
from cae_core.generation.controls import check_alike, control_settings, with_controls
from cae_core.pool.manifest import PoolMember, Relation
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import GenerationMembers, control_members
from tests.core.sources import toy_sources
from tests.core.toys import quick_settings, toy_fingerprint


def member(folder: Path, name: str, relation: Relation) -> PoolMember:
    path = folder / name
    path.write_text(name)
    return PoolMember(path=path, role="source" if relation == "source" else "generate", relation=relation)


def members(
    folder: Path, name: str, *, surrogates: int = 2, references: tuple[str, ...] = ("r", "s")
) -> GenerationMembers:
    return GenerationMembers(
        source=member(folder, name, "source"),
        surrogates=[member(folder, f"{name}-copy-{i}", "surrogate") for i in range(surrogates)],
        references=[member(folder, reference, "reference") for reference in references],
    )


class TestAlike:
    def test_equal_numbers_and_the_same_references_pass(self, tmp_path: Path) -> None:
        controls = [members(tmp_path, name) for name in ("b", "c")]
        check_alike(members(tmp_path, "a"), controls, opened=OpenPool())

    def test_another_number_of_surrogates_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(PoolError, match="has 1 surrogates and the claimed source has 2"):
            check_alike(members(tmp_path, "a"), [members(tmp_path, "b", surrogates=1)], opened=OpenPool())

    def test_other_references_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(PoolError, match="are not the claimed source's"):
            check_alike(members(tmp_path, "a"), [members(tmp_path, "b", references=("r",))], opened=OpenPool())

    @pytest.mark.parametrize("name", ["a", "b-copy-0", "r"])
    def test_a_model_with_two_parts_is_refused(self, tmp_path: Path, name: str) -> None:
        control = members(tmp_path, "b")
        again = dataclasses.replace(control, source=member(tmp_path, name, "source"))
        with pytest.raises(PoolError, match="are one file"):
            check_alike(members(tmp_path, "a"), [control, again], opened=OpenPool())


def test_each_control_has_a_seed_of_its_own() -> None:
    settings = quick_settings(seed=7)
    assert [control_settings(settings, number).seed for number in (1, 2)] == [8, 9]
    assert dataclasses.replace(control_settings(settings, 1), seed=7) == settings


class TestManifests:
    def test_a_folder_is_its_manifests_by_name_and_they_share_the_references(self, tmp_path: Path) -> None:
        shared = [member(tmp_path, "r", "reference")]
        for name in ("control-02", "control-01"):
            folder = tmp_path / "controls" / name
            folder.mkdir(parents=True)
            rows = [("source", "source", "source"), ("copy", "generate", "surrogate")]
            lines = [f'[[model]]\npath = "{p}.onnx"\nrole = "{role}"\nrelation = "{of}"' for p, role, of in rows]
            (folder / "pool.toml").write_text("\n".join(lines))
            for path, *_ in rows:
                (folder / f"{path}.onnx").write_text(name + path)
        found = control_members([tmp_path / "controls"], references=shared)
        assert [control.source.path.parent.name for control in found] == ["control-01", "control-02"]
        assert [control.references for control in found] == [shared, shared]

    def test_a_folder_without_any_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(PoolError, match="holds no manifest of a control source"):
            control_members([tmp_path], references=[])


class TestOneFile:
    def test_it_comes_back_whole(self, tmp_path: Path) -> None:
        made, path = toy_sources(3), tmp_path / "f.safetensors"
        save_fingerprint(made, path)
        found = load_fingerprint(path)
        assert (found.id, found.controls) == (made.id, 3)
        for name in ("images", "labels"):
            np.testing.assert_array_equal(getattr(found.of(CONTROL), name), getattr(made.of(CONTROL), name))
        assert [control["name"] for control in found.generation["controls"]] == ["control-0", "control-1", "control-2"]

    def test_of_each_source_as_many_as_the_poorest_has(self) -> None:
        rich = toy_fingerprint(n=20)
        poor = toy_sources(2, n=12)
        controls = [
            dataclasses.replace(toy_fingerprint(n=n, seed=n), generation={**rich.generation, "surrogates": []})
            for n in (15, 12)
        ]
        found = with_controls(rich, controls)
        assert (len(found), len(found.of(CONTROL)), len(poor)) == (12, 24, 12)
        np.testing.assert_array_equal(found.images, rich.images[:12])
        np.testing.assert_array_equal(found.of(CONTROL).images[:12], controls[0].images[:12])
        np.testing.assert_array_equal(found.of(CONTROL).labels[12:], controls[1].labels)
        assert found.id != rich.id

    def test_images_of_another_size_are_refused(self) -> None:
        claimed, other = toy_fingerprint(), toy_fingerprint(classes=9)
        with pytest.raises(OptionError, match="other classes"):
            with_controls(claimed, [other])

    def test_a_file_without_controls_has_none(self) -> None:
        assert toy_fingerprint().controls == 0
        assert "control" not in toy_fingerprint().generation

    @pytest.mark.parametrize("change", ["fewer described", "more described", "cut", "no list"])
    def test_sources_that_do_not_fit_are_refused(self, tmp_path: Path, change: str) -> None:
        made, path = toy_sources(3), tmp_path / "f.safetensors"
        described, images = made.generation["controls"], made.of(CONTROL)
        generation = dict(made.generation)
        further = dict(made.further)
        match change:
            case "fewer described":
                generation["controls"] = described[:2]
            case "more described":
                generation["controls"] = [*described, described[0]]
            case "no list":
                generation["controls"] = {"0": described[0]}
            case _:
                further[CONTROL.name] = LabelledImages(images.images[:50], images.labels[:50])
                generation[CONTROL.name] = further[CONTROL.name].described()
        save_fingerprint(dataclasses.replace(made, generation=generation, further=further), path)
        with pytest.raises(FingerprintError):
            load_fingerprint(path)
