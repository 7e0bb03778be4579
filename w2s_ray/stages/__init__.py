"""Stages named by their content, the store that keeps them, the broker that runs each once."""
