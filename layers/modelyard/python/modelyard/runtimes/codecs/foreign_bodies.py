"""Name JSON bodies that other model servers take, for the message of a refusal."""

from typing import Any

_TAKERS = {
    "dataframe_split": "MLflow takes",
    "dataframe_records": "MLflow takes",
    "instances": "TensorFlow Serving and MLflow take",
    "inputs": "TensorFlow Serving and MLflow take",
}


def what(values: Any) -> str | None:
    """Return what the value of a JSON body is, as the subject of a message's sentence.

    None when no other server's format is known that looks like this.
    """
    if isinstance(values, list):
        is_records = bool(values) and all(isinstance(one, dict) for one in values)
        return "the body holds records, objects by column name" if is_records else None
    if not isinstance(values, dict):
        return None
    if {"columns", "data"} <= values.keys():
        return 'the body is a pandas data frame in orient="split"'
    if _is_tensors(values.get("inputs")):
        return 'the body holds "inputs" with name, shape and data, as Triton and KServe take them'
    found = next((key for key in _TAKERS if key in values), None)
    return None if found is None else f'the body holds "{found}", as {_TAKERS[found]} it'


def _is_tensors(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)
