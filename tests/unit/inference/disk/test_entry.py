from pathlib import Path

import orjson
import pytest

from modelyard.inference.disk.entry import MANIFEST, Manifest

WRITTEN_BEFORE_PLANS = {
    "repository": "memory:",
    "key": "m.onnx",
    "tag": "1",
    "model_bytes": 4,
    "staged_at": 1.0,
    "warnings": [],
}


def test_manifest_of_an_older_version_is_read_without_a_plan(tmp_path: Path) -> None:
    (tmp_path / MANIFEST).write_bytes(orjson.dumps(WRITTEN_BEFORE_PLANS))

    manifest = Manifest.read(tmp_path)

    assert manifest is not None
    assert manifest.plan is None


@pytest.mark.parametrize("plan", [None, {"runtime": "onnx", "file": "m.onnx"}], ids=str)
def test_plan_is_read_as_it_was_written(tmp_path: Path, plan: dict[str, str] | None) -> None:
    (tmp_path / MANIFEST).touch()
    Manifest("memory:", "m.onnx", "1", 4, 1.0, plan=plan).write(tmp_path)

    manifest = Manifest.read(tmp_path)

    assert manifest is not None
    assert manifest.plan == plan
