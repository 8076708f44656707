"""Models that bring `code/inference.py` with the functions of SageMaker's inference toolkit.

    pre_model_fn(model_dir)                     model_fn(model_dir) -> model
    model_warmup_fn(model_dir, model)           input_fn(data, content_type) -> value
    predict_fn(value, model) -> prediction      output_fn(prediction, accept) -> body
    transform_fn(model, data, content_type, accept) -> body      instead of the last three

Each may take one more argument, a `ScriptContext`. A body is bytes, text, or a pair of one
of them and its content type. JSON and CSV arrive as text, everything else as bytes.
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from modelyard.domain.errors import ModelLoadError, PredictionError
from modelyard.domain.values import Payload, Prediction
from modelyard.runtimes import script_defaults
from modelyard.runtimes.base import LoadPlan
from modelyard.runtimes.code_folder import CodeFolder
from modelyard.runtimes.codecs import media_types, text
from modelyard.runtimes.codecs.media_types import CSV, JSON
from modelyard.runtimes.script_context import ScriptContext, blamed

_REPLACED_BY_TRANSFORM = ("input_fn", "predict_fn", "output_fn")


def load(plan: LoadPlan) -> "ScriptPredictor":
    """Import the script and let it load its model."""
    model_dir = plan.model_dir.absolute()
    with blamed(ModelLoadError, model_dir):
        script = Script(model_dir)
        model = script.load_model()
    return ScriptPredictor(script, model, plan.memory_bytes)


def load_native(plan: LoadPlan) -> Any:
    """Return the script's model."""
    model_dir = plan.model_dir.absolute()
    with blamed(ModelLoadError, model_dir):
        return Script(model_dir).load_model()


class Script:
    """The functions of one script; the ones it lacks have the toolkit's defaults."""

    def __init__(self, model_dir: Path) -> None:
        self.model_dir = model_dir
        self._folder = CodeFolder(model_dir / "code")
        self._module = self._folder.import_script("inference.py")
        self._require_one_way(self._module)

    def has(self, name: str) -> bool:
        """Return whether the script defines this function."""
        return callable(getattr(self._module, name, None))

    def call(self, name: str, *arguments: Any, context: ScriptContext) -> Any:
        """Call a function, with the context if it takes one argument more."""
        function = getattr(self._module, name)
        if _takes_more_than(len(arguments), function):
            arguments = (*arguments, context)
        return self._folder.call(function, *arguments)

    def load_model(self) -> Any:
        """Run the three steps of loading and return the model."""
        where = str(self.model_dir)
        context = ScriptContext(where)
        if self.has("pre_model_fn"):
            self.call("pre_model_fn", where, context=context)
        if self.has("model_fn"):
            model = self.call("model_fn", where, context=context)
        else:
            model = self._folder.call(script_defaults.model_fn, self.model_dir)
        if self.has("model_warmup_fn"):
            self.call("model_warmup_fn", where, model, context=context)
        return model

    def _require_one_way(self, module: ModuleType) -> None:
        both = [name for name in _REPLACED_BY_TRANSFORM if self.has(name)]
        if self.has("transform_fn") and both:
            raise ModelLoadError(
                f"code/inference.py defines transform_fn and {', '.join(both)}: "
                "transform_fn replaces them, keep one way"
            )


class ScriptPredictor:
    """One script with its model."""

    needs_files = True

    def __init__(self, script: Script, model: Any, memory_bytes: int) -> None:
        self._script = script
        self._model = model
        self.memory_bytes = memory_bytes

    def predict(self, payload: Payload) -> Prediction:
        """Answer one body; without Content-Type and Accept both are application/json."""
        content_type = payload.content_type or JSON
        accept = _accept(payload.accept)
        context = ScriptContext(
            str(self._script.model_dir), content_type, accept, payload.custom_attributes
        )
        with blamed(PredictionError, self._script.model_dir):
            result = self._answer(payload.body, content_type, accept, context)
            body, answer = _body_and_type(result, accept)
        return Prediction(body, answer, context.response_custom_attributes)

    def close(self) -> None:
        """Drop the script and its model."""
        del self._script, self._model

    def _answer(self, body: bytes, content_type: str, accept: str, context: ScriptContext) -> Any:
        script = self._script
        if script.has("transform_fn"):
            data = _data(body, content_type)
            arguments = (self._model, data, content_type, accept)
            return script.call("transform_fn", *arguments, context=context)
        value = self._value(body, content_type, context)
        prediction = self._prediction(value, context)
        if script.has("output_fn"):
            return script.call("output_fn", prediction, accept, context=context)
        return script_defaults.output_fn(prediction, accept)

    def _value(self, body: bytes, content_type: str, context: ScriptContext) -> Any:
        if self._script.has("input_fn"):
            data = _data(body, content_type)
            return self._script.call("input_fn", data, content_type, context=context)
        return script_defaults.input_fn(body, content_type)

    def _prediction(self, value: Any, context: ScriptContext) -> Any:
        if self._script.has("predict_fn"):
            return self._script.call("predict_fn", value, self._model, context=context)
        return script_defaults.predict_fn(value, self._model)


def _takes_more_than(count: int, function: Callable[..., Any]) -> bool:
    parameters = inspect.signature(function).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in positional for parameter in parameters) > count


def _accept(header: str | None) -> str:
    return JSON if header is None or header.strip() in ("", "*/*") else header


def _data(body: bytes, content_type: str) -> str | bytes:
    is_text = media_types.parse(content_type)[0] in (JSON, CSV)
    return text.decode(body) if is_text else body


def _body_and_type(result: Any, accept: str) -> tuple[bytes, str]:
    default = accept.partition(",")[0].partition(";")[0].strip()
    body, answer = result if isinstance(result, tuple) and len(result) == 2 else (result, default)
    if not isinstance(answer, str):
        raise PredictionError(f"the script's content type is a {type(answer).__name__}, not text")
    if isinstance(body, str):
        return body.encode(), answer
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body), answer
    raise PredictionError(
        f"the script answered a {type(body).__name__}: output_fn and transform_fn return "
        "bytes, text, or a pair of one of them and its content type"
    )
