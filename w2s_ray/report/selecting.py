"""Ways to choose hyper-parameters, compared by what each would have cost on the test split.

With ground truth for the whole validation split one chooses well, and in the setting of weak-to-strong generalization
one does not have it. What remains: a small trusted set, agreement with the weak labels, cross entropy to them,
agreement between the student's own seeds, or no choice at all. Each way is a distribution over the finished trials of a
pairing: one trial for sure, or the share of draws of the trusted set that choose it, or the same share for every
default. Its regret is the test accuracy of the trial that the whole ground truth chooses minus the mean accuracy of the
distribution, paired over seeds and test examples. The test split takes part in no choice.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from w2s_ray.report.bench import VALIDATION, Bench, Tested
from w2s_ray.report.statistics import Interval, difference_interval
from w2s_ray.search.record import TrialRecord, contenders

ORACLE, WEAK = "oracle", "weak"
TRUSTED, DRAWS = 100, 200
_TINY = 1e-7

Weights = NDArray[np.float64]
"""Share of each finished trial of a pairing in a choice; sums to 1."""


@dataclass(frozen=True)
class Choice:
    """What one way to choose gives.

    Attributes:
        way: in words.
        trial: the number of the trial it chooses, None if that differs from draw to draw.
        accuracy: on the test split, mean over what it may choose.
        regret: of the accuracy, against the choice with all of ground truth; may come out negative by chance.
    """

    way: str
    trial: int | None
    accuracy: float
    regret: Interval


@dataclass(frozen=True)
class Optimism:
    """How much better the chosen trial looks on the split that chose it; accuracies against ground truth.

    Attributes:
        trial: the chosen one.
        validation, test: its accuracies.
        mean_validation, mean_test: means over all finished trials of the pairing.
    """

    trial: int
    validation: float
    test: float
    mean_validation: float
    mean_test: float

    @property
    def of_the_winner(self) -> float:
        """What remains of validation minus test once the mean over trials, the splits' own difference, is off."""
        return (self.validation - self.test) - (self.mean_validation - self.mean_test)


def choose(trials: Sequence[TrialRecord], labels: str) -> TrialRecord:
    """Returns the contender with the best validation accuracy by these labels; of equals, the first."""
    return min(contenders(trials), key=lambda trial: (-trial.values[labels], trial.number))


def compare_choices(bench: Bench, trials: Sequence[TrialRecord], confidence: float) -> tuple[Choice, ...]:
    """Tests every way to choose among the finished `trials` of one pairing; those that are not possible are left out.

    Args:
        bench: reads their students.
        trials: finished, with both objectives, at least one.
        confidence: of the regrets' intervals, within (0, 1).
    """
    tests = [bench.test(trial.stages["student"]).correct for trial in trials]
    oracle = _one(trials, choose(trials, ORACLE))
    best = _mixed(tests, oracle)
    choices = []
    for way, weights in _ways(bench, trials, oracle).items():
        mixed = _mixed(tests, weights)
        sure = np.flatnonzero(weights == 1)
        number = trials[int(sure[0])].number if len(sure) else None
        choices.append(Choice(way, number, float(mixed.mean()), difference_interval(best, mixed, confidence)))
    return tuple(choices)


def optimism(bench: Bench, trials: Sequence[TrialRecord], labels: str) -> Optimism:
    """Measures the optimism of choosing among the finished `trials` of one pairing by `labels`."""
    tests = {trial.number: float(bench.test(trial.stages["student"]).correct.mean()) for trial in trials}
    chosen = choose(trials, labels)
    return Optimism(
        trial=chosen.number,
        validation=chosen.values[ORACLE],
        test=tests[chosen.number],
        mean_validation=float(np.mean([trial.values[ORACLE] for trial in trials])),
        mean_test=float(np.mean(list(tests.values()))),
    )


def _ways(bench: Bench, trials: Sequence[TrialRecord], oracle: Weights) -> dict[str, Weights]:
    students = [bench.on(VALIDATION, trial.stages["student"]) for trial in trials]
    weak = bench.on(VALIDATION, trials[0].stages["weak"])
    size = min(TRUSTED, len(weak.ids))
    ways = {
        "all of ground truth (oracle)": oracle,
        f"{size} trusted labels": trusted_choice(students, size, seed=zlib.crc32(trials[0].pairing.encode())),
        "agreement with weak labels": _one(trials, choose(trials, WEAK)),
        "cross entropy to weak labels": _largest([-cross_entropy(student, weak) for student in students]),
    }
    if len(students[0].probabilities) > 1:
        ways["agreement between seeds"] = _largest([seed_agreement(student) for student in students])
    defaults = np.array([trial.default for trial in trials], dtype=np.float64)
    if defaults.any():
        ways["no choice: the methods' defaults"] = defaults / defaults.sum()
    naive = [trial for trial in trials if trial.default and trial.method == "naive"]
    if naive:
        ways["no choice: the naive default"] = _one(trials, naive[0])
    return {**ways, "no choice: any finished trial": np.full(len(trials), 1 / len(trials))}


def trusted_choice(students: Sequence[Tested], size: int, seed: int, draws: int = DRAWS) -> Weights:
    """Returns how often each student is the best on `size` random validation examples whose truth is known.

    Of equally good ones, which small sets have often, each gets the same share of the draw.
    """
    right = np.stack([student.correct.mean(axis=0) for student in students])
    rng = np.random.default_rng(seed)
    shares = np.zeros(len(students))
    for _ in range(draws):
        scores = right[:, rng.choice(right.shape[1], size, replace=False)].mean(axis=1)
        best = np.isclose(scores, scores.max(), rtol=0, atol=1e-9)
        shares += best / best.sum()
    return shares / draws


def cross_entropy(student: Tested, weak: Tested) -> float:
    """Returns the mean over seeds and examples of -sum(weak * log(student)), in nats."""
    return float(-(weak.probabilities * np.log(np.maximum(student.probabilities, _TINY))).sum(axis=2).mean())


def seed_agreement(student: Tested) -> float:
    """Returns the share of examples on which two seeds predict the same class, mean over all pairs of seeds."""
    seeds = len(student.predicted)
    pairs = [(a, b) for a in range(seeds) for b in range(a)]
    assert pairs, "one seed has no other to agree with"
    return float(np.mean([(student.predicted[a] == student.predicted[b]).mean() for a, b in pairs]))


def _one(trials: Sequence[TrialRecord], chosen: TrialRecord) -> Weights:
    return np.array([float(trial.number == chosen.number) for trial in trials])


def _largest(scores: Sequence[float]) -> Weights:
    """Returns all weight on the largest score; of equals, the first."""
    weights = np.zeros(len(scores))
    weights[int(np.argmax(scores))] = 1
    return weights


def _mixed(tests: Sequence[NDArray[np.bool_]], weights: Weights) -> NDArray[np.float64]:
    """Returns correctness averaged over the trials, shape (seeds, examples)."""
    mixed: NDArray[np.float64] = sum(
        (w * test for test, w in zip(tests, weights.tolist(), strict=True) if w), np.zeros(tests[0].shape)
    )
    return mixed
