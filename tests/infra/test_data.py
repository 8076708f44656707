"""What the models lie on: buckets, network, file system; and the queue between functions."""

import pytest

from tests.infra.synthesis import Resource, Synthesis, functions, one, resources


def raw(template: Resource, kind: str) -> list[Resource]:
    """Return whole resources, with what CloudFormation does when they go."""
    return [item for item in template["Resources"].values() if item["Type"] == f"AWS::{kind}"]


def test_bucket_of_somebody_else_is_left_alone(plain: Synthesis) -> None:
    assert raw(plain.data, "S3::Bucket") == raw(plain.data, "S3::BucketPolicy") == []


def test_bucket_of_ours_outlives_its_stack_and_is_closed(changed: Synthesis) -> None:
    buckets = raw(changed.data, "S3::Bucket")

    assert len(buckets) == 2  # models and access logs
    for bucket in buckets:
        properties = bucket["Properties"]
        assert bucket["UpdateReplacePolicy"] == "Retain"
        # A first deployment that fails leaves no bucket in the way of the next one.
        assert bucket["DeletionPolicy"] == "RetainExceptOnCreate"
        assert properties["VersioningConfiguration"] == {"Status": "Enabled"}
        assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
        assert "BucketEncryption" in properties
    (models,) = (item["Properties"] for item in buckets if "BucketName" in item["Properties"])
    assert models["BucketName"] == "a-bucket"
    assert "LoggingConfiguration" in models


def test_buckets_of_ours_refuse_what_is_not_tls(changed: Synthesis) -> None:
    for policy in resources(changed.data, "S3::BucketPolicy").values():
        denied = [
            statement["Condition"]
            for statement in policy["PolicyDocument"]["Statement"]
            if statement["Effect"] == "Deny"
        ]
        assert {"Bool": {"aws:SecureTransport": "false"}} in denied


@pytest.mark.parametrize(
    "kind", ["EC2::NatGateway", "EC2::InternetGateway", "EC2::VPCGatewayAttachment", "EC2::EIP"]
)
def test_network_has_no_way_out(plain: Synthesis, kind: str) -> None:
    assert raw(plain.data, kind) == []


def test_network_has_a_gateway_to_s3_and_nothing_that_costs_by_the_hour(plain: Synthesis) -> None:
    endpoint = one(plain.data, "EC2::VPCEndpoint")

    assert endpoint["VpcEndpointType"] == "Gateway"
    assert len(endpoint["RouteTableIds"]) == 2
    assert len(raw(plain.data, "EC2::Subnet")) == 2


def test_functions_may_send_to_s3_and_to_the_file_system_only(plain: Synthesis) -> None:
    groups = resources(plain.data, "EC2::SecurityGroup")
    (group,) = (item for name, item in groups.items() if name.startswith("FunctionsGroup"))
    (to_cache,) = resources(plain.data, "EC2::SecurityGroupEgress").values()

    assert [rule["FromPort"] for rule in group["SecurityGroupEgress"]] == [443]
    assert (to_cache["FromPort"], to_cache["ToPort"]) == (2049, 2049)
    assert "SecurityGroupIngress" not in group


def test_only_functions_reach_the_file_system(plain: Synthesis) -> None:
    (rule,) = resources(plain.data, "EC2::SecurityGroupIngress").values()

    assert rule["SourceSecurityGroupId"]["Fn::GetAtt"][0].startswith("FunctionsGroup")
    assert rule["FromPort"] == 2049


def test_file_system_is_encrypted_and_goes_with_its_stack(
    plain: Synthesis, private: Synthesis
) -> None:
    for synthesis, throughput in ((plain, "bursting"), (private, "elastic")):
        (file_system,) = raw(synthesis.data, "EFS::FileSystem")
        assert file_system["Properties"]["Encrypted"] is True
        assert file_system["Properties"]["ThroughputMode"] == throughput
        assert file_system["DeletionPolicy"] == "Delete"
        assert "LifecyclePolicies" not in file_system["Properties"]


def test_access_point_is_a_folder_of_a_user_who_is_not_root(plain: Synthesis) -> None:
    point = one(plain.data, "EFS::AccessPoint")

    assert point["PosixUser"] == {"Uid": "1000", "Gid": "1000"}
    assert point["RootDirectory"]["Path"] == "/modelyard"
    assert point["RootDirectory"]["CreationInfo"]["Permissions"] == "0750"


def test_every_subnet_of_the_functions_mounts(plain: Synthesis) -> None:
    targets = resources(plain.data, "EFS::MountTarget").values()
    subnets = {target["SubnetId"]["Ref"] for target in targets}

    assert subnets == {*resources(plain.data, "EC2::Subnet")}
    for function in functions(plain.service, "Inference").values():
        assert len(function["VpcConfig"]["SubnetIds"]) == len(subnets)


def test_cache_in_tmp_needs_no_file_system(changed: Synthesis) -> None:
    assert raw(changed.data, "EFS::FileSystem") == []


def test_flow_logs_are_a_choice(plain: Synthesis, changed: Synthesis) -> None:
    assert len(raw(plain.data, "EC2::FlowLog")) == 0
    assert len(raw(changed.data, "EC2::FlowLog")) == 1


def queues(synthesis: Synthesis) -> tuple[Resource, Resource]:
    """Return the warm queue and the queue of its dead letters."""
    found = resources(synthesis.service, "SQS::Queue")
    (queue,) = (item for name, item in found.items() if name.startswith("WarmingQueue"))
    (dead,) = (item for name, item in found.items() if name.startswith("WarmingDeadLetters"))
    return queue, dead


def test_warm_messages_keep_their_order_and_end_as_dead_letters(plain: Synthesis) -> None:
    queue, dead = queues(plain)

    assert queue["FifoQueue"] is dead["FifoQueue"] is True
    target = queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
    assert target.startswith("WarmingDeadLetters")
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 5
    assert dead["MessageRetentionPeriod"] == 14 * 24 * 3600
    assert queue["SqsManagedSseEnabled"] is dead["SqsManagedSseEnabled"] is True


def test_message_stays_hidden_for_six_times_its_warmer(plain: Synthesis) -> None:
    queue, _ = queues(plain)
    (warmer,) = functions(plain.service, "WarmingFunction").values()
    longest = max(item["Timeout"] for item in functions(plain.service, "Inference").values())

    assert queue["VisibilityTimeout"] >= 6 * warmer["Timeout"]
    assert warmer["Timeout"] == longest + 20


def test_warmer_takes_one_message_at_a_time_and_says_which_failed(plain: Synthesis) -> None:
    mapping = one(plain.service, "Lambda::EventSourceMapping")

    assert mapping["BatchSize"] == 1
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 10}


def test_queues_refuse_what_is_not_tls(plain: Synthesis) -> None:
    policies = resources(plain.service, "SQS::QueuePolicy").values()

    assert len(policies) == 2
    for policy in policies:
        (statement,) = policy["PolicyDocument"]["Statement"]
        assert statement["Effect"] == "Deny"
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
