"""What no single field can check: that names refer to something and that a search has something to search."""

import re
from collections.abc import Collection, Iterable, Iterator

from w2s_ray.bucket_uri import is_uri, normalised
from w2s_ray.secrets import database_without_secrets, without_secrets
from w2s_ray.spec.labels import PREFIX, ensemble_models
from w2s_ray.spec.method import DEFAULTS, Value, chain_models, check_value, known_parameters, methods_with, unused_by
from w2s_ray.spec.model import AT_ONCE, FROZEN
from w2s_ray.spec.problems import Place, Problem, did_you_mean
from w2s_ray.spec.search import STORAGE_FORM
from w2s_ray.spec.sweep import Sweep
from w2s_ray.spec.training import LOSSES


def problems_of(sweep: Sweep) -> list[Problem]:
    """Returns every problem of a sweep whose fields are right one by one."""
    return [
        *_store_problems(sweep),
        *_pairing_problems(sweep),
        *_method_problems(sweep),
        *_label_problems(sweep),
        *_prompt_problems(sweep),
        *_probe_problems(sweep),
        *_space_problems(sweep),
        *_chain_loss_problems(sweep),
        *_at_once_problems(sweep),
        *_variation_problems(sweep),
        *_other_problems(sweep),
        *_confirm_problems(sweep),
        *_credential_problems(sweep),
    ]


def _unknown(place: Place, what: str, name: str, known: object) -> Problem:
    return Problem(place, f"{what} {name!r} is not defined", did_you_mean(name, known))  # type: ignore[arg-type]


def _pairing_problems(sweep: Sweep) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, pairing in enumerate(sweep.pairings):
        for role in ("weak", "strong"):
            name = getattr(pairing, role)
            if name not in sweep.models:
                yield _unknown(("pairings", index, role), "model", name, sweep.models)
        for step, name in enumerate(pairing.intermediates):
            if name not in sweep.models:
                yield _unknown(("pairings", index, "intermediates", step), "model", name, sweep.models)
        if pairing.weak == pairing.strong:
            yield Problem(("pairings", index), f"{pairing.weak!r} cannot supervise itself", "name two models")
        if pairing.name in seen:
            yield Problem(("pairings", index), f"{pairing.name} is there twice", "remove one")
        seen.add(pairing.name)


def _method_problems(sweep: Sweep) -> Iterator[Problem]:
    for method, settings in sweep.methods.items():
        if method not in DEFAULTS:
            yield _unknown(("methods", method), "method", method, DEFAULTS)
            continue
        for parameter, value in settings.items():
            yield from _value_problems(sweep, ("methods", method, parameter), parameter, value)
            if methods_with(parameter) and method not in methods_with(parameter):
                yield Problem(
                    ("methods", method, parameter),
                    f"{method} has no parameter {parameter!r}",
                    f"it belongs to {', '.join(methods_with(parameter))}",
                )
    if "bootstrap" in sweep.methods and not {"chain", "iterations"} & {*sweep.methods["bootstrap"], *sweep.space}:
        for index, pairing in enumerate(sweep.pairings):
            if not pairing.intermediates:
                yield Problem(
                    ("pairings", index),
                    f"bootstrap needs intermediate models between {pairing.weak!r} and {pairing.strong!r}",
                    "add intermediates: [...] to the pairing, or a chain or iterations to methods.bootstrap",
                )


_NEEDS = {"noise": "noise_rate", "dropped": "probe", "neighbours": "probe", "l2": "probe"}
"""Label parameters that say how something is done, and the one that says that it is done."""


def _without_need(names: Iterable[str], given: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yields each of `names` that means nothing without another one that is not `given`, and that other one.

    What a single step of a chain needs may be given for every step.
    """
    for name in names:
        head, prefix, last = name.rpartition(PREFIX)
        if not prefix or last not in _NEEDS:
            continue
        needed = f"{PREFIX}{_NEEDS[last]}"
        if not {f"{head}{needed}", f"{head and 'intermediate.'}{needed}"} & {*given}:
            yield name, f"{head}{needed}"


def _label_problems(sweep: Sweep) -> Iterator[Problem]:
    for method, settings in sweep.methods.items():
        for parameter, needed in _without_need(settings, {*settings, *sweep.space}):
            place: Place = ("methods", method, parameter)
            yield Problem(place, f"{parameter} does nothing without {needed}", f"set {needed} too, or remove it")
        if len(sweep.seeds) == 1 and settings.get("labels.ensemble") == "seeds":
            yield Problem(
                ("methods", method, "labels.ensemble"), "a sweep of one seed has no ensemble of seeds", "add seeds"
            )
    given = {*sweep.space, *(parameter for settings in sweep.methods.values() for parameter in settings)}
    for parameter, needed in _without_need(sweep.space, given):
        fix = f"set {needed} too, or remove it"
        yield Problem(("space", parameter), f"{parameter} does nothing without {needed}", fix)


def _prompt_problems(sweep: Sweep) -> Iterator[Problem]:
    for index, pairing in enumerate(sweep.pairings if "prompt" in sweep.methods else ()):
        model = sweep.models.get(pairing.strong)
        if model is not None and model.depth is not None:
            yield Problem(
                ("pairings", index, "strong"),
                f"prompt asks a whole decoder, and {pairing.strong!r} is cut at depth {model.depth}",
                "name a model without depth, or remove prompt from methods",
            )


def _probe_problems(sweep: Sweep) -> Iterator[Problem]:
    if "probe" not in sweep.methods:
        return
    dimension, name = sweep.space.get("probe_after"), "probe_after"
    for index, pairing in enumerate(sweep.pairings):
        searched = dimension.ends() if dimension and dimension.exists(name, "probe", pairing.name) else ()
        model = sweep.models.get(pairing.strong)
        if model and model.train in FROZEN and "weak" in (sweep.methods["probe"].get(name), *searched):
            yield Problem(
                ("pairings", index, "strong"),
                f"probe_after: weak probes finetuned features, and those of {pairing.strong!r} are frozen "
                f"(train: {model.train})",
                "name a model with train: full, top, lora or lp-ft, or leave probe_after at none",
            )


def _value_problems(sweep: Sweep, place: Place, parameter: str, value: Value) -> Iterator[Problem]:
    if not methods_with(parameter):
        yield _unknown(place, "parameter", parameter, known_parameters())
        return
    try:
        check_value(parameter, value)
    except ValueError as error:
        yield Problem(place, f"{error}, got {value!r}")
        return
    if parameter in ("chain", "labels.ensemble"):
        for name in chain_models(str(value)) if parameter == "chain" else ensemble_models(str(value)):
            if name not in sweep.models:
                yield _unknown(place, "model", name, sweep.models)


def _space_problems(sweep: Sweep) -> Iterator[Problem]:
    pairings = [pairing.name for pairing in sweep.pairings]
    for parameter, dimension in sweep.space.items():
        place: Place = ("space", parameter)
        found = [p for value in dimension.ends() for p in _value_problems(sweep, place, parameter, value)]
        yield from found[:1]
        if found:
            continue
        for method in dimension.when.method or ():
            if method not in sweep.methods:
                yield _unknown((*place, "when", "method"), "method", method, sweep.methods)
            elif method not in methods_with(parameter):
                fix = f"it belongs to {', '.join(methods_with(parameter))}"
                yield Problem((*place, "when", "method"), f"{method} has no parameter {parameter!r}", fix)
        for pairing in dimension.when.pairing or ():
            if pairing not in pairings:
                yield _unknown((*place, "when", "pairing"), "pairing", pairing, pairings)
        if not any(dimension.exists(parameter, m, p) for m in sweep.methods for p in pairings):
            fix = f"it belongs to {', '.join(methods_with(parameter))}; add one to methods, or remove it here"
            yield Problem(place, "no trial of this sweep has this parameter", fix)
        if sweep.search.sampler == "grid" and (dimension.log_uniform or (dimension.uniform and not dimension.points)):
            yield Problem(
                place, "grid search cannot visit every point of this range", "give choice, int, or uniform with points"
            )


def _chain_loss_problems(sweep: Sweep) -> Iterator[Problem]:
    """A chain's loss is a parameter itself, so only here it can be seen that no loss it may have uses another one."""
    fixed = sweep.methods.get("bootstrap", {})
    given: list[tuple[Place, str]] = [(("methods", "bootstrap", name), name) for name in fixed]
    given += [
        (("space", name), name) for name in sweep.space if {*methods_with(name)} & {*sweep.methods} == {"bootstrap"}
    ]
    losses = {str(value) for name, value in fixed.items() if name.rsplit(".", 1)[-1] == "loss"}
    losses |= {str(v) for name, d in sweep.space.items() if name.rsplit(".", 1)[-1] == "loss" for v in d.ends()}
    for place, name in given:
        if unused_by(losses, name.rsplit(".", 1)[-1]):
            yield Problem(
                place, f"no loss of the chain uses {name!r}", "set loss or intermediate.loss to one that does"
            )


def _at_once_problems(sweep: Sweep) -> Iterator[Problem]:
    for index, pairing in enumerate(sweep.pairings):
        model = sweep.models.get(pairing.strong)
        if model is None or model.train not in AT_ONCE:
            continue
        for method in sweep.methods:
            if method in LOSSES:
                yield Problem(
                    ("pairings", index, "strong"),
                    f"{pairing.strong!r} is fitted at once (train: {model.train}), so it cannot learn by {method}",
                    "name a model with train: head, or leave the method out",
                )


def _variation_problems(sweep: Sweep) -> Iterator[Problem]:
    if any(dimension.varies for dimension in sweep.space.values()):
        return
    if sweep.space:
        yield Problem(
            ("space",), "the space never varies: it holds constants alone", "give a range or a choice, or remove it"
        )
    elif sweep.search.trials > len(sweep.pairings) * len(sweep.methods):
        most = len(sweep.pairings) * len(sweep.methods)
        yield Problem(
            ("search", "trials"),
            f"{sweep.search.trials} trials, but without a space only {most} differ (pairings x methods)",
            f"add a space, or ask for {most}",
        )


def _other_problems(sweep: Sweep) -> Iterator[Problem]:
    if len(set(sweep.seeds)) != len(sweep.seeds):
        yield Problem(("seeds",), f"a seed is there twice in {list(sweep.seeds)}", "a repeated seed adds no evidence")
    for index, seed in enumerate(sweep.seeds):
        if not 0 <= seed < 2**31:
            yield Problem(("seeds", index), f"seed {seed} is out of range", "use 0 to 2147483647")
    for name in sweep.resources.models:
        if name not in sweep.models:
            yield _unknown(("resources", "models", name), "model", name, sweep.models)


def _confirm_problems(sweep: Sweep) -> Iterator[Problem]:
    """An ensemble of another number of seeds would be another supervisor than the one that was chosen."""
    confirm, searched = sweep.search.confirm, len(sweep.seeds)
    ensembles: list[Value | None] = [settings.get("labels.ensemble") for settings in sweep.methods.values()]
    if "labels.ensemble" in sweep.space:
        ensembles += sweep.space["labels.ensemble"].ends()
    if confirm not in (0, searched) and "seeds" in ensembles:
        yield Problem(
            ("search", "confirm"),
            f"an ensemble of {searched} seeds cannot be confirmed with {confirm}",
            f"set {searched}, or 0 for none",
        )


def _credential_problems(sweep: Sweep) -> Iterator[Problem]:
    """A spec is kept in the store and shown in MLflow, so that a secret in it would be everybody's."""
    of_mlflow = (
        "leave them out: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN, hold "
        "those of a server; a database's whole URI goes into MLFLOW_TRACKING_URI"
    )
    task = sweep.task
    named: dict[Place, str | None] = {("tracking", "uri"): sweep.tracking.uri, ("store",): sweep.store}
    named.update({("task", "source"): task.source, ("task", "test_source"): task.test_source})
    named.update({("models", name, "source"): model.source for name, model in sweep.models.items()})
    for place, address in named.items():
        if address and without_secrets(address) != address:
            mend = of_mlflow if place[0] == "tracking" else "leave them out: a spec is kept and shown"
            yield Problem(place, f"{without_secrets(address)} holds credentials", mend)
    storage = sweep.search.storage
    if storage and database_without_secrets(storage) != storage:
        yield Problem(
            ("search", "storage"),
            f"{database_without_secrets(storage)} holds credentials",
            "leave them out: PGPASSWORD or PGPASSFILE hold a password of Postgres; a whole URL goes into W2S_STUDY_URL",
        )
    elif storage and not re.match(r"sqlite:////|postgres(ql)?(\+psycopg)?://", storage):
        yield Problem(
            ("search", "storage"),
            f"{storage} can hold no study",
            STORAGE_FORM,
        )


def _store_problems(sweep: Sweep) -> Iterator[Problem]:
    if not is_uri(sweep.store):
        return
    try:
        normalised(sweep.store)
    except ValueError as error:
        mend = "name a folder, or a bucket and a prefix; credentials come from the environment alone"
        yield Problem(("store",), str(error), mend)
