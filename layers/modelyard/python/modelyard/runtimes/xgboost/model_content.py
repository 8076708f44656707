"""An XGBoost model of any version and format as JSON or UBJSON, which the library reads."""

import json
import math
import re
import struct
from typing import Any

from modelyard.domain.errors import ArtifactInvalidError, CodeNotAllowedError
from modelyard.runtimes.model_format import PICKLES, FileEdges, Format
from modelyard.runtimes.xgboost import (
    legacy_binary,
    pickled_booster,
    structure,
    ubjson,
    version_gate,
)
from modelyard.runtimes.xgboost.legacy_binary import Features
from modelyard.runtimes.xgboost.pickled_booster import PickledBooster

_SNAPSHOT = b"CONFIG-offset:"
"""In pickles of XGBoost 1.0 to 1.2, the model's size, the model and a configuration follow."""

_SIZE = struct.Struct("<q")
# In a text the quotation marks would be escaped, so this is the member and nothing else.
_PARAMETERS = re.compile(rb'"learner_model_param"\s*:\s*\{')


def read(
    content: bytes,
    name: str,
    kind: Format,
    *,
    same_rounds: bool = False,
    is_checked: bool = False,
) -> bytes:
    """Return the model in a file as JSON or UBJSON, whose numbers the library can rely on.

    `content` and `name` are those of the file. `is_checked` says that the numbers were checked
    before. `same_rounds` is for callers who count rounds, see `legacy_binary.as_ubjson`.

    Raises:
        ArtifactInvalidError: the model is damaged.
        CodeNotAllowedError: a pickle is more than a booster and would have to be run.
        ModelLoadError: its numbers contradict each other, or a pickled model was written by a
            newer XGBoost than the installed one.
    """
    if kind in (Format.XGBOOST_LEGACY, *PICKLES):
        content = _converted(content, name, kind, same_rounds=same_rounds)
    else:
        content = _with_base_score(content)
    if not is_checked:
        structure.check(content)
    return content


def _converted(content: bytes, name: str, kind: Format, *, same_rounds: bool) -> bytes:
    if kind is Format.XGBOOST_LEGACY:
        return legacy_binary.as_ubjson(content, name, same_rounds=same_rounds)
    try:
        found = pickled_booster.read(content)
    except pickled_booster.UnreadablePickleError as error:
        raise CodeNotAllowedError(
            f"{name} cannot be read without running its code: {error}. Serve the endpoint with "
            "--allow-code or set allow_code: true, if you trust its artifacts"
        ) from error
    if found.content.startswith(b"{"):
        return _with_base_score(_without_configuration(found, name))
    features = Features(found.feature_names, found.feature_types)
    model = _without_snapshot(found.content, name)
    return legacy_binary.as_ubjson(model, name, features, same_rounds=same_rounds)


def _without_configuration(found: PickledBooster, name: str) -> bytes:
    """Return the member `Model` of what XGBoost 1.3 and newer pickle."""
    try:
        if found.content.startswith(b"{L"):
            model = ubjson.member(found.content, "Model")
        else:
            document = json.loads(found.content)["Model"]
            # From 1.4 on the model itself has them.
            document["learner"].setdefault("feature_names", found.feature_names)
            model = _json(document)
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ArtifactInvalidError(f"{name} is damaged: its booster cannot be read") from error
    version_gate.check_version(name, FileEdges.of(model).xgboost_version())
    return model


def _without_snapshot(content: bytes, name: str) -> bytes:
    """Return the model of what XGBoost 1.0 to 1.2 pickle; before, the model was all."""
    if not content.startswith(_SNAPSHOT):
        return content
    start = len(_SNAPSHOT) + _SIZE.size
    size = _SIZE.unpack_from(content, len(_SNAPSHOT))[0] if len(content) >= start else 0
    if not 0 < size <= len(content) - start:
        raise ArtifactInvalidError(
            f"{name} is damaged: its booster states {size} bytes, and "
            f"{max(len(content) - start, 0)} are there"
        )
    return content[start : start + size]


def _with_base_score(content: bytes) -> bytes:
    """Return a model in old JSON with the base score that XGBoost 3.1 and newer take as meant.

    Before 1.7 nothing says that the base score is final, and they leave it out of linear models
    and of models without trees. Before 1.3 `binary:logitraw` took it for a probability.
    """
    found = FileEdges.of(content)
    version = found.xgboost_version() if found.format is Format.XGBOOST_JSON else None
    if version is None or version >= (1, 7):
        return content
    content = _PARAMETERS.sub(rb'\g<0>"boost_from_average":"0",', content, count=1)
    if version >= (1, 3) or b'"binary:logitraw"' not in content:
        return content
    model = json.loads(content)
    parameters = model["learner"]["learner_model_param"]
    if model["learner"]["objective"]["name"] == "binary:logitraw":
        score = float(parameters["base_score"])
        parameters["base_score"] = str(-math.log(1 / score - 1))
    return _json(model)


def _json(model: Any) -> bytes:
    return json.dumps(model, separators=(",", ":")).encode()
