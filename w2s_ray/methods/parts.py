"""The building blocks that recipes put together: one function for each role a stage can have.

Two recipes that mean the same training get the same stage, whatever they call it: what a loss does not use is dropped,
so a confidence student at alpha 0 *is* the naive student.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from w2s_ray.assets import fingerprint_of
from w2s_ray.spec import Loss, Model, Resources, Sweep, Training, replace
from w2s_ray.spec.method import TRAINING_PARAMETERS, Value, loss_of
from w2s_ray.spec.model import AT_ONCE, ON_FEATURES
from w2s_ray.stages.stage import Execution, ExtractFeatures, Finetune, LoadExamples, ModelIdentity, Stage
from w2s_ray.tasks import fingerprint

Params = Mapping[str, Value]
Half = Literal["weak", "student"]


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
            source=source, test_source=test_source, columns=task.columns, splits=task.splits, seed=task.seed
        )
        execution = Execution(
            source=task.source,
            revision=task.revision,
            test_source=task.test_source,
            resources=Resources(),
            label=f"examples of {task.source}",
        )
        return Stage(settings, {}, execution)

    def baseline(self, name: str, half: Half, seed: int, role: str) -> Stage:
        """Model `name` on the ground truth of a half, with its fixed hyper-parameters: weak supervisor or ceiling."""
        return self._finetune(name, half, Loss().normal(), self.sweep.models[name].baseline, seed, role, None)

    def student(self, name: str, labels: Stage, params: Params, seed: int, role: str = "student") -> Stage:
        """Model `name` on the student half with the predictions of `labels`; `params` change its baseline settings."""
        changes = {key: value for key, value in params.items() if key in TRAINING_PARAMETERS}
        training = replace(self.sweep.models[name].baseline, **changes)
        return self._finetune(name, "student", loss_of(params), training, seed, role, labels)

    def features(self, name: str) -> Stage:
        """The frozen features of model `name`; names the depths that the sweep's other models want of the same pass."""
        model = self.sweep.models[name]
        settings = ExtractFeatures(model=self._identity(name), precision=model.baseline.precision)
        return Stage(settings, {"examples": self.examples}, self._features_execution(model))

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

    def _finetune(
        self, name: str, half: Half, loss: Loss, training: Training, seed: int, role: str, labels: Stage | None
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
            inputs["features"] = self.features(name)
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

    def _identity(self, name: str) -> ModelIdentity:
        model = self.sweep.models[name]
        return ModelIdentity(
            weights=self._weights[name], depth=model.depth, pooling=model.pooling, max_length=model.max_length
        )

    @cached_property
    def _weights(self) -> dict[str, str]:
        return {name: fingerprint_of(model.source, model.revision) for name, model in self.sweep.models.items()}
