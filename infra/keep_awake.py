"""A daily event that keeps the functions of a deployment from becoming inactive."""

from collections.abc import Iterable

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from modelyard.aws.keep_awake import EVENT


class KeepAwake(Construct):
    """Invokes router and warmer once a day; the warmer invokes every inference function."""

    def __init__(
        self, scope: Construct, name: str, *, functions: Iterable[lambda_.IFunction]
    ) -> None:
        super().__init__(scope, name)
        daily = events.Rule(self, "Daily", schedule=events.Schedule.rate(Duration.days(1)))
        for function in functions:
            event = events.RuleTargetInput.from_object(EVENT)
            daily.add_target(targets.LambdaFunction(function, event=event, retry_attempts=2))
