"""The stack of the buckets, the network and the file system of the artifact cache."""

from aws_cdk import RemovalPolicy, Stack
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_efs as efs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.permissions import bucket_arn, model_arns
from infra.settings import DeploySettings
from modelyard.config.schema import Network

LONGEST_ARNS = 15_000
"""A VPC endpoint's policy may have 20,480 characters."""
NFS = ec2.Port.tcp(2049)
_THROUGHPUT = {
    "bursting": efs.ThroughputMode.BURSTING,
    "elastic": efs.ThroughputMode.ELASTIC,
}
_TLS_ONLY = iam.PolicyDocument(
    statements=[
        iam.PolicyStatement(
            effect=iam.Effect.DENY,
            principals=[iam.AnyPrincipal()],
            actions=["elasticfilesystem:Client*"],
            conditions={"Bool": {"aws:SecureTransport": "false"}},
        )
    ]
)
"""The default policy of CDK lets everybody write. With this one, a role must permit each mount."""


class DataStack(Stack):
    """The buckets if this stack creates them, an isolated network and the file system."""

    def __init__(self, scope: Construct, name: str, settings: DeploySettings) -> None:
        super().__init__(
            scope, name, description="Modelyard: buckets of models, network and artifact cache"
        )
        deployment = settings.deployment
        if deployment.bucket == "create":
            self._create_buckets(settings.buckets, deployment.kms_key)
        self.vpc = (
            self._network(settings) if deployment.vpc is None else self._given(deployment.vpc)
        )
        self.functions_group = self._group("FunctionsGroup", "Inference functions")
        # The only route of the subnets is the gateway to S3, so any address is one of S3.
        self.functions_group.add_egress_rule(ec2.Peer.any_ipv4(), ec2.Port.tcp(443), "S3")
        self.file_system: efs.FileSystem | None = None
        self.access_point: efs.AccessPoint | None = None
        if deployment.cache == "efs":
            self.file_system = self._cache(_THROUGHPUT[deployment.efs_throughput])
            self.access_point = _access_point(self.file_system)

    def _create_buckets(self, names: tuple[str, ...], kms_key: str | None) -> None:
        key = None if kms_key is None else kms.Key.from_key_arn(self, "Key", kms_key)
        s3_keys, own_key = s3.BucketEncryption.S3_MANAGED, s3.BucketEncryption.KMS
        logs = s3.Bucket(
            self,
            "AccessLogs",
            encryption=s3.BucketEncryption.S3_MANAGED,
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            versioned=True,
            removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
        )
        for name in names:
            s3.Bucket(
                self,
                f"Models-{name}",
                bucket_name=name,  # the name in the config file, to which users upload
                encryption=s3_keys if key is None else own_key,
                encryption_key=key,
                bucket_key_enabled=None if key is None else True,
                block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
                object_ownership=s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
                enforce_ssl=True,
                minimum_tls_version=1.2,
                versioned=True,
                server_access_logs_bucket=logs,
                server_access_logs_prefix=f"{name}/",
                # A first deployment that fails deletes them; else the next one would find them.
                removal_policy=RemovalPolicy.RETAIN_ON_UPDATE_OR_DELETE,
            )

    def _given(self, network: Network) -> ec2.IVpc:
        """Return the config's network. Its owner provides the route to S3."""
        return ec2.Vpc.from_vpc_attributes(
            self,
            "Vpc",
            vpc_id=network.id,
            availability_zones=network.subnets,  # only their number counts
            isolated_subnet_ids=network.subnets,
        )

    def _network(self, settings: DeploySettings) -> ec2.Vpc:
        vpc = ec2.Vpc(
            self,
            "Vpc",
            max_azs=2,
            nat_gateways=0,
            restrict_default_security_group=False,  # CDK would need one more function for it
            subnet_configuration=[
                ec2.SubnetConfiguration(
                    name="inference", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED, cidr_mask=20
                )
            ],
        )
        if settings.deployment.flow_logs:
            vpc.add_flow_log("FlowLogs")
        _allow_reading_models(vpc, settings)
        return vpc

    def _group(self, name: str, description: str) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(
            self, name, vpc=self.vpc, description=description, allow_all_outbound=False
        )

    def _cache(self, throughput: efs.ThroughputMode) -> efs.FileSystem:
        """Make the file system. It is a cache, so it has no backups and is deleted with the stack.

        Files are not moved to slower storage: models with few calls would load even more slowly.
        """
        group = self._group("CacheGroup", "Artifact cache")
        group.add_ingress_rule(self.functions_group, NFS, "Inference functions")
        self.functions_group.add_egress_rule(group, NFS, "Artifact cache")
        file_system = efs.FileSystem(
            self,
            "Cache",
            vpc=self.vpc,
            security_group=group,
            encrypted=True,
            throughput_mode=throughput,
            allow_anonymous_access=False,
            removal_policy=RemovalPolicy.DESTROY,
        )
        resource = file_system.node.default_child
        assert isinstance(resource, efs.CfnFileSystem)
        resource.file_system_policy = _TLS_ONLY
        return file_system


def _access_point(file_system: efs.FileSystem) -> efs.AccessPoint:
    return file_system.add_access_point(
        "Artifacts",
        path="/modelyard",
        create_acl=efs.Acl(owner_uid="1000", owner_gid="1000", permissions="0750"),
        posix_user=efs.PosixUser(uid="1000", gid="1000"),
    )


def _allow_reading_models(vpc: ec2.Vpc, settings: DeploySettings) -> None:
    """Allow the only connection out of the network: reading models from S3.

    So the code of a model cannot send data out, whatever credentials it has.
    """
    gateway = vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
    models = [arn for place in settings.locations for arn in model_arns(*place)]
    if sum(map(len, models)) > LONGEST_ARNS:  # the roles of the functions name the models
        models = [f"{bucket_arn(bucket)}/*" for bucket in settings.buckets]
    for actions, arns in (
        (["s3:GetObject", "s3:GetObjectVersion"], models),
        (["s3:ListBucket"], [bucket_arn(bucket) for bucket in settings.buckets]),
    ):
        if arns:
            gateway.add_to_policy(
                iam.PolicyStatement(
                    principals=[iam.AnyPrincipal()], actions=actions, resources=arns
                )
            )
