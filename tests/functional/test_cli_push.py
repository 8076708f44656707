"""`modelyard push` to S3."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from modelyard.cli.main import app
from tests.functional import artifacts

ENDPOINT = """\
- name: {name}
  kind: MultiModelEndpoint
  models: {{path: s3://{bucket}/{name}/}}
"""


def push(*words: object) -> Result:
    return CliRunner().invoke(app, ["push", *map(str, words)])


@pytest.fixture
def config(s3_bucket: str, tmp_path: Path) -> Path:
    file = tmp_path / "modelyard.yaml"
    file.write_text(ENDPOINT.format(name="houses", bucket=s3_bucket))
    return file


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.onnx"
    file.write_bytes(artifacts.onnx())
    return file


def stored(s3_client: Any, bucket: str) -> list[str]:
    listed = s3_client.list_objects_v2(Bucket=bucket).get("Contents", [])
    return [item["Key"] for item in listed]


def test_models_lie_below_the_path_of_the_endpoint(
    config: Path, good: Path, s3_client: Any, s3_bucket: str
) -> None:
    result = push(config, good)

    assert result.output == f"s3://{s3_bucket}/houses/good.onnx\n"
    assert stored(s3_client, s3_bucket) == ["houses/good.onnx"]


def test_one_model_that_cannot_be_served_keeps_all_back(
    config: Path, good: Path, tmp_path: Path, s3_client: Any, s3_bucket: str
) -> None:
    broken = tmp_path / "broken.tar.gz"
    broken.write_bytes(b"no archive")

    result = push(config, good, broken)

    assert result.exit_code == 1
    assert str(broken) in result.stderr
    assert "Nothing was uploaded." in result.stderr
    assert stored(s3_client, s3_bucket) == []


def test_one_of_several_endpoints_has_to_be_named(
    config: Path, good: Path, s3_client: Any, s3_bucket: str
) -> None:
    config.write_text(config.read_text() + ENDPOINT.format(name="trees", bucket=s3_bucket))

    refused = push(config, good)
    pushed = push(config, good, "--endpoint", "trees")

    assert "--endpoint is needed; allowed: houses, trees" in refused.stderr
    assert pushed.exit_code == 0
    assert stored(s3_client, s3_bucket) == ["trees/good.onnx"]


def test_bucket_that_does_not_exist_is_one_line(config: Path, good: Path, s3_bucket: str) -> None:
    config.write_text(config.read_text().replace(s3_bucket, "no-such-bucket-at-all"))

    result = push(config, good)

    assert result.exit_code == 1
    assert "good.onnx was not uploaded" in result.stderr
    assert "Traceback" not in result.output + result.stderr
