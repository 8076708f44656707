"""The residence protocol under every interleaving of small scenes, with the real code.

Each scene runs once without interruptions, then with one at every step, for each other task that
could go on there, then with several at random steps. A failure names its schedule: give it to
`play` to see it again.
"""

import os
import random
import shutil
import tempfile
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import pytest

from modelyard.domain.errors import DependencyError, ModelLoadError, TargetModelNotFoundError
from tests.faults.residence_yard import REVALIDATE_S, SAID_GONE, Yard, stepped
from tests.faults.schedules import Schedule, one_interruption

SEED = int(os.environ.get("MODELYARD_SEED", "1"))
ROUNDS = int(os.environ.get("MODELYARD_SCHEDULES", "25"))
"""How many schedules of several interruptions are tried per scene."""
EVERY = int(os.environ.get("MODELYARD_EVERY", "20"))
"""Of the schedules of one interruption, every n-th is tried."""

Scene = Callable[[Yard], None]


def two_cold_calls(yard: Yard) -> None:
    yard.repository.source.put("a", b"a1")

    yard.do(lambda: yard.ask("a"), lambda: yard.ask("a"))

    assert yard.answers == [b"a1", b"a1"]
    assert yard.repository.source.fetched == ["a"]


def update_while_it_is_loaded(yard: Yard) -> None:
    """What the repository was heard to say is served, without waiting for the next revalidation."""
    yard.repository.source.put("a", b"a1")

    def update() -> None:
        yard.wait_for_fetch()
        yard.repository.source.put("a", b"a2")
        yard.clock.advance(REVALIDATE_S)
        yard.ask("a")

    yard.do(lambda: yard.ask("a"), update)
    yard.do(lambda: yard.ask("a"))
    yard.do(lambda: yard.ask("a"))

    assert yard.answers[-1] == b"a2"


def update_of_a_loaded_model(yard: Yard) -> None:
    yard.repository.source.put("a", b"files a1")
    yard.do(lambda: yard.ask("a"))
    yard.clock.advance(REVALIDATE_S)
    yard.do(
        lambda: yard.ask("a"),
        lambda: yard.repository.source.put("a", b"files a2"),
        lambda: yard.ask("a"),
    )
    yard.do(lambda: yard.ask("a"))
    yard.do(lambda: yard.ask("a"))

    assert set(yard.answers) <= {b"files a1", b"files a2"}
    assert yard.answers[-1] == yard.repository.said["a"]


def deletion_while_it_is_loaded(yard: Yard) -> None:
    """A model that was heard to be gone does not answer, not even while nobody can be asked."""
    yard.repository.source.put("a", b"a1")

    def delete() -> None:
        yard.wait_for_fetch()
        yard.repository.source.delete("a")
        yard.clock.advance(REVALIDATE_S)
        yard.ask("a")

    yard.do(lambda: yard.ask("a"), delete)
    yard.repository.is_down = True
    yard.do(lambda: yard.ask("a"))

    if yard.repository.said["a"] == SAID_GONE:
        assert isinstance(yard.answers[-1], TargetModelNotFoundError | DependencyError)


def three_models_in_room_for_two(yard: Yard) -> None:
    for name in "abc":
        yard.repository.source.put(name, f"files {name}".encode())

    yard.do(*(lambda name=name: yard.ask(name) for name in "abcab"))  # type: ignore[misc]

    expected = sorted(f"files {name}".encode() for name in "abcab")
    assert sorted(answer for answer in yard.answers if isinstance(answer, bytes)) == expected


def unload_between_calls(yard: Yard) -> None:
    yard.repository.source.put("a", b"a1")

    yard.do(
        lambda: yard.ask("a"),
        lambda: yard.residence.unload(yard.source("a")),
        lambda: yard.ask("a"),
        lambda: yard.residence.unload(yard.source("a")),
    )

    assert yard.answers == [b"a1", b"a1"]


def calls_that_keep_nothing(yard: Yard) -> None:
    yard.repository.source.put("a", b"a1")

    yard.do(*[lambda: yard.ask("a", keep_loaded=False)] * 3)

    assert yard.answers == [b"a1"] * 3
    assert yard.living == []


def broken_update(yard: Yard) -> None:
    yard.repository.source.put("a", b"a1")
    yard.do(lambda: yard.ask("a"))
    yard.repository.source.put("a", b"bad a2")
    yard.clock.advance(REVALIDATE_S)

    yard.do(lambda: yard.ask("a"), lambda: yard.ask("a"))

    assert yard.answers == [b"a1"] * 3


def repository_that_goes_away(yard: Yard) -> None:
    yard.repository.source.put("a", b"a1")

    def fall() -> None:
        yard.repository.is_down = True
        yard.scheduler.step()
        yard.repository.is_down = False

    yard.do(lambda: yard.ask("a"), fall, lambda: yard.ask("a"))
    yard.clock.advance(REVALIDATE_S)
    yard.do(lambda: yard.ask("a"))

    assert yard.answers[-1] == b"a1"


def bad_model(yard: Yard) -> None:
    yard.repository.source.put("a", b"bad a")

    yard.do(lambda: yard.ask("a"), lambda: yard.ask("a"))

    assert [type(answer) for answer in yard.answers] == [ModelLoadError] * 2
    assert yard.models.used_bytes == 0


SCENES = [
    two_cold_calls,
    update_while_it_is_loaded,
    update_of_a_loaded_model,
    deletion_while_it_is_loaded,
    three_models_in_room_for_two,
    unload_between_calls,
    calls_that_keep_nothing,
    broken_update,
    repository_that_goes_away,
    bad_model,
]


def play(scene: Scene, schedule: Schedule) -> int:
    """Run a scene by a schedule; returns how many steps it took."""
    root = Path(tempfile.mkdtemp(dir=_fast_disk()))
    try:
        with stepped(root, schedule) as yard:
            scene(yard)
            yard.assert_at_rest()
            return yard.scheduler.steps
    except BaseException as error:
        error.add_note(f"replay: play({scene.__name__}, {schedule})")
        raise
    finally:
        shutil.rmtree(root)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_no_interleaving_breaks_the_residence_of_models(scene: Scene) -> None:
    steps = play(scene, ())
    dice = random.Random(SEED)
    once = list(one_interruption(steps, others=2))[::EVERY]
    often = (
        tuple((dice.randint(1, steps), dice.randint(0, 2)) for _ in range(dice.randint(2, 5)))
        for _ in range(ROUNDS)
    )

    for schedule in chain(once, often):
        play(scene, schedule)


def _fast_disk() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None
