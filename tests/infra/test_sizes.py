"""The largest deployments that are promised stay within the sizes that AWS accepts."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra.refusals import MAX_FUNCTIONS, MAX_RESOURCES, _resources
from infra.settings import load_settings
from modelyard.domain.errors import ConfigurationError
from tests.infra.synthesis import Synthesis, resources, synthesise, text

ACCOUNT, REGION = "123456789012", "ap-southeast-2"
KNOWN = {"AWS::Partition": "aws", "AWS::AccountId": ACCOUNT, "AWS::Region": REGION}
LONGEST = "n" * 63
INLINE_CHARACTERS, MANAGED_CHARACTERS, MANAGED_POLICIES = 10_240, 6_144, 10
ENDPOINT_POLICY_CHARACTERS = 20_480
ENDPOINT = """\
- name: {name}
  kind: MultiModelEndpoint
  models: {{path: s3://{bucket}/{folder}/}}
  compute: {{shards: {shards}}}
"""


def many(endpoints: int, shards: int) -> str:
    options = "auth: key, keep_awake: true, tracing: xray"
    found = [f"- {{name: {'d' * 63}, kind: Deployment, {options}}}\n"]
    for number in range(endpoints):
        found.append(
            ENDPOINT.format(
                name=f"{LONGEST[:-3]}{number:03}",
                bucket="b" * 60 + f"{number % 10:03}",
                folder="f" * 60 + f"{number:03}",
                shards=shards,
            )
        )
    return "".join(found)


@pytest.fixture(scope="module", params=[(1, MAX_FUNCTIONS), (70, 1)])
def largest(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Synthesis:
    folder = tmp_path_factory.mktemp("largest")
    config = folder / "modelyard.yaml"
    config.write_text(many(*request.param))
    return synthesise(config, folder / "assembly")


def resolved(value: Any, names: dict[str, str]) -> Any:
    """Return a part of a template as it is once an account, a region and names are known."""
    match value:
        case {"Ref": name} if name in KNOWN:
            return KNOWN[name]
        case {"Fn::GetAtt": [name, "Arn"]} if name in names:
            return f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{names[name]}"
        case {"Fn::GetAtt": _} | {"Ref": _} | {"Fn::ImportValue": _}:
            return "x" * 100
        case {"Fn::Join": [glue, parts]}:
            return glue.join(resolved(part, names) for part in parts)
        case dict():
            return {key: resolved(item, names) for key, item in value.items()}
    return [resolved(item, names) for item in value] if isinstance(value, list) else value


def size(document: Any) -> int:
    """Return the size of a policy as IAM counts it: white space does not count."""
    return len(re.sub(r"\s", "", json.dumps(document)))


@pytest.mark.long
def test_policies_of_every_role_are_small_enough(largest: Synthesis) -> None:
    template = largest.service
    names = {
        name: text(found.get("FunctionName", "r" * 64))
        for name, found in resources(template, "Lambda::Function").items()
    }
    inline: dict[str, int] = {}
    attached: dict[str, int] = {}
    for policy in resources(template, "IAM::Policy").values():
        for role in policy["Roles"]:
            document = resolved(policy["PolicyDocument"], names)
            inline[role["Ref"]] = inline.get(role["Ref"], 0) + size(document)
    for policy in resources(template, "IAM::ManagedPolicy").values():
        assert size(resolved(policy["PolicyDocument"], names)) <= MANAGED_CHARACTERS
        for role in policy["Roles"]:
            attached[role["Ref"]] = attached.get(role["Ref"], 0) + 1

    assert max(inline.values()) <= INLINE_CHARACTERS
    assert max(attached.values(), default=0) <= MANAGED_POLICIES


@pytest.mark.long
def test_policy_of_the_way_to_s3_is_small_enough(largest: Synthesis) -> None:
    (endpoint,) = resources(largest.data, "EC2::VPCEndpoint").values()

    assert size(resolved(endpoint["PolicyDocument"], {})) <= ENDPOINT_POLICY_CHARACTERS


@pytest.mark.long
def test_stack_has_no_more_resources_than_it_may(largest: Synthesis) -> None:
    endpoints = largest.settings.endpoints
    functions = sum(one.functions.shards for one in endpoints)

    found = len(largest.service["Resources"])
    assert found <= _resources(len(endpoints), functions)
    assert found <= MAX_RESOURCES


def test_more_endpoints_than_a_stack_has_room_for_are_refused(tmp_path: Path) -> None:
    config = tmp_path / "modelyard.yaml"
    config.write_text(many(80, 1))

    with pytest.raises(ConfigurationError, match="80 endpoints with 80 shards, about 559"):
        load_settings(config, {})
