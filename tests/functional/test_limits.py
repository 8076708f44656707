"""Too large, too many, no space left: a typed error, and service for everybody else."""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from modelyard.cli.main import app
from tests.functional import artifacts
from tests.functional.served import DirectoryModels, Served
from tests.serving import COMMANDS, Server, body, clean_environment, eventually

MIB = 1 << 20
CODE = ("--allow-code", "--workers", "1")


@pytest.fixture
def models(tmp_path: Path) -> DirectoryModels:
    return DirectoryModels(tmp_path / "small")


def test_a_model_larger_than_the_memory_limit_is_a_model_error(models: DirectoryModels) -> None:
    with Server(models.target, "--memory", "4MiB", "--workers", "1") as server:
        served = Served(server, models)
        large = served.publish(artifacts.onnx(features=2 * MIB), "model.onnx")
        good = served.publish(artifacts.house())

        with pytest.raises(served.sdk.exceptions.ModelError) as caught:
            served.invoke(large, endpoint="small")

        assert caught.value.response["OriginalStatusCode"] == 507
        message = caught.value.response["OriginalMessage"]
        assert "bytes of memory, the limit " in message
        assert message.endswith(" 4194304 bytes")
        assert server.half_written() == []
        assert body(served.invoke(good, endpoint="small")) == [5.0]


@pytest.mark.local_door("a deployment has no gauges: environments come and go unseen")
def test_more_models_than_memory_are_served_by_eviction(models: DirectoryModels) -> None:
    with Server(models.target, "--memory", "4MiB", "--workers", "1") as server:
        served = Served(server, models)
        targets = [
            served.publish(artifacts.onnx(1.0, float(bias), features=100_000), f"{bias}.onnx")
            for bias in range(8)
        ]
        row = b",".join([b"0"] * 100_000)

        answers = [body(served.invoke(target, row, "small")) for target in targets * 2]

        assert answers == [[[float(bias)]] for bias in range(8)] * 2
        assert 1 <= server.metric("LoadedModelCount", "small") < 8
        assert server.metric("LoadedModelBytes", "small") <= 4 * MIB
        assert server.metric("ModelDownloadingTime_count", "small") == 8


def test_a_model_larger_than_the_disk_limit_is_a_model_error(models: DirectoryModels) -> None:
    content = os.urandom(2 * MIB)
    packed = artifacts.packed(lambda folder: (folder / "model.onnx").write_bytes(content))
    models.put("wide/model.onnx", content)
    with Server(models.target, "--disk", "1MiB", "--workers", "1") as server:
        served = Served(server, models)
        large = ["wide", served.publish(packed, "model.tar.gz")]
        good = served.publish(artifacts.house())

        for target in large:
            with pytest.raises(served.sdk.exceptions.ModelError) as caught:
                served.invoke(target, endpoint="small")
            assert caught.value.response["OriginalStatusCode"] == 507
            message = caught.value.response["OriginalMessage"]
            assert message.endswith("bytes on disk, the limit is 1048576 bytes in all")

        assert server.half_written() == []
        assert body(served.invoke(good, endpoint="small")) == [5.0]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount the tiny disk this test needs")
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not let root mount the tiny disk this test needs")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            return ballast
    raise AssertionError("the disk has no end")


def test_a_full_disk_evicts_what_is_not_in_use(models: DirectoryModels, tiny_disk: Path) -> None:
    with Server(models.target, "--workers", "1", cache_dir=tiny_disk / "cache") as server:
        served = Served(server, models)
        targets = [served.publish(artifacts.house(answer)) for answer in (1.0, 2.0)]
        assert prediction(served, targets[0]) == [1.0]
        fill(tiny_disk)

        assert [prediction(served, target) for target in targets] == [[1.0], [2.0]]


IN_USE = """
    def model_fn(model_dir):
        return 1.0

    def transform_fn(model, data, content_type, accept):
        return "[1.0]", "application/json"
"""


def test_a_full_disk_is_service_unavailable_until_there_is_space(
    models: DirectoryModels, tiny_disk: Path
) -> None:
    with Server(models.target, *CODE, cache_dir=tiny_disk / "cache") as server:
        served = Served(server, models)
        staged = served.publish(artifacts.script(IN_USE))
        target = served.publish(artifacts.house(2.0))
        assert body(served.invoke(staged, endpoint="small")) == [1.0]
        ballast = fill(tiny_disk)

        with pytest.raises(served.sdk.exceptions.ServiceUnavailable) as caught:
            served.invoke(target, endpoint="small")

        assert "no space is left on the disk" in caught.value.response["Message"]
        assert server.half_written() == []
        assert body(served.invoke(staged, endpoint="small")) == [1.0]
        ballast.unlink()
        eventually(lambda: prediction(served, target) == [2.0])


def test_a_slow_model_behind_a_full_disk_is_not_an_internal_failure(
    models: DirectoryModels, tiny_disk: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    options = (*CODE, "--sync-window", "200ms")
    with Server(models.target, *options, cache_dir=tiny_disk / "cache") as server:
        served = Served(server, models)
        slow = served.publish(artifacts.gated(gate))
        began = Path(f"{gate}.began")
        with ThreadPoolExecutor(1) as pool:
            first = pool.submit(prediction, served, slow)
            eventually(began.exists)
            first.result()
        ballast = fill(tiny_disk)

        answer = prediction(served, slow)

        ballast.unlink()
        gate.touch()
        assert answer == "ModelNotReadyException"
        eventually(lambda: prediction(served, slow) == "ready")


def prediction(served: Served, target: str) -> Any:
    """Return the prediction or the class of the error."""
    try:
        return body(served.invoke(target, endpoint="small"))
    except served.sdk.exceptions.ClientError as error:
        return error.response["Error"]["Code"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            "- {name: a, kind: MultiModelEndpoint, models: {path: .}, colour: red}",
            "colour: unknown",
        ),
        ("- {name: a, kind: MultiModelEndpoint, models: {path: ., cachign: x}}", "'caching'?"),
        ("- {name: a, kind: MultiModelEndpoint, models: {path: nowhere}}", "not a folder"),
        ("- {name: a b, kind: MultiModelEndpoint, models: {path: .}}", "found 'a b'"),
        ("{}", "found a mapping"),
        ("[", "not valid YAML"),
    ],
    ids=["unknown key", "misspelt key", "no folder", "bad name", "nothing", "no YAML"],
)
def test_a_wrong_config_ends_the_start_with_one_line(
    tmp_path: Path, config: str, message: str
) -> None:
    path = tmp_path / "modelyard.yaml"
    path.write_text(config)

    done = CliRunner().invoke(app, ["serve", str(path), "--port", "0"])

    assert done.exit_code == 1
    assert done.stdout == ""
    assert done.stderr.startswith("modelyard.yaml: ")
    assert message in done.stderr


def test_a_target_that_is_not_there_ends_the_start_with_one_line(tmp_path: Path) -> None:
    done = start(str(tmp_path / "nowhere"), tmp_path)

    assert done.returncode == 1
    assert "not a folder" in done.stderr
    assert "Traceback" not in done.stderr


def start(target: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `modelyard serve`, which must end by itself."""
    return subprocess.run(
        [str(COMMANDS / "modelyard"), "serve", target, "--port", "0", "--cache-dir", str(folder)],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
