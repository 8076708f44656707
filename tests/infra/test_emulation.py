"""`serve --lambda` has the values of the template, wherever this machine can have them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from modelyard.aws.deployed import (
    GATEWAY_ERRORS,
    MAX_RECEIVES,
    MAX_WARMERS,
    ROUTER_TIMEOUT_S,
    WARM_BATCH_SIZE,
    ApiMethod,
    api_methods,
    warm_visibility_s,
)
from modelyard.domain.endpoints import Endpoint
from modelyard.local.emulation.definitions import FunctionDefinition
from modelyard.local.emulation.deployment import INFERENCE_TIMEOUT_S, ROUTER, WARMER, Definitions
from modelyard.local.emulation.gateway import RestApi
from modelyard.local.emulation.gateway_front import Gateway
from modelyard.local.emulation.local_queue import Account, LocalQueue
from modelyard.local.options import Limits, ServeOptions
from tests.infra.synthesis import Resource, Synthesis, functions, one, resources


@dataclass(frozen=True, slots=True)
class Emulated:
    """The functions that the emulation defines, by name."""

    by_name: dict[str, FunctionDefinition]

    def variables(self, name: str) -> set[str]:
        return {key for key in self.by_name[name].environ if key.startswith("MODELYARD_")}


@pytest.fixture
def emulated(tmp_path: Path) -> Emulated:
    endpoint = Endpoint("houses", tmp_path.as_uri() + "/")
    limits = Limits(2, 2 << 30, 10 << 30, tmp_path)
    queue = LocalQueue(None, "http://127.0.0.1:9/warm.fifo", "arn:aws:sqs:here:0:warm.fifo")
    options = ServeOptions((endpoint,), "127.0.0.1", 0, limits)
    made = Definitions(options, tmp_path, {}, Account("us-east-1", None), queue)
    return Emulated({definition.name: definition for definition in made})


@pytest.mark.parametrize(
    ("prefix", "name"), [("RouterFunction", ROUTER), ("WarmingFunction", WARMER)]
)
def test_zip_functions_have_the_values_of_the_template(
    plain: Synthesis, emulated: Emulated, prefix: str, name: str
) -> None:
    (deployed,) = functions(plain.service, prefix).values()
    definition = emulated.by_name[name]

    assert definition.memory_mb == deployed["MemorySize"]
    assert definition.timeout_s == deployed["Timeout"]
    assert definition.handler == deployed["Handler"]
    assert definition.log_format == deployed["LoggingConfig"]["LogFormat"]
    assert definition.snap_start == ("SnapStart" in deployed)
    assert emulated.variables(name) == {*deployed["Environment"]["Variables"]}


def test_inference_functions_have_the_timeout_and_the_variables_of_the_template(
    plain: Synthesis, emulated: Emulated
) -> None:
    deployed = max(
        functions(plain.service, "Inference").values(), key=lambda found: found["Timeout"]
    )
    (name,) = (name for name in emulated.by_name if name.endswith("-0"))

    assert emulated.by_name[name].timeout_s == deployed["Timeout"] == INFERENCE_TIMEOUT_S
    assert emulated.variables(name) == {
        key for key in deployed["Environment"]["Variables"] if key.startswith("MODELYARD_")
    }


def test_queue_delivers_as_the_template_says(plain: Synthesis) -> None:
    mapping = one(plain.service, "Lambda::EventSourceMapping")
    (queue,) = (
        found
        for found in resources(plain.service, "SQS::Queue").values()
        if "RedrivePolicy" in found
    )

    assert mapping["BatchSize"] == WARM_BATCH_SIZE
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": MAX_WARMERS}
    assert queue["RedrivePolicy"]["maxReceiveCount"] == MAX_RECEIVES
    assert queue["VisibilityTimeout"] == warm_visibility_s(INFERENCE_TIMEOUT_S)


def methods(template: Resource) -> Iterator[ApiMethod]:
    """Yield the methods of the REST API in a template."""
    paths = {
        name: one["PathPart"] for name, one in resources(template, "ApiGateway::Resource").items()
    }
    for method in resources(template, "ApiGateway::Method").values():
        is_signed = method["AuthorizationType"] == "AWS_IAM"
        yield ApiMethod(paths[method["ResourceId"]["Ref"]], method["HttpMethod"], is_signed)


def test_gateway_has_the_limits_and_errors_of_the_template(plain: Synthesis) -> None:
    api = one(plain.service, "ApiGateway::RestApi")
    gateway = vars(Gateway(cast(Any, None), ROUTER, RestApi()))
    timeouts = {
        method["Integration"]["TimeoutInMillis"]
        for method in resources(plain.service, "ApiGateway::Method").values()
    }
    deployed = {
        found["ResponseType"]: (
            int(found["StatusCode"]) if "StatusCode" in found else None,
            found["ResponseParameters"]["gatewayresponse.header.x-amzn-ErrorType"].strip("'"),
        )
        for found in resources(plain.service, "ApiGateway::GatewayResponse").values()
    }

    assert timeouts == {gateway["_timeout_s"] * 1000} == {ROUTER_TIMEOUT_S * 1000}
    assert [*RestApi().binary_media_types] == api["BinaryMediaTypes"]
    assert deployed == GATEWAY_ERRORS
    assert {*methods(plain.service)} == {*api_methods(plain.settings.deployment.auth)}
    assert RestApi().stage == one(plain.service, "ApiGateway::Stage")["StageName"]
