"""Run the SageMaker multi-model sample step by step with boto3, against a server that it starts.

Exits with 1 and one line of explanation when a step does not give the expected result.
"""

import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import numpy as np
from botocore.config import Config
from houses import CITIES, SAMPLE_HOUSE, price, render_csv
from rich.console import Console
from rich.table import Table
from server import Server, ServerFailedError, running_server, use_no_settings_of_this_machine
from train import MODELS, pack, publish, train_city, train_missing

from modelyard.clients.management import ManagementClient

ENDPOINT = "home-value"
MEMORY = "1MiB"
"""Room for about four of the ten models."""
REVALIDATE_S = 1.0
SYNC_WINDOW_S = 2.0
SLOW_LOAD_S = 5.0
_TIMES = ("--sync-window", f"{SYNC_WINDOW_S}s", "--revalidate", f"{REVALIDATE_S}s")
_OPTIONS = ("--workers", "1", "--memory", MEMORY, *_TIMES)
_TOLERANCE = 0.1
_NOTICED_WITHIN_S = REVALIDATE_S + 5.0  # includes the time to load the update
_SLOW_MODEL = f"""\
import time


def model_fn(model_dir):
    time.sleep({SLOW_LOAD_S})
    return "slept well"


def input_fn(body, content_type):
    return body


def predict_fn(data, model):
    return model


def output_fn(prediction, accept):
    return prediction
"""


class BrokenPromiseError(Exception):
    """A step did not give the expected result."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    step: str
    did: str
    happened: str
    ms: str


@dataclass(slots=True)
class Answer:
    """The response to one call, its duration and the number of attempts."""

    body: bytes
    ms: float
    attempts: int

    @property
    def price(self) -> float:
        return float(json.loads(self.body)[0])


@dataclass(slots=True)
class Demo:
    """The steps of the demo; each yields table rows, or raises BrokenPromiseError."""

    server: Server
    sdk: Any
    prices: dict[str, float] = field(default_factory=dict)

    def steps(self) -> tuple[Callable[[], Iterator[Row]], ...]:
        return (self.cold_and_warm, self.eviction, self.update, self.deletion, self.too_slow)

    def cold_and_warm(self) -> Iterator[Row]:
        for city in CITIES:
            cold, warm = self.ask(city), self.ask(city)
            truth = price(city, np.array([SAMPLE_HOUSE]))[0]
            promise(
                abs(cold.price / truth - 1) < _TOLERANCE,
                f"{city}: {cold.price} is more than {_TOLERANCE:.0%} from the true price",
            )
            promise(warm.price == cold.price, f"{city}: the second call gave another price")
            self.prices[city] = cold.price
            ms = f"{cold.ms:.0f}, {warm.ms:.0f}"
            yield Row("cold, warm", f"call {city} twice", f"${cold.price:,.0f}", ms)

    def eviction(self) -> Iterator[Row]:
        models = self.residence()
        loaded = sum(status == "LOADED" for status in models.values())
        promise(
            0 < loaded < len(CITIES),
            f"{loaded} of {len(CITIES)} models are in memory ({MEMORY}); expected: some, not all",
        )
        happened = f"{loaded} loaded, {len(models) - loaded} evicted"
        yield Row("eviction", f"list models in memory ({MEMORY})", happened, "")
        evicted = next(city for city in CITIES if models[f"{city}.tar.gz"] != "LOADED")
        answer = self.ask(evicted)
        promise(answer.price == self.prices[evicted], f"{evicted} gave another price when reloaded")
        happened = f"${answer.price:,.0f}, from local disk"
        yield Row("", f"call evicted {evicted}", happened, f"{answer.ms:.0f}")

    def update(self) -> Iterator[Row]:
        city = CITIES[-1]
        old = self.ask(city).price
        train_city(city, self.server.repository, inflation=1.5)
        started = time.perf_counter()
        new = old
        while new == old:
            new = self.ask(city).price
            in_time(started, "the new model was not noticed")
        promise(
            abs(new / old - 1.5) < _TOLERANCE,
            f"{city}: {new} is neither the old model's price nor the new one's",
        )
        happened = f"${old:,.0f}, then ${new:,.0f}"
        yield Row("update", f"overwrite {city}", happened, f"{since(started):.0f}")

    def deletion(self) -> Iterator[Row]:
        city = CITIES[0]
        self.ask(city)
        (self.server.repository / f"{city}.tar.gz").unlink()
        started = time.perf_counter()
        try:
            while True:
                self.ask(city)
                in_time(started, "the deletion was not noticed")
        except self.sdk.exceptions.ValidationError as error:
            code, message = (error.response["Error"][part] for part in ("Code", "Message"))
            promise(city in message, f"after deleting {city}, the error was: {message}")
            happened = f"{code}: {message.partition(' (')[0]}"
        yield Row("deletion", f"delete {city}", happened, f"{since(started):.0f}")

    def too_slow(self) -> Iterator[Row]:
        # A model with code has a process of its own, which takes more memory than all ten cities.
        with running_server("--allow-code", *_TIMES) as server:
            publish(
                server.repository / "slow.tar.gz",
                pack({"code/inference.py": _SLOW_MODEL.encode()}),
            )
            impatient = sdk_client(server, Config(retries={"total_max_attempts": 1}))
            started = time.perf_counter()
            try:
                self.ask("slow", impatient)
            except impatient.exceptions.ModelNotReadyException:
                did = f"call a model that loads {SLOW_LOAD_S:.0f} s"
                yield Row("too slow", did, "ModelNotReadyException", f"{since(started):.0f}")
            else:
                raise BrokenPromiseError("the slow model was ready at the first call")
            answer = self.ask("slow", sdk_client(server))
        promise(b"slept well" in answer.body, f"the slow model answered {answer.body!r}")
        happened = f"{answer.body.decode().strip()!r} at attempt {answer.attempts}"
        yield Row("", "again, with boto3's own retries", happened, f"{answer.ms:.0f}")

    def ask(self, city: str, sdk: Any = None) -> Answer:
        started = time.perf_counter()
        response = (sdk or self.sdk).invoke_endpoint(
            EndpointName=ENDPOINT,
            TargetModel=f"{city}.tar.gz",
            ContentType="text/csv",
            Body=render_csv(SAMPLE_HOUSE),
        )
        body = response["Body"].read()
        attempts = response["ResponseMetadata"]["RetryAttempts"] + 1
        return Answer(body, since(started), attempts)

    def residence(self) -> dict[str, str]:
        models = ManagementClient(self.server.url).models(ENDPOINT)
        return {model.name: model.status for model in models}


def sdk_client(server: Server, config: Config | None = None) -> Any:
    return boto3.client(
        "sagemaker-runtime",
        endpoint_url=server.url,
        region_name="us-east-1",
        aws_access_key_id="demo",
        aws_secret_access_key="demo",  # noqa: S106 - the server accepts any value
        config=config,
    )


def promise(kept: bool, complaint: str) -> None:
    if not kept:
        raise BrokenPromiseError(complaint)


def in_time(started: float, complaint: str) -> None:
    promise(since(started) < _NOTICED_WITHIN_S * 1000, f"{complaint} in {_NOTICED_WITHIN_S:.0f} s")
    time.sleep(0.02)


def since(started: float) -> float:
    return (time.perf_counter() - started) * 1000


def run(console: Console) -> Table:
    table = Table("step", "action", "result", title="Ten models behind one endpoint")
    table.add_column("ms", justify="right")
    train_missing(CITIES, MODELS)
    with console.status("starting the server") as status, running_server(*_OPTIONS) as server:
        for city in CITIES:
            shutil.copy(MODELS / f"{city}.tar.gz", server.repository)
        for step in Demo(server, sdk_client(server)).steps():
            status.update(f"{step.__name__.replace('_', ' ')} ...")
            for row in step():
                table.add_row(row.step, row.did, row.happened, row.ms)
            table.add_section()
    return table


def main() -> int:
    console = Console(highlight=False)
    # Exit through the context manager, so that the server is stopped when the demo is killed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    use_no_settings_of_this_machine()
    try:
        console.print(run(console))
    except (BrokenPromiseError, ServerFailedError) as error:
        console.print(f"the demo failed: {error}", style="red", markup=False)
        return 1
    console.print(
        "The first call also imports XGBoost. Cold calls fetch, unpack and load a model.",
        style="dim",
    )
    console.print("Every step gave the expected result.", style="green")
    return 0


if __name__ == "__main__":
    sys.exit(main())
