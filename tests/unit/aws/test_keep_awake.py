from typing import Any, cast

import boto3
from botocore.stub import Stubber

from modelyard.aws.function_table import EndpointFunctions
from modelyard.aws.inference import InferenceFunction
from modelyard.aws.keep_awake import EVENT, invoke_all
from modelyard.aws.router import RouterFunction
from modelyard.aws.warmer import WarmerFunction
from modelyard.domain.endpoints import Endpoint
from tests.serving import KEYS, REGION

NOTHING = cast(Any, None)


def test_every_function_is_invoked_and_tenants_have_a_name() -> None:
    client = boto3.session.Session(region_name=REGION, **KEYS).client("lambda")
    houses = EndpointFunctions(Endpoint("houses", "s3://b/"), name_prefix="houses", shards=2)
    tenants = EndpointFunctions(Endpoint("t", "s3://b/"), name_prefix="t", per_tenant=True)
    accepted = {"StatusCode": 202}
    common = {"InvocationType": "Event", "Payload": b'{"keep_awake": true}'}

    with Stubber(client) as stub:
        stub.add_response("invoke", accepted, {"FunctionName": "houses-0", **common})
        stub.add_response("invoke", accepted, {"FunctionName": "houses-1", **common})
        stub.add_response(
            "invoke", accepted, {"FunctionName": "t-0", "TenantId": "keep-awake", **common}
        )
        count = invoke_all(client, [houses, tenants])
        stub.assert_no_pending_responses()
    client.close()

    assert count == 3


def test_functions_answer_the_event_without_doing_anything() -> None:
    calls: list[str] = []

    def keep_awake() -> int:
        calls.append("all")
        return 1

    router = RouterFunction(NOTHING, NOTHING, NOTHING, NOTHING, NOTHING)
    assert router.handle(EVENT, None) == {}
    assert InferenceFunction(NOTHING).handle(EVENT, NOTHING) == {}
    assert WarmerFunction([], NOTHING, keep_awake).handle(EVENT, NOTHING) == {}
    assert calls == ["all"]
