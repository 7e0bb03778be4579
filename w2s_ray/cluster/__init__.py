"""What talks to a Ray cluster from outside, through its Jobs API.

A sweep on a cluster is one job whose driver is `w2s run`: it runs on the head node, asks Ray for everything else, and
remembers nothing that matters. So nothing is lost with a job, a head or a whole cluster that the store does not have,
and to submit a sweep again is to resume it. The room is thin: an address and who may use it, what a job carries, and
the jobs of one sweep.
"""
