"""A Docker engine of our own: no bridge, no firewall rules, ended with its block."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_TIMEOUT_S = 60.0
USER = "993:990"
"""Whom Lambda runs functions as (sbx_user1051)."""


@dataclass(frozen=True, slots=True)
class Engine:
    """The command line of an engine that runs."""

    client: str
    socket: Path

    def run(self, *arguments: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command and return what it printed."""
        return subprocess.run(
            self.command(*arguments), check=check, capture_output=True, text=True, env=_BUILDKIT
        )

    def command(self, *arguments: str | Path) -> list[str]:
        """Return the words of a command."""
        return [self.client, "--host", f"unix://{self.socket}", *map(str, arguments)]

    def import_base(self, root: Path, name: str) -> None:
        """Make an image of a folder."""
        packages = ("--exclude=./var/cache/apt", "--exclude=./var/lib/apt/lists")
        archive = subprocess.Popen(
            ["tar", "-C", root, "--numeric-owner", *packages, "-c", "."], stdout=subprocess.PIPE
        )
        command = self.command("import", "-c", 'CMD ["/bin/sh"]', "-", name)
        subprocess.run(command, check=True, stdin=archive.stdout, stdout=subprocess.DEVNULL)
        if archive.wait():
            raise RuntimeError(f"tar could not read all of {root}")

    def build(self, context: Path, file: str, name: str, arguments: Mapping[str, str]) -> None:
        """Build an image without a network; what the build prints is shown when it fails."""
        told = [word for item in arguments.items() for word in ("--build-arg", "=".join(item))]
        where = ("--network", "none", "--file", context / file, "--tag", name, context)
        built = self.run("build", "--progress=plain", *told, *where, check=False)
        if built.returncode:
            raise RuntimeError(f"docker build failed:\n{built.stdout}{built.stderr}")

    def layers(self, image: str) -> list[tuple[int, str]]:
        """Return size in bytes and instruction of every layer, oldest first."""
        wanted = ("--human=false", "--no-trunc", "--format", "{{.Size}} {{.CreatedBy}}")
        lines = self.run("history", *wanted, image).stdout.splitlines()
        sizes = (line.split(" ", 1) for line in reversed(lines))
        return [(int(size), instruction) for size, instruction in sizes]


def as_lambda(memory_mb: int, mounts: Sequence[tuple[Path, str, str]]) -> list[str]:
    """Return the flags of `docker run` for what Lambda lets a function do; mounts are
    (what, where, `ro` or `rw`). The network is the engine's."""
    limit = f"{memory_mb}m"
    volumes = [f"--volume={source}:{target}:{mode}" for source, target, mode in mounts]
    return [
        *("--rm", "--network=host", "--read-only", "--tmpfs=/tmp:rw,mode=1777,size=512m"),
        *(f"--memory={limit}", f"--memory-swap={limit}", "--pids-limit=1024", "--cap-drop=ALL"),
        *("--security-opt=no-new-privileges", f"--user={USER}", *volumes),
    ]


@contextmanager
def started(data: Path) -> Iterator[Engine]:
    """Run the engine; its images stay in `data` for the next time."""
    with tempfile.TemporaryDirectory(prefix="modelyard-") as name:
        folder = Path(name)
        engine = Engine(docker_client(), folder / "docker.sock")
        command = [
            *("dockerd", "--iptables=false", "--ip-masq=false", "--bridge=none"),
            *("--data-root", str(data), "--exec-root", str(folder / "exec")),
            *("--pidfile", str(folder / "pid"), "--host", f"unix://{engine.socket}"),
        ]
        with (data.parent / "dockerd.log").open("wb") as log:
            daemon = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        try:
            _await_answer(engine, daemon, data.parent / "dockerd.log")
            yield engine
        finally:
            daemon.terminate()
            daemon.wait()
            # It leaves the network namespace of its containers mounted.
            subprocess.call(["umount", "--quiet", folder / "exec" / "netns" / "default"])


def docker_client() -> str:
    """Return a client that can do BuildKit's mounts: Debian's can, one that is first on the path
    and has no buildx plugin cannot."""
    debian = "/usr/bin/docker"
    return debian if Path(debian).is_file() else shutil.which("docker") or debian


def _await_answer(engine: Engine, daemon: subprocess.Popen[bytes], log: Path) -> None:
    ends_at = time.monotonic() + START_TIMEOUT_S
    while engine.run("version", check=False).returncode:
        if daemon.poll() is not None or time.monotonic() > ends_at:
            raise RuntimeError(f"dockerd does not answer; it says:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)


_BUILDKIT = {**os.environ, "DOCKER_BUILDKIT": "1"}
