"""The stack of the API, the functions, the warm queue, the alarms and the outputs."""

from aws_cdk import Annotations, Stack
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.assets import (
    PYTHON,
    dependencies_code,
    function_table_code,
    package_code,
)
from infra.data_stack import DataStack
from infra.inference import InferenceFunctions
from infra.keep_awake import KeepAwake
from infra.observability import Observability
from infra.outputs import Outputs
from infra.router import RouterApi
from infra.settings import DeploySettings
from infra.warming import Warming
from infra.wheels import are_wheels_made

MISSING = "The layer of third-party packages is missing or has other versions. Run:"


class ServiceStack(Stack):
    """Only composes: each part makes its own resources."""

    def __init__(
        self, scope: Construct, name: str, *, settings: DeploySettings, data: DataStack
    ) -> None:
        super().__init__(scope, name, description="Modelyard: models behind one endpoint")
        layers = self._layers(settings)
        inference = {
            endpoint.name: InferenceFunctions(
                self,
                f"Inference-{endpoint.name}",
                settings=settings,
                endpoint=endpoint,
                data=data,
            )
            for endpoint in settings.endpoints
        }
        functions = [item for group in inference.values() for item in group.functions]
        warming = Warming(self, "Warming", settings=settings)
        warmer = warming.add_warmer(layers, functions)
        router = RouterApi(
            self,
            "Router",
            settings=settings,
            layers=layers,
            functions=functions,
            warming=warming,
        )
        if settings.deployment.keep_awake:
            KeepAwake(self, "KeepAwake", functions=[router.alias, warmer])
        observability = Observability(
            self,
            "Observability",
            settings=settings,
            router=router,
            warming=warming,
            functions={"router": router.function}
            | {
                f"{name}-{shard}": function
                for name, group in inference.items()
                for shard, function in enumerate(group.functions)
            },
            file_system=data.file_system,
        )
        outputs = Outputs(self, "Outputs", settings=settings, router=router, warming=warming)
        outputs.print_observability(
            observability.dashboard_name,
            [
                router.log_group,
                warming.log_group,
                *(group.log_group for group in inference.values()),
            ],
        )

    def _layers(self, settings: DeploySettings) -> list[lambda_.LayerVersion]:
        architecture = settings.deployment.architecture
        codes = {
            "Package": package_code(),
            "Dependencies": dependencies_code(architecture),
            "Endpoints": function_table_code(settings.function_table),
        }
        is_to_be_deployed = not self.node.try_get_context("without_wheels")
        if is_to_be_deployed and not are_wheels_made(architecture):
            Annotations.of(self).add_error(f"{MISSING} make layers ARCHITECTURE={architecture}")
        return [
            lambda_.LayerVersion(self, name, code=code, compatible_runtimes=[PYTHON])
            for name, code in codes.items()
        ]
