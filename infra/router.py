"""The router function, and the REST API in front of it with errors in SageMaker's form."""

import json

from aws_cdk import Duration, Stack
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.assets import ENDPOINTS_FILE, PYTHON, function_code
from infra.inference import ARCHITECTURES, TRACING
from infra.log_groups import log_group
from infra.permissions import (
    allow,
    may_decrypt,
    may_invoke,
    may_list,
    may_trace,
    service_role,
)
from infra.settings import DeploySettings
from infra.warming import Warming
from modelyard.aws.deployed import (
    GATEWAY_ERRORS,
    ROUTER_MEMORY_MB,
    ROUTER_TIMEOUT_S,
    api_methods,
)
from modelyard.aws.function_settings import RouterSettings
from modelyard.config.schema import Deployment

_SNAPSHOT = lambda_.SnapStartConf.ON_PUBLISHED_VERSIONS
ACCESS_LOG = {
    "requestId": "$context.requestId",
    "requestTime": "$context.requestTime",
    "ip": "$context.identity.sourceIp",
    "caller": "$context.identity.userArn",
    "account": "$context.identity.accountId",
    "httpMethod": "$context.httpMethod",
    "path": "$context.path",
    "status": "$context.status",
    "error": "$context.error.message",
    "responseLength": "$context.responseLength",
    "latencyMs": "$context.responseLatency",
    "functionMs": "$context.integration.latency",
    "userAgent": "$context.identity.userAgent",
}
"""A line of the access log. The caller is known with `auth: iam`; `-` stands for what is not."""
_IAM, _NONE = apigateway.AuthorizationType.IAM, apigateway.AuthorizationType.NONE


class RouterApi(Construct):
    """The router function and its REST API."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        settings: DeploySettings,
        layers: list[lambda_.LayerVersion],
        functions: list[lambda_.DockerImageFunction],
        warming: Warming,
    ) -> None:
        super().__init__(scope, name)
        self._settings = settings
        self.function = self._router(layers, functions, warming)
        self.alias = lambda_.Alias(
            self, "Live", alias_name="live", version=self.function.current_version
        )
        self.api = self._rest_api()
        for kind, (status, error_type) in GATEWAY_ERRORS.items():
            self._add_refusal(kind, status, error_type)

    @property
    def keys_path(self) -> str:
        """The path of the SSM parameters of the API keys."""
        return f"/modelyard/{self._settings.name}/keys"

    def _router(
        self,
        layers: list[lambda_.LayerVersion],
        functions: list[lambda_.DockerImageFunction],
        warming: Warming,
    ) -> lambda_.Function:
        deployment = self._settings.deployment
        self.log_group = log_group(self, "Logs", deployment)
        role = service_role(self, "Role", self.log_group)
        may_invoke(role, functions)
        allow(role, "sqs:SendMessage", on=[queue.queue_arn for queue in warming.queues])
        may_list(role, self._settings.locations)  # callers may ask for the list of models
        if deployment.kms_key is not None:
            may_decrypt(role, deployment.kms_key)
        if deployment.tracing == "xray":
            may_trace(role)
        has_keys = deployment.auth == "key"
        if has_keys:
            self._may_read_keys(role)
        return lambda_.Function(
            self,
            "Function",
            runtime=PYTHON,
            architecture=ARCHITECTURES[deployment.architecture][0],
            handler="handler.handler",
            code=function_code("router"),
            layers=layers,
            memory_size=ROUTER_MEMORY_MB,
            timeout=Duration.seconds(ROUTER_TIMEOUT_S),
            snap_start=None if deployment.profile == "frugal" else _SNAPSHOT,
            tracing=TRACING[deployment.tracing],
            role=role,
            log_group=self.log_group,
            logging_format=lambda_.LoggingFormat.JSON,
            environment=RouterSettings(
                endpoints_file=ENDPOINTS_FILE,
                warm_queue_url=warming.queue.queue_url,
                auth=deployment.auth,
                keys_path=self.keys_path if has_keys else "",
                account=Stack.of(self).account,
                async_queue_url=warming.async_queue_url,
            ).to_environ(),
        )

    def _may_read_keys(self, role: iam.Role) -> None:
        arn = Stack.of(self).format_arn(
            service="ssm", resource="parameter", resource_name=f"{self.keys_path[1:]}/*"
        )
        allow(role, "ssm:GetParameter", on=[arn])

    def _rest_api(self) -> apigateway.RestApi:
        deployment = self._settings.deployment
        api = apigateway.RestApi(
            self,
            "Api",
            rest_api_name=self._settings.name,
            description="Modelyard: SageMaker InvokeEndpoint and Cortex APIs",
            endpoint_configuration=_endpoint_configuration(deployment),
            policy=_resource_policy(deployment),
            # SDKs send no Accept header; without this they would get binary responses as base64.
            binary_media_types=["*/*"],
            cloud_watch_role=True,
            deploy_options=apigateway.StageOptions(
                stage_name="prod",
                throttling_rate_limit=deployment.throttle.rate,
                throttling_burst_limit=deployment.throttle.burst,
                logging_level=apigateway.MethodLoggingLevel.ERROR,
                access_log_destination=apigateway.LogGroupLogDestination(
                    log_group(self, "AccessLogs", deployment)
                ),
                access_log_format=apigateway.AccessLogFormat.custom(json.dumps(ACCESS_LOG)),
                metrics_enabled=deployment.profile != "frugal",
                tracing_enabled=deployment.tracing == "xray",
            ),
        )
        proxy = apigateway.LambdaIntegration(
            self.alias,
            proxy=True,
            allow_test_invoke=False,
            timeout=Duration.seconds(ROUTER_TIMEOUT_S),
        )
        api.node.try_remove_child("Endpoint")  # an output of CDK; ours are in outputs.py
        validator = apigateway.RequestValidator(
            self,
            "Validator",
            rest_api=api,
            validate_request_body=True,
            validate_request_parameters=True,
        )
        for method in api_methods(deployment.auth):
            resource = api.root.get_resource(method.path) or api.root.add_resource(method.path)
            resource.add_method(
                method.verb,
                proxy,
                authorization_type=_IAM if method.is_signed else _NONE,
                request_validator=validator,
            )
        return api

    def _add_refusal(self, kind: str, status: int | None, error_type: str) -> None:
        body = json.dumps({"__type": error_type, "Message": "MESSAGE"})
        self.api.add_gateway_response(
            f"Refusal{kind}",
            type=apigateway.ResponseType.of(kind),
            status_code=None if status is None else str(status),
            response_headers={
                "x-amzn-ErrorType": f"'{error_type}'",
                "x-amzn-RequestId": "context.requestId",
                "Access-Control-Allow-Origin": "'*'",
            },
            templates={
                "application/json": body.replace('"MESSAGE"', "$context.error.messageString")
            },
        )


def _endpoint_configuration(deployment: Deployment) -> apigateway.EndpointConfiguration:
    kind = apigateway.EndpointType.PRIVATE if deployment.vpc_endpoints else None
    return apigateway.EndpointConfiguration(types=[kind or apigateway.EndpointType.REGIONAL])


def _resource_policy(deployment: Deployment) -> iam.PolicyDocument | None:
    """Return the policy of the API: for a private API, or for callers of other accounts."""
    if deployment.vpc_endpoints:
        return _private_policy(deployment)
    if not deployment.callers:
        return None
    return iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(
                principals=[iam.AccountPrincipal(account) for account in deployment.callers],
                actions=["execute-api:Invoke"],
                resources=["execute-api:/*"],
            ),
            # With a policy, API Gateway refuses all that is neither allowed here nor signed.
            iam.PolicyStatement(
                principals=[iam.AnyPrincipal()],
                actions=["execute-api:Invoke"],
                resources=["execute-api:/*/GET/ping", "execute-api:/*/OPTIONS/*"],
            ),
        ]
    )


def _private_policy(deployment: Deployment) -> iam.PolicyDocument:
    """Return the policy that allows calls only from the configured VPC endpoints."""
    here = {"aws:SourceVpce": deployment.vpc_endpoints}
    return iam.PolicyDocument(
        statements=[
            iam.PolicyStatement(
                principals=[iam.AnyPrincipal()],
                actions=["execute-api:Invoke"],
                resources=["execute-api:/*"],
            ),
            iam.PolicyStatement(
                effect=iam.Effect.DENY,
                principals=[iam.AnyPrincipal()],
                actions=["execute-api:Invoke"],
                resources=["execute-api:/*"],
                conditions={"StringNotEquals": here},
            ),
        ]
    )
