"""What is said of the kinds of examples, of kinds that are lacking, and of a label that holds too many."""

import dataclasses

import numpy as np
import pytest

from cae_cli.example_facts import crowded_label, kinds_in_words, lacking_kinds
from cae_core.fingerprint.file import Fingerprint
from cae_core.generation.settings import GenerationSettings
from tests.core.toys import toy_fingerprint


def of_kinds(*codes: int) -> Fingerprint:
    return dataclasses.replace(toy_fingerprint(n=len(codes)), example_kind=np.array(codes, np.uint8))


def test_each_kind_is_counted_and_explained() -> None:
    assert (
        kinds_in_words(toy_fingerprint()) == "20 perturbed: an image that the source gets right, perturbed within eps"
    )
    told = kinds_in_words(of_kinds(2, 0, 2))
    assert told.startswith("1 perturbed: ")
    assert "; 2 natural error: an unchanged image that the source gets wrong" in told


@pytest.mark.parametrize(
    ("codes", "told"),
    [
        ((2, 2, 1, 0), ""),
        ((2, 0, 1, 0), "1 of 2 natural error"),
        ((2, 2, 2, 2), "0 of 1 perturbed error"),
    ],
)
def test_kinds_of_which_there_are_too_few_are_named(codes: tuple[int, ...], told: str) -> None:
    settings = GenerationSettings(eps=0.1, count=4, natural=0.5, errors=0.25)
    sentence = lacking_kinds(of_kinds(*codes), settings)
    assert told in sentence
    assert bool(told) == bool(sentence)


def test_an_incomplete_fingerprint_is_told_otherwise() -> None:
    assert not lacking_kinds(of_kinds(0, 0), GenerationSettings(eps=0.1, count=4, natural=0.5))


@pytest.mark.parametrize("most", [9, 10])
def test_a_label_that_half_of_the_examples_have_is_named(most: int) -> None:
    labels = np.concatenate([np.zeros(most, np.int64), 1 + np.arange(20 - most) % 9])
    crowded = dataclasses.replace(toy_fingerprint(), labels=labels)
    sentence = crowded_label(crowded)
    assert bool(sentence) == (most == 10)
    if sentence:
        assert sentence.startswith(f"10 of 20 examples have the label {crowded.class_names[0]}: ")
    assert not crowded_label(dataclasses.replace(crowded, class_names=("a", "b"), labels=labels % 2))
