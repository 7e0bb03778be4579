"""How much memory a worker needs, by what it does with a model, and whether there is a place that has it.

With P parameters, all float32, a full training holds weights, gradients and AdamW's two moments, 16 P bytes; an adapter
or frozen features need the weights alone, 4 P. A layer keeps 68 bytes for each token and unit of its width until its
gradient is computed (34 with bfloat16; Korthikanti et al. 2022, arXiv 2205.05198, section 4, without dropout masks and
with fused attention). Everything is for one micro-batch of max_length tokens, the most it can be; the process itself
takes 0.8 GB. tests/benchmarks/memory.py measures it again.
"""

import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import psutil

from w2s_ray.assets import dimensions_of
from w2s_ray.dimensions import Dimensions
from w2s_ray.machine import resources_here
from w2s_ray.planning.jobs import fits
from w2s_ray.search.forecast import rows_of
from w2s_ray.spec import Model, Resources, Sweep
from w2s_ray.spec.cluster import Cluster, NodeType
from w2s_ray.spec.model import FROZEN, ON_FEATURES
from w2s_ray.stages.devices import decided, is_large
from w2s_ray.units import in_bytes, in_count

PROCESS = 0.8e9  # imports, allocator and workspaces, or a GPU's context: measured 0.76 to 0.86 GB on a CPU
_KEPT = 68  # bytes of activations a layer keeps of each token and unit of width
_PASSING = 48  # those of the one layer that a forward pass without gradients is in
_PASS_TOKENS = {"CPU": 1024, "GPU": 32_768}  # of a batch of `w2s_ray.models.features`


@dataclass(frozen=True)
class Need:
    """What one worker of a role takes.

    Attributes:
        role: as in `minilm-4 (full)`, `features of minilm`, `prompting gpt2`.
        bytes: None where the model's size is not known before it is here.
        formula: how that was computed, with its numbers.
        problem: why it will not fit; empty if it may.
    """

    role: str
    bytes: float | None
    formula: str
    problem: str = ""


def needs_of(sweep: Sweep, cluster: Cluster | None) -> list[Need]:
    """Returns what each model's training, the frozen features and prompting take.

    Args:
        sweep: any.
        cluster: whose nodes they shall fit; None: this machine, unless RAY_ADDRESS names a cluster.
    """
    used = {name for pairing in sweep.pairings for name in (pairing.weak, pairing.strong, *pairing.intermediates)}
    models = {name: model for name, model in sweep.models.items() if name in used}

    def of(resources: Resources, model: Model, *, is_run: bool = True) -> Resources:
        is_for_gpu = is_run and is_large(model.source, model.revision, [model.depth])
        if is_for_gpu and cluster is None:
            return resources  # what this machine has only Ray could tell, which takes a while to import
        return decided(resources, is_for_gpu, cluster.kinds if cluster else ())

    found = [
        (_training(name, model, sweep), of(sweep.resources.of(name), model, is_run=model.train not in FROZEN))
        for name, model in models.items()
    ]
    frozen = {model.source: model for model in _deepest_last(models.values()) if model.train in ON_FEATURES}
    for name, model in frozen.items():
        resources = of(sweep.resources.features, model)
        found.append((_pass(f"features of {name}", model, resources), resources))
    for name in sorted({pairing.strong for pairing in sweep.pairings} if "prompt" in sweep.methods else ()):
        resources = of(sweep.resources.of(name), models[name])
        found.append((_pass(f"prompting {name}", models[name], resources), resources))
    return [replace(need, problem=_problem(need, resources, sweep, cluster)) for need, resources in found]


def memory_text(needs: Sequence[Need]) -> list[str]:
    """Returns a line for each role, like ones in one, and one for each that will not fit."""
    alike: dict[tuple[str, str], list[str]] = {}
    for need in needs:
        size = "unknown until the model is here" if need.bytes is None else f"{in_bytes(need.bytes)} a worker"
        alike.setdefault((size, need.formula), []).append(need.role)
    lines = [f"{', '.join(roles)}: {size} = {formula}" for (size, formula), roles in alike.items()]
    shown = [f"{'' if number else 'memory':<11}{line}" for number, line in enumerate(lines)]
    return shown + [f"warning    {need.role}: {need.problem}" for need in needs if need.problem]


def memory_json(needs: Iterable[Need]) -> list[dict[str, object]]:
    """Returns the stable form of the key `memory` of `w2s plan --cluster --json`."""
    return [{"role": one.role, "bytes_per_worker": one.bytes, "problem": one.problem or None} for one in needs]


def _deepest_last(models: Iterable[Model]) -> list[Model]:
    return sorted(models, key=lambda model: float("inf") if model.depth is None else model.depth)


def _training(name: str, model: Model, sweep: Sweep) -> Need:
    role, size = f"{name} ({model.train})", dimensions_of(model.source, model.revision)
    if size is None:
        return Need(role, None, "by its size")
    if model.train in FROZEN:
        rows, width = rows_of(sweep), model.features or size.width
        return Need(role, PROCESS + 4.0 * rows * width, f"process + 4 x {rows} examples x width {width}")
    weights, formula = _weights(model, size)
    layers = min(model.top_layers, size.layers) if model.train == "top" else size.layers_at(model.depth)
    kept = _KEPT // 2 if model.baseline.precision == "bfloat16" else _KEPT
    batch = _micro_batch(name, model, sweep)
    activations = float(kept * batch * model.max_length * layers * size.width)
    shown = f"{kept} x {batch} examples x {model.max_length} tokens x {layers} layers x width {size.width}"
    return Need(role, PROCESS + weights + activations, f"process + {formula} + {shown}")


def _weights(model: Model, size: Dimensions) -> tuple[float, str]:
    """Returns the bytes of weights, gradients and moments, and their formula; an adapter's own are next to nothing."""
    parameters = size.parameters_at(model.depth)
    shown = f"of {in_count(parameters)} parameters"
    if model.train == "lora":
        return 4.0 * parameters, f"4 P {shown}"
    if model.train == "top":
        own = min(parameters, 12 * size.width**2 * model.top_layers)
        return 4.0 * parameters + 12.0 * own, f"4 P {shown} + 12 P of the {in_count(own)} at the top"
    return 16.0 * parameters, f"16 P {shown}"


def _micro_batch(name: str, model: Model, sweep: Sweep) -> int:
    """The most examples of one forward pass: of the baseline, or of a student whose batch the search makes larger."""
    resources, searched = sweep.resources.of(name), sweep.space.get("batch_size")
    largest = max([model.baseline.batch_size, *(int(end) for end in (searched.ends() if searched else ()))])
    share = math.ceil(largest / resources.fewest)
    return min(share, resources.micro_batch or share)


def _pass(role: str, model: Model, resources: Resources) -> Need:
    """A forward pass that keeps the states of all layers, as features do, and no more."""
    size = dimensions_of(model.source, model.revision)
    if size is None:
        return Need(role, None, "by its size")
    parameters, layers = size.parameters_at(model.depth), size.layers_at(model.depth)
    tokens = _PASS_TOKENS["GPU" if resources.gpus else "CPU"]
    each = _PASSING + 4 * (layers + 1)
    formula = f"process + 4 P of {in_count(parameters)} parameters + {each} x {tokens} tokens x width {size.width}"
    return Need(role, PROCESS + 4.0 * parameters + float(each * tokens * size.width), formula)


def _problem(need: Need, resources: Resources, sweep: Sweep, cluster: Cluster | None) -> str:
    if need.bytes is None:
        return ""
    if cluster is not None:
        return _problem_there(need.bytes, resources, cluster)
    if os.environ.get("RAY_ADDRESS") or resources.gpus:
        return ""  # of another machine, or on a device of which only torch could tell
    return _problem_here(need.bytes, resources, sweep)


def _problem_here(size: float, resources: Resources, sweep: Sweep) -> str:
    held, cpus = float(psutil.virtual_memory().total), os.cpu_count() or 1
    most = sweep.search.parallelism * len(sweep.seeds) * resources.workers
    beside = max(1, min(most, int(cpus / resources.cpus)))
    if size * beside <= held or (resources.gpus is None and resources_here().get("GPU")):
        return ""
    several = f"{beside} side by side take {in_bytes(size * beside)}" if beside > 1 else f"takes {in_bytes(size)}"
    return f"{several}, and this machine has {in_bytes(held)}; lower micro_batch or parallelism, or give it more cpus"


def _problem_there(size: float, resources: Resources, cluster: Cluster) -> str:
    able = {kind: node for kind, node in cluster.nodes.items() if fits(resources.demand, node.capacity)}
    if not able or any(_fits(size, resources, node) for node in able.values()):
        return ""  # where no node has what it asks for, the simulation says so
    nodes = " or ".join(able)
    return f"takes {in_bytes(size)}, more than a worker's share of {nodes}; lower micro_batch, or add larger nodes"


def _fits(size: float, resources: Resources, node: NodeType) -> bool:
    """Whether a node is known to be too small: a GPU by its own memory, else by the share of the CPUs asked for."""
    if resources.gpus:
        return node.gpu_memory is None or size <= 1e9 * node.gpu_memory * min(1.0, resources.gpus)
    return node.memory is None or size <= 1e9 * node.memory / max(1, int(node.cpus / resources.cpus))
