"""The real AWS CLI, version 1, as people type it."""

import json
import os
import subprocess
from pathlib import Path

from tests.functional import artifacts
from tests.functional.served import Served
from tests.serving import COMMANDS, KEYS, REGION, clean_environment


def aws(
    folder: Path, *arguments: str, config: str = os.devnull
) -> subprocess.CompletedProcess[str]:
    """Run `aws sagemaker-runtime invoke-endpoint` in a folder."""
    keys = {name.upper(): value for name, value in KEYS.items()}
    settings = {"AWS_CONFIG_FILE": config, "AWS_DEFAULT_REGION": REGION, **keys}
    return subprocess.run(
        [str(COMMANDS / "aws"), "sagemaker-runtime", "invoke-endpoint", *arguments],
        cwd=folder,
        env=clean_environment() | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def asking(served: Served, target: str, *more: str) -> list[str]:
    """Return the arguments of a call with CSV."""
    where = ["--endpoint-url", served.server.url, "--endpoint-name", "safe"]
    return [*where, "--target-model", target, "--content-type", "text/csv", *more]


def test_row18_two_rows_in_two_predictions_out(served: Served, tmp_path: Path) -> None:
    target = served.publish(artifacts.onnx(features=3), "model.onnx")
    body = "1.0,2.0,5.0" + "\n" + "2.0,3.0,4.0"

    done = aws(tmp_path, *asking(served, target, "--body", body, "output_file.txt"))

    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "ContentType": "application/json",
        "InvokedProductionVariant": "AllTraffic",
    }
    assert json.loads((tmp_path / "output_file.txt").read_bytes()) == [[8.0], [9.0]]


def test_row18_a_body_from_a_file_is_sent_as_it_is(served: Served, tmp_path: Path) -> None:
    target = served.publish(artifacts.script(artifacts.ECHO))
    (tmp_path / "body.bin").write_bytes(bytes(range(256)))
    call = asking(served, target, "--body", "fileb://body.bin", "out")
    call[call.index("safe")], call[call.index("text/csv")] = "code", "application/octet-stream"

    done = aws(tmp_path, *call)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_bytes() == bytes(range(256))


def test_row18_the_endpoint_url_may_stand_in_a_services_block(
    served: Served, tmp_path: Path
) -> None:
    target = served.publish(artifacts.house(18.0))
    config = tmp_path / "config"
    config.write_text(
        "[default]\nservices = yard\n"
        "[services yard]\n"
        f"sagemaker_runtime =\n  endpoint_url = {served.server.url}\n"
    )
    call = asking(served, target, "--body", artifacts.ROW.decode(), "out")[2:]

    done = aws(tmp_path, *call, config=str(config))

    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "out").read_bytes()) == [18.0]


def test_row18_an_error_exits_with_255_and_says_why(served: Served, tmp_path: Path) -> None:
    done = aws(tmp_path, *asking(served, "Atlantis.tar.gz", "--body", "1", "out"))

    assert done.returncode == 255
    assert (
        "An error occurred (ValidationError) when calling the InvokeEndpoint operation: "
        "Failed to download model data (bucket: "
    ) in done.stderr
    assert not (tmp_path / "out").exists()


def test_row18_a_model_error_exits_with_255_and_says_why(served: Served, tmp_path: Path) -> None:
    target = served.publish(artifacts.house())

    done = aws(tmp_path, *asking(served, target, "--body", "one,two", "out"))

    assert done.returncode == 255
    assert "An error occurred (ModelError) when calling the InvokeEndpoint" in done.stderr
    assert "line 1, column 1 of the CSV body is not a number: 'one'" in done.stderr


def test_row18_a_slow_model_is_waited_for_by_retries(served: Served, tmp_path: Path) -> None:
    target = served.publish(artifacts.slow_to_load(1.0))
    call = asking(served, target, "--body", "1", "out")
    call[call.index("safe")] = "brisk"

    done = aws(tmp_path, *call)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out").read_bytes() == b'"ready"'
