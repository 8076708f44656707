"""The parameters that methods of a Cortex v0.24 predictor may have, checked on the user's class.

Arguments are passed by keyword, so parameters may be in any order.
"""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.cortex.project import ApiProject, PredictorType
from modelyard.cortex.user_class.blame import own_file
from modelyard.domain.errors import ConfigurationError
from modelyard.domain.suggestions import did_you_mean

CLASS_NAMES = {
    PredictorType.PYTHON: "PythonPredictor",
    PredictorType.TENSORFLOW: "TensorFlowPredictor",
    PredictorType.ONNX: "ONNXPredictor",
}
"""The name of the class for each predictor type."""

_CLIENTS = {
    PredictorType.PYTHON: "python_client",
    PredictorType.TENSORFLOW: "tensorflow_client",
    PredictorType.ONNX: "onnx_client",
}

_NOT_HERE = {
    "metrics_client": "custom metrics (Cortex v0.30) are not recorded here",
    "proto_module_pb2": "gRPC APIs (Cortex v0.32) are not served here",
    "context": "gRPC APIs (Cortex v0.32) are not served here",
}

_WRONG_KINDS = (staticmethod, classmethod, property)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The arguments with which the methods of a class are called."""

    init: frozenset[str]
    predict: frozenset[str]
    post_predict: frozenset[str] | None
    """None if the class has no such method."""


@dataclass(frozen=True, slots=True)
class _Rule:
    method: str
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    withheld: tuple[str, ...] = ()
    """Parameters that are not passed for this API, so they need a default."""
    may_be_missing: bool = False

    @property
    def passed(self) -> tuple[str, ...]:
        return self.required + self.optional

    @property
    def example(self) -> str:
        return f"def {self.method}({', '.join(('self', *self.required))})"


def wanted_by(user_class: type, project: ApiProject) -> Wanted:
    """Return the arguments that the methods of a class take.

    Raises:
        ConfigurationError: a method or parameter is missing or unknown; one line per problem.
    """
    rules = _rules(project.type, has_models=project.models is not None)
    methods = {rule: inspect.getattr_static(user_class, rule.method, None) for rule in rules}
    problems = [
        problem for rule, method in methods.items() for problem in _problems(method, rule, project)
    ]
    if problems:
        raise ConfigurationError("\n".join(problems))
    names = {rule.method: _names(method, rule) for rule, method in methods.items() if method}
    return Wanted(names["__init__"], names["predict"], names.get("post_predict"))


def _rules(kind: PredictorType, *, has_models: bool) -> list[_Rule]:
    values = ("payload", "query_params", "headers")
    rules = [
        _init_rule(_CLIENTS[kind], has_client=has_models or kind is not PredictorType.PYTHON),
        _Rule("predict", optional=(*values, "batch_id")),
        _Rule("post_predict", optional=("response", *values), may_be_missing=True),
    ]
    if kind is PredictorType.PYTHON and has_models:
        rules.append(_Rule("load_model", required=("model_path",)))
    return rules


def _init_rule(client: str, *, has_client: bool) -> _Rule:
    if has_client:
        return _Rule("__init__", required=("config", client), optional=("job_spec",))
    return _Rule("__init__", required=("config",), optional=("job_spec",), withheld=(client,))


def _problems(method: Any, rule: _Rule, project: ApiProject) -> Iterator[str]:
    if method is None and rule.may_be_missing:
        return
    name = f"{CLASS_NAMES[project.type]}.{rule.method}"
    function = _declaring(method)
    if function is None:
        yield f"{project.predictor_file}: {name}: there has to be a method `{rule.example}`"
        return
    code = function.__code__
    file = own_file(code.co_filename, project.folder) or Path(code.co_filename).name
    for complaint in _complaints(function, rule):
        yield f"{file}, line {code.co_firstlineno}: {name}: {complaint}"


def _complaints(function: Any, rule: _Rule) -> Iterator[str]:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        yield "it is called without await: write `def`, not `async def`"
    first, parameters = _parameters(function)
    if first != "self":
        yield "its first parameter has to be `self`"
    declared = {parameter.name for parameter in parameters}
    for name in rule.required:
        if name not in declared:
            yield f"it has to take `{name}`: `{rule.example}`"
    for parameter in parameters:
        yield from _complaints_of(parameter, rule)


def _complaints_of(parameter: inspect.Parameter, rule: _Rule) -> Iterator[str]:
    name = parameter.name
    may_be_unknown = name in rule.withheld or parameter.kind is parameter.KEYWORD_ONLY
    if name in rule.passed:
        if parameter.kind is parameter.POSITIONAL_ONLY:
            yield f"`{name}` is passed by keyword: remove the `/` behind it"
    elif may_be_unknown and parameter.default is not parameter.empty:
        return  # Cortex passes nothing either: the default is the value
    elif name in rule.withheld:
        yield f"`{name}` is there for APIs with models: configure some, or remove it"
    elif name in _NOT_HERE:
        yield f"`{name}` cannot be passed: {_NOT_HERE[name]}"
    else:
        similar, allowed = did_you_mean(name, rule.passed, mark="`"), ", ".join(rule.passed)
        yield f"unknown parameter `{name}`{similar}; allowed: {allowed}"


def _names(method: Any, rule: _Rule) -> frozenset[str]:
    _, parameters = _parameters(_declaring(method))
    return frozenset(parameter.name for parameter in parameters) & frozenset(rule.passed)


def _parameters(function: Any) -> tuple[str | None, list[inspect.Parameter]]:
    """Return the name of the first parameter, and the others except `*args` and `**kwargs`."""
    parameters = list(inspect.signature(function, follow_wrapped=False).parameters.values())
    first = parameters[0].name if parameters else None
    catch_all = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    others = parameters[1:] if first == "self" else parameters
    return first, [parameter for parameter in others if parameter.kind not in catch_all]


def _declaring(method: Any) -> Any:
    """Return the function that declares a method's parameters, behind wrappers with `**kwargs`.

    None if the method is not called with an instance, or is not written in Python.
    """
    if isinstance(method, _WRONG_KINDS):
        return None
    function = inspect.unwrap(method, stop=_declares_parameters)
    return function if hasattr(function, "__code__") else None


def _declares_parameters(function: Any) -> bool:
    code = getattr(function, "__code__", None)
    if code is None:
        return False
    takes_names = code.co_argcount + code.co_kwonlyargcount > 1
    return takes_names or not code.co_flags & inspect.CO_VARKEYWORDS
