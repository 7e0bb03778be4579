"""A finished student taken out of the store: a folder that transformers loads, and an MLflow model.

The numbers that an export gives are those that the sweep measured; that is checked on test examples while it is
written. What travels with the weights is one file of code, `w2s_student.py`, which needs torch and transformers alone.
Nothing is pickled. Importing this room imports neither torch nor mlflow.
"""

from w2s_ray.export.choice import Chosen, choose_student

__all__ = ["Chosen", "choose_student"]
