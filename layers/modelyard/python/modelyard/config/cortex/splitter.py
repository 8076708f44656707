"""The schema of a Cortex traffic splitter, which divides the calls of a path among APIs."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field, StrictBool, StrictInt
from pydantic_core import InitErrorDetails

from modelyard.config.cortex.api import Networking, route_problems
from modelyard.config.cortex.problems import RuledSection, problem_at
from modelyard.config.cortex.values import ApiName
from modelyard.config.schema import Section
from modelyard.domain.endpoints import SplitTarget, Splitter


class SplitApi(Section):
    """One API that gets a part of the calls."""

    name: ApiName
    weight: Annotated[StrictInt, Field(ge=0, le=100, description="a whole number from 0 to 100")]
    shadow: Annotated[StrictBool, Field(description="true or false")] = False


class TrafficSplitter(RuledSection):
    """A path whose calls are divided among APIs of the same file by weight."""

    name: ApiName
    kind: Literal["TrafficSplitter"]
    networking: Networking = Networking()
    apis: Annotated[
        list[SplitApi], Field(min_length=1, description="a list of mappings with name and weight")
    ]

    def _problems(self) -> Iterator[InitErrorDetails]:
        total = sum(api.weight for api in self.apis if not api.shadow)
        if total != 100:
            words = f"found weights of {total} in total; allowed: 100, without those of shadows"
            yield problem_at(("apis",), "spec.incorrect_traffic_splitter_weight", words)
        if sum(api.shadow for api in self.apis) > 1:
            words = "found several shadows; allowed: one"
            yield problem_at(("apis",), "spec.one_shadow_per_traffic_splitter", words)
        if len({api.name for api in self.apis}) < len(self.apis):
            words = "found an API twice; allowed: each API once"
            yield problem_at(("apis",), "spec.traffic_splitter_apis_not_unique", words)
        yield from route_problems(self.route)

    @property
    def splitter(self) -> Splitter:
        """The splitter as it is served."""
        targets = (SplitTarget(api.name, api.weight, shadow=api.shadow) for api in self.apis)
        return Splitter(self.name, self.route, tuple(targets))

    @property
    def route(self) -> str:
        """The path of the splitter, with a slash at its start."""
        return self.networking.endpoint or f"/{self.name}"
