"""The functions of a deployment on this machine's Lambda, with the time limits that a test sets."""

import asyncio
import uuid
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from modelyard.domain.endpoints import Endpoint
from modelyard.local.emulation import deployment as emulated
from modelyard.local.emulation.control_plane import create_control_plane
from modelyard.local.emulation.definitions import FunctionDefinition
from modelyard.local.emulation.embedded_metrics import samples_in
from modelyard.local.emulation.functions import Functions
from modelyard.local.emulation.gateway import RestApi
from modelyard.local.emulation.gateway_front import Gateway, create_gateway
from modelyard.local.emulation.listener import Listener
from modelyard.local.emulation.local_queue import Account, LocalQueue, aws_server, create_queue
from modelyard.local.emulation.queue_trigger import QueueTrigger
from modelyard.local.options import Limits, ServeOptions
from tests.functional import artifacts
from tests.functional.emulated_lambda import EmulatedLambda
from tests.serving import REGION

ENDPOINT = "yard"
INFERENCE = f"modelyard-{ENDPOINT}-0"
MEMORY_BYTES = 1024**3


@dataclass(frozen=True, slots=True)
class TimeScale:
    """How long functions may run, and how many environments each may have."""

    window_s: float = 2.5
    inference_s: float = 60.0
    warmer_s: float = 80.0
    environments: int = 8


class EmulatedDeployment(EmulatedLambda):
    """Router, warmer, warm queue and one inference function over a folder of models."""

    def __init__(self, folder: Path, models: Path, scale: TimeScale) -> None:
        super().__init__(folder)
        self._models = models
        self._scale = scale
        self.queue: LocalQueue

    def call(self, target: str, **members: str) -> dict[str, Any]:
        """Invoke the router directly; returns the members of its answer."""
        event = {"EndpointName": ENDPOINT, "TargetModel": target, "ContentType": "text/csv"}
        event |= {"Body": artifacts.ROW.decode()} | members
        answer, _ = self.invoke(emulated.ROUTER, event)
        assert isinstance(answer, dict)
        return answer

    def invocations(self, function: str) -> int:
        """Return how often a function was invoked so far."""
        return sum(
            name == function and line.startswith("START ") for name, line in list(self.lines)
        )

    def samples(self, metric: str) -> int:
        """Return how often a metric was observed so far."""
        lines = [line for _, line in list(self.lines)]
        return sum(sample.name == metric for line in lines for sample in samples_in(line))

    def said(self, words: str) -> int:
        """Return how many lines of functions have these words."""
        return sum(words in line for _, line in list(self.lines))

    def dead_letters(self) -> int:
        """Return how many messages are in the dead-letter queue."""
        url = self.queue.url.removesuffix(".fifo") + "-dead.fifo"
        names = ["ApproximateNumberOfMessages"]
        found = self.queue.client.get_queue_attributes(QueueUrl=url, AttributeNames=names)
        return int(found["Attributes"][names[0]])

    async def _serve(self) -> None:
        self.functions = functions = Functions(lambda *line: self.lines.append(line))
        async with AsyncExitStack() as stack:
            sqs_url = stack.enter_context(aws_server())
            listener = Listener(create_control_plane(functions))
            self.url = f"http://{(await stack.enter_async_context(listener)).address}"
            account = Account(REGION, ("local", "local"))
            name = f"warm-{uuid.uuid4().hex[:12]}"
            self.queue = create_queue(account, sqs_url, name, int(self._scale.warmer_s))
            environ = emulated._environ(account, sqs_url, self.url)
            for definition in self._functions(environ, account):
                functions.define(definition)
            await stack.enter_async_context(functions)
            trigger = QueueTrigger(
                functions, emulated.WARMER, self.queue.client, self.queue.url, self.queue.arn
            )
            poller = asyncio.create_task(trigger.run())
            gateway = create_gateway(Gateway(functions, emulated.ROUTER, RestApi()), bytes)
            front = await stack.enter_async_context(Listener(gateway))
            self.gateway_url = f"http://{front.address}"
            self._ready.set()
            await self._stop.wait()
            poller.cancel()
            with suppress(asyncio.CancelledError):
                await poller

    def _functions(self, environ: dict[str, str], account: Account) -> Iterator[FunctionDefinition]:
        scale = self._scale
        endpoint = Endpoint(
            ENDPOINT, f"{self._models.as_uri()}/", allow_code=True, sync_window_s=scale.window_s
        )
        limits = Limits(1, MEMORY_BYTES, MEMORY_BYTES, self._folder / "cache")
        options = ServeOptions((endpoint,), "127.0.0.1", 0, limits)
        folder = self._folder
        for found in emulated.Definitions(options, folder, environ, account, self.queue):
            limit_s = {INFERENCE: scale.inference_s, emulated.WARMER: scale.warmer_s}
            timeout_s = limit_s.get(found.name, found.timeout_s)
            yield replace(found, timeout_s=timeout_s, concurrency=scale.environments)
