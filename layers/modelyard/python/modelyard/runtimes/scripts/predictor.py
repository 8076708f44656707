"""Models that bring a script with the functions of SageMaker's inference toolkit.

    pre_model_fn(model_dir)                     model_fn(model_dir) -> model
    model_warmup_fn(model_dir, model)           input_fn(data, content_type) -> value
    predict_fn(value, model) -> prediction      output_fn(prediction, accept) -> body
    transform_fn(model, data, content_type, accept) -> body      instead of the last three

Each may take one more argument, a `ScriptContext`. A body is bytes, text, an iterator of them, or
any value, which is then sent as JSON; or a pair of one of them and its content type. JSON and CSV
arrive as text, everything else as bytes. A prediction that is an iterator is the body, unless the
script has an `output_fn`.
"""

import inspect
from collections.abc import Callable, Generator, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from modelyard.domain.errors import ModelLoadError, PredictionError
from modelyard.domain.values import Payload, Prediction, Signature
from modelyard.runtimes.base import LoadPlan
from modelyard.runtimes.codecs import array_codec, json_codec, media_types, text
from modelyard.runtimes.codecs.media_types import CSV, JSON, JSON_LINES, NPY
from modelyard.runtimes.scripts import code_folder, defaults, toolkit
from modelyard.runtimes.scripts.context import MOST_CHARACTERS, ScriptContext, blamed
from modelyard.runtimes.scripts.script_file import FOREIGN_FUNCTIONS, FUNCTIONS

_END = object()
_REPLACED_BY_TRANSFORM = ("input_fn", "predict_fn", "output_fn")


def load(plan: LoadPlan) -> "ScriptPredictor":
    """Import the script and let it load its model."""
    with blamed(ModelLoadError, plan.model_dir.absolute()):
        script = Script(plan)
        model = script.load_model()
    return ScriptPredictor(script, model, plan.memory_bytes)


def load_native(plan: LoadPlan) -> Any:
    """Return the script's model."""
    with blamed(ModelLoadError, plan.model_dir.absolute()):
        return Script(plan).load_model()


class Script:
    """The functions of one script; the ones it lacks have the toolkit's defaults."""

    def __init__(self, plan: LoadPlan) -> None:
        assert plan.model_file is not None
        toolkit.install()
        self.model_dir = plan.model_dir.absolute()
        file = plan.model_file.absolute()
        self._name = file.relative_to(self.model_dir).as_posix()
        self._module = code_folder.import_script(file)
        self._counts: dict[str, tuple[Any, int]] = {}
        """Functions by name, and how many arguments each takes: `inspect` needs 20 us for it."""
        self._require_one_way()

    def has(self, name: str) -> bool:
        """Return whether the script defines this function."""
        return callable(getattr(self._module, name, None))

    def call(self, name: str, *arguments: Any, context: ScriptContext) -> Any:
        """Call a function, with the context if it takes one argument more."""
        function = getattr(self._module, name)
        known, count = self._counts.get(name, (None, 0))
        if known is not function:  # the script may replace it
            count = _count_parameters(function)
            self._counts[name] = function, count
        if count > len(arguments):
            arguments = (*arguments, context)
        return function(*arguments)

    def load_model(self) -> Any:
        """Run the three steps of loading and return the model."""
        where = str(self.model_dir)
        context = ScriptContext(where)
        if self.has("pre_model_fn"):
            self.call("pre_model_fn", where, context=context)
        if self.has("model_fn"):
            model = self.call("model_fn", where, context=context)
        else:
            model = defaults.model_fn(self.model_dir)
        if self.has("model_warmup_fn"):
            self.call("model_warmup_fn", where, model, context=context)
        return model

    def _require_one_way(self) -> None:
        both = [name for name in _REPLACED_BY_TRANSFORM if self.has(name)]
        if self.has("transform_fn") and both:
            raise ModelLoadError(
                f"{self._name} defines transform_fn and {', '.join(both)}: "
                "transform_fn replaces them, keep one way"
            )
        foreign = [name for name in FOREIGN_FUNCTIONS if self.has(name)]
        if foreign and not any(map(self.has, FUNCTIONS)):
            raise ModelLoadError(
                f"{self._name} defines {', '.join(foreign)}, which Modelyard does not call; "
                f"allowed: {', '.join(FUNCTIONS)}"
            )


class ScriptPredictor:
    """One script with its model."""

    needs_files = True

    def __init__(self, script: Script, model: Any, memory_bytes: int) -> None:
        self._script = script
        self._model = model
        self.memory_bytes = memory_bytes

    @property
    def signature(self) -> Signature:
        """Only the script knows what it takes and returns."""
        return Signature("python_script")

    def predict(self, payload: Payload) -> Prediction:
        """Answer one body; without Content-Type and Accept both are application/json."""
        prediction, parts = self.begin(payload)
        if parts is None:
            return prediction
        return replace(prediction, body=b"".join([prediction.body, *parts]))

    def begin(self, payload: Payload) -> tuple[Prediction, Generator[bytes, None, None] | None]:
        """Return the answer to one body.

        If the script returned an iterator, the answer has its first part, and the others are
        returned with it.
        """
        content_type = payload.content_type or JSON
        accept = _accept(payload.accept)
        context = ScriptContext(str(self._script.model_dir), payload, accept)
        with blamed(PredictionError, self._script.model_dir):
            try:
                result = self._answer(payload.body, content_type, accept, context)
            finally:
                context.metrics.write()
            if isinstance(result, toolkit.Response):
                context.set_response_status(result.status_code)
                result = result.data, result.mimetype
            body, answer = _body_and_type(result, context.get_response_content_type(0), accept)
        parts = None
        if isinstance(body, Iterator):
            parts = self._parts(body)
            body = next(parts, b"")
        status, phrase = context.get_response_status(0)
        if not 200 <= status <= 299:
            message = body.decode(errors="replace")[:MOST_CHARACTERS] or phrase
            raise PredictionError(message, original_status=status)
        return Prediction(body, answer, context.response_custom_attributes), parts

    def _parts(self, parts: Iterator[Any]) -> Generator[bytes, None, None]:
        """Yield what the script's iterator yields, as bytes; close it in the end."""
        try:
            while True:
                with blamed(PredictionError, self._script.model_dir):
                    part = next(parts, _END)
                    if part is _END:
                        return
                    part = _part(part)
                yield part
        finally:
            close = getattr(parts, "close", None)
            if close is not None:
                close()

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
        if isinstance(prediction, Iterator):
            return prediction
        return defaults.output_fn(prediction, accept)

    def _value(self, body: bytes, content_type: str, context: ScriptContext) -> Any:
        if self._script.has("input_fn"):
            data = _data(body, content_type)
            return self._script.call("input_fn", data, content_type, context=context)
        return defaults.input_fn(body, content_type, self._model)

    def _prediction(self, value: Any, context: ScriptContext) -> Any:
        if self._script.has("predict_fn"):
            return self._script.call("predict_fn", value, self._model, context=context)
        return defaults.predict_fn(value, self._model)


def _count_parameters(function: Callable[..., Any]) -> int:
    parameters = inspect.signature(function).parameters.values()
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in positional for parameter in parameters)


def _accept(header: str | None) -> str:
    return JSON if header is None or header.strip() in ("", "*/*") else header


def _data(body: bytes, content_type: str) -> str | bytes:
    is_text = media_types.parse(content_type)[0] in (JSON, CSV)
    return text.decode(body) if is_text else body


def _body_and_type(
    result: Any, chosen: str | None, accept: str
) -> tuple[bytes | Iterator[Any], str]:
    """Return what a function returned as a body, as SageMaker's model server does.

    Bytes and text are sent as they are, also those that an iterator yields, and anything else as
    JSON; arrays in the content type of the answer where that is CSV, npy or JSON Lines.
    """
    is_pair = isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], str)
    body, answer = result if is_pair else (result, chosen or _first_type(accept))
    if isinstance(body, Iterator):
        return body, answer
    if isinstance(body, (str, bytes, bytearray, memoryview)):
        return _part(body), answer
    kind = media_types.parse(answer)[0]
    if kind in (CSV, JSON_LINES, NPY) and hasattr(body, "shape"):
        return array_codec.encode(np.asarray(body), kind), answer
    return json_codec.encode(body), answer


def _part(value: Any) -> bytes:
    """Return text or bytes as bytes.

    Raises:
        PredictionError: it is something else.
    """
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise PredictionError(f"the script yielded a {type(value).__name__}; allowed: text and bytes")


def _first_type(accept: str) -> str:
    return accept.partition(",")[0].partition(";")[0].strip()
