"""A Lambda of one's own: the real control plane in a thread, real runtimes, a stock SDK client."""

import asyncio
import json
import os
import textwrap
import threading
from pathlib import Path
from typing import Any, Self

import boto3
from botocore.config import Config

from modelyard.local.emulation.control_plane import create_control_plane
from modelyard.local.emulation.definitions import FunctionDefinition
from modelyard.local.emulation.functions import Functions
from modelyard.local.emulation.listener import Listener
from tests.serving import KEYS, REGION

START_TIMEOUT_S = 60.0
MOST_CALLERS = 200


class EmulatedLambda:
    """Functions made of a few lines of code, callable by `client`."""

    def __init__(self, folder: Path, idle_s: float = 600.0) -> None:
        self._folder = folder
        self._idle_s = idle_s
        self._definitions: list[FunctionDefinition] = []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failure: BaseException | None = None
        self.lines: list[tuple[str, str]] = []

    def define(self, name: str, code: str, **settings: Any) -> str:
        folder = self._folder / name
        folder.mkdir()
        (folder / "handler.py").write_text(textwrap.dedent(code))
        environ = {"PATH": os.environ["PATH"], **settings.pop("environ", {})}
        settings = {"memory_mb": 512, "timeout_s": 20.0, "concurrency": 4} | settings
        self._definitions.append(FunctionDefinition(name, folder, environ, **settings))
        return name

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait(START_TIMEOUT_S)
        if self._failure is not None:
            raise self._failure
        assert self._ready.is_set()
        session = boto3.session.Session(region_name=REGION, **KEYS)
        config = Config(
            retries={"total_max_attempts": 1}, read_timeout=60, max_pool_connections=MOST_CALLERS
        )
        self.client = session.client("lambda", endpoint_url=self.url, config=config)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(20)
        assert not self._thread.is_alive()
        self._loop.close()

    def invoke(self, name: str, event: object = None, **members: Any) -> tuple[Any, Any]:
        """Return what the function answered and the whole SDK answer."""
        answer = self.client.invoke(
            FunctionName=name, Payload=json.dumps(event).encode(), **members
        )
        with answer["Payload"] as stream:
            return json.loads(stream.read() or b"null"), answer

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        except BaseException as error:
            self._failure = error
            self._ready.set()
            raise

    async def _serve(self) -> None:
        self.functions = functions = Functions(lambda *line: self.lines.append(line), self._idle_s)
        for definition in self._definitions:
            functions.define(definition)
        async with functions, Listener(create_control_plane(functions)) as listener:
            self.url = f"http://{listener.address}"
            self._ready.set()
            await self._stop.wait()
