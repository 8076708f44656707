"""A cache disk that refuses every single write once, and one that is truly full."""

import ctypes
import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from modelyard.domain.errors import CapacityError, ModelyardError
from tests.faults import inspection
from tests.faults.fault_points import ERRORS, Fault, FaultPoints
from tests.faults.processes import processes
from tests.models import archives
from tests.unit.inference.residence.test_residence import Scene

BODIES = {"a.tar.gz": archives.tar_gz_of({"x/w": b"w" * 5000}), "net/w": b"w" * 5000}


def _is_write(point: str) -> bool:
    return point.partition(" ")[0] not in ("list", "look", "read")


def _try_every_write(root: Path, report: Path) -> None:
    """Be a process whose disk refuses each write once, in every way; report what came of it."""
    logging.disable()
    findings = []
    fault_points = FaultPoints(root, lambda _: None)
    fault_points.install()
    points = sorted(filter(_is_write, _points_of_a_load(root / "first", fault_points)))
    for number, (point, kind) in enumerate((p, k) for p in points for k in ERRORS):
        for model in ("a.tar.gz", "net"):
            folder = root / f"{number}-{model}"
            findings.append([point, kind, *_refuse_once(folder, fault_points, model, point, kind)])
    report.write_text(json.dumps(findings))


def _points_of_a_load(folder: Path, fault_points: FaultPoints) -> set[str]:
    scene = _scene(folder)
    fault_points.watch(folder)
    for model in ("a.tar.gz", "net"):
        scene.ask(model)
        scene.artifacts.evict(next(iter(scene.models)).artifact)
        scene.models.unload(scene.source(model).model_id)
    return set(fault_points.counts)


def _refuse_once(
    folder: Path, fault_points: FaultPoints, model: str, point: str, kind: str
) -> tuple[str, str, list[str]]:
    """Return what the call was answered, the next one after a second, and what is left behind."""
    scene = _scene(folder)
    fault_points.watch(folder)
    fault_points.fault = Fault(point, kind)
    first = _outcome(scene, model)
    fault_points.fault = None
    scene.clock.advance(1.1)
    second = _outcome(scene, model)
    scene.artifacts._tree.sweep()
    return first, second, inspection.orphans(folder)


def _scene(folder: Path) -> Scene:
    scene = Scene(folder, memory_limit=100)
    for key, body in BODIES.items():
        scene.repository.put(key, body)
    return scene


def _outcome(scene: Scene, model: str) -> str:
    try:
        return "answered" if scene.ask(model) else "empty"
    except ModelyardError as error:
        return type(error).__name__


def test_every_write_that_the_disk_refuses_has_a_typed_answer_and_the_next_call_is_served(
    tmp_path: Path,
) -> None:
    report = tmp_path / "report"
    process = processes().Process(target=_try_every_write, args=(tmp_path / "caches", report))
    process.start()
    process.join(120)
    findings = json.loads(report.read_text())

    assert [finding for finding in findings if not _is_as_promised(*finding)] == []
    assert len({point for point, _, first, *_ in findings if first != "answered"}) >= 10


def _is_as_promised(point: str, kind: str, first: str, second: str, left: list[str]) -> bool:
    """Tell whether the load failed as it may, or did without that write; and came back."""
    refused = "CapacityError" if kind in ("ENOSPC", "EDQUOT") else "DependencyError"
    return first in ("answered", refused) and second == "answered" and left == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one mebibyte."""
    libc: Any = ctypes.CDLL(None, use_errno=True)
    folder = tmp_path / "small"
    folder.mkdir()
    target = os.fsencode(folder)
    if os.geteuid() or libc.mount(b"tmpfs", target, b"tmpfs", 0, b"size=1m,nr_inodes=200"):
        pytest.skip("only root may mount a small file system, and not everywhere")
    yield folder
    assert libc.umount2(target, 2) == 0


def test_full_disk_is_a_capacity_error_until_there_is_room(small_disk: Path) -> None:
    scene = Scene(small_disk / "cache", memory_limit=100)
    scene.repository.put("large", b"w" * 90_000)
    scene.repository.put("small", b"w" * 4_000)
    (small_disk / "of others").write_bytes(bytes(980_000))

    with pytest.raises(CapacityError, match="no space is left"):
        scene.ask("large")
    assert inspection.orphans(small_disk / "cache") == []
    assert scene.ask("small")

    (small_disk / "of others").unlink()
    scene.clock.advance(1.1)
    assert scene.ask("large")


def test_disk_without_inodes_is_a_capacity_error_until_there_are_some(small_disk: Path) -> None:
    scene = Scene(small_disk / "cache", memory_limit=100)
    scene.repository.put("m", b"w" * 100)
    others = small_disk / "others"
    others.mkdir()
    with pytest.raises(OSError, match="No space"):
        for number in range(500):
            (others / str(number)).touch()

    with pytest.raises(CapacityError):
        scene.ask("m")

    for other in others.iterdir():
        other.unlink()
    scene.clock.advance(1.1)
    assert scene.ask("m")
