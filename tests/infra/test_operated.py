"""Keys of the config that fit a deployment into a company's account."""

import json

from modelyard.aws.keep_awake import EVENT
from tests.infra.synthesis import Synthesis, functions, one, resources, text

KEY = "arn:aws:kms:us-east-1:111122223333:key/0a1b2c3d-0a1b-2c3d-4e5f-0a1b2c3d4e5f"


def test_functions_and_cache_are_in_the_given_network(operated: Synthesis) -> None:
    for function in functions(operated.service, "Inference").values():
        assert function["VpcConfig"]["SubnetIds"] == ["subnet-0a0a0a0a", "subnet-0b0b0b0b"]
    targets = resources(operated.data, "EFS::MountTarget").values()
    assert {target["SubnetId"] for target in targets} == {"subnet-0a0a0a0a", "subnet-0b0b0b0b"}
    groups = resources(operated.data, "EC2::SecurityGroup").values()
    assert {group["VpcId"] for group in groups} == {"vpc-01234567"}


def test_given_network_gets_no_network_beside(operated: Synthesis) -> None:
    for kind in ("EC2::VPC", "EC2::Subnet", "EC2::VPCEndpoint", "EC2::RouteTable"):
        assert resources(operated.data, kind) == {}


def test_models_are_encrypted_with_the_key_and_may_be_decrypted_through_s3_only(
    operated: Synthesis,
) -> None:
    (bucket,) = (
        found
        for found in resources(operated.data, "S3::Bucket").values()
        if found.get("BucketName") == "a-bucket"
    )
    (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert rule["ServerSideEncryptionByDefault"] == {
        "KMSMasterKeyID": KEY,
        "SSEAlgorithm": "aws:kms",
    }
    assert rule["BucketKeyEnabled"] is True
    decrypting = {
        name[:-8]: statement["Condition"]
        for name, policy in resources(operated.service, "IAM::Policy").items()
        for statement in policy["PolicyDocument"]["Statement"]
        if statement["Action"] == "kms:Decrypt" and statement["Resource"] == KEY
    }
    assert decrypting.keys() == {"InferencehousesRoleDefaultPolicy", "RouterRoleDefaultPolicy"}
    for condition in decrypting.values():
        via = condition["StringEquals"]["kms:ViaService"]
        assert text(via) == "s3.<AWS::Region>.<AWS::URLSuffix>"


def test_every_role_has_the_boundary(operated: Synthesis) -> None:
    roles = [*resources(operated.service, "IAM::Role").values()]

    boundaries = {role.get("PermissionsBoundary") for role in roles}
    assert boundaries == {"arn:aws:iam::111122223333:policy/boundary"}
    assert resources(operated.data, "IAM::Role") == {}


def test_callers_of_another_account_may_sign_and_health_checks_stay_open(
    operated: Synthesis,
) -> None:
    others, everybody = one(operated.service, "ApiGateway::RestApi")["Policy"]["Statement"]

    assert text(others["Principal"]["AWS"]) == "arn:<AWS::Partition>:iam::444455556666:root"
    assert everybody["Principal"] == {"AWS": "*"}
    assert everybody["Resource"] == ["execute-api:/*/GET/ping", "execute-api:/*/OPTIONS/*"]


def test_each_function_has_its_reserved_executions(operated: Synthesis, plain: Synthesis) -> None:
    reserved = "ReservedConcurrentExecutions"
    made = functions(operated.service, "Inference").values()

    assert [function[reserved] for function in made] == [5, 5]
    assert not any(reserved in one for one in functions(plain.service, "Inference").values())


def test_traces_go_from_the_stage_through_all_functions(
    operated: Synthesis, plain: Synthesis
) -> None:
    modes = {
        name: found.get("TracingConfig")
        for name, found in resources(operated.service, "Lambda::Function").items()
    }
    allowed = json.dumps(resources(operated.service, "IAM::Policy"))

    assert one(operated.service, "ApiGateway::Stage")["TracingEnabled"] is True
    assert len(modes) == 2 + 2
    assert {*map(str, modes.values())} == {"{'Mode': 'Active'}"}
    assert allowed.count("xray:PutTraceSegments") == 3  # router, warmer, the role of both shards
    assert "Tracing" not in json.dumps(functions(plain.service, "Router"))


def test_functions_are_invoked_once_a_day(operated: Synthesis, plain: Synthesis) -> None:
    rule = one(operated.service, "Events::Rule")

    assert rule["ScheduleExpression"] == "rate(1 day)"
    assert [json.loads(target["Input"]) for target in rule["Targets"]] == [EVENT, EVENT]
    called = [text(target["Arn"]) for target in rule["Targets"]]
    assert [name.partition("Function")[0][:11] for name in called] == ["<RouterLive", "<Warming"]
    assert resources(plain.service, "Events::Rule") == {}


def test_frugal_deployment_has_nothing_that_costs_while_it_is_idle(
    operated: Synthesis, plain: Synthesis
) -> None:
    (router,) = functions(operated.service, "RouterFunction").values()
    (settings,) = one(operated.service, "ApiGateway::Stage")["MethodSettings"]
    names = {name[:-8] for name in resources(operated.service, "CloudWatch::Alarm")}

    assert "SnapStart" not in router
    assert resources(operated.service, "CloudWatch::Dashboard") == {}
    assert "Dashboard" not in operated.service["Outputs"]
    assert "Dashboard" in plain.service["Outputs"]
    assert settings["MetricsEnabled"] is False
    assert not [name for name in names if "Throttles" in name]
    assert len(names) == 5
