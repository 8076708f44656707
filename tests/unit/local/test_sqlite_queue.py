from pathlib import Path

import pytest

from modelyard.domain.errors import DependencyError
from modelyard.domain.values import TargetModel, WarmRequest
from modelyard.local.sqlite_queue import SqliteQueue
from tests.fakes.clock import FakeClock


def test_queue_out_of_reach_is_a_dependency_error_without_a_path(tmp_path: Path) -> None:
    queue = SqliteQueue(tmp_path / "warm.sqlite3", FakeClock())
    queue.close()

    with pytest.raises(DependencyError, match="warm queue") as error:
        queue.send(WarmRequest("housing", TargetModel("m.onnx")))

    assert str(tmp_path) not in error.value.message
