"""An AWS of one's own for the CDK's command line: moto, taught what our templates need beyond it.

`python -m tests.infra.aws_server` prints its port and serves on 127.0.0.1 until SIGTERM.
"""

import signal
import sys
from typing import Any

from moto.apigateway.models import apigateway_backends
from moto.awslambda.models import LambdaFunction, LambdaVersion
from moto.awslambda.utils import get_backend
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.common_models import CloudFormationModel
from moto.ec2.models import EC2Backend, ec2_backends
from moto.ec2.models.route_tables import RouteTable
from moto.efs.models import AccessPoint
from moto.server import ThreadedMotoServer
from moto.sqs.models import Queue

from tests.infra import change_sets

MAX_VPCS, MAX_MEMORY_MB = 5, 3008
"""The quotas of a new account."""

Json = dict[str, Any]
_make_queue = Queue.create_from_cloudformation_json
_create_vpc = EC2Backend.create_vpc
_create_function = LambdaFunction.create_from_cloudformation_json
_update_function = LambdaFunction.update_from_cloudformation_json


def _make_fifo_queue(resource_name: str, template: Json, *rest: Any, **members: Any) -> Queue:
    """Name a FIFO queue without a name as CloudFormation does: with `.fifo` at the end."""
    if str(template.get("Properties", {}).get("FifoQueue")).lower() == "true":
        resource_name = f"{resource_name[:70]}.fifo"
    return _make_queue(resource_name, template, *rest, **members)


def _create_one_more_vpc(backend: EC2Backend, *rest: Any, **members: Any) -> Any:
    if len(backend.vpcs) >= MAX_VPCS:
        raise ValueError("The maximum number of VPCs has been reached.")
    return _create_vpc(backend, *rest, **members)


def _create_small_function(name: str, template: Json, *rest: Any, **members: Any) -> LambdaFunction:
    _check_memory(template)
    return _create_function(name, template, *rest, **members)


def _update_small_function(*, cloudformation_json: Json, **members: Any) -> LambdaFunction:
    _check_memory(cloudformation_json)
    return _update_function(cloudformation_json=cloudformation_json, **members)


def _check_memory(template: Json) -> None:
    if template["Properties"].get("MemorySize", 128) > MAX_MEMORY_MB:
        raise ValueError(f"'MemorySize' must have value less than or equal to {MAX_MEMORY_MB}")


def _delete_route_table(table: RouteTable, account: str, region: str) -> None:
    """Delete a route table with its associations; moto would keep it, and therefore the VPC."""
    ec2_backends[account][region].route_tables.pop(table.id, None)


def _attribute_of_version(version: LambdaVersion, name: str) -> str:
    assert name == "Version"
    return str(version.version)


class _Taught(CloudFormationModel):
    """A kind of resource that moto has, but does not make from templates."""

    __module__ = "moto.taught.models"  # moto sorts its models by their module

    def __init__(self, physical_id: str) -> None:
        self.physical_resource_id = physical_id

    @staticmethod
    def cloudformation_name_type() -> str:
        return ""

    @classmethod
    def has_cfn_attr(cls, attr: str) -> bool:
        return False

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource: "_Taught", *_: Any, **__: Any
    ) -> "_Taught":
        return original_resource

    @classmethod
    def delete_from_cloudformation_json(cls, *_: Any, **__: Any) -> None: ...

    def is_created(self) -> bool:
        return True


class Alias(_Taught, CloudFormationModel):
    """A name of a function's version; a reference to it is its ARN."""

    __module__ = "moto.awslambda.models"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::Lambda::Alias"

    @classmethod
    def create_from_cloudformation_json(
        cls, name: str, template: Json, account: str, region: str, **_: Any
    ) -> "Alias":
        told = template["Properties"]
        version = str(told["FunctionVersion"])
        alias = get_backend(account, region).create_alias(
            told["Name"], told["FunctionName"], version, "", ""
        )
        return cls(alias.arn)


class Stage(_Taught, CloudFormationModel):
    """A stage of a REST API; a reference to it is its name."""

    __module__ = "moto.apigateway.models"

    @staticmethod
    def cloudformation_type() -> str:
        return "AWS::ApiGateway::Stage"

    @classmethod
    def create_from_cloudformation_json(
        cls, name: str, template: Json, account: str, region: str, **_: Any
    ) -> "Stage":
        told = template["Properties"]
        stage: str = told["StageName"]
        apigateway_backends[account][region].create_stage(
            told["RestApiId"], stage, told["DeploymentId"]
        )
        return cls(stage)


def main() -> None:
    """Serve until SIGTERM."""
    LambdaVersion.get_cfn_attribute = _attribute_of_version  # type: ignore[attr-defined]
    Queue.create_from_cloudformation_json = staticmethod(_make_fifo_queue)  # type: ignore[method-assign]
    EC2Backend.create_vpc = _create_one_more_vpc  # type: ignore[method-assign]
    LambdaFunction.create_from_cloudformation_json = staticmethod(_create_small_function)  # type: ignore[method-assign]
    LambdaFunction.update_from_cloudformation_json = staticmethod(_update_small_function)  # type: ignore[method-assign]
    RouteTable.delete = _delete_route_table  # type: ignore[attr-defined]
    change_sets.teach()
    # A reference to an access point is its id; moto prints the object.
    AccessPoint.physical_resource_id = property(lambda point: point.access_point_id)  # type: ignore[attr-defined]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    sys.stdout.write(f"{server.get_host_and_port()[1]} {DEFAULT_ACCOUNT_ID}\n")
    sys.stdout.flush()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


if __name__ == "__main__":
    main()
