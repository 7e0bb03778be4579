"""The Ray task that runs stages: reads what it needs from the store, works in a draft, publishes.

A finetuning stage runs inside Ray Train. One worker: Train's local mode in this very process, which Ray keeps warm, so
that a small training costs no process start (on a GPU each has one of its own; a worker group costs 20 s each time).
Several: a worker group with DDP.
Killed anywhere, the task is started again by the broker and goes on from the stage's last checkpoint.
"""

import os
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray

from w2s_ray.redacting import redacted_errors
from w2s_ray.stages.artifacts import CURVE, EXAMPLES, FEATURES, PREDICTIONS, READ_OF, WEIGHTS, Examples, write_lines
from w2s_ray.stages.attempts import innermost
from w2s_ray.stages.claim import claim
from w2s_ray.stages.errors import (
    DamagedStageError,
    MissingStageError,
    StoreUnavailableError,
    cause_of,
    store_errors,
)
from w2s_ray.stages.open import open_store
from w2s_ray.stages.stage import ExtractFeatures, Hint, LoadExamples, Prompt, Relabel, Stage
from w2s_ray.stages.stopping import stop_request
from w2s_ray.stages.store import Store
from w2s_ray.stages.usage import USAGE, Usage, read_usage

if TYPE_CHECKING:
    from w2s_ray.stages.finetune import Trained  # with torch, which takes seconds to load

_TRAIN = "train"  # Ray Train's folder in that of a stage's work


def run_stages(batch: list[Stage], root: str, made_by: str, broker: Any) -> float:
    """Runs stages that are made in one go, most often one; returns the seconds that this took, without waiting.

    Args:
        batch: several only for the features of one model at several depths.
        root: the store's folder or URI.
        made_by: the sweep's name.
        broker: told when the work begins, and of each row of a learning curve.

    Raises:
        MissingStageError: an input is missing or damaged; the broker makes it again.
        StoreUnavailableError: the store is full, read-only or gone.
    """
    with redacted_errors():
        return _run(batch, open_store(root), made_by, broker)


run_warm = ray.remote(max_retries=0, max_calls=0)(run_stages)
"""`run_stages` in a process that makes other stages too: its imports and models are there already."""

run_once = ray.remote(max_retries=0, max_calls=1)(run_stages)
"""`run_stages` in a process of its own, for stages on a GPU: CUDA keeps a process on the device that it saw first,
though Ray may have given it to another since, and torch keeps its memory."""


def _run(batch: list[Stage], store: Store, made_by: str, broker: Any) -> float:
    doing, led_by = f"making {batch[0].execution.label}", batch[0].address
    store.must_exist(doing)
    with store_errors(store.root, doing), claim(store, min(stage.address for stage in batch)):
        batch = [stage for stage in batch if not store.has(stage.address)]
        if not batch:
            return 0.0
        start = time.monotonic()
        broker.begun.remote(led_by, ray.get_runtime_context().get_node_id())
        _check_inputs(batch[0], store)
        _make(batch, store, made_by, broker)
        return time.monotonic() - start


def _check_inputs(stage: Stage, store: Store) -> None:
    """Looks into every file that the stage will read, here, where an error need not come out of Ray Train.

    Weights that `w2s gc` removed are had again only with their whole stage, so that is put aside, as if damaged.
    """
    for role, needed in stage.inputs.items():
        stored, name = store.get(needed.address), READ_OF[role.split()[0]]
        if name in stored.record.dropped:
            reason = f"lacks {name}, which `w2s gc` removed and {stage.execution.label} reads"
            stored.put_aside(reason)
            raise DamagedStageError(needed.address, reason)
        stored.file(name)


def _make(batch: list[Stage], store: Store, made_by: str, broker: Any) -> None:
    settings = batch[0].settings
    if isinstance(settings, LoadExamples):
        _examples(batch[0], settings, store, made_by)
    elif isinstance(settings, ExtractFeatures):
        _features(batch, store, made_by)
    elif isinstance(settings, Hint):
        _hint(batch[0], store, made_by)
    elif isinstance(settings, Prompt):
        _prompt(batch[0], store, made_by)
    elif isinstance(settings, Relabel):
        _relabel(batch[0], store, made_by)
    else:
        _finetune(batch[0], store, made_by, broker)


def _examples(stage: Stage, settings: LoadExamples, store: Store, made_by: str) -> None:
    from w2s_ray.tasks import load_examples

    with store.publish(stage, made_by) as draft:
        examples, draft.summary = load_examples(settings, stage.execution)
        examples.write(draft.path / EXAMPLES)


def _features(batch: list[Stage], store: Store, made_by: str) -> None:
    """Writes the features of all depths of `batch`, from one pass over the texts."""
    from safetensors.numpy import save_file

    first = batch[0]
    settings = first.settings
    assert isinstance(settings, ExtractFeatures)
    start = time.monotonic()
    device = _device(first)
    examples = Examples.read(store.get(first.inputs["examples"].address).file(EXAMPLES))
    depths = [stage.settings.model.depth for stage in batch]  # type: ignore[attr-defined]
    features = _extracted(first, settings, depths, store, examples, device)
    for stage, depth in zip(batch, depths, strict=True):
        with store.publish(stage, made_by) as draft:
            save_file({"features": features[depth]}, draft.path / FEATURES)
            draft.summary = {"examples": len(examples.texts), "width": int(features[depth].shape[1])}
            draft.seconds["stage"] = time.monotonic() - start


def _extracted(
    stage: Stage, settings: ExtractFeatures, depths: list[int | None], store: Store, examples: Examples, device: str
) -> Any:
    from w2s_ray.assets import locate
    from w2s_ray.models.features import extract, read_features

    folder = locate(stage.execution.source, stage.execution.revision)
    finetuned = stage.inputs.get("weights")
    if finetuned is None:
        return extract(folder, settings.model, depths, examples.texts, settings.precision, device)
    from safetensors.torch import load_file

    from w2s_ray.models.load import load_tokenizer
    from w2s_ray.stages.network import finetuned_network
    from w2s_ray.training.inputs import TextInputs

    weights = load_file(store.get(finetuned.address).file(WEIGHTS))
    network = finetuned_network(finetuned, weights, len(examples.class_names))
    inputs = TextInputs(examples.texts, load_tokenizer(folder), settings.model.max_length)
    own = read_features(network.backbone, inputs, settings.model, [None], settings.precision, device)
    return dict.fromkeys(depths, own[None])


def _relabel(stage: Stage, store: Store, made_by: str) -> None:
    from w2s_ray.stages.relabel import relabel_stage

    with store.publish(stage, made_by) as draft:
        predictions, draft.summary = relabel_stage(stage, store)
        predictions.write(draft.path / PREDICTIONS)


def _hint(stage: Stage, store: Store, made_by: str) -> None:
    from w2s_ray.stages.hint import hint_stage

    with store.publish(stage, made_by) as draft:
        examples, draft.summary = hint_stage(stage, store)
        examples.write(draft.path / EXAMPLES)


def _prompt(stage: Stage, store: Store, made_by: str) -> None:
    from w2s_ray.stages.prompt import prompt_stage

    with store.publish(stage, made_by) as draft:
        predictions, draft.summary = prompt_stage(stage, store, _device(stage))
        predictions.write(draft.path / PREDICTIONS)
        write_lines(draft.path / CURVE, [draft.summary])


def _finetune(stage: Stage, store: Store, made_by: str, broker: Any) -> None:
    """Trains inside Ray Train, where the first worker publishes: its machine may be the only one to have the files."""
    began = time.time()  # what the clock of another machine goes on from, if it is not far off

    def publish(trained: "Trained") -> None:
        store.must_exist(f"publishing {stage.execution.label}")  # training takes long enough to lose a mount
        with store.publish(stage, made_by) as draft:
            trained.write(draft.path)
            draft.summary = trained.summary
            draft.usage = read_usage(store.work(stage.address) / USAGE)
            draft.seconds.update(loop=trained.seconds, stage=max(trained.seconds, time.time() - began))

    _fit(stage, store, publish, broker)


def _fit(stage: Stage, store: Store, publish: Callable[["Trained"], None], broker: Any) -> None:
    """Runs the loop inside Ray Train."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    resources = stage.execution.resources
    several = resources.workers > 1
    scaling = ScalingConfig(
        num_workers=resources.workers if several else 0,
        use_gpu=bool(resources.gpus),
        resources_per_worker=resources.demand if several else None,
    )
    # Ray Train would start a group on leaving nodes anew by itself, with the same workers; the broker looks how many.
    os.environ["RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"] = "0"
    # Nor does it try again when no place was found in a minute, or a worker died as it started: the broker does, which
    # knows how often, says so, and looks for room anew where the group may be narrower.
    failures = FailureConfig(max_preemption_failures=0, controller_failure_limit=0)
    storage = str(store.work(stage.address))
    run_config = RunConfig(name=_TRAIN, storage_path=storage, failure_config=failures) if several else None
    loop = _loop(stage, store, publish, broker)
    interrupts = signal.getsignal(signal.SIGINT)
    try:
        TorchTrainer(loop, scaling_config=scaling, run_config=run_config).fit()
    except Exception as error:
        # Ray Train wraps what a worker raised; the broker and people need the error itself.
        plain = cause_of(error, MissingStageError) or cause_of(error, StoreUnavailableError) or innermost(error)
        if plain is error:
            raise
        raise plain from error
    finally:
        # Ray Train leaves its own, for a group that has ended; this process's next stage could not be cancelled.
        if signal.getsignal(signal.SIGINT) is not interrupts:
            signal.signal(signal.SIGINT, interrupts)
        if several:
            _remove_train(store.work(stage.address))


def _remove_train(work: Path) -> None:
    """Removes what Ray Train wrote for itself, on a machine where the stage may have no other work."""
    shutil.rmtree(work / _TRAIN, ignore_errors=True)
    with suppress(OSError):  # there are checkpoints
        work.rmdir()


def _loop(stage: Stage, store: Store, publish: Callable[["Trained"], None], broker: Any) -> Callable[[], None]:
    doing = f"training {stage.execution.label}"

    def loop() -> None:
        from ray.train import get_context

        from w2s_ray.stages.finetune import train_stage
        from w2s_ray.training.loop import Worker, never

        context = get_context()
        worker = Worker(context.get_world_rank(), context.get_world_size(), _device(stage))
        broker.joined.remote(stage.address, ray.get_runtime_context().get_node_id())
        usage = Usage(store.work(stage.address) / USAGE, worker.device)
        numbers = count()

        def report(row: dict[str, Any]) -> None:
            if worker.rank == 0:
                broker.note.remote(stage.address, next(numbers), row)
                usage.look_if_due()

        with redacted_errors(), store_errors(store.root, doing):
            store.must_exist(doing)
            if worker.rank == 0:
                store.work(stage.address).mkdir(parents=True, exist_ok=True)
            stopping = never if worker.rank else stop_request(broker, stage.address)
            trained = train_stage(stage, store, worker, report, stopping)
            if trained is not None:
                usage.look()
                publish(trained)

    return loop


def _device(stage: Stage) -> str:
    """Returns the device of this process, and gives torch the threads that the stage asked for."""
    import torch

    torch.set_num_threads(max(1, int(stage.execution.resources.cpus)))
    return "cuda" if stage.execution.resources.gpus and torch.cuda.is_available() else "cpu"
