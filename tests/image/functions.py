"""An image as a function of our control plane, and as one of AWS's own emulator."""

import json
import shlex
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.image_context import PROJECT_FILE, PROJECT_FOLDER
from infra.settings import PlannedEndpoint
from modelyard.aws.function_settings import InferenceSettings
from modelyard.local.emulation.definitions import FunctionDefinition
from tests.image.engine import Engine, as_lambda

MOUNT = "/mnt/models"
START_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class BuiltFunction:
    """An image and what Lambda would start it with."""

    engine: Engine
    image: str
    models: PlannedEndpoint
    cache: Path
    """The stand-in for the EFS file system; the function's user owns it."""
    aws: dict[str, str]
    """Region, keys and endpoints of the services that are emulated."""

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return self.models.functions.endpoint.name

    @property
    def environ(self) -> dict[str, str]:
        """The variables of the function."""
        settings = InferenceSettings(
            cache_dir=MOUNT,
            memory_bytes=self.models.model_memory_bytes,
            disk_bytes=1 << 30,
            project_file=f"{PROJECT_FOLDER}/{PROJECT_FILE}" if self.models.project else "",
        )
        own = dict(self.models.project.env) if self.models.project else {}
        return {**own, **self.aws, **settings.to_environ()}

    def flags(self, *more: tuple[Path, str, str]) -> list[str]:
        """Return the flags of `docker run`."""
        return as_lambda(self.models.memory_mb, [(self.cache, MOUNT, "rw"), *more])

    def python(self, code: str) -> subprocess.CompletedProcess[str]:
        """Run Python code where the handler would run."""
        variables = [f"--env={name}={value}" for name, value in self.environ.items()]
        entry = "--entrypoint=/opt/venv/bin/python"
        arguments = (*self.flags(), *variables, entry, self.image, "-c", code)
        return self.engine.run("run", *arguments, check=False)

    def definition(self, folder: Path) -> FunctionDefinition:
        """Return the function for our control plane; its runtime is a container."""
        models = self.models
        return FunctionDefinition(
            name=models.functions.function_name(0),
            folder=folder,
            environ=self.environ,
            memory_mb=models.memory_mb,
            timeout_s=models.functions.timeout_s,
            log_format="JSON",
            python=str(self._starter(folder / f"{self.name}.sh")),
        )

    def _starter(self, file: Path) -> Path:
        """Write what the control plane takes for a Python. Of its arguments only the last one
        counts, the handler; all its variables become those of the container."""
        told = ("--env-file=/dev/stdin", "--env=LAMBDA_TASK_ROOT=/var/task", self.image)
        command = shlex.join(self.engine.command("run", *self.flags(), *told))
        file.write_text(f'#!/bin/sh\nfor handler; do :; done\nenv | {command} "$handler"\n')
        file.chmod(0o755)
        return file

    @contextmanager
    def witnessed(self, emulator: Path) -> Iterator["Witness"]:
        """Run the image under AWS's runtime interface emulator."""
        addresses = [f"127.0.0.1:{_free_port()}" for _ in range(2)]
        program, name = "/aws-lambda-rie", f"witness-{self.name}"
        told = {**self.environ, "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.models.memory_mb)}
        command = self.engine.command(
            *("run", f"--name={name}", *self.flags((emulator, program, "ro"))),
            *(f"--env={name}={value}" for name, value in told.items()),
            *("--entrypoint", program, self.image),
            *("--runtime-interface-emulator-address", addresses[0]),
            *("--runtime-api-address", addresses[1]),
            *("/opt/venv/bin/python", "-m", "awslambdaric", "handler.handler"),
        )
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            yield Witness(addresses[0])
        finally:
            self.engine.run("kill", name, check=False)
            process.communicate()


@dataclass(frozen=True, slots=True)
class Witness:
    """The emulator's door."""

    address: str

    def invoke(self, payload: bytes) -> Any:
        """Return what the function answers, once the emulator listens."""
        url = f"http://{self.address}/2015-03-31/functions/function/invocations"
        ends_at = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                with urllib.request.urlopen(url, payload, timeout=60) as answer:
                    return json.loads(answer.read())
            except urllib.error.URLError as error:
                is_starting = isinstance(error.reason, ConnectionRefusedError)
                if not is_starting or time.monotonic() > ends_at:
                    raise
                time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
