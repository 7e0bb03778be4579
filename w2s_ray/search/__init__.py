"""Optuna seen from Tune: the study that remembers, the searcher, the pruner, the driver."""
