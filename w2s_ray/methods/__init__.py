"""Each method as a recipe: names in, stage graph out. A method costs only the stages that it adds."""

from w2s_ray.methods.experiment import BASELINES, Experiment, plan_stages, stages_of
from w2s_ray.methods.parts import Parts

__all__ = ["BASELINES", "Experiment", "Parts", "plan_stages", "stages_of"]
