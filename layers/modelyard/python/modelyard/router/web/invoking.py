"""SageMaker InvokeEndpoint and its two siblings."""

import uuid
from datetime import UTC, datetime, timedelta

from starlette.requests import Request

from modelyard.domain.endpoints import Deployment, Endpoint
from modelyard.domain.errors import ModelyardError, UnsupportedOperationError
from modelyard.router.access import authorize
from modelyard.router.router import Router
from modelyard.router.web.authentication import principal_of
from modelyard.router.web.exchange import REQUEST_ID, body_of, headers_of
from modelyard.sagemaker.answers import ErrorScene, HttpAnswer, render_error, render_prediction
from modelyard.sagemaker.invocations import parse_invocation, parse_retry_policy

SESSION_LIFETIME = timedelta(minutes=20)


class InvokeRoutes:
    """`POST /endpoints/{endpoint}/invocations`, `.../async-invocations`, `...-response-stream`."""

    def __init__(self, router: Router, deployment: Deployment) -> None:
        self._router = router
        self._deployment = deployment

    async def invoke(self, request: Request) -> HttpAnswer:
        """SageMaker InvokeEndpoint."""
        name: str = request.path_params["endpoint"]
        headers = headers_of(request)
        endpoint = self._find(name)
        try:
            invocation = parse_invocation(
                name,
                headers,
                await body_of(request),
                request_id=request.scope[REQUEST_ID],
                needs_target=endpoint is None or endpoint.route is None,
            )
            if endpoint is not None:
                authorize(endpoint, principal_of(request), invocation.target_model)
            answer = render_prediction(await self._router.invoke(invocation))
        except ModelyardError as error:
            return render_error(error, self._scene(name, headers))
        if headers.get("x-amzn-sagemaker-session-id") == "NEW_SESSION":
            answer.headers["x-amzn-sagemaker-new-session-id"] = _new_session()
        return answer

    async def refuse(self, request: Request) -> HttpAnswer:
        """InvokeEndpointAsync and InvokeEndpointWithResponseStream, not served yet."""
        name, operation = request.path_params["endpoint"], request.url.path.rsplit("/", 1)[1]
        error: ModelyardError = UnsupportedOperationError(
            f"Endpoint {name} does not support {operation}: call invocations instead."
        )
        try:
            await body_of(request)
        except ModelyardError as too_large:
            error = too_large
        return render_error(error, ErrorScene(name, self._deployment))

    def _scene(self, name: str, headers: dict[str, str]) -> ErrorScene:
        endpoint = self._find(name)
        return ErrorScene(
            endpoint_name=name,
            deployment=self._deployment,
            retry=parse_retry_policy(headers),
            not_ready_status=endpoint.not_ready_status if endpoint else None,
        )

    def _find(self, name: str) -> Endpoint | None:
        return next((item for item in self._router.endpoints if item.name == name), None)


def _new_session() -> str:
    expires = datetime.now(UTC) + SESSION_LIFETIME
    return f"{uuid.uuid4()}; Expires={expires:%Y-%m-%dT%H:%M:%SZ}"
