"""Resolve names and versions of an API's models, "latest" included.

Cortex lists its bucket every ten seconds. Here a model is listed when a call asks for it and its
last listing is older than that, so models that nobody calls cause no requests.
"""

import logging
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from modelyard.cortex.layouts import newest_first
from modelyard.cortex.project import SINGLE_MODEL, ApiModels, called
from modelyard.domain.errors import (
    DependencyError,
    InvalidRequestError,
    TargetModelMissingError,
    TargetModelNotFoundError,
)
from modelyard.domain.ports import Clock
from modelyard.domain.values import TargetModel

logger = logging.getLogger(__name__)

LATEST = "latest"
MISSING_TTL_S = 3.0
MAX_LISTINGS = 10_000
_VERSION = re.compile(r"[0-9]+", re.ASCII)


class VersionSource(Protocol):
    """Lists versions; the repository of the API does."""

    def catalogue(self) -> Mapping[str, Mapping[str, float]]:
        """Return `versions` of all models by name."""
        ...

    def versions(self, name: str) -> Mapping[str, float]:
        """Return the versions of a model that can be served, with their modification times."""
        ...


@dataclass(slots=True)
class _Listing:
    lock: threading.Lock = field(default_factory=threading.Lock)
    versions: Mapping[str, float] = field(default_factory=dict)
    listed_at: float = float("-inf")


class ModelIndex:
    """Turns a name and a version into the target models to try, the preferred first."""

    def __init__(
        self,
        models: ApiModels,
        source: VersionSource,
        clock: Clock,
        *,
        revalidate_s: float,
        on_gone: Callable[[TargetModel], object],
    ) -> None:
        """`on_gone` is called with every version that disappeared from the repository."""
        self._models = models
        self._source = source
        self._clock = clock
        self._revalidate_s = revalidate_s
        self._on_gone = on_gone
        self._lock = threading.Lock()
        self._listings: OrderedDict[str, _Listing] = OrderedDict()
        self._broken: dict[TargetModel, float] = {}

    def candidates(self, name: str | None, version: str | int | None) -> list[TargetModel]:
        """Return the target model of a version, or for "latest" all versions, newest first.

        Raises:
            TargetModelMissingError: the API has several models and none is named.
            TargetModelNotFoundError: no such model, or no such version of it now.
            InvalidRequestError: the version is neither a number nor "latest".
            DependencyError: the versions cannot be listed.
        """
        name = self._name(name)
        versions = self._versions(name)
        if version is None or version == LATEST:
            return self._latest(name, versions)
        text = str(version)
        if _VERSION.fullmatch(text) is None:
            raise InvalidRequestError(
                f"found model version {version!r}; allowed: a whole number or {LATEST!r}"
            )
        if text not in versions:
            raise TargetModelNotFoundError(
                f"{called(name)} has no version {text}: it has {_listed(newest_first(versions))}"
            )
        return [_target(name, text)]

    def mark_broken(self, target: TargetModel) -> None:
        """Let "latest" prefer older versions until the next revalidation."""
        self._broken[target] = self._clock.monotonic() + self._revalidate_s

    def refresh(self, targets: Iterable[TargetModel]) -> None:
        """Report which of these versions are gone; recent listings are used again."""
        for target in targets:
            name, _, version = target.rpartition("/")
            try:
                is_gone = version not in self._versions(name)
            except DependencyError as error:
                logger.debug(
                    "cannot refresh versions", extra={"model": name, "reason": error.message}
                )
                continue
            if is_gone:
                self._on_gone(target)

    def metadata(self) -> dict[str, dict[str, list[str] | list[float]]]:
        """Return versions and their modification times by model (Cortex `client.metadata`)."""
        return {
            name: {"versions": list(versions), "timestamps": list(versions.values())}
            for name, versions in self._source.catalogue().items()
        }

    def _name(self, name: str | None) -> str:
        if self._models.single is not None:
            return SINGLE_MODEL
        known = _listed(self._models.paths) if self._models.paths else ""
        if name is None:
            raise TargetModelMissingError(
                f"no model is named: name one of {known}" if known else "no model is named"
            )
        name = str(name)  # the class may pass on whatever a payload holds
        if known and name not in self._models.paths:
            raise TargetModelNotFoundError(f"no model {name!r}: this API has {known}")
        return name

    def _versions(self, name: str) -> Mapping[str, float]:
        listing = self._listing(name)
        with listing.lock:
            if self._is_due(listing):
                self._list(name, listing)
            return listing.versions

    def _listing(self, name: str) -> _Listing:
        with self._lock:
            listing = self._listings.setdefault(name, _Listing())
            self._listings.move_to_end(name)
            if len(self._listings) > MAX_LISTINGS:
                self._listings.popitem(last=False)
            return listing

    def _is_due(self, listing: _Listing) -> bool:
        ttl_s = self._revalidate_s if listing.versions else min(MISSING_TTL_S, self._revalidate_s)
        return self._clock.monotonic() - listing.listed_at >= ttl_s

    def _list(self, name: str, listing: _Listing) -> None:
        asked_at = self._clock.monotonic()
        try:
            versions = self._source.versions(name)
        except DependencyError as error:
            if not listing.versions:
                raise
            logger.warning(
                "cannot list versions, keeping the known ones",
                extra={"model": name, "reason": error.message},
            )
            versions = listing.versions
        gone = listing.versions.keys() - versions.keys()
        listing.versions, listing.listed_at = versions, asked_at
        for version in gone:
            logger.info("version is gone", extra={"model": name, "version": version})
            self._on_gone(_target(name, version))

    def _latest(self, name: str, versions: Mapping[str, float]) -> list[TargetModel]:
        if not versions:
            what = self._models.directory and not self._models.paths
            raise TargetModelNotFoundError(
                f"no model {name!r}" if what else f"{called(name)} has no versions now: add one"
            )
        targets = [_target(name, version) for version in newest_first(versions)]
        return sorted(targets, key=self._is_broken)

    def _is_broken(self, target: TargetModel) -> bool:
        until = self._broken.get(target, float("-inf"))
        if until <= self._clock.monotonic():
            self._broken.pop(target, None)
            return False
        return True


def _target(name: str, version: str) -> TargetModel:
    return TargetModel(f"{name}/{version}")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names) or "none now"
