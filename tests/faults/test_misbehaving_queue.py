"""A warm queue that delivers twice, late and out of order, and a warmer that dies at any step."""

import itertools
import json
import os
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

from modelyard.aws.emf_metrics import EmfMetrics
from modelyard.aws.sqs_queue import SqsQueue
from modelyard.aws.warmer import ProcessedQueue, WarmerFunction
from modelyard.domain.endpoints import Endpoint, EndpointTable
from modelyard.domain.errors import (
    CapacityError,
    DependencyError,
    ModelCrashedError,
    ModelNotReadyError,
    TargetModelNotFoundError,
)
from modelyard.domain.requests import Answer, Load, Request
from modelyard.domain.values import TargetModel, WarmRequest
from modelyard.domain.warm_message import WARM_MESSAGES
from modelyard.router.warming import Warmer
from tests.fakes.clock import FakeClock

SEED = int(os.environ.get("MODELYARD_SEED", "1"))
MODELS = int(os.environ.get("MODELYARD_WARM_REQUESTS", "40"))
MAX_RECEIVES = 5
_numbers = itertools.count()


class WarmerDiedError(BaseException):
    """The function's execution environment is gone, whatever it was doing."""


class Context:
    """What Lambda tells a warmer."""

    def get_remaining_time_in_millis(self) -> int:
        return 380_000


@dataclass
class LoadingBackend:
    """Models that load, unless a test lets something befall them first, or the warmer after."""

    befalls: list[BaseException | None] = field(default_factory=list)
    loaded: Counter[str] = field(default_factory=Counter)
    dies_after: bool = False
    shards: int = 2

    async def call(self, shard: int, request: Request, timeout_s: float) -> Answer:
        assert isinstance(request, Load)
        fault = self.befalls.pop() if self.befalls else None
        if fault is not None:
            raise fault
        self.loaded[request.source.target_model] += 1
        if self.dies_after:
            raise WarmerDiedError
        return Answer()


class Scene:
    """A queue that speaks SQS, its dead letters, and the warmer function."""

    def __init__(self, endpoint: str) -> None:
        session = boto3.session.Session("test-key", "test-secret", region_name="us-east-1")
        self.client: Any = session.client("sqs", endpoint_url=endpoint)
        number = next(_numbers)
        self.dead_url = self._create(f"faults-dead-{number}.fifo")
        arn = self._attributes(self.dead_url)["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES})
        self.url = self._create(f"faults-{number}.fifo", RedrivePolicy=policy)
        self.refused: set[str] = set()
        self.queue = SqsQueue(self.url, lambda: self, FakeClock(), WARM_MESSAGES)
        self.backend = LoadingBackend()
        metrics = EmfMetrics()
        warmer = Warmer(
            endpoints=EndpointTable([Endpoint("housing", "s3://models/")]),
            backend_of=lambda _: self.backend,
            queue=self.queue,
            metrics=metrics,
        )
        queue = ProcessedQueue(self.url, self.queue, WARM_MESSAGES, warmer.process)
        self.function = WarmerFunction([queue], metrics, lambda: 0)

    def __getattr__(self, operation: str) -> Any:
        """Be the queue's client; some operations are refused for a while."""
        if operation in self.refused:
            return self._refuse
        return getattr(self.client, operation)

    def receive(self) -> dict[str, Any] | None:
        """Return the event that the queue makes of its next message."""
        answer = self.client.receive_message(
            QueueUrl=self.url, AttributeNames=["All"], MaxNumberOfMessages=1
        )
        for message in answer.get("Messages", []):
            return {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": message["Attributes"],
                "eventSourceARN": self._attributes(self.url)["QueueArn"],
            }
        return None

    def deliver(self, record: dict[str, Any]) -> bool:
        """Invoke the warmer; returns whether it took the message off the queue for good."""
        try:
            answer = self.function.handle({"Records": [record]}, Context())
        except (Exception, WarmerDiedError):
            return False
        return not answer["batchItemFailures"]

    def let_time_pass(self, record: dict[str, Any]) -> None:
        """Make a message that was not taken visible again, as its time would."""
        self.client.change_message_visibility(
            QueueUrl=self.url, ReceiptHandle=record["receiptHandle"], VisibilityTimeout=0
        )

    def waiting(self) -> int:
        found = self._attributes(self.url)
        visible = int(found["ApproximateNumberOfMessages"])
        return visible + int(found["ApproximateNumberOfMessagesNotVisible"])

    def dead(self) -> list[str]:
        bodies = []
        while found := self.client.receive_message(
            QueueUrl=self.dead_url, MaxNumberOfMessages=10
        ).get("Messages"):
            bodies += [json.loads(message["Body"])["target_model"] for message in found]
            for message in found:
                self.client.delete_message(
                    QueueUrl=self.dead_url, ReceiptHandle=message["ReceiptHandle"]
                )
        return bodies

    def _refuse(self, **_: Any) -> None:
        raise ClientError({"Error": {"Code": "ServiceUnavailable"}}, "operation")

    def _create(self, name: str, **attributes: str) -> str:
        attributes |= {"FifoQueue": "true", "VisibilityTimeout": "600"}
        url: str = self.client.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
        return url

    def _attributes(self, url: str) -> dict[str, str]:
        answer = self.client.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
        found: dict[str, str] = answer["Attributes"]
        return found


@pytest.fixture
def scene(s3_endpoint: str) -> Scene:
    return Scene(s3_endpoint)


def request(name: str) -> WarmRequest:
    return WarmRequest("housing", TargetModel(name))


def take(scene: Scene) -> dict[str, Any]:
    record = scene.receive()
    assert record is not None
    return record


def test_message_delivered_twice_is_done_once_and_for_all(scene: Scene) -> None:
    scene.queue.send(request("m"))
    record = take(scene)

    assert scene.deliver(record)
    scene.deliver(record)

    assert scene.waiting() == 0
    assert scene.dead() == []


def test_message_two_warmers_have_at_once_is_taken_off_the_queue(scene: Scene) -> None:
    scene.queue.send(request("m"))
    first = take(scene)
    scene.let_time_pass(first)
    second = take(scene)

    assert scene.deliver(second)
    scene.deliver(first)

    assert scene.waiting() == 0
    assert scene.backend.loaded["m"] >= 1


def test_message_that_cannot_be_hidden_is_worked_off_all_the_same(scene: Scene) -> None:
    scene.queue.send(request("m"))
    scene.refused = {"change_message_visibility"}

    assert scene.deliver(take(scene))

    assert scene.backend.loaded == {"m": 1}
    assert scene.waiting() == 0


def test_message_that_cannot_be_deleted_comes_back_and_is_deleted_then(scene: Scene) -> None:
    scene.queue.send(request("m"))
    scene.refused = {"delete_message"}
    record = take(scene)
    assert not scene.deliver(record)

    scene.refused = set()
    scene.let_time_pass(record)
    assert scene.deliver(take(scene))

    assert scene.waiting() == 0


def test_late_message_for_a_model_that_is_gone_is_forgotten(scene: Scene) -> None:
    scene.queue.send(request("m"))
    scene.backend.befalls = [TargetModelNotFoundError("gone")]

    assert scene.deliver(take(scene))

    assert scene.waiting() == 0
    assert scene.dead() == []


@pytest.mark.parametrize("dies_after", [False, True], ids=["before the load", "after the load"])
def test_message_of_a_warmer_that_dies_comes_back(scene: Scene, dies_after: bool) -> None:
    scene.queue.send(request("m"))
    scene.backend.dies_after = dies_after
    scene.backend.befalls = [] if dies_after else [WarmerDiedError()]
    record = take(scene)
    assert not scene.deliver(record)

    scene.backend.dies_after = False
    scene.let_time_pass(record)
    assert scene.deliver(take(scene))

    assert scene.backend.loaded["m"] >= 1
    assert scene.waiting() == 0


def test_message_that_is_none_hurts_no_other(scene: Scene) -> None:
    scene.client.send_message(
        QueueUrl=scene.url, MessageBody="{", MessageGroupId="x", MessageDeduplicationId="x"
    )
    scene.queue.send(request("m"))
    for _ in range(2 * MAX_RECEIVES):
        record = scene.receive()
        if record is not None and not scene.deliver(record):
            scene.let_time_pass(record)

    assert scene.backend.loaded == {"m": 1}
    assert scene.waiting() == 0


def test_damaged_message_is_the_only_one_of_its_batch_that_stays(scene: Scene) -> None:
    scene.queue.send(request("m"))
    record = take(scene)
    damaged = record | {"messageId": "damaged", "body": "{"}
    misplaced = record | {"messageId": "misplaced", "eventSourceARN": "arn:aws:sqs:::other"}

    answer = scene.function.handle({"Records": [damaged, misplaced, record]}, Context())

    failed = [one["itemIdentifier"] for one in answer["batchItemFailures"]]
    assert failed == ["damaged", "misplaced"]
    assert scene.backend.loaded == {"m": 1}


FAULTS: dict[str, BaseException | None] = {
    "nothing": None,
    "function throttled": CapacityError("throttled"),
    "load timed out": TimeoutError(),
    "function unreachable": DependencyError("unreachable"),
    "function crashed": ModelCrashedError("crashed"),
    "model not ready": ModelNotReadyError("not yet"),
    "warmer killed": WarmerDiedError(),
}
REFUSALS = ("change_message_visibility", "delete_message")


@dataclass
class Churn:
    """What became of many warm requests while anything went wrong."""

    faults: Counter[str] = field(default_factory=Counter)
    lost: list[str] = field(default_factory=list)
    loaded: int = 0
    dead: int = 0


def churn(endpoint: str, seed: int) -> Churn:
    """Send many warm requests and let queue, functions and warmers misbehave until all are done."""
    scene, dice, churn = Scene(endpoint), random.Random(seed), Churn()
    names = [f"m{number}" for number in range(MODELS)]
    for name in names:
        scene.queue.send(request(name))
    for _ in range(MODELS * 20):
        record = scene.receive()
        if record is None and not scene.waiting():
            break
        if record is not None and not _deliver_badly(scene, record, dice, churn.faults):
            scene.let_time_pass(record)
    dead = scene.dead()
    churn.loaded, churn.dead = len(scene.backend.loaded), len(dead)
    churn.lost = sorted({*names} - {*scene.backend.loaded} - {*dead})
    return churn


def _deliver_badly(
    scene: Scene, record: dict[str, Any], dice: random.Random, faults: Counter[str]
) -> bool:
    befalls = dice.choice([*FAULTS])
    scene.backend.befalls = [FAULTS[befalls]]
    scene.backend.dies_after = dice.random() < 0.1
    scene.refused = {name for name in REFUSALS if dice.random() < 0.1}
    copies = 2 if dice.random() < 0.2 else 1
    faults[befalls] += 1
    faults["warmer killed after the load"] += scene.backend.dies_after
    faults["delivered twice"] += copies - 1
    faults.update(f"{name} refused" for name in scene.refused)
    is_done = [scene.deliver(record) for _ in range(copies)]
    scene.refused = set()
    return any(is_done)


def test_no_warm_request_is_lost_whatever_befalls_queue_and_warmers(s3_endpoint: str) -> None:
    """Each ends loaded, or with the dead letters after five attempts."""
    result = churn(s3_endpoint, SEED)

    assert result.lost == [], f"MODELYARD_SEED={SEED}"
    assert result.loaded > MODELS * 0.6
    assert sum(result.faults.values()) > MODELS
