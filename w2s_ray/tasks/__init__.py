"""From raw rows to examples with labels and splits.

    read    every row of the source, named so that people find it, with what is wrong with it, if something is
    clean   bad rows, third classes and repeated texts are left out, counted and named
    split   weak, student, validation and test: disjoint by group and text, balanced, stable when rows are added

Each family of sources has a file: the sets of one archive (`sentiment`), public sets by name (`public`, whose entries
are in `choices`, `pairs` and `single`), a table on disk, a Python function (`code`), any data set of a hub.
"""

from w2s_ray.tasks.load import fingerprint, load_examples, prefetch

__all__ = ["fingerprint", "load_examples", "prefetch"]
