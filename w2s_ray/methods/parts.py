"""The building blocks that recipes put together: one function for each role a stage can have.

Two recipes that mean the same training get the same stage, whatever they call it: what a loss does not use is dropped,
so a confidence student at alpha 0 *is* the naive student.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from w2s_ray.assets import fingerprint_of
from w2s_ray.spec import Loss, Model, Resources, Sweep, Training, replace
from w2s_ray.spec.method import TRAINING_PARAMETERS, Value, loss_of
from w2s_ray.spec.model import AT_ONCE, FROZEN, ON_FEATURES
from w2s_ray.stages.operations import Operation
from w2s_ray.stages.stage import (
    Execution,
    ExtractFeatures,
    Finetune,
    Hint,
    LoadExamples,
    ModelIdentity,
    Prompt,
    Relabel,
    Stage,
)
from w2s_ray.tasks import fingerprint

Params = Mapping[str, Value]
Half = Literal["weak", "student"]

_SAME_CLASS = ("harden", "temper")
"""Operations that change no label's most probable class."""


@dataclass(frozen=True)
class Parts:
    """The stages of one sweep. Building them reads files to fingerprint them, but downloads and trains nothing."""

    sweep: Sweep

    @cached_property
    def examples(self) -> Stage:
        """The cleaned and split task."""
        task = self.sweep.task
        source, test_source = fingerprint(task)
        settings = LoadExamples(
            source=source,
            test_source=test_source,
            columns=task.columns,
            splits=task.splits,
            classes=task.classes,
            balance=task.balance,
            difficulty=task.difficulty,
            seed=task.seed,
        )
        execution = Execution(
            source=task.source,
            revision=task.revision,
            test_source=task.test_source,
            resources=self._light,
            label=f"examples of {task.source}",
        )
        return Stage(settings, {}, execution)

    def with_fresh_seeds(self) -> "Parts":
        """Returns the parts of the same sweep with its fresh seeds in place of its own; it asks for at least one."""
        return Parts(replace(self.sweep, seeds=self.sweep.fresh_seeds))

    def baseline(self, name: str, half: Half, seed: int, role: str) -> Stage:
        """Model `name` on the ground truth of a half, with its fixed hyper-parameters: weak supervisor or ceiling."""
        key = ("baseline", name, half, seed, role)
        if key not in self._shared:
            training = self.sweep.models[name].baseline
            self._shared[key] = self._finetune(name, half, Loss().normal(), training, seed, role, None)
        return self._shared[key]

    def student(
        self, name: str, labels: Stage, params: Params, seed: int, role: str = "student", texts: Stage | None = None
    ) -> Stage:
        """Model `name` on the student half with the predictions of `labels`; `params` change its baseline settings.

        `texts` stand in for those of the examples.
        """
        changes = {key: value for key, value in params.items() if key in TRAINING_PARAMETERS}
        training = replace(self.sweep.models[name].baseline, **changes)
        return self._finetune(name, "student", loss_of(params), training, seed, role, labels, texts)

    def prompt(self, name: str, labels: Stage, params: Params, seed: int) -> Stage:
        """Model `name` as it answers untrained; what draws no shots has neither labels nor seed."""
        model = self.sweep.models[name]
        shots = int(params.get("shots", 0))
        settings = Prompt.model_validate(
            {
                "model": self._identity(name),
                "template": params.get("template", ""),
                "shots": shots,
                "shot_labels": params.get("shot_labels", "weak") if shots else "weak",
                "seed": seed if shots else 0,
            }
        )
        execution = Execution(
            source=model.source,
            revision=model.revision,
            resources=replace(self.sweep.resources.of(name), workers=1),  # nothing is trained, so nothing is divided
            label=f"prompted {name}" + (f" seed {seed}" if shots else ""),
        )
        return Stage(settings, {"examples": self.examples, **({"labels": labels} if shots else {})}, execution)

    def hint(self, labels: Stage) -> Stage:
        """The examples with the class of `labels` appended to their texts.

        Hardening and temperature change no class, so that hints of such labels are those of the labels before.
        """
        while isinstance(labels.settings, Relabel) and labels.settings.operation.operation in _SAME_CLASS:
            labels = labels.inputs["labels"]
        label = f"hints of {labels.execution.label}"
        return Stage(
            Hint(), {"examples": self.examples, "labels": labels}, Execution(label=label, resources=self._light)
        )

    def features(self, name: str, texts: Stage | None = None) -> Stage:
        """The frozen features of model `name`; names the depths that the sweep's other models want of the same pass.

        Those of other `texts` than the examples' own are wanted at one depth alone.
        """
        model = self.sweep.models[name]
        settings = ExtractFeatures(model=self._identity(name), precision=model.baseline.precision)
        if texts is not None:
            execution = self._features_execution(model)
            own = dataclasses.replace(execution, depths=(), label=f"{execution.label} with {texts.execution.label}")
            return Stage(settings, {"examples": texts}, own)
        if ("features", name) not in self._shared:
            stage = Stage(settings, {"examples": self.examples}, self._features_execution(model))
            self._shared["features", name] = stage
        return self._shared["features", name]

    def _features_execution(self, model: Model) -> Execution:
        kin = ("source", "revision", "pooling", "max_length")
        depths = [
            other.depth
            for other in self.sweep.models.values()
            if all(getattr(other, field) == getattr(model, field) for field in kin)
            and other.train in ON_FEATURES
            and other.baseline.precision == model.baseline.precision
        ]
        return Execution(
            source=model.source,
            revision=model.revision,
            resources=self.sweep.resources.features,
            label=f"features of {model.source}",
            depths=tuple(sorted(set(depths), key=lambda depth: (depth is None, depth))),
        )

    def finetuned_features(self, name: str, finetuned: Stage) -> Stage:
        """The features of model `name` with the weights of `finetuned`, as its head reads them."""
        model = self.sweep.models[name]
        settings = ExtractFeatures(model=self._identity(name), precision=model.baseline.precision)
        label = f"features of {finetuned.execution.label}"
        execution = dataclasses.replace(self._features_execution(model), depths=(), label=label)
        return Stage(settings, {"examples": self.examples, "weights": finetuned}, execution)

    def probe(self, name: str, features: Stage, labels: Stage | None, l2: float, seed: int) -> Stage:
        """A logistic probe on `features` of model `name`; without `labels` it learns the truth of the student half."""
        settings = Finetune(
            model=self._identity(name),
            train="logistic",
            half="student",
            loss=Loss().normal(),
            training=Training(),
            seed=seed,
            l2=l2,
        )
        inputs = {"examples": self.examples, "features": features, **({} if labels is None else {"labels": labels})}
        model = self.sweep.models[name]
        execution = Execution(
            source=model.source,
            revision=model.revision,
            resources=replace(self.sweep.resources.of(name), workers=1),  # fitted at once: nothing to divide
            label=f"probe {name} seed {seed}",
            private=True,
        )
        return Stage(settings, inputs, execution)

    def relabel(self, operation: Operation, inputs: Mapping[str, Stage]) -> Stage:
        """One operation on labels; `inputs` are those it names besides the examples."""
        source = next(iter(inputs.values())).execution.label
        execution = Execution(label=f"{operation.operation} of {source}", resources=self._light)
        return Stage(Relabel(operation=operation), {"examples": self.examples, **inputs}, execution)

    def _finetune(
        self,
        name: str,
        half: Half,
        loss: Loss,
        training: Training,
        seed: int,
        role: str,
        labels: Stage | None,
        texts: Stage | None = None,
    ) -> Stage:
        model = self.sweep.models[name]
        settings = Finetune(
            model=self._identity(name),
            train=model.train,
            half=half,
            loss=Loss(smoothing=loss.smoothing).normal() if model.train in AT_ONCE else loss,
            training=Training() if model.train in AT_ONCE else training,
            seed=seed,
            **model.options,
        )
        inputs = {"examples": self.examples}
        if model.train in ON_FEATURES:
            inputs["features"] = self.features(name, texts)
        if texts is not None and model.train not in FROZEN:
            inputs["texts"] = texts
        if labels is not None:
            inputs["labels"] = labels
        execution = Execution(
            source=model.source,
            revision=model.revision,
            resources=self.sweep.resources.of(name),
            label=f"{role} {name} seed {seed}",
            private=role == "student",
        )
        return Stage(settings, inputs, execution)

    @property
    def _light(self) -> Resources:
        """For seconds of one CPU, whatever trainings take; on the nodes that the default names, so that it starts none
        of another kind."""
        return Resources(custom=self.sweep.resources.default.custom)

    def _identity(self, name: str) -> ModelIdentity:
        model = self.sweep.models[name]
        return ModelIdentity(
            weights=self._weights[name], depth=model.depth, pooling=model.pooling, max_length=model.max_length
        )

    @cached_property
    def _shared(self) -> dict[tuple[object, ...], Stage]:
        """Stages that every trial has; building them anew for each was most of the time that a plan took."""
        return {}

    @cached_property
    def _weights(self) -> dict[str, str]:
        return {name: fingerprint_of(model.source, model.revision) for name, model in self.sweep.models.items()}
