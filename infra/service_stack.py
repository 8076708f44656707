"""What serves: the functions, the API in front of them, the queue, and what is told of them."""

from aws_cdk import CfnOutput, Stack
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.assets import dependencies_code, manifest_code, package_code
from infra.data_stack import DataStack
from infra.inference import InferenceFunctions
from infra.observability import Observability
from infra.router import RouterApi
from infra.settings import DeploySettings
from infra.warming import Warming

_RUNTIMES = [lambda_.Runtime.PYTHON_3_14]


class ServiceStack(Stack):
    """Composition only: every resource is made in a room of its own."""

    def __init__(
        self, scope: Construct, name: str, *, settings: DeploySettings, data: DataStack
    ) -> None:
        super().__init__(scope, name, description="Modelyard: models behind one endpoint")
        layers = self._layers(settings)
        endpoints = [
            InferenceFunctions(
                self,
                f"Inference-{models.deployed.endpoint.name}",
                settings=settings,
                models=models,
                data=data,
            )
            for models in settings.endpoints
        ]
        functions = [function for endpoint in endpoints for function in endpoint.functions]
        warming = Warming(self, "Warming", settings=settings)
        warming.add_warmer(layers, functions)
        router = RouterApi(
            self,
            "Router",
            settings=settings,
            layers=layers,
            functions=functions,
            queue=warming.queue,
        )
        Observability(
            self,
            "Observability",
            settings=settings,
            router=router,
            warming=warming,
            functions=functions,
            file_system=getattr(data, "file_system", None),
        )
        self._outputs(settings, router)

    def _layers(self, settings: DeploySettings) -> list[lambda_.LayerVersion]:
        manifest = [models.deployed for models in settings.endpoints]
        codes = {
            "Package": package_code(),
            "Dependencies": dependencies_code(settings.deployment.architecture),
            "Endpoints": manifest_code(manifest),
        }
        return [
            lambda_.LayerVersion(self, name, code=code, compatible_runtimes=_RUNTIMES)
            for name, code in codes.items()
        ]

    def _outputs(self, settings: DeploySettings, router: RouterApi) -> None:
        url = router.api.url
        name = settings.endpoints[0].deployed.endpoint.name
        CfnOutput(self, "EndpointUrl", value=url)
        CfnOutput(self, "RouterFunction", value=router.function.function_name)
        CfnOutput(
            self,
            "Boto3",
            value=f"modelyard.client('{url}').invoke_endpoint(EndpointName='{name}',"
            " TargetModel='<model>', ContentType='text/csv', Body='<body>')",
        )
        CfnOutput(
            self,
            "Cli",
            value=f"aws sagemaker-runtime invoke-endpoint --endpoint-url {url}"
            f" --endpoint-name {name} --target-model '<model>' --content-type text/csv"
            " --body '<body>' answer.json",
        )
        for bucket in settings.buckets:
            CfnOutput(self, f"Models-{bucket}", value=f"s3://{bucket}")
