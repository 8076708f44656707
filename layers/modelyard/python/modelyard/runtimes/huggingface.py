"""ONNX models of Hugging Face beside their tokenizer: text in, labels, entities or vectors out.

Bodies and answers are those of SageMaker's Hugging Face toolkit, whose pipelines define what
`parameters` mean: `{"inputs": "text"}`, or a list of texts. (Contract: transformers' pipelines
`text-classification`, `token-classification` and `feature-extraction`.) Each text is computed by
itself, as those pipelines do by default, so no answer depends on the texts beside it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson

from modelyard.domain.errors import InputRejectedError, ModelLoadError, PredictionError
from modelyard.domain.values import Payload, Prediction, Signature
from modelyard.runtimes import answer_options, onnx
from modelyard.runtimes.base import LoadPlan, reason
from modelyard.runtimes.codecs import json_codec, media_types
from modelyard.runtimes.codecs.media_types import JSON
from modelyard.runtimes.onnx import OnnxModel

Array = np.ndarray[Any, Any]

_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_LONGEST_TOKENS = 1 << 20
"""Tokenizers without a limit of their own state a number beyond this."""
_TOKENS_OF_POSITIONS = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "mpnet")
"""Model types whose positions begin behind that of the padding token."""
_ALL_SCORES = "return_all_scores"
_TOP_K, _FUNCTION = "top_k", "function_to_apply"
_IGNORED_LABELS = "ignore_labels"
_AS_ALWAYS = (("truncation", True), ("aggregation_strategy", "none"))
"""Parameters of other pipelines with the values that ask for what is done in any case."""
_MEAN, _FIRST = "pooling_mode_mean_tokens", "pooling_mode_cls_token"


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a body after the tokenizer, and the model's first output for it."""

    encoding: Any
    """A `tokenizers.Encoding`."""
    output: Array
    """Without the dimension of the batch."""


def load(plan: LoadPlan) -> "HuggingFacePredictor":
    """Return the predictor of a folder with `config.json`, `tokenizer.json` and an ONNX model.

    Raises:
        ModelLoadError: one of these files is damaged.
    """
    config = _read(plan.model_dir / "config.json")
    tokenizer = _tokenizer(plan.model_dir, config)
    model = onnx.load(plan)
    answer, parameters = _task(plan.model_dir, config)
    return HuggingFacePredictor(model, tokenizer, answer, parameters)


def load_native(plan: LoadPlan) -> Any:
    """Return ONNX Runtime's session."""
    return onnx.load_native(plan)


class HuggingFacePredictor:
    """One model that takes texts, or the tensors of its graph as any ONNX model does."""

    def __init__(
        self,
        model: OnnxModel,
        tokenizer: Any,
        answer: Callable[[Text, Mapping[str, Any]], Any],
        parameters: frozenset[str],
    ) -> None:
        """`answer` makes the answer to one text; `parameters` are the names that it knows."""
        self._model = model
        self._tokenizer = tokenizer
        self._answer = answer
        self._parameters = parameters
        self.memory_bytes = model.memory_bytes
        self.needs_files = model.needs_files
        self._names = list(model.input_signatures)

    @property
    def signature(self) -> Signature:
        """Inputs and outputs of the graph."""
        return self._model.signature

    def infer(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        """Return outputs of the graph, as `OnnxModel.infer` does."""
        return self._model.infer(inputs, wanted)

    def predict(self, payload: Payload) -> Prediction:
        """Answer `{"inputs": ...}` in JSON; any other body has the inputs of the graph.

        One text is answered as a list of one by classifiers of texts, as by the pipeline.

        Raises:
            InputRejectedError: the body does not hold texts, or a parameter is not known.
            PredictionError: the model failed.
            UnsupportedContentTypeError, UnsupportedAcceptError: a media type that does not fit.
        """
        if media_types.parse(payload.content_type or JSON)[0] not in (JSON, "json"):
            return self._model.predict(payload)
        body = json_codec.decode(payload.body)
        if not isinstance(body, dict) or "inputs" not in body or not _holds_text(body["inputs"]):
            return self._predict_tensors(payload)
        media_types.answer_type(payload.accept, (JSON,))
        if answer_options.of_call(payload) is not None:
            raise InputRejectedError("the answer to a text has no other outputs: send tensors")
        parameters = body.get("parameters") or {}
        if not isinstance(parameters, dict):
            raise InputRejectedError("parameters must be an object with their names")
        parameters = {k: v for k, v in parameters.items() if (k, v) not in _AS_ALWAYS}
        unknown = [name for name in parameters if name not in self._parameters]
        if unknown:
            raise InputRejectedError(
                f"parameter {str(unknown[0])[:40]!r}; allowed: "
                f"{', '.join(sorted(self._parameters)) or 'none for this model'}"
            )
        values = body["inputs"]
        texts = values if isinstance(values, list) else [values]
        answers = [self._answer(self._computed(text), parameters) for text in texts]
        flat = [one for answer in answers for one in answer] if _is_flat(values, answers) else None
        return Prediction(json_codec.encode(answers if flat is None else flat), JSON)

    def close(self) -> None:
        """Drop the model."""
        self._model.close()

    def _predict_tensors(self, payload: Payload) -> Prediction:
        try:
            return self._model.predict(payload)
        except InputRejectedError as error:
            hint = 'a text is sent as {"inputs": "a text"}'
            raise InputRejectedError(f"{error.message}; {hint}") from error

    def _computed(self, text: Any) -> Text:
        first, second = (
            (text.get("text"), text.get("text_pair")) if isinstance(text, dict) else (text, None)
        )
        if not isinstance(first, str) or not isinstance(second, str | None):
            raise InputRejectedError("inputs must be texts, or objects with text and text_pair")
        if self._tokenizer is None:
            raise PredictionError(
                "texts need the package tokenizers, which is not installed: "
                'pip install "modelyard[huggingface]"'
            )
        try:
            encoding = self._tokenizer.encode(first, second)
        except Exception as error:
            raise PredictionError(f"the tokenizer failed: {reason(error)}") from error
        values = dict(
            zip(_INPUTS, (encoding.ids, encoding.attention_mask, encoding.type_ids), strict=True)
        )
        missing = [name for name in self._names if name not in values]
        if missing:
            raise InputRejectedError(
                f"the graph has the input {missing[0]!r}, which no tokenizer gives: send tensors"
            )
        feed = {name: np.array([values[name]], np.int64) for name in self._names}
        outputs = self._model.infer(feed, [])
        return Text(encoding, next(iter(outputs.values()))[0])


def _holds_text(values: Any) -> bool:
    first = values[0] if isinstance(values, list) and values else values
    return isinstance(first, str) or (isinstance(first, dict) and "text" in first)


def _is_flat(values: Any, answers: Sequence[Any]) -> bool:
    """Return whether the lists of the answers are joined: one label for each text, or one text."""
    is_single = not isinstance(values, list)
    return is_single or all(isinstance(one, _OneLabel) for one in answers)


class _OneLabel(list[Any]):
    """The best label of a text, in a list of one."""


def _task(
    folder: Path, config: Mapping[str, Any]
) -> tuple[Callable[[Text, Mapping[str, Any]], Any], frozenset[str]]:
    """Return how a text is answered, and the parameters for it, by the model's architecture."""
    architecture = str(next(iter(config.get("architectures") or []), ""))
    if architecture.endswith("ForSequenceClassification"):
        return _Classifier(config), frozenset({_TOP_K, _FUNCTION, _ALL_SCORES})
    if architecture.endswith("ForTokenClassification"):
        return _Tagger(config), frozenset({_IGNORED_LABELS})
    if "For" in architecture.removeprefix("For"):
        return _refused(architecture), frozenset()
    pooling = folder / "1_Pooling" / "config.json"
    if pooling.is_file():
        return _Pooling(_read(pooling), folder), frozenset()
    return (lambda text, _: [text.output]), frozenset()


def _refused(architecture: str) -> Callable[[Text, Mapping[str, Any]], Any]:
    def refuse(text: Text, parameters: Mapping[str, Any]) -> Any:
        raise InputRejectedError(
            f"texts are not answered for {architecture[:60]}: send the tensors of the graph"
        )

    return refuse


class _Classifier:
    """Labels with scores, the best first; the best alone without `top_k`."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._labels = _labels(config)
        problem = config.get("problem_type")
        is_independent = problem == "multi_label_classification"
        self._function = "sigmoid" if is_independent else "none" if problem == "regression" else ""

    def __call__(self, text: Text, parameters: Mapping[str, Any]) -> list[Any]:
        function = parameters.get(_FUNCTION) or self._function
        if not function:
            function = "sigmoid" if text.output.size == 1 else "softmax"
        if not isinstance(function, str) or function not in _FUNCTIONS:
            raise InputRejectedError(f"{_FUNCTION}; allowed: {', '.join(_FUNCTIONS)}")
        scores = _FUNCTIONS[function](text.output.reshape(-1)).tolist()
        found = [{"label": self._labels(place), "score": one} for place, one in enumerate(scores)]
        if parameters.get(_ALL_SCORES):
            return found
        found.sort(key=lambda one: cast(float, one["score"]), reverse=True)
        if _TOP_K not in parameters:
            return _OneLabel(found[:1])
        count = parameters[_TOP_K]
        if count is not None and (
            not isinstance(count, int) or isinstance(count, bool) or count < 1
        ):
            raise InputRejectedError(
                f"{_TOP_K} must be a whole number from 1, or null for all labels"
            )
        return found[:count]


class _Tagger:
    """The tokens with another label than those that are ignored, `O` by default."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._labels = _labels(config)

    def __call__(self, text: Text, parameters: Mapping[str, Any]) -> list[Any]:
        ignored = parameters.get(_IGNORED_LABELS, ["O"])
        if not isinstance(ignored, list):
            raise InputRejectedError(f"{_IGNORED_LABELS} must be a list of labels")
        scores = _softmax(text.output)
        found = []
        for index, place in enumerate(scores.argmax(axis=-1).tolist()):
            entity = self._labels(place)
            if text.encoding.special_tokens_mask[index] or entity in ignored:
                continue
            start, end = text.encoding.offsets[index]
            found.append(
                {
                    "entity": entity,
                    "score": float(scores[index, place]),
                    "index": index,
                    "word": text.encoding.tokens[index],
                    "start": start,
                    "end": end,
                }
            )
        return found


class _Pooling:
    """One vector for a text, as sentence-transformers makes it of those of the tokens."""

    def __init__(self, config: Mapping[str, Any], folder: Path) -> None:
        modes = [
            name
            for name, value in config.items()
            if name.startswith("pooling_mode") and value is True
        ]
        if len(modes) != 1 or modes[0] not in (_MEAN, _FIRST):
            raise ModelLoadError(
                f"1_Pooling/config.json: {', '.join(modes) or 'no mode'}; "
                f"allowed: {_MEAN} or {_FIRST}"
            )
        self._is_mean = modes == [_MEAN]
        modules = folder / "modules.json"
        kinds = [str(one.get("type")) for one in _read(modules, list)] if modules.is_file() else []
        self._is_normalised = any(kind.endswith("Normalize") for kind in kinds)
        if any(kind.endswith("Dense") for kind in kinds):
            raise ModelLoadError(
                "modules.json: layers of sentence-transformers behind the pooling are not served"
            )

    def __call__(self, text: Text, parameters: Mapping[str, Any]) -> list[Any]:
        vectors = text.output
        if vectors.ndim == 1:  # the graph has pooled them
            vector = vectors
        elif self._is_mean:
            mask = np.array(text.encoding.attention_mask, vectors.dtype)[:, np.newaxis]
            vector = (vectors * mask).sum(axis=0) / max(float(mask.sum()), 1e-9)
        else:
            vector = vectors[0]
        length = float(np.linalg.norm(vector)) if self._is_normalised else 1.0
        return [vector / max(length, 1e-12)]


def _softmax(logits: Array) -> Array:
    shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return cast(Array, shifted / shifted.sum(axis=-1, keepdims=True))


_FUNCTIONS: Mapping[str, Callable[[Array], Array]] = {
    "softmax": _softmax,
    "sigmoid": lambda logits: 1 / (1 + np.exp(-logits)),
    "none": lambda logits: logits,
}


def _labels(config: Mapping[str, Any]) -> Callable[[int], str]:
    named = config.get("id2label")
    names = named if isinstance(named, dict) else {}
    return lambda place: str(names.get(str(place), f"LABEL_{place}"))


def _tokenizer(folder: Path, config: Mapping[str, Any]) -> Any:
    """Return the tokenizer, which truncates at the length that it or the model allows.

    None if the package is not installed: the model takes the tensors of its graph all the same.

    Raises:
        ModelLoadError: `tokenizer.json` is damaged.
    """
    try:
        import tokenizers
    except ImportError:
        return None
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:
        raise ModelLoadError(f"tokenizer.json cannot be read: {reason(error)}") from error
    longest = _longest(folder, config)
    if tokenizer.truncation is None and longest is not None:
        tokenizer.enable_truncation(longest)
    return tokenizer


def _longest(folder: Path, config: Mapping[str, Any]) -> int | None:
    """Return how many tokens the model takes at most, if its files say it."""
    path = folder / "tokenizer_config.json"
    stated = _read(path).get("model_max_length") if path.is_file() else None
    if isinstance(stated, int) and 0 < stated < _LONGEST_TOKENS:
        return stated
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int) or positions < 1:
        return None
    padding = config.get("pad_token_id")
    is_shifted = config.get("model_type") in _TOKENS_OF_POSITIONS and isinstance(padding, int)
    return max(1, positions - cast(int, padding) - 1) if is_shifted else positions


def _read(path: Path, kind: type = dict) -> Any:
    """Return the JSON object, or the list, in a file."""
    try:
        content = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ModelLoadError(f"{path.name} cannot be read: {reason(error)}") from error
    if not isinstance(content, kind):
        raise ModelLoadError(f"{path.name} is not a JSON {'list' if kind is list else 'object'}")
    return content
