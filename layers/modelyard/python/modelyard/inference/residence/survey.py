"""What `modelyard models` shows of a worker: the state of each model."""

from collections.abc import Iterable
from typing import Any

from modelyard.domain.values import ModelId, ModelResidence, ModelStatus, TargetModel
from modelyard.inference.disk.entry import Manifest
from modelyard.inference.residence.model_cache import LoadedModel
from modelyard.inference.residence.slots import Slot


def survey(
    endpoint_name: str,
    staged: Iterable[tuple[Manifest, int]],
    slots: Iterable[tuple[ModelId, Slot]],
    loaded: Iterable[LoadedModel[Any]],
) -> list[ModelResidence]:
    """Return every model of an endpoint that is loaded, loading, failing or staged.

    `staged` has the manifest of each staged artifact and its bytes on disk.
    """
    found: dict[ModelId, ModelResidence] = {}
    for manifest, disk_bytes in staged:
        model_id = ModelId(endpoint_name, TargetModel(manifest.key))
        found[model_id] = ModelResidence(
            model_id, ModelStatus.STAGED, manifest.tag, disk_bytes=disk_bytes
        )
    for model_id, slot in slots:
        residence = slot.residence(model_id)
        if model_id.endpoint_name == endpoint_name and residence is not None:
            found[model_id] = residence
    for model in loaded:
        if model.model_id.endpoint_name == endpoint_name:
            on_disk = found.get(model.model_id)
            found[model.model_id] = model.residence(on_disk.disk_bytes if on_disk else 0)
    return list(found.values())
