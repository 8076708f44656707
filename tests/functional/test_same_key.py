"""What changes in the repository changes in the answers, and nothing breaks on the way."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.functional import artifacts
from tests.functional.served import Served, over_each_repository
from tests.serving import body, eventually


def outcome(served: Served, target: str, endpoint: str = "safe") -> Any:
    """Return the prediction, or the code of the error."""
    try:
        return body(served.invoke(target, endpoint=endpoint))
    except ClientError as error:
        return error.response["Error"]["Code"]


def outcomes_until(served: Served, target: str, wanted: Any) -> list[Any]:
    """Call until the outcome is the wanted one; return all of them."""
    seen: list[Any] = []

    def is_there() -> bool:
        seen.append(outcome(served, target))
        return bool(seen[-1] == wanted)

    eventually(is_there)
    return seen


@over_each_repository
def test_row14_an_overwritten_model_is_answered_soon_without_an_error(served: Served) -> None:
    target = served.publish(artifacts.house(1.0))
    assert outcome(served, target) == [1.0]
    served.repository.put(target, artifacts.house(2.0))

    seen = outcomes_until(served, target, [2.0])

    assert [answer for answer in seen if answer not in ([1.0], [2.0])] == []
    assert outcome(served, target) == [2.0]


@over_each_repository
def test_row14_a_broken_new_copy_never_takes_the_old_one_down(served: Served) -> None:
    target = served.publish(artifacts.house(1.0))
    assert outcome(served, target) == [1.0]
    served.repository.put(target, artifacts.house(2.0)[:-100])

    eventually(lambda: outcome(served, target) == [1.0] and was_refused(served, target))

    assert outcome(served, target) == [1.0]
    assert served.server.models("safe")[target]["status"] == "LOADED"


def was_refused(served: Served, target: str) -> bool:
    lines = served.server.log.splitlines()
    return any("load failed" in line and target in line for line in lines)


@over_each_repository
def test_row14_a_good_copy_after_a_broken_one_is_answered_soon(served: Served) -> None:
    target = served.publish(artifacts.house(1.0))
    assert outcome(served, target) == [1.0]
    served.repository.put(target, b"broken")
    eventually(lambda: outcome(served, target) == [1.0] and was_refused(served, target))
    served.repository.put(target, artifacts.house(3.0))

    seen = outcomes_until(served, target, [3.0])

    assert [answer for answer in seen if answer not in ([1.0], [3.0])] == []


@over_each_repository
def test_row14_a_deleted_model_is_a_validation_error_soon(served: Served) -> None:
    target = served.publish(artifacts.house(1.0))
    assert outcome(served, target) == [1.0]
    served.repository.delete(target)

    seen = outcomes_until(served, target, "ValidationError")

    assert [answer for answer in seen[:-1] if answer != [1.0]] == []


@over_each_repository
def test_row14_a_model_that_comes_back_is_answered_soon(served: Served) -> None:
    target = served.publish(artifacts.house(1.0))
    assert outcome(served, target) == [1.0]
    served.repository.delete(target)
    outcomes_until(served, target, "ValidationError")
    served.repository.put(target, artifacts.house(4.0))

    seen = outcomes_until(served, target, [4.0])

    assert [answer for answer in seen[:-1] if answer != "ValidationError"] == []


@over_each_repository
@pytest.mark.local_door("each execution environment loads for itself; bursts are tested there")
def test_row14_many_first_calls_at_once_fetch_the_model_once(served: Served) -> None:
    target = served.publish(artifacts.house(14.0))
    downloads = served.server.metric("ModelDownloadingTime_count", "safe")
    loads = served.server.metric("ModelLoadingTime_count", "safe")
    together = threading.Barrier(12)

    def call(_: int) -> Any:
        together.wait(10)
        return outcome(served, target)

    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(call, range(12)))

    assert answers == [[14.0]] * 12
    assert served.server.metric("ModelDownloadingTime_count", "safe") == downloads + 1
    assert served.server.metric("ModelLoadingTime_count", "safe") == loads + 1


@over_each_repository
def test_a_failing_load_says_why_until_a_good_upload_heals_it(served: Served) -> None:
    target = served.publish(b"not an archive")
    with pytest.raises(served.sdk.exceptions.ModelError, match="truncated or not a gzip archive"):
        served.invoke(target)
    with pytest.raises(served.sdk.exceptions.ModelError, match="truncated or not a gzip archive"):
        served.invoke(target)
    served.repository.put(target, artifacts.house(6.0))

    seen = outcomes_until(served, target, [6.0])

    assert [answer for answer in seen[:-1] if answer != "ModelError"] == []


def test_a_second_load_under_way_is_not_ready_rather_than_failed(
    served: Served, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    target = served.publish(artifacts.failing_first(gate))
    before: set[Any] = set()

    def second_load_is_under_way() -> bool:
        before.add(outcome(served, target, "brisk"))
        return second_load_began(gate)

    eventually(second_load_is_under_way)

    while_loading = outcome(served, target, "brisk")

    gate.touch()
    # A slow machine may need longer than the sync window for the load that fails.
    assert before <= {"ModelError", "ModelNotReadyException"}
    assert while_loading == "ModelNotReadyException"
    eventually(lambda: outcome(served, target, "brisk") == "ready")


def second_load_began(gate: Path) -> bool:
    return Path(f"{gate}.again").exists()


@pytest.mark.parametrize(
    ("artifact", "answer"),
    [(artifacts.house, [5.0]), (artifacts.reader, "read")],
    ids=["in memory", "with files"],
)
def test_calls_at_once_without_caching_are_all_answered(
    served: Served, artifact: Callable[[], bytes], answer: Any
) -> None:
    target = served.publish(artifact())
    sdk = served.server.client("standard", retries={"total_max_attempts": 10})

    def call(_: int) -> Any:
        # A machine that is busy with something else may refuse a call; the SDK repeats it.
        return body(
            sdk.invoke_endpoint(
                EndpointName="forgetful",
                TargetModel=target,
                Body=artifacts.ROW,
                ContentType="text/csv",
            )
        )

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, range(64)))

    assert [other for other in answers if other != answer] == []


def test_an_endpoint_without_caching_leaves_other_endpoints_their_files(served: Served) -> None:
    target = served.publish(artifacts.reader())
    assert outcome(served, target, "code") == "read"

    forgotten = outcome(served, target, "forgetful")

    assert forgotten == "read"
    assert outcome(served, target, "code") == "read"


@over_each_repository
def test_a_model_of_an_endpoint_without_caching_is_gone_after_the_call(served: Served) -> None:
    target = served.publish(artifacts.house(7.0))

    answers = [outcome(served, target, "forgetful") for _ in range(2)]

    assert answers == [[7.0], [7.0]]
    assert served.server.models("forgetful")[target]["status"] == "NOT_LOADED"
    assert served.server.models("forgetful")[target]["diskBytes"] == 0
