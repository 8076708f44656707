"""Find the model that crashes a worker when several models were running in it.

A process that dies does not say why. Every model that was running becomes a suspect. Calls of
suspects go to the worker again one at a time: a trial. A suspect that answers is cleared. If the
worker dies during a trial, the suspect gets a strike; with two strikes it is barred: its calls fail
at once for some time, so that it cannot unload other models again and again.
"""

from dataclasses import dataclass

from modelyard.domain.errors import ModelCrashedError
from modelyard.domain.messages import MODEL_PROCESS_EXITED
from modelyard.domain.values import ModelId

STRIKES_TO_BAR = 2
FIRST_BAR_S = 10.0
LONGEST_BAR_S = 600.0


@dataclass(slots=True)
class _Record:
    strikes: int = 0
    times_barred: int = 0
    barred_until: float = float("-inf")


class Suspects:
    """The models that were running when a worker died and have not answered since.

    Times are those of a monotonic clock, in seconds.
    """

    def __init__(self) -> None:
        self._records: dict[ModelId, _Record] = {}

    def is_suspect(self, model_id: ModelId) -> bool:
        """Return whether calls of this model must go to the worker one at a time."""
        return model_id in self._records

    def barred_s(self, model_id: ModelId, now: float) -> float:
        """Return for how many more seconds this model is barred; 0 if it is not."""
        record = self._records.get(model_id)
        return 0.0 if record is None else max(0.0, record.barred_until - now)

    def refuse_if_barred(self, model_id: ModelId, now: float) -> None:
        """Return if the model may be called.

        Raises:
            ModelCrashedError: the model is barred.
        """
        barred_s = self.barred_s(model_id, now)
        if barred_s > 0:
            raise ModelCrashedError(
                f"{MODEL_PROCESS_EXITED} It is not tried again for {barred_s:.0f} s."
            )

    def clear(self, model_id: ModelId) -> None:
        """Remove the record of a model that answered."""
        self._records.pop(model_id, None)

    def crashed(self, in_flight: frozenset[ModelId], on_trial: ModelId | None, now: float) -> None:
        """Record that a worker died while the models `in_flight` were running.

        `on_trial` is the suspect among them whose trial it was, if there was one.
        """
        for model_id in in_flight:
            self._records.setdefault(model_id, _Record())
        if on_trial is not None:
            self._strike(on_trial, now)
        elif len(in_flight) == 1:
            self._strike(next(iter(in_flight)), now)

    def _strike(self, model_id: ModelId, now: float) -> None:
        record = self._records.setdefault(model_id, _Record())
        record.strikes += 1
        if record.strikes >= STRIKES_TO_BAR:
            bar_s = FIRST_BAR_S * 2**record.times_barred
            record.barred_until = now + min(bar_s, LONGEST_BAR_S)
            record.times_barred += 1
            record.strikes = STRIKES_TO_BAR - 1  # the next crash bars the model again
