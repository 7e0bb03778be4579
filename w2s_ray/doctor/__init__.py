"""What would break a run later, found in one go and before it starts; each finding says how to mend it.

A check is a plain function that returns findings. Those of a machine (`machine`, `store`, `sources`) run on this one
or, as Ray tasks, on each node of a cluster; those of the driver (`access`, `tracking`, `spec`) run once. `cluster` asks
the nodes and compares them, `remote` sends it all to a cluster as a job. All checks run, whatever the others find, each
for a bounded time: what hangs is found to hang. Nothing is downloaded; what is written into the store is removed.
"""
