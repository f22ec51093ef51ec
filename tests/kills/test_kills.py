"""Some kills of each command; ``python -m tests.kills`` does it a hundred times."""

import numpy as np
import pytest

from tests.kills.commands import COMMANDS
from tests.kills.site import Site
from tests.kills.trials import kill_often

KILLS = 2

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("kills") / "site")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_is_run_again_and_leaves_nothing(name: str, site: Site) -> None:
    tally = kill_often(site, name, KILLS, np.random.default_rng(2026))
    assert tally.kills >= KILLS
    assert not tally.problems


def test_a_verification_that_has_asked_leaves_its_trace(site: Site) -> None:
    tally = kill_often(site, "verify", 3, np.random.default_rng(1), at=("ask",))
    assert (tally.asked >= 3, tally.problems) == (True, [])
    assert not tally.untraced


@pytest.mark.parametrize("point", ["write", "fsync", "link"])
def test_a_seal_is_made_wherever_it_was_killed(point: str, site: Site) -> None:
    tally = kill_often(site, "seal", 1, np.random.default_rng(3), at=(point,))
    assert tally.moments == {point: tally.kills}
    assert not tally.problems
