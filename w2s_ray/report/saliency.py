"""Five accuracies that say whether finetuning on weak labels made a task more linearly represented.

Burns et al. (arXiv 2312.09390, section 5.2.3, figure 11), on a subset of their NLP tasks, with lp a linear probe and ft
finetuning, in order: lp on weak labels about 66 %, lp on ground truth 72 %, ft on weak labels about 75 %, ft on weak
labels and then lp on ground truth 78 %, ft on ground truth 82 %. The fourth closes 60 % of the gap between the second
and the last, though no ground truth had a part in the features that it reads.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from w2s_ray.report.bench import Bench
from w2s_ray.report.statistics import Interval, accuracy_interval, difference_interval, pgr_interval
from w2s_ray.search.record import TrialRecord, choose

PROBE_WEAK, PROBE_TRUTH, TUNED, TUNED_PROBE_TRUTH, CEILING = (
    "lp weak",
    "lp truth",
    "ft weak",
    "ft weak, lp truth",
    "ft truth",
)


@dataclass(frozen=True)
class Saliency:
    """The five bars of a pairing, on the test split.

    Attributes:
        bars: name to accuracy, in the order of the paper's figure.
        trials: name to the number of the trial that it is taken from; None for the ceiling, which is the pairing's.
        gain: accuracy of `ft weak, lp truth` minus that of `lp truth`.
        closed: the same as a share of `ft truth` minus `lp truth`; undefined where that gap is not clear.
    """

    bars: Mapping[str, Interval]
    trials: Mapping[str, int | None]
    gain: Interval
    closed: Interval


def saliency(bench: Bench, finished: Sequence[TrialRecord], labels: str, confidence: float) -> Saliency | None:
    """Returns the bars of a pairing, or None before each of the three probes has a finished trial.

    Args:
        bench: reads the models.
        finished: the pairing's finished trials, of any method.
        labels: the objective by which one of several trials of the same probe is chosen, on validation.
        confidence: of the intervals, within (0, 1).
    """
    wanted = {PROBE_WEAK: ("weak", "none"), PROBE_TRUTH: ("truth", "none"), TUNED_PROBE_TRUTH: ("truth", "weak")}
    found = {name: _probes(finished, *asked) for name, asked in wanted.items()}
    if not all(found.values()):
        return None
    chosen = {name: choose(trials, labels) for name, trials in found.items()}
    tuned = chosen[TUNED_PROBE_TRUTH]
    stages = {
        PROBE_WEAK: chosen[PROBE_WEAK].stages["student"],
        PROBE_TRUTH: chosen[PROBE_TRUTH].stages["student"],
        TUNED: tuned.stages["finetuned"],  # the very model whose features the next one reads
        TUNED_PROBE_TRUTH: tuned.stages["student"],
        CEILING: tuned.stages["ceiling"],
    }
    right = {name: bench.test(addresses).correct for name, addresses in stages.items()}
    return Saliency(
        bars={name: accuracy_interval(correct, confidence) for name, correct in right.items()},
        trials={name: {**chosen, TUNED: tuned}[name].number if name != CEILING else None for name in stages},
        gain=difference_interval(right[TUNED_PROBE_TRUTH], right[PROBE_TRUTH], confidence),
        closed=pgr_interval(right[PROBE_TRUTH], right[TUNED_PROBE_TRUTH], right[CEILING], confidence),
    )


def _probes(finished: Sequence[TrialRecord], labels: str, after: str) -> list[TrialRecord]:
    asked = {"probe_labels": labels, "probe_after": after}
    return [one for one in finished if one.method == "probe" and asked.items() <= one.params.items()]
