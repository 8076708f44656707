"""Each case is a list of events: crashes (who was running, who was on trial) and answers."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from modelyard.domain.values import ModelId, TargetModel
from modelyard.router.suspects import FIRST_BAR_S, LONGEST_BAR_S, Suspects
from tests.properties import examples

Crash = tuple[str, str | None]


def model(name: str) -> ModelId:
    return ModelId("housing", TargetModel(name))


def after(*events: Crash | str, now: float = 0.0) -> Suspects:
    """Apply events: `("ABC", "A")` is a crash of A, B and C with A on trial, `"A"` an answer."""
    suspects = Suspects()
    for event in events:
        if isinstance(event, str):
            suspects.clear(model(event))
        else:
            in_flight, on_trial = event
            tried = None if on_trial is None else model(on_trial)
            suspects.crashed(frozenset(map(model, in_flight)), tried, now)
    return suspects


def names(suspects: Suspects) -> str:
    return "".join(name for name in "ABCDK" if suspects.is_suspect(model(name)))


def barred(suspects: Suspects, now: float = 0.0) -> dict[str, float]:
    bars = {name: suspects.barred_s(model(name), now) for name in "ABCDK"}
    return {name: seconds for name, seconds in bars.items() if seconds}


@pytest.mark.parametrize(
    ("events", "suspected"),
    [
        ([], ""),
        ([("", None)], ""),
        ([("K", None)], "K"),
        ([("ABK", None)], "ABK"),
        ([("ABK", None), "A"], "BK"),
        ([("ABK", None), "A", "B"], "K"),
        ([("ABK", None), ("CDK", None)], "ABCDK"),
        ([("AK", None), "A", ("K", "K")], "K"),
    ],
    ids=str,
)
def test_suspects_were_in_flight_when_it_crashed_and_not_answered_since(
    events: list[Crash | str], suspected: str
) -> None:
    assert names(after(*events)) == suspected


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([("K", None)], ""),
        ([("K", None), ("K", "K")], "K"),
        ([("K", None), ("K", None)], "K"),
        ([("AK", None), ("K", "K")], ""),
        ([("AK", None), ("K", "K"), ("K", "K")], "K"),
        ([("AK", None), ("AK", "K"), ("BK", "K")], "K"),
        ([("AK", None), ("AK", None), ("AK", None)], ""),
        ([("AK", None), "A", ("K", "K"), "K", ("K", None)], ""),
        ([("A", None), "A", ("A", None), "A", ("A", None)], ""),
    ],
    ids=str,
)
def test_two_crashes_on_trial_or_alone_without_an_answer_between_bar_a_model(
    events: list[Crash | str], expected: str
) -> None:
    assert "".join(barred(after(*events))) == expected


def test_models_that_ran_beside_a_crashed_trial_are_suspects_too() -> None:
    """Otherwise the model that really crashes workers could get the wrong one barred."""
    suspects = after(("AK", None), "K", ("AK", "A"))

    assert names(suspects) == "AK"


def test_a_bar_ends() -> None:
    suspects = after(("K", None), ("K", "K"), now=100.0)

    assert barred(suspects, now=100.0) == {"K": FIRST_BAR_S}
    assert barred(suspects, now=100.0 + FIRST_BAR_S - 1) == {"K": 1.0}
    assert barred(suspects, now=100.0 + FIRST_BAR_S) == {}


def test_a_barred_model_stays_a_suspect_afterwards() -> None:
    assert names(after(("K", None), ("K", "K"))) == "K"


def test_every_further_crash_doubles_the_bar_up_to_the_longest() -> None:
    trials = [("K", "K")] * 10

    bars = [barred(after(*trials[:count]))["K"] for count in range(2, 10)]

    assert bars == [10, 20, 40, 80, 160, 320, LONGEST_BAR_S, LONGEST_BAR_S]


def test_an_answer_deletes_the_record() -> None:
    suspects = after(("K", None), ("K", "K"), ("K", "K"), "K", ("K", None), ("K", "K"))

    assert barred(suspects) == {"K": FIRST_BAR_S}


CRASHING = model("crashing")
OTHERS = [model(name) for name in "ABCD"]


class Worker(RuleBasedStateMachine):
    """A worker and its callers: suspects go one at a time, everybody else at once."""

    def __init__(self) -> None:
        super().__init__()
        self.suspects = Suspects()
        self.now = 0.0
        self.running: list[ModelId] = []
        self.queue: list[ModelId] = []
        self.on_trial: ModelId | None = None
        self.crashes_without_trial = 0

    @rule(model_id=st.sampled_from([CRASHING, *OTHERS]))
    def call(self, model_id: ModelId) -> None:
        if self.suspects.is_suspect(model_id):
            self.queue.append(model_id)
            self.seat_next()
        else:
            self.running.append(model_id)

    @precondition(lambda self: set(self.running) - {CRASHING})
    @rule(data=st.data())
    def answer(self, data: st.DataObject) -> None:
        answered = data.draw(st.sampled_from([one for one in self.running if one != CRASHING]))
        self.running.remove(answered)
        self.suspects.clear(answered)
        self.end_trial_of(answered)

    @precondition(lambda self: CRASHING in self.running)
    @rule()
    def crash(self) -> None:
        self.suspects.crashed(frozenset(self.running), self.on_trial, self.now)
        is_barred = self.suspects.barred_s(CRASHING, self.now) > 0
        self.crashes_without_trial = 0 if is_barred else self.crashes_without_trial + 1
        retried, self.running, self.on_trial = self.running, [], None
        for model_id in retried:
            self.call(model_id)

    @rule(seconds=st.sampled_from([1.0, FIRST_BAR_S, LONGEST_BAR_S]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def other_models_are_never_barred(self) -> None:
        assert not any(self.suspects.barred_s(one, self.now) for one in OTHERS)

    @invariant()
    def killer_is_barred_at_the_third_crash(self) -> None:
        assert self.crashes_without_trial < 3

    def end_trial_of(self, model_id: ModelId) -> None:
        if model_id == self.on_trial and model_id not in self.running:
            self.on_trial = None
            self.seat_next()

    def seat_next(self) -> None:
        while self.queue and self.on_trial is None:
            model_id = self.queue.pop(0)
            if not self.suspects.barred_s(model_id, self.now):
                self.on_trial = model_id
                self.running.append(model_id)


TestWorker = Worker.TestCase
TestWorker.settings = settings(max_examples=examples(200), stateful_step_count=40)
