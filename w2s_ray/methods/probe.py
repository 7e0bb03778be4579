"""A linear probe on the strong model (Burns et al., section 5.2.3): how linearly a task is represented, and since when.

Figure 11 compares five accuracies: a probe of the pretrained model on weak labels and on ground truth, the model
finetuned on weak labels (the naive student), a probe with ground truth on *its* features, and the ceiling. Where that
probe is far above the one of the pretrained model, finetuning on weak labels has made the task more salient. Each adds
one probe and one pass for features; the finetuned model is the naive student, and is trained once.

With `probe_labels: truth` the probe learns ground truth of the student's half, which a real student never sees: an
analysis, not a method.
"""

from w2s_ray.methods.parts import Params, Parts
from w2s_ray.spec import Pairing
from w2s_ray.spec.method import PROBE_PARAMETERS, Probing
from w2s_ray.stages.stage import Stage


def recipe(parts: Parts, pairing: Pairing, weak: Stage, params: Params, seed: int) -> dict[str, Stage]:
    """Returns the probe as `student`, and as `finetuned` the model whose features it reads if it was finetuned."""
    asked = Probing.model_validate({name: params[name] for name in PROBE_PARAMETERS if name in params})
    labels = weak if asked.probe_labels == "weak" else None
    if asked.probe_after == "none":
        features = parts.features(pairing.strong)
        return {"student": parts.probe(pairing.strong, features, labels, asked.probe_l2, seed)}
    finetuned = parts.student(pairing.strong, weak, params, seed, "finetuned")
    features = parts.finetuned_features(pairing.strong, finetuned)
    return {"finetuned": finetuned, "student": parts.probe(pairing.strong, features, labels, asked.probe_l2, seed)}
