"""A `modelyard serve` of one's own: a real process, asked as its users ask it."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

import boto3
import httpx
import psutil
from botocore.config import Config

from modelyard.domain.keys import issue
from modelyard.local.file_keys import FileKeys
from tests.signing_proxy import Added, signed_with, signing_proxy, with_key

COMMANDS = Path(sys.executable).parent
STOP_TIMEOUT_S = 60.0
PATIENCE_S = 60.0
"""When a test gives up on what takes a second, on a machine that has other work to do."""
POLL_S = 0.05
"""How often it looks until then; each look costs a server processor time."""
KEYS = {"aws_access_key_id": "test-key", "aws_secret_access_key": "test-secret"}
REGION = "us-east-1"
_URL = re.compile(r"https?://[^\s\x1b]+")
_HALF_WRITTEN = ("staging", "reserved", "claims")


def is_deployed() -> bool:
    """Tell whether servers run as the functions of a deployment (`make test-lambda`)."""
    return _door() == "lambda"


def unknown_endpoint(name: str) -> str:
    """Return the message for an endpoint that does not exist; a deployment names its account."""
    return f"Endpoint {name}{' of account 000000000000' if is_deployed() else ''} not found."


def _door() -> str:
    return os.environ.get("MODELYARD_DOOR", "").partition("-")[0]


def _auth() -> str:
    """Return the `auth` of the deployment: `MODELYARD_DOOR` is `lambda-iam` or `lambda-key`."""
    return os.environ.get("MODELYARD_DOOR", "").partition("-")[2]


class Server:
    """A server on a free port, with a cache folder of its own unless it is given one."""

    def __init__(
        self,
        target: str | Path,
        *options: str,
        cache_dir: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="modelyard-test-")
        self.cache_dir = cache_dir or Path(self._folder.name) / "cache"
        self._log_path = Path(self._folder.name) / "log"
        self._command = [str(COMMANDS / "modelyard"), "serve", str(target), "--port", "0"]
        self._command += ["--cache-dir", str(self.cache_dir), *options]
        self._environment = {**clean_environment(), **(environment or {})}
        self._more = ExitStack()
        self._added: Added | None = None
        if is_deployed():
            self._command.append("--lambda")
            self._command += self._with_auth(_auth())
        if "--lambda" in self._command:
            self._command += ["--lambda-port", "0"]
        self._clients: list[Any] = []

    def __enter__(self) -> Self:
        with self._log_path.open("wb") as log:
            self.process = subprocess.Popen(
                self._command, stdout=subprocess.PIPE, stderr=log, env=self._environment
            )
        try:
            self.url = self._announced_url()
            if self._added is not None:
                self.url = self._more.enter_context(signing_proxy(self.url, self._added))
            self.http = httpx.Client(base_url=self.url, timeout=60, trust_env=False)
            self._workers = psutil.Process(self.pid).children()
        except BaseException:
            self._end()
            self._folder.cleanup()
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        for client in self._clients:
            client.close()
        self.http.close()
        self._more.close()
        code, log = self._end(), self.log
        self._folder.cleanup()
        if kind is None:
            assert code == 0, f"exit code {code}:\n{log}"
            assert [worker for worker in self._workers if worker.is_running()] == []

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        """What the server wrote to standard error so far."""
        return self._log_path.read_text(errors="replace")

    def client(self, retry_mode: str | None = None, **config: Any) -> Any:
        """Return a stock SDK client; `config` are members of botocore's `Config`."""
        if retry_mode is not None:
            config["retries"] = {"mode": retry_mode, **config.get("retries", {})}
        return self.client_at(self.url, **config)

    def client_at(self, url: str, **config: Any) -> Any:
        """Return a stock SDK client of any URL; it is closed with the server."""
        client = sdk_client(url, **config)
        self._clients.append(client)
        return client

    def models(self, endpoint: str) -> dict[str, dict[str, Any]]:
        """Return the listing of an endpoint, all pages, by model name."""
        found, token = {}, ""
        while token is not None:
            query = {"limit": 1000, "next_page_token": token}
            page = self.http.get(f"/endpoints/{endpoint}/models", params=query).json()
            found |= {model["modelName"]: model for model in page["models"]}
            token = page.get("nextPageToken")
        return found

    def metric(self, name: str, endpoint: str) -> float:
        """Return a metric of one endpoint, 0 when it was never observed."""
        pattern = rf'^{name}{{EndpointName="{endpoint}",VariantName="AllTraffic"}} (\S+)$'
        match = re.search(pattern, self.http.get("/metrics").text, re.MULTILINE)
        return float(match[1]) if match else 0.0

    def half_written(self) -> list[str]:
        """Return what a load left in the cache folder that is not a complete entry."""
        folders = [self.cache_dir / "artifacts" / name for name in _HALF_WRITTEN]
        folders = [folder for folder in folders if folder.is_dir()]  # the first load makes them
        return [str(path.relative_to(self.cache_dir)) for one in folders for path in one.iterdir()]

    def terminate(self) -> None:
        """Ask the server to end, as a supervisor does."""
        os.kill(self.pid, signal.SIGTERM)

    def _with_auth(self, auth: str) -> list[str]:
        """Return the options for an `auth`; from then on, requests get what it demands."""
        if auth == "iam":
            names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
            self._added = signed_with(*(self._environment.get(name, "local") for name in names))
        if auth == "key":
            key, stored = issue("everybody", time.time(), None)
            folder = Path(self._folder.name) / "keys"
            FileKeys(folder).add(stored)
            self._added = with_key(key.text)
            return ["--auth", auth, "--keys-folder", str(folder)]
        return ["--auth", auth] if auth else []

    def _announced_url(self) -> str:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if match := _URL.search(line.decode()):
                return match[0]
        raise AssertionError(f"the server did not start:\n{self.log}")

    def _end(self) -> int:
        if self.process.poll() is None:
            self.terminate()
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            assert self.process.stdout is not None
            self.process.stdout.close()


def sdk_client(url: str, **config: Any) -> Any:
    """Return a stock SDK client of the SageMaker runtime behind `url`."""
    session = boto3.session.Session(region_name=REGION, **KEYS)
    return session.client("sagemaker-runtime", endpoint_url=url, config=Config(**config))


def clean_environment() -> dict[str, str]:
    """Return this process's environment without anything that speaks to the AWS SDK or colours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    for name in ("FORCE_COLOR", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        kept.pop(name, None)
    nowhere = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    return kept | nowhere | {"AWS_EC2_METADATA_DISABLED": "true"}


def eventually(claim: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    """Return as soon as the claim holds; fail when it does not within the time."""
    deadline = time.monotonic() + timeout_s
    while not claim():
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s"
        time.sleep(POLL_S)


def body(answer: Mapping[str, Any]) -> Any:
    """Return the JSON body of an SDK answer."""
    with answer["Body"] as stream:
        return json.loads(stream.read())
