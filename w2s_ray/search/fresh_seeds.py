"""Confirming the winners: their experiments again, with seeds that no trial used, once the budget is spent.

The best trial of a pairing is best partly by luck: of the validation examples, and of its seeds, since the same seeds
trained what it was compared with. Its own weak supervisor, ceiling and student under other seeds are free of the second
luck, and their test accuracy of both. The naive default is trained again beside it: it was not chosen, so that
what changes for it too is no optimism.

Which trials are confirmed follows from the study, and which stages from the spec: a confirmation that was cut off is
simply laid out again, and what of it is in the store is found. One that fails is a result, not the end of the sweep.
"""

from dataclasses import replace
from typing import Any

from w2s_ray.methods import Parts, stages_of
from w2s_ray.search.confirmation import Confirmation
from w2s_ray.search.folder import LiveRecord, experiment_in
from w2s_ray.search.progress import Progress
from w2s_ray.search.record import COMPLETE, FAILED, SweepRecord, TrialRecord
from w2s_ray.search.study import Study
from w2s_ray.stages.errors import StoreUnavailableError, cause_of


def unconfirmed(record: SweepRecord) -> list[TrialRecord]:
    """Returns the trials that are to be confirmed and are not, or whose stages the store has lost."""
    return [trial for trial in record.to_confirm() if not _is_whole(record, trial)]


def _is_whole(record: SweepRecord, trial: TrialRecord) -> bool:
    made = record.confirmation(trial)
    if made is None or made.state != COMPLETE:
        return False
    return all(record.store.has(address) for of_role in made.stages.values() for address in of_role)


def confirm(live: LiveRecord, study: Study, broker: Any, progress: Progress) -> None:
    """Makes what is missing of every confirmation, all at once, and keeps how each ended in the study.

    Args:
        live: the sweep's record; its budget is spent.
        study: takes the confirmations.
        broker: makes the stages.
        progress: says what is confirmed, and how it ended.

    Raises:
        StoreUnavailableError: the store is full or gone, which says nothing about the trial.
        ray.exceptions.RayActorError: the broker is gone, and so is Ray.
    """
    record = live.now()
    trials = unconfirmed(record)
    if not trials:
        return
    progress.confirming(trials, record.sweep.fresh_seeds)
    parts, asked = Parts(record.sweep).with_fresh_seeds(), []
    for trial in trials:
        roles = stages_of(parts, experiment_in(trial))
        addresses = {role: tuple(stage.address for stage in of_role) for role, of_role in roles.items()}
        made = Confirmation(record.sweep.fresh_seeds, addresses)
        study.confirm(trial.number, made)
        asked.append((trial, made, [broker.produce.remote(stage, -1) for of in roles.values() for stage in of]))
    for trial, made, promises in asked:
        error = error_of(promises)
        ended = replace(made, state=FAILED if error else COMPLETE, error=error)
        study.confirm(trial.number, ended)
        progress.confirmed(trial, ended)


def error_of(promises: list[Any]) -> str | None:
    """Waits for all of some stages; returns why one could not be made, None if they were. Raises as `confirm`."""
    # Late, since the driver asks what is unconfirmed before it knows whether it needs Ray.
    import ray

    from w2s_ray.stages.attempts import reason_of

    reason = None
    for promise in promises:
        try:
            ray.get(promise)
        except ray.exceptions.RayActorError:
            raise
        except ray.exceptions.RayError as error:
            unavailable = cause_of(error, StoreUnavailableError)
            if unavailable is not None:
                raise unavailable from None
            reason = reason or reason_of(error)
    return reason
