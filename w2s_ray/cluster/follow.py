"""A job's output as it comes, to its end. A connection that breaks is made again, and nothing is printed twice."""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from w2s_ray.cluster.address import ClusterError
from w2s_ray.cluster.client import no_answer
from w2s_ray.cluster.jobs import Job, find

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

_TRIES = 6  # pauses of 1, 2, 4, ... s between them: half a minute
_PAUSE_SECONDS = 1.0


def follow(client: "JobSubmissionClient", job: Job) -> Job:
    """Prints what a job's driver prints until it ends, and returns the job as it ended.

    Raises:
        ClusterError: the cluster does not answer any more; the sweep may still run.
    """
    return asyncio.run(_follow(client, job))


async def _follow(client: "JobSubmissionClient", job: Job) -> Job:
    import aiohttp

    printed = failures = 0
    while True:
        try:
            async for text in _after(client, job.id, printed):
                print(text, end="", flush=True)
                printed, failures = printed + len(text), 0
            now = find(client, job.id)
            if now.is_over:
                return now
        except (RuntimeError, OSError, aiohttp.ClientError, ClusterError) as error:
            failures += 1
            if failures == _TRIES:
                raise ClusterError(no_answer(client.get_address())) from error
        await asyncio.sleep(_PAUSE_SECONDS * 2 ** max(0, failures - 1))


async def _after(client: "JobSubmissionClient", job_id: str, printed: int) -> AsyncIterator[str]:
    """Yields a job's output from the character `printed` on; Ray always begins with the first."""
    skip = printed
    async for text in client.tail_job_logs(job_id):
        if text[skip:]:
            yield text[skip:]
        skip = max(0, skip - len(text))
