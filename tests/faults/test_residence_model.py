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
from tests.faults.residence_run import REVALIDATE_S, SAID_GONE, ResidenceRun, stepped
from tests.faults.schedules import Schedule, one_interruption

SEED = int(os.environ.get("MODELYARD_SEED", "1"))
ROUNDS = int(os.environ.get("MODELYARD_SCHEDULES", "25"))
"""How many schedules of several interruptions are tried per scene."""
EVERY = int(os.environ.get("MODELYARD_EVERY", "20"))
"""Of the schedules of one interruption, every n-th is tried."""

Scene = Callable[[ResidenceRun], None]


def two_cold_calls(run: ResidenceRun) -> None:
    run.repository.source.put("a", b"a1")

    run.do(lambda: run.ask("a"), lambda: run.ask("a"))

    assert run.answers == [b"a1", b"a1"]
    assert run.repository.source.fetched == ["a"]


def update_while_it_is_loaded(run: ResidenceRun) -> None:
    """What the repository was heard to say is served, without waiting for the next revalidation."""
    run.repository.source.put("a", b"a1")

    def update() -> None:
        run.wait_for_fetch()
        run.repository.source.put("a", b"a2")
        run.clock.advance(REVALIDATE_S)
        run.ask("a")

    run.do(lambda: run.ask("a"), update)
    run.do(lambda: run.ask("a"))
    run.do(lambda: run.ask("a"))

    assert run.answers[-1] == b"a2"


def update_of_a_loaded_model(run: ResidenceRun) -> None:
    run.repository.source.put("a", b"files a1")
    run.do(lambda: run.ask("a"))
    run.clock.advance(REVALIDATE_S)
    run.do(
        lambda: run.ask("a"),
        lambda: run.repository.source.put("a", b"files a2"),
        lambda: run.ask("a"),
    )
    run.do(lambda: run.ask("a"))
    run.do(lambda: run.ask("a"))

    assert set(run.answers) <= {b"files a1", b"files a2"}
    assert run.answers[-1] == run.repository.said["a"]


def deletion_while_it_is_loaded(run: ResidenceRun) -> None:
    """A model that was heard to be gone does not answer, not even while nobody can be asked."""
    run.repository.source.put("a", b"a1")

    def delete() -> None:
        run.wait_for_fetch()
        run.repository.source.delete("a")
        run.clock.advance(REVALIDATE_S)
        run.ask("a")

    run.do(lambda: run.ask("a"), delete)
    run.repository.is_down = True
    run.do(lambda: run.ask("a"))

    if run.repository.said["a"] == SAID_GONE:
        assert isinstance(run.answers[-1], TargetModelNotFoundError | DependencyError)


def three_models_in_room_for_two(run: ResidenceRun) -> None:
    for name in "abc":
        run.repository.source.put(name, f"files {name}".encode())

    run.do(*(lambda name=name: run.ask(name) for name in "abcab"))  # type: ignore[misc]

    expected = sorted(f"files {name}".encode() for name in "abcab")
    assert sorted(answer for answer in run.answers if isinstance(answer, bytes)) == expected


def unload_between_calls(run: ResidenceRun) -> None:
    run.repository.source.put("a", b"a1")

    run.do(
        lambda: run.ask("a"),
        lambda: run.residence.unload(run.source("a")),
        lambda: run.ask("a"),
        lambda: run.residence.unload(run.source("a")),
    )

    assert run.answers == [b"a1", b"a1"]


def calls_that_keep_nothing(run: ResidenceRun) -> None:
    run.repository.source.put("a", b"a1")

    run.do(*[lambda: run.ask("a", keep_loaded=False)] * 3)

    assert run.answers == [b"a1"] * 3
    assert run.living == []


def broken_update(run: ResidenceRun) -> None:
    run.repository.source.put("a", b"a1")
    run.do(lambda: run.ask("a"))
    run.repository.source.put("a", b"bad a2")
    run.clock.advance(REVALIDATE_S)

    run.do(lambda: run.ask("a"), lambda: run.ask("a"))

    assert run.answers == [b"a1"] * 3


def repository_that_goes_away(run: ResidenceRun) -> None:
    run.repository.source.put("a", b"a1")

    def fall() -> None:
        run.repository.is_down = True
        run.scheduler.step()
        run.repository.is_down = False

    run.do(lambda: run.ask("a"), fall, lambda: run.ask("a"))
    run.clock.advance(REVALIDATE_S)
    run.do(lambda: run.ask("a"))

    assert run.answers[-1] == b"a1"


def bad_model(run: ResidenceRun) -> None:
    run.repository.source.put("a", b"bad a")

    run.do(lambda: run.ask("a"), lambda: run.ask("a"))

    assert [type(answer) for answer in run.answers] == [ModelLoadError] * 2
    assert run.models.used_bytes == 0


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
        with stepped(root, schedule) as run:
            scene(run)
            run.assert_at_rest()
            return run.scheduler.steps
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
