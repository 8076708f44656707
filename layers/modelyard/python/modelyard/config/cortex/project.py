"""Turn the validated config of a Cortex API into the project that its worker receives."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from modelyard.config.cortex.api import RealtimeAPI
from modelyard.config.cortex.splitter import TrafficSplitter
from modelyard.config.schema import Section
from modelyard.cortex.env_file import read_env_file
from modelyard.cortex.project import ApiModels, ApiProject, ModelLocation

_NOT_HERE = {
    "predictor.processes_per_replica": (
        "each API has one worker process; threads_per_process says how many calls run at once"
    ),
    "predictor.server_side_batching": "every call is predicted alone",
    "predictor.image": "the API runs in this Python",
    "predictor.tensorflow_serving_image": "models are loaded into the API's own process",
    "predictor.dependencies.pip": "only requirements.txt is read; rename the file",
    "predictor.dependencies.conda": "only requirements.txt is read",
    "predictor.dependencies.shell": "only requirements.txt is read",
    "predictor.log_level": "the server has one log level for all",
    "predictor.shm_size": "the process may use all shared memory of the machine",
    "predictor.protobuf_path": "calls come as HTTP, not as gRPC",
    "networking.api_gateway": "the server listens where --host and --port say",
    "networking.local_port": "the server listens where --host and --port say",
    "compute.cpu": "the process may use all processors of the machine",
    "compute.gpu": "models run on the CPU",
    "compute.inf": "models run on the CPU",
    "autoscaling": "serve does not scale; on AWS, Lambda scales without settings",
    "update_strategy": "there are no replicas to replace",
    "monitoring": "responses are not monitored",
}


def project_of(api: RealtimeAPI, config_file: Path) -> ApiProject:
    """Return the project of an API of a config file.

    Raises:
        ConfigurationError: its `.env` file cannot be read.
    """
    predictor = api.predictor
    folder = config_file.parent.resolve()
    return ApiProject(
        name=api.name,
        type=predictor.type,
        folder=str(folder),
        predictor_file=predictor.path,
        config=predictor.config,
        env={**predictor.env, **read_env_file(folder, predictor.env)},
        python_path=predictor.python_path,
        threads=predictor.threads_per_process,
        text_as_str=predictor.is_later_spelling,
        models=_models_of(api),
        config_file=config_file.name,
    )


def _models_of(api: RealtimeAPI) -> ApiModels | None:
    predictor, models = api.predictor, api.predictor.chosen_models
    if models is None:
        single = _signed(predictor.model_path, predictor.signature_key)
        return ApiModels(single=single) if single else None
    signature_key = models.signature_key or predictor.signature_key
    return ApiModels(
        single=_signed(models.path, signature_key),
        paths={
            entry.name: replace(entry.location, signature_key=entry.signature_key or signature_key)
            for entry in models.paths or ()
        },
        directory=models.dir,
        signature_key=signature_key if models.dir else None,
        cache_size=models.cache_size,
        disk_cache_size=models.disk_cache_size,
    )


def _signed(location: ModelLocation | None, signature_key: str | None) -> ModelLocation | None:
    return location and replace(location, signature_key=signature_key)


def warnings_of(resource: RealtimeAPI | TrafficSplitter) -> tuple[str, ...]:
    """Return one warning that names all keys that have no effect here, or nothing."""
    remarks = [f"{key} ({_NOT_HERE[key]})" for key in _changed_keys(resource) if key in _NOT_HERE]
    return (f"without effect here: {', '.join(remarks)}",) if remarks else ()


def _changed_keys(section: Section, prefix: str = "") -> Iterator[str]:
    """Yield the dotted path of each key, at every level, whose value is not its default."""
    for key, field in type(section).model_fields.items():
        value = getattr(section, key)
        if value != field.get_default(call_default_factory=True):
            yield prefix + key
        if isinstance(value, Section):
            yield from _changed_keys(value, f"{prefix}{key}.")
