"""The types of a Cortex config's keys: names, quantities, free mappings and places.

Names, ranges and codes are those of the Cortex v0.24 configuration.
"""

import math
import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainValidator, StrictInt, StrictStr
from pydantic_core import InitErrorDetails, PydanticCustomError

from modelyard.config.cortex import paths
from modelyard.config.cortex.problems import problem_at, refusal, refuse
from modelyard.config.endpoint_config import PATH_FORMS, found
from modelyard.cortex.project import SINGLE_MODEL, ModelLocation

API_NAME_FORMS = "1 to 42 lower-case letters, digits and hyphens, a letter first, no hyphen last"
MODEL_NAME_FORMS = "letters, digits, _ and -"
ENV_FORMS = "a mapping of text to text; put other values in quotes"
CONFIG_FORMS = "a mapping of text to what JSON can carry"

_API_NAME = re.compile(r"[a-z](-*[a-z0-9])*", re.ASCII)
_MODEL_NAME = re.compile(r"[a-zA-Z0-9_-]+", re.ASCII)
_VARIABLE_NAME = re.compile(r"[a-zA-Z_.-][a-zA-Z0-9_.-]*", re.ASCII)  # what Kubernetes allows
_QUANTITY = re.compile(r"(\d{1,15}(?:\.\d{0,9})?)([a-zA-Z]{0,2}|[eE]\d{1,2})", re.ASCII)
_FACTORS = {
    "": Fraction(1),
    "m": Fraction(1, 1000),
    **{letter: Fraction(1000**power) for power, letter in enumerate("kMGTPE", start=1)},
    **{f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", start=1)},
}


def _not_null(value: object) -> object:
    if value is None:
        raise PydanticCustomError("null", "null")
    return value


NOT_NULL = BeforeValidator(_not_null)
"""A key that may be left out, but must not be null."""


def _not_empty(text: str) -> str:
    if not text:
        raise refusal("configreader.cannot_be_empty", "found ''; allowed: text")
    return text


def _api_name(name: str) -> str:
    words = f"{found(name)}; allowed: {API_NAME_FORMS}"
    if len(name) > 42:
        raise refusal("configreader.too_long", words)
    if _API_NAME.fullmatch(name) is None:
        raise refusal("urls.dns1035", words)
    return name


def _model_name(name: str) -> str:
    words = f"{found(name)}; allowed: {MODEL_NAME_FORMS}"
    if not name:
        raise refusal("configreader.cannot_be_empty", words)
    if _MODEL_NAME.fullmatch(name) is None:
        raise refusal("configreader.alpha_numeric_dash_underscore", words)
    if name == SINGLE_MODEL:
        words = f"{found(name)}, the name kept for an API's only model; allowed: any other"
        raise refusal("configreader.disallowed_value", words)
    return name


def _quantity(value: object) -> Fraction | None:
    match = _QUANTITY.fullmatch(str(value)) if isinstance(value, str | int | float) else None
    if match is None:
        return None
    number, unit = Fraction(match[1]), match[2]
    if unit[1:].isdecimal():
        return number * Fraction(10) ** int(unit[1:])
    return number * _FACTORS[unit] if unit in _FACTORS else None


def _at_least(limit: str) -> PlainValidator:
    def quantity(value: object) -> Fraction:
        amount, least = _quantity(value), _quantity(limit)
        words = f"{found(value)}; allowed: a quantity such as {limit}, or more"
        if amount is None:
            raise refusal("k8s.parse_quantity", words)
        if least is not None and amount < least:
            raise refusal("configreader.must_be_greater_than_or_equal_to", words)
        return amount

    return PlainValidator(quantity)


def _env(env: Mapping[str, str]) -> Mapping[str, str]:
    refuse(_env_problems(env))
    return env


def _env_problems(env: Mapping[str, str]) -> Iterator[InitErrorDetails]:
    for name, value in env.items():
        if name.startswith("CORTEX_"):
            words = "found a name with the prefix CORTEX_, Cortex's own; allowed: any other"
            yield problem_at((name,), "spec.cortex_prefixed_env_var_not_allowed", words)
        if _VARIABLE_NAME.fullmatch(name) is None:
            words = f"{found(name)} as a name; allowed: letters, digits and _ . -, no digit first"
            yield problem_at((name,), "configreader.disallowed_value", words)
        if "\0" in value:
            words = f"{found(value)}; allowed: text without NUL"
            yield problem_at((name,), "configreader.disallowed_value", words)


def _config(config: object) -> object:
    if not isinstance(config, Mapping):
        return {} if config is None else config
    try:
        refuse(_config_problems(config, ()))
    except RecursionError:
        words = f"found values nested too deeply, or in themselves; allowed: {CONFIG_FORMS}"
        raise refusal("configreader.invalid_interface", words) from None
    return config


def _config_problems(value: object, trail: tuple[str | int, ...]) -> Iterator[InitErrorDetails]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if isinstance(key, str):
                yield from _config_problems(inner, (*trail, key))
            else:
                words = f"{found(key)} as a key; allowed: text; put it in quotes"
                yield problem_at(trail, "configreader.non_string_key_found", words)
    elif isinstance(value, list):
        for position, inner in enumerate(value):
            yield from _config_problems(inner, (*trail, position))
    elif not _is_json(value):
        words = f"{found(value)}; allowed: what JSON can carry; put it in quotes"
        yield problem_at(trail, "configreader.invalid_interface", words)


def _is_json(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**64  # what orjson can write
    return value is None or isinstance(value, str)


Text = Annotated[StrictStr, AfterValidator(_not_empty), Field(description="text")]
Count = Annotated[StrictInt, Field(gt=0, description="a whole number from 1")]
Env = Annotated[dict[StrictStr, StrictStr], AfterValidator(_env), Field(description=ENV_FORMS)]
Config = Annotated[dict[str, Any], BeforeValidator(_config), Field(description=CONFIG_FORMS)]
ApiName = Annotated[StrictStr, AfterValidator(_api_name), Field(description=API_NAME_FORMS)]
ModelName = Annotated[StrictStr, AfterValidator(_model_name), Field(description=MODEL_NAME_FORMS)]
Cpu = Annotated[Fraction, _at_least("20m")]
Memory = Annotated[Fraction, _at_least("20Mi")]
Route = Annotated[StrictStr, AfterValidator(paths.route), Field(description=paths.ROUTE_FORMS)]
PredictorFile = Annotated[
    StrictStr, AfterValidator(paths.predictor_file), Field(description=paths.FILE_FORMS)
]
PythonPath = Annotated[
    StrictStr, AfterValidator(paths.python_path), Field(description=paths.FOLDER_FORMS)
]
Directory = Annotated[StrictStr, AfterValidator(paths.directory), Field(description=PATH_FORMS)]
Location = Annotated[
    ModelLocation, PlainValidator(paths.model_location), Field(description=paths.LOCATION_FORMS)
]
