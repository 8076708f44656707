"""Runs the CDK's command line, in the version that the checkout pins."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import modelyard
from modelyard.aws.preflight import Finding
from modelyard.domain.errors import ConfigurationError, DependencyError

CHECKOUT = Path(modelyard.__file__).resolve().parents[4]
_PLATFORMS = {"arm64": "linux/arm64", "x86_64": "linux/amd64"}
_QUIET = {
    "CDK_DISABLE_CLI_TELEMETRY": "true",
    "JSII_SILENCE_WARNING_END_OF_LIFE_NODE_VERSION": "20",
}


@dataclass(frozen=True, slots=True)
class Cdk:
    """The CDK's command line for one config file."""

    config: Path
    root: Path = CHECKOUT

    def check(self) -> None:
        """Return if the checkout and its packages are there.

        Raises:
            ConfigurationError: something is missing; the message says how to get it.
        """
        if not (self.root / "app.py").is_file():
            raise ConfigurationError(
                "Deploying needs a checkout of Modelyard, as an installed package has no CDK app;"
                " run this command in one, after `make setup`."
            )
        if shutil.which("node") is None:
            raise ConfigurationError("Node is missing; install version 20 or newer.")
        if not self._program.is_file():
            raise ConfigurationError(
                f"The CDK's command line is missing; run npm ci in {self.root}."
            )

    def make_wheels(self, architecture: str) -> None:
        """Download the packages of router and warmer, unless they are there.

        Raises:
            DependencyError: pip fails.
        """
        self._run([sys.executable, "-m", "infra.wheels", architecture])

    def deploy(self, *, asks: bool) -> Mapping[str, Mapping[str, str]]:
        """Deploy all stacks; return the outputs by stack. `asks` asks before roles change.

        Raises:
            DependencyError: the deployment fails.
        """
        approval = "broadening" if asks else "never"
        with tempfile.TemporaryDirectory() as folder:
            outputs = Path(folder) / "outputs.json"
            options = ["--require-approval", approval, "--outputs-file", str(outputs)]
            self._run(self._command("deploy", "--all", *options))
            found: Mapping[str, Mapping[str, str]] = json.loads(outputs.read_bytes())
            return found

    def diff(self) -> None:
        """Print what a deployment would change.

        Raises:
            DependencyError: the comparison fails.
        """
        self._run(self._command("diff"))

    def destroy(self, *, asks: bool) -> None:
        """Delete all stacks. Buckets of models stay.

        Raises:
            DependencyError: the deletion fails.
        """
        self._run(self._command("destroy", "--all", *([] if asks else ["--force"])))

    @property
    def _program(self) -> Path:
        return self.root / "node_modules" / ".bin" / "cdk"

    def _command(self, verb: str, *options: str) -> list[str]:
        app = f'"{sys.executable}" app.py'
        context = ["-c", f"config={self.config.resolve()}", "-c", "check=1"]
        quiet = ["--no-notices", "--no-version-reporting"]
        return [str(self._program), verb, *options, "--app", app, *context, *quiet]

    def _run(self, command: list[str]) -> None:
        done = subprocess.run(command, cwd=self.root, env=os.environ | _QUIET, check=False)  # noqa: S603
        if done.returncode != 0:
            program = Path(command[0]).name
            raise DependencyError(f"{program} ended with code {done.returncode}; see its lines.")


def image_builder(architecture: str) -> Iterator[Finding]:
    """Yield whether Docker, or the program in CDK_DOCKER, can build images of this processor."""
    docker = os.environ.get("CDK_DOCKER", "docker")
    version = _output([docker, "version", "--format", "{{.Server.Version}}"])
    if version is None:
        text = f"{docker} does not run; the image of the inference functions needs it."
        yield Finding("image", text, is_good=False, is_fatal=True)
        return
    platform = _PLATFORMS[architecture]
    if platform in (_output([docker, "buildx", "ls"]) or ""):
        yield Finding("image", f"{docker} {version.strip()} builds {platform}")
    else:
        text = (
            f"{docker} does not say that it builds {platform}; install QEMU, or set"
            " `architecture` in the config to that of this machine"
        )
        yield Finding("image", text, is_good=False)


def _output(command: list[str]) -> str | None:
    """Return what a command prints; None if it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout
