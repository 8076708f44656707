"""MLflow models of the flavour `python_function`, read and answered by MLflow's own package.

That package finds the code that a model needs, checks rows against the model's signature and
converts them to its types.
"""

import io
from typing import Any

import mlflow.pyfunc
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import scoring_server

from modelyard.domain.errors import InputRejectedError, PredictionError
from modelyard.domain.values import Payload, Prediction, Signature
from modelyard.runtimes import answer_options, tensor_models
from modelyard.runtimes.base import LoadPlan, reason
from modelyard.runtimes.codecs import json_codec, media_types, text
from modelyard.runtimes.codecs.media_types import CSV, JSON
from modelyard.runtimes.tensor_models import PREDICT

_FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
"""The members of bodies of MLflow's scoring server, of which a body has one."""


def load(plan: LoadPlan) -> "PyfuncPredictor":
    """Return the predictor of an MLflow model.

    Raises:
        ModelLoadError: another output than its only one is asked for.
    """
    tensor_models.offered([PREDICT], answer_options.usual(plan))
    return PyfuncPredictor(load_native(plan), plan.memory_bytes)


def load_native(plan: LoadPlan) -> Any:
    """Return MLflow's own object, `mlflow.pyfunc.PyFuncModel`."""
    return mlflow.pyfunc.load_model(str(plan.model_dir))


class PyfuncPredictor:
    """One model with `predict`, which gets a data frame, or arrays where its signature has them."""

    needs_files = True

    def __init__(self, model: Any, memory_bytes: int) -> None:
        self._model = model
        self._schema = model.metadata.get_input_schema()
        self.memory_bytes = memory_bytes

    @property
    def signature(self) -> Signature:
        """Nothing but the platform: rows are checked by MLflow."""
        return Signature("mlflow_pyfunc")

    def predict(self, payload: Payload) -> Prediction:
        """Answer one body in JSON, or in CSV with a header.

        A body as MLflow's scoring server takes it gets an answer of that form, `predictions`.
        `params` may stand beside its rows.
        """
        tensor_models.output_of_call(payload, [PREDICT])
        kind = media_types.body_type(payload.content_type, (JSON, CSV), default=JSON)
        media_types.answer_type(payload.accept, (JSON,))
        values = None if kind == CSV else json_codec.decode(payload.body)
        is_wrapped = isinstance(values, dict) and any(name in values for name in _FORMS)
        params = values.pop("params", None) if isinstance(values, dict) and is_wrapped else None
        try:
            if kind == CSV:
                csv = io.StringIO(text.decode(payload.body))
                rows = scoring_server.parse_csv_input(csv, self._schema)
            else:
                body = values if is_wrapped else self._wrapped(values)
                rows = scoring_server.infer_and_parse_data(body, self._schema)
            found = self._model.predict(rows, params=params)
            return Prediction(_encoded(found, is_wrapped=is_wrapped), JSON)
        except (InputRejectedError, PredictionError):
            raise
        except MlflowException as error:
            raise InputRejectedError(f"the model refuses the input: {reason(error)}") from error
        except Exception as error:
            raise PredictionError(f"the model failed: {reason(error)}") from error

    def close(self) -> None:
        """Drop the model."""
        del self._model

    def _wrapped(self, values: Any) -> dict[str, Any]:
        """Return rows, records or columns as a body of MLflow's scoring server."""
        if isinstance(values, dict):
            is_split = {"columns", "data"} <= values.keys()
            return {"dataframe_split" if is_split else "inputs": values}
        if not isinstance(values, list):
            raise InputRejectedError("the body must be rows, records, or an object of columns")
        if values and all(isinstance(row, dict) for row in values):
            return {"dataframe_records": values}
        names = (
            self._schema.input_names() if self._schema and self._schema.has_input_names() else []
        )
        if names and all(isinstance(row, list) and len(row) == len(names) for row in values):
            return {"dataframe_split": {"columns": names, "data": values}}
        return {"inputs": values}


def _encoded(found: Any, *, is_wrapped: bool) -> bytes:
    """Return an answer as MLflow's server writes it, or only its value; a series is a list there.

    Rows of a data frame are objects by column name.
    """
    if not is_wrapped:
        is_frame = hasattr(found, "columns")
        return json_codec.encode(found.to_dict("records") if is_frame else found)
    server: Any = scoring_server
    sink = io.StringIO()
    server.predictions_to_json(found, sink)
    return sink.getvalue().encode()
