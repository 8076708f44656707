"""`make server-image-test`: builds the image of the local server and calls a model in it.

Without an argument it gathers what the build needs; it does the rest without a network.
"""

import json
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import boto3

from tests.image import materials
from tests.image.__main__ import ALONE, missing_programs
from tests.image.engine import Engine, started
from tests.image.models import MODELS
from tests.image.report import say, say_layers, timed

BASE, IMAGE, NAME = "modelyard/server-base", "modelyard/server", "server"
PACKAGES = f"{materials.PACKAGES},libgomp1,python3-venv"
START_TIMEOUT_S = 120.0
ASKED = MODELS["trees"]


def main() -> int:
    """Gather, then build and run in a world apart; returns the exit code."""
    if missing := missing_programs():
        say(missing)
        return 2
    timed("base", lambda: materials.base_root("rootfs-server", PACKAGES))
    timed("wheels and context", materials.server_context)
    run = shlex.join([sys.executable, "-m", "tests.image.server", "run"])
    return subprocess.call(["unshare", *ALONE, "sh", "-c", f"ip link set lo up && exec {run}"])


def build_and_run() -> None:
    """Build the image, start it with a read-only root, and call a model."""
    context = materials.BUILD / "contexts" / "server"
    models = materials.BUILD / "run-server"
    shutil.rmtree(models, ignore_errors=True)
    models.mkdir()
    ASKED.make(models).chmod(0o644)
    with started(materials.BUILD / "docker") as engine:
        engine.import_base(materials.BUILD / "rootfs-server", BASE)
        file = Path("container") / "Dockerfile"
        timed("build", lambda: engine.build(context, file, IMAGE, {"BASE_IMAGE": BASE}))
        say_layers(NAME, engine.layers(IMAGE))
        with _running(engine, models):
            _await_health(engine)
            client = boto3.client(
                "sagemaker-runtime",
                endpoint_url="http://127.0.0.1:8080",
                region_name="us-east-1",
                aws_access_key_id="any",
                aws_secret_access_key="any",
            )
            answer = client.invoke_endpoint(
                EndpointName="models",
                TargetModel=ASKED.target,
                ContentType="text/csv",
                Body=ASKED.row,
            )
            [value] = json.loads(answer["Body"].read())
            assert abs(value - ASKED.answer) < 1e-5, value
            say(f"answer {value}, user {engine.run('exec', NAME, 'id', '-u').stdout.strip()}")
            engine.run("stop", "--time", "30", NAME)
            code = engine.run("inspect", "--format", "{{.State.ExitCode}}", NAME).stdout.strip()
            assert code == "0", f"exit code {code} after SIGTERM"
            say("it ends with 0 after SIGTERM")


@contextmanager
def _running(engine: Engine, models: Path) -> Iterator[None]:
    limits = ("--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges")
    where = ("--detach", "--name", NAME, "--network=host", f"--volume={models}:/models:ro")
    engine.run("rm", "--force", NAME, check=False)
    engine.run("run", *where, *limits, "--memory=2g", IMAGE)
    try:
        yield
    finally:
        engine.run("rm", "--force", "--volumes", NAME)


def _await_health(engine: Engine) -> None:
    began = time.monotonic()
    while (health := _health(engine)) != "healthy":
        if health == "unhealthy" or time.monotonic() > began + START_TIMEOUT_S:
            logs = engine.run("logs", NAME)
            raise RuntimeError(f"the server is {health}; it says:\n{logs.stdout}{logs.stderr}")
        time.sleep(0.5)
    say(f"healthy after {time.monotonic() - began:.0f} s")


def _health(engine: Engine) -> str:
    return engine.run("inspect", "--format", "{{.State.Health.Status}}", NAME).stdout.strip()


if __name__ == "__main__":
    sys.exit(build_and_run() if sys.argv[1:] == ["run"] else main())
