"""Study and store projected to MLflow: for people to look at, never to be read back.

The projection is a function of the sweep's record: what is in MLflow may be deleted and made again at any time, and the
same record gives the same runs, never twice. Nothing here imports mlflow (seconds) before it is needed.
"""

from w2s_ray.tracking.background import BackgroundTracker
from w2s_ray.tracking.location import artifact_root, tracking_uri
from w2s_ray.tracking.projection import Projection, project

__all__ = ["BackgroundTracker", "Projection", "artifact_root", "project", "tracking_uri"]
