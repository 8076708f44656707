"""The inference functions of an endpoint: one for each shard, all with one image."""

from aws_cdk import Duration, Size, Tags
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr_assets as ecr_assets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.assets import image_code
from infra.data_stack import DataStack
from infra.image_context import PROJECT_FILE, PROJECT_FOLDER
from infra.log_groups import log_group
from infra.permissions import (
    may_attach_to_network,
    may_decrypt,
    may_mount,
    may_read,
    may_trace,
    service_role,
)
from infra.settings import DeploySettings, PlannedEndpoint
from modelyard.aws.function_settings import InferenceSettings

MOUNT = "/mnt/models"
ENDPOINT_TAG = "modelyard:endpoint"
TMP_BYTES = 10 << 30
ARCHITECTURES = {
    "arm64": (lambda_.Architecture.ARM_64, ecr_assets.Platform.LINUX_ARM64),
    "x86_64": (lambda_.Architecture.X86_64, ecr_assets.Platform.LINUX_AMD64),
}
TRACING = {"none": None, "xray": lambda_.Tracing.ACTIVE}

WAVES = 4
"""An update empties the memory of a fourth of an endpoint's shards at a time."""


class InferenceFunctions(Construct):
    """The functions of one endpoint. They share a role and a log group."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        settings: DeploySettings,
        endpoint: PlannedEndpoint,
        data: DataStack,
    ) -> None:
        super().__init__(scope, name)
        self._settings = settings
        self._endpoint = endpoint
        self._data = data
        self.log_group = log_group(self, "Logs", settings.deployment)
        Tags.of(self).add(ENDPOINT_TAG, endpoint.name)
        self.role = service_role(self, "Role", self.log_group)
        may_attach_to_network(self.role)
        may_read(self.role, endpoint.locations)
        deployment = settings.deployment
        if deployment.kms_key is not None:
            may_decrypt(self.role, deployment.kms_key)
        if deployment.tracing == "xray":
            may_trace(self.role)
        if data.file_system is not None and data.access_point is not None:
            may_mount(self.role, data.file_system, data.access_point)
        # From here CDK may grant nothing more: for the mount it would allow every file system.
        self._role = self.role.without_policy_updates()
        platform = ARCHITECTURES[deployment.architecture][1]
        self._code = image_code(endpoint, platform, deployment.base_image)
        self.functions = [self._function(shard) for shard in range(endpoint.functions.shards)]
        _update_in_waves(self.functions)

    def _function(self, shard: int) -> lambda_.DockerImageFunction:
        endpoint, deployment = self._endpoint, self._settings.deployment
        architecture, _ = ARCHITECTURES[deployment.architecture]
        return lambda_.DockerImageFunction(
            self,
            f"Shard{shard}",
            function_name=endpoint.functions.function_name(shard),
            code=self._code,
            architecture=architecture,
            memory_size=endpoint.memory_mb,
            reserved_concurrent_executions=endpoint.reserved_concurrency,
            tracing=TRACING[deployment.tracing],
            timeout=Duration.seconds(endpoint.functions.timeout_s),
            role=self._role,
            log_group=self.log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            environment=self._environment(),
            vpc=self._data.vpc,
            vpc_subnets=ec2.SubnetSelection(subnet_type=ec2.SubnetType.PRIVATE_ISOLATED),
            security_groups=[self._data.functions_group],
            filesystem=self._file_system(),
            ephemeral_storage_size=Size.gibibytes(10) if deployment.cache == "tmp" else None,
            tenancy_config=lambda_.TenancyConfig.PER_TENANT
            if endpoint.functions.per_tenant
            else None,
        )

    def _file_system(self) -> lambda_.FileSystem | None:
        if self._data.access_point is None:
            return None
        return lambda_.FileSystem.from_efs_access_point(self._data.access_point, MOUNT)

    def _environment(self) -> dict[str, str]:
        project = self._endpoint.project
        is_efs = self._settings.deployment.cache == "efs"
        settings = InferenceSettings(
            cache_dir=MOUNT if is_efs else "/tmp/modelyard",  # noqa: S108
            memory_bytes=self._endpoint.model_memory_bytes,
            disk_bytes=self._settings.deployment.disk if is_efs else TMP_BYTES * 9 // 10,
            project_file=f"{PROJECT_FOLDER}/{PROJECT_FILE}" if project is not None else "",
        )
        own = dict(project.env) if project is not None else {}
        return {**own, **settings.to_environ(), "ORT_DISABLE_TELEMETRY": "1"}


def _update_in_waves(functions: list[lambda_.DockerImageFunction]) -> None:
    """Make each function wait for one of the wave before it, so that models stay loaded elsewhere.

    CloudFormation would update all of them at the same time.
    """
    size = -(-len(functions) // WAVES)
    for earlier, later in zip(functions, functions[size:], strict=False):
        later.node.add_dependency(earlier)
