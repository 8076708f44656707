"""Residence when the repository is slow, no thread can start, or a lease is lost."""

import threading
import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.domain.errors import (
    CapacityError,
    DependencyError,
    ModelLoadError,
    TargetModelNotFoundError,
)
from modelyard.domain.values import ModelArtifact
from modelyard.inference.residence import residence
from modelyard.inference.residence.thread_pool import CachedThreadPool
from tests.unit.inference.residence.test_residence import REVALIDATE_S, Scene


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    scene.repository.put("m", b"v1")
    yield scene
    scene.gate.set()
    scene.settle()


@pytest.fixture
def slow_repository(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """A repository that does not answer until the event is set."""
    answer, describe = threading.Event(), scene.repository.describe
    asked = threading.Event()

    def describe_late(key: str) -> ModelArtifact:
        asked.set()
        assert answer.wait(30)
        return describe(key)

    scene.ask("m")
    scene.clock.advance(REVALIDATE_S)
    monkeypatch.setattr(scene.repository, "describe", describe_late)
    monkeypatch.setattr(residence, "CHECK_PATIENCE_S", 0.01)
    yield answer
    answer.set()


def test_slow_repository_does_not_delay_calls_of_a_loaded_model(
    scene: Scene, slow_repository: threading.Event
) -> None:
    for _ in range(3):
        assert scene.outcome("m") == (b"v1", True)


def test_late_answer_of_a_slow_repository_is_used(
    scene: Scene, slow_repository: threading.Event
) -> None:
    scene.repository.put("m", b"v2")
    assert scene.ask("m") == b"v1"

    slow_repository.set()
    scene.settle()

    assert scene.ask("m") == b"v2"


def test_failing_check_of_a_loaded_model_fails_no_call(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(key: str) -> ModelArtifact:
        raise KeyError("ETag")

    scene.ask("m")
    scene.clock.advance(REVALIDATE_S)
    monkeypatch.setattr(scene.repository, "describe", defect)

    assert scene.ask("m") == b"v1"


def refuse_to_start(*_: object) -> None:
    raise RuntimeError("can't start new thread")


def test_load_is_tried_again_when_no_thread_could_start(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(CachedThreadPool, "start", refuse_to_start)
        with pytest.raises(CapacityError):
            scene.ask("m")

    assert scene.ask("m") == b"v1"


def test_check_is_made_later_when_no_thread_could_start(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.ask("m")
    scene.repository.put("m", b"v2")
    scene.clock.advance(REVALIDATE_S)
    with monkeypatch.context() as patch:
        patch.setattr(CachedThreadPool, "start", refuse_to_start)
        assert scene.ask("m") == b"v1"

    scene.ask("m")
    scene.settle()
    assert scene.ask("m") == b"v2"


@pytest.mark.parametrize(
    ("name", "error"), [("missing", TargetModelNotFoundError), ("bad", ModelLoadError)]
)
def test_traceback_of_an_error_raised_for_many_calls_does_not_grow(
    scene: Scene, name: str, error: type[Exception]
) -> None:
    """A growing traceback would keep the body of every call in memory."""
    scene.repository.put("bad", b"bad")
    depths = []

    for _ in range(50):
        with pytest.raises(error) as caught:
            scene.ask(name)
        depths.append(len(traceback.extract_tb(caught.value.__traceback__)))

    assert max(depths[1:]) == min(depths[1:])


def test_model_deleted_during_its_load_does_not_answer_when_the_repository_is_down(
    scene: Scene,
) -> None:
    source = scene.source("m")
    with scene.closed_gate():
        slot = scene.residence._slots.of(source)
        scene.residence._revalidate(slot, source)
        scene.residence._ensure_loading(slot, source)
        scene.repository.delete("m")
        scene.clock.advance(REVALIDATE_S)
        with pytest.raises(TargetModelNotFoundError):
            scene.ask("m")
    scene.repository.is_down = True

    with pytest.raises((TargetModelNotFoundError, DependencyError)):
        scene.ask("m")


def test_model_whose_files_may_be_gone_is_loaded_again(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine was suspended until another one considered its lease abandoned."""
    monkeypatch.setattr("tests.unit.inference.residence.test_residence.Echo.needs_files", True)
    scene.ask("m")
    for lease in (tmp_path / "leases").iterdir():
        lease.unlink()
    scene.clock.advance(REVALIDATE_S)

    assert scene.outcome("m") == (b"v1", False)


def test_unreadable_staged_files_are_a_dependency_error(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(scene.residence._loader, "_load", fail)
        with pytest.raises(DependencyError, match="Input/output error"):
            scene.ask("m")
    scene.clock.advance(1.1)

    assert scene.ask("m") == b"v1"
    assert scene.models.used_bytes == 40
