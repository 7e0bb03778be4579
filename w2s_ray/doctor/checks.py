"""Which checks there are. A new one is a function in its group's file and a name here."""

from w2s_ray.doctor.access import token
from w2s_ray.doctor.machine import gpus, limits, packages, shared_memory, temporary_disk
from w2s_ray.doctor.sources import sources
from w2s_ray.doctor.spec import disk_of_the_store, resources
from w2s_ray.doctor.store import store
from w2s_ray.doctor.tracking import mlflow, study

ON_EACH_MACHINE = (packages, limits, temporary_disk, shared_memory, gpus, store, sources)
"""What every machine is looked at for; each takes a `Need`."""

OF_THE_DRIVER = (token, mlflow, study, disk_of_the_store, resources)
"""What only the driver meets; each takes a `Request`."""
