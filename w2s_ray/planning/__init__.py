"""How long a sweep takes on a cluster and what it costs, before it is started; docs/planning.md has the formulas."""
