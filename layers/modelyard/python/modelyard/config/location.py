"""What to serve at a place that is given on the command line."""

from pathlib import Path

from modelyard.config.endpoint_config import Config, is_folder, resource_for_path

_SUFFIXES = (".yaml", ".yml")


def is_config_file(location: str) -> bool:
    """Tell whether a location is a config file rather than models, by its name."""
    path = Path(location)
    return path.suffix in _SUFFIXES and not is_folder(path)


def load_location(location: str, endpoint_name: str | None = None) -> Config:
    """Return the resources of a config file, or the endpoint of a folder or a bucket.

    `endpoint_name` names the endpoint of a folder or prefix, which is named after it otherwise.

    Raises:
        ConfigurationError: it is none of these, or the file is wrong: one line per problem.
    """
    if not is_config_file(location):
        return Config((resource_for_path(location, endpoint_name),))
    from modelyard.config.files import load_config  # it imports pydantic

    return load_config(Path(location))
