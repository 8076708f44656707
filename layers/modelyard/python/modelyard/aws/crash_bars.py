"""Refuse for a while the calls of a model that crashes its execution environment.

Each crash unloads the other models of the environment, and the next call starts a new one. One
crash may have another reason, so a model is barred from the second crash on without an answer
between them.
"""

from dataclasses import dataclass

from modelyard.domain.errors import ModelCrashedError
from modelyard.domain.messages import MODEL_PROCESS_EXITED
from modelyard.domain.values import ModelId

FIRST_BAR_S = 10.0
LONGEST_BAR_S = 600.0


@dataclass(slots=True)
class _Record:
    crashes: int = 0
    barred_until: float = float("-inf")


class CrashBars:
    """The models that crashed and have not answered since.

    Times are those of a monotonic clock, in seconds.
    """

    def __init__(self) -> None:
        self._records: dict[ModelId, _Record] = {}

    def refuse_if_barred(self, model_id: ModelId, now: float) -> None:
        """Return if the model may be called.

        Raises:
            ModelCrashedError: the model is barred.
        """
        record = self._records.get(model_id)
        if record is not None and record.barred_until > now:
            left_s = record.barred_until - now
            raise ModelCrashedError(
                f"{MODEL_PROCESS_EXITED} It is not tried again for {left_s:.0f} s."
            )

    def crashed(self, model_id: ModelId, now: float) -> None:
        """Record that a call of the model crashed its environment.

        The second crash bars it for `FIRST_BAR_S`; each further one for twice as long, up to
        `LONGEST_BAR_S`.
        """
        record = self._records.setdefault(model_id, _Record())
        record.crashes += 1
        if record.crashes > 1:
            bar_s = FIRST_BAR_S * 2 ** min(record.crashes - 2, 10)
            record.barred_until = now + min(bar_s, LONGEST_BAR_S)

    def clear(self, model_id: ModelId) -> None:
        """Remove the record of a model that answered."""
        self._records.pop(model_id, None)
