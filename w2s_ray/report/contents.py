"""The tables of a report: which numbers of an analysis go where, with captions that say how to read them."""

from collections.abc import Iterator, Sequence

from w2s_ray.report.analyses import Analysis
from w2s_ray.report.answers import MethodAnswer, PairingAnswer
from w2s_ray.report.confirmed import Confirmed, Retested
from w2s_ray.report.saliency import TUNED_PROBE_TRUTH
from w2s_ray.report.searching import best_ten
from w2s_ray.report.sheets import Cell, Column, Sheet
from w2s_ray.report.tables import DEFAULT_ROW
from w2s_ray.report.wording import settings
from w2s_ray.spec import Model
from w2s_ray.spec.method import Value

PAIRING = Column("pairing")


def answer_sheet(analysis: Analysis) -> Sheet:
    """The chosen trial of each method, tested, between weak supervisor and ceiling."""
    rows: list[tuple[Cell, ...]] = []
    bold: set[int] = set()
    for pairing in analysis.report.pairings:
        for row, is_best in _answer_rows(pairing):
            bold |= {len(rows)} if is_best else set()
            rows.append(row)
    columns = (PAIRING, Column("model or method"), Column("test accuracy", "accuracy"), Column("PGR", "ratio"),
               Column("repeats weak errors", "accuracy"), Column("trial", "number"), Column("chosen of", "number"),
               Column("settings", "prose"))  # fmt: skip
    caption = "The chosen trial of each method on the test split, with 95 % intervals. The best on validation is bold."
    return Sheet("answer", caption, columns, tuple(rows), frozenset(bold))


def choices_sheet(analysis: Analysis) -> Sheet:
    """Every way to choose hyper-parameters, with its regret."""
    rows = tuple(
        (pairing.answer.name, choice.way, choice.trial, choice.accuracy, choice.regret)
        for pairing in analysis.pairings
        for choice in pairing.choices
    )
    columns = (PAIRING, Column("chosen by", "prose"), Column("trial", "number"), Column("test accuracy", "accuracy"),
               Column("regret", "difference"))  # fmt: skip
    caption = "Ways to choose hyper-parameters. Regret is the test accuracy lost against the choice with ground truth."
    return Sheet("choices", caption, columns, rows)


def optimism_sheet(analysis: Analysis) -> Sheet:
    """Validation against test accuracy of the chosen trial and of all trials."""
    found = ((pairing.answer.name, pairing.optimism) for pairing in analysis.pairings)
    rows = tuple(
        (name, one.trial, one.validation, one.test, one.mean_validation - one.mean_test, one.of_the_winner)
        for name, one in found
        if one is not None
    )
    columns = (PAIRING, Column("chosen trial", "number"), Column("validation accuracy", "accuracy"),
               Column("test accuracy", "accuracy"), Column("splits differ by, all trials", "difference"),
               Column("winner's optimism", "difference"))  # fmt: skip
    caption = (
        "How much better the chosen trial looks on the split that chose it: its validation minus test accuracy, less "
        "the same difference of the mean over all finished trials."
    )
    return Sheet("optimism", caption, columns, rows)


def confirmed_sheet(analysis: Analysis) -> Sheet:
    """The best trial of each pairing and its naive default, with fresh seeds."""
    rows: list[tuple[Cell, ...]] = []
    for pairing, found in _confirmed(analysis):
        rows.append((pairing, f"best: {found.method}", found.pgr, *_looks(found.best)))
        rows += [(pairing, DEFAULT_ROW, None, *_looks(found.default))] if found.default else []
    columns = (PAIRING, Column("student"), Column("PGR, fresh seeds", "ratio"), *_look_columns("accuracy"))
    seeds = ", ".join(map(str, analysis.report.fresh_seeds))
    caption = (
        f"The chosen trial trained again with seeds {seeds}, which no trial used. Validation chose it; the test split "
        "is free of the luck of its examples, fresh seeds of that of its seeds. With 95 % intervals."
    )
    return Sheet("confirmed", caption, columns, tuple(rows))


def lead_sheet(analysis: Analysis) -> Sheet:
    """How far the best trial of each pairing is ahead of its naive default, also with fresh seeds."""
    rows = tuple((pairing, *_looks(found.lead)) for pairing, found in _confirmed(analysis) if found.lead)
    caption = (
        "The best trial's lead over the naive default, which nobody chose: what a split or other weak supervisors do "
        "to both falls out, and what is lost from column to column is the optimism of the choice."
    )
    return Sheet("lead", caption, (PAIRING, *_look_columns("difference")), rows)


def _confirmed(analysis: Analysis) -> Iterator[tuple[str, Confirmed]]:
    return ((one.name, one.confirmed) for one in analysis.report.pairings if one.confirmed)


def _looks(look: Retested) -> tuple[Cell, ...]:
    return (look.validation, look.test, look.fresh, look.by_examples, look.by_seeds)


def _look_columns(kind: str) -> tuple[Column, ...]:
    return (Column("validation", kind), Column("test", kind), Column("test, fresh seeds", kind),
            Column("validation minus test", "difference"), Column("same minus fresh seeds", "difference"))  # fmt: skip


def stopping_sheet(analysis: Analysis) -> Sheet:
    """Three ends of each looked-at training."""
    rows: list[tuple[Cell, ...]] = []
    for pairing in analysis.pairings:
        for name, curve in pairing.curves.items():
            weak = curve.weak_stopped
            rows.append((
                pairing.answer.name, name, curve.last.accuracy, weak.accuracy if weak else None,
                weak.step if weak else None, curve.truth_stopped.accuracy, curve.truth_stopped.step,
            ))  # fmt: skip
    columns = (PAIRING, Column("student"), Column("at the last step", "accuracy"),
               Column("stopped by weak labels", "accuracy"), Column("at step", "step"),
               Column("stopped by truth", "accuracy"), Column("then at step", "step"))  # fmt: skip
    caption = (
        "Validation accuracy at three ends of the same training, mean over the seeds. Stopping by truth is a cheat, "
        "and a little too high, being the largest of several noisy numbers."
    )
    return Sheet("stopping", caption, columns, tuple(rows))


def calibration_sheet(analysis: Analysis) -> Sheet:
    """Expected calibration error of weak, students and ceiling."""
    rows = tuple(
        (pairing.answer.name, name, one.ece, one.ece_if_perfect, one.overconfidence)
        for pairing in analysis.pairings
        for name, one in pairing.calibration.items()
    )
    columns = (PAIRING, Column("model"), Column("ECE", "accuracy"), Column("if perfect", "accuracy"),
               Column("overconfidence", "difference"))  # fmt: skip
    caption = (
        "Expected calibration error on the test split (15 bins of equal mass, mean over seeds), and what a perfectly "
        "calibrated model would score with so many examples."
    )
    return Sheet("calibration", caption, columns, rows)


def agreement_sheet(analysis: Analysis) -> Sheet:
    """Agreement of students with their supervisors."""
    rows: list[tuple[Cell, ...]] = []
    for pairing in analysis.report.pairings:
        for name, answer in _named(pairing):
            found = answer.agreement
            rows.append((pairing.name, name, found.overall, found.weak_right, found.weak_wrong))
    columns = (PAIRING, Column("student"), Column("overall", "accuracy"), Column("supervisor right", "accuracy"),
               Column("supervisor wrong", "accuracy"))  # fmt: skip
    caption = "Share of the test examples on which a student says what its supervisor says."
    return Sheet("agreement", caption, columns, tuple(rows))


def saliency_sheet(analysis: Analysis) -> Sheet:
    """Linear probes and finetunings, on weak labels and on ground truth."""
    rows = tuple(
        (pairing.answer.name, name, bar, found.trials[name], found.closed if name == TUNED_PROBE_TRUTH else None)
        for pairing in analysis.pairings
        if (found := pairing.saliency) is not None
        for name, bar in found.bars.items()
    )
    columns = (PAIRING, Column("model"), Column("test accuracy", "accuracy"), Column("trial", "number"),
               Column("closes of the gap lp truth to ft truth", "ratio"))  # fmt: skip
    caption = (
        "How linearly the strong model represents the task: lp is a linear probe, ft finetuning. Those on truth learn "
        "ground truth of the student's half, which no student may."
    )
    return Sheet("saliency", caption, columns, rows)


def best_sheet(analysis: Analysis) -> Sheet:
    """The ten best trials of each pairing with their settings."""
    rows = tuple(
        (name, one.trial.number, one.trial.method, one.trial.values[analysis.report.selected_by], one.score / 100,
         settings(one.trial.params))
        for name in (pairing.name for pairing in analysis.report.pairings)
        for one in best_ten(analysis.trials, name)
    )  # fmt: skip
    columns = (PAIRING, Column("trial", "number"), Column("method"), Column("validation accuracy", "accuracy"),
               Column("score", "difference"), Column("settings", "prose"))  # fmt: skip
    caption = "The ten best trials of each pairing on validation. Score: against the mean of the pairing's trials."
    return Sheet("best", caption, columns, rows)


def baselines_sheet(analysis: Analysis) -> Sheet:
    """The fixed settings of weak supervisors and ceilings."""
    sweep = analysis.record.sweep
    rows = tuple(
        (name, model.source, "all" if model.depth is None else model.depth, model.train, settings(_fixed(model)))
        for name, model in sweep.models.items()
    )
    columns = (Column("model"), Column("source"), Column("layers", "number"), Column("trained"),
               Column("settings as weak supervisor or ceiling", "prose"))  # fmt: skip
    return Sheet("baselines", "Baselines belong to the pairing: no trial can change them.", columns, rows)


def unfinished_sheet(analysis: Analysis) -> Sheet:
    """Trials that failed or were pruned, with why."""
    rows = tuple(
        (trial.number, trial.pairing, trial.method, trial.state, max(trial.intermediate, default=None), trial.error)
        for trial in analysis.record.trials
        if trial.state != "complete"
    )
    columns = (Column("trial", "number"), PAIRING, Column("method"), Column("state"), Column("last step", "step"),
               Column("why", "prose"))  # fmt: skip
    return Sheet("unfinished", "Trials without a result.", columns, rows)


def overview_sheet(analyses: Sequence[Analysis]) -> Sheet:
    """The best of every pairing of several sweeps, side by side."""
    rows: list[tuple[Cell, ...]] = []
    for report in (analysis.report for analysis in analyses):
        for pairing in report.pairings:
            best = pairing.best_answer
            rows.append((
                report.sweep, report.task, pairing.name, best.method if best else "no trial has finished yet",
                pairing.weak_accuracy, best.student if best else None, pairing.ceiling_accuracy,
                best.pgr if best else None, pairing.improvement,
            ))  # fmt: skip
    columns = (Column("sweep"), Column("task"), PAIRING, Column("best method"), Column("weak", "accuracy"),
               Column("student", "accuracy"), Column("ceiling", "accuracy"), Column("PGR", "ratio"),
               Column("against naive default", "difference"))  # fmt: skip
    return Sheet("overview", "The best method of each pairing, all sweeps, on the test split.", columns, tuple(rows))


def sheets_of(analysis: Analysis) -> dict[str, Sheet]:
    """Returns all tables that have a row, by key."""
    makers = (answer_sheet, confirmed_sheet, lead_sheet, choices_sheet, optimism_sheet, stopping_sheet,
              calibration_sheet, agreement_sheet, saliency_sheet, best_sheet, baselines_sheet,
              unfinished_sheet)  # fmt: skip
    made = [maker(analysis) for maker in makers]
    return {sheet.key: sheet for sheet in made if sheet.rows}


def _answer_rows(pairing: PairingAnswer) -> Iterator[tuple[tuple[Cell, ...], bool]]:
    if not pairing.methods:
        return
    yield (pairing.name, "weak supervisor", pairing.weak_accuracy, None, None, None, None, ""), False
    for name, answer in _named(pairing):
        compared = None if name == DEFAULT_ROW else answer.num_compared
        yield (
            pairing.name, name, answer.student, answer.pgr, answer.agreement.weak_wrong, answer.trial, compared,
            settings(answer.params),
        ), name == pairing.best  # fmt: skip
    yield (pairing.name, "ceiling", pairing.ceiling_accuracy, None, None, None, None, ""), False


def _named(pairing: PairingAnswer) -> Iterator[tuple[str, MethodAnswer]]:
    if pairing.naive_default is not None:
        yield DEFAULT_ROW, pairing.naive_default
    for answer in pairing.methods:
        yield answer.method, answer


def _fixed(model: Model) -> dict[str, Value]:
    return {name: value for name, value in model.baseline.model_dump().items() if name != "eval_every"}
