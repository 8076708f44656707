"""Decides whether a model runs on the server's packages or in an environment of its own.

What reads requirements is imported for the first model with code.
"""

import logging
import time
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.domain.errors import ConfigurationError, ModelLoadError
from modelyard.runtimes import sklearn_versions
from modelyard.runtimes.base import LoadPlan, reason

if TYPE_CHECKING:
    from modelyard.inference.environments.environments import Environment, Environments
    from modelyard.runtimes.requirements import Requirements

logger = logging.getLogger(__name__)

_WITH_CODE = ("pyfunc", "script", "sklearn")
"""Runtimes that import packages which a model names; the others read data."""


@dataclass
class ModelEnvironments:
    """The environments of models with code. Safe to share between threads."""

    cache_dir: Path
    limit_bytes: int
    install: bool
    """Whether environments may be created; those that exist are used without it."""

    def plan(self, plan: LoadPlan) -> LoadPlan:
        """Return the plan with the requirements that the server's packages do not meet.

        Their environment is installed here, because no memory is reserved for the model yet: pip
        takes minutes, in which other loads can have that memory. If there is no environment, and
        none may be created, a warning says what is missing.

        Raises:
            ModelLoadError: the requirements cannot be read, or as `environment`.
        """
        if plan.runtime not in _WITH_CODE or not (plan.own_process and plan.allow_code):
            return plan
        from modelyard.runtimes.artifact_requirements import requirements_of

        try:
            asked = requirements_of(plan)
        except ConfigurationError as error:
            raise ModelLoadError(error.message) from error
        if asked is None:
            return plan
        missing = asked.missing()
        if not missing and not asked.needs_pip:
            return plan
        required = replace(plan, requirements=asked)
        if (environment := self.environment(required)) is not None:
            environment.release()
            return _without_version_warning(required, asked)
        if not missing:
            return plan
        warns_already = plan.model_file is not None and asked.name == plan.model_file.name
        warnings = plan.warnings if warns_already else (*plan.warnings, asked.unmet())
        return replace(required, warnings=warnings)

    def environment(self, plan: LoadPlan) -> "Environment | None":
        """Return the environment of a plan, which is installed if it does not exist.

        None stands for the packages of the server. The caller releases the environment.

        Raises:
            ModelLoadError: pip cannot install it, or there is no room for it.
        """
        if plan.requirements is None:
            return None
        found = self._environments.find(plan.requirements)
        if found is not None or not self.install:
            return found
        told = {"requirements": plan.requirements.name}
        logger.info("environment needed", extra=told)
        started_at = time.monotonic()
        try:
            found = self._environments.create(plan.requirements, lambda line: None)
        except ConfigurationError as error:
            logger.error("environment not installed", extra=told | {"reason": error.message})
            raise ModelLoadError(reason(error)) from error
        seconds = round(time.monotonic() - started_at, 1)
        logger.info("environment installed", extra=told | {"seconds": seconds})
        return found

    @cached_property
    def _environments(self) -> "Environments":
        from modelyard.inference.environments.environments import Environments

        return Environments(self.cache_dir, self.limit_bytes)


def _without_version_warning(plan: LoadPlan, asked: "Requirements") -> LoadPlan:
    """Return the plan without the warning of another scikit-learn, if the environment has it."""
    saved = plan.saved_with
    if saved is None or not any(
        one.name == "scikit-learn" and one.specifier.contains(saved) for one in asked.named
    ):
        return plan
    known = sklearn_versions.warnings(plan.model_file, saved)
    return replace(plan, warnings=tuple(text for text in plan.warnings if text not in known))
