"""Storage of a simulated cluster that is being rebuilt: each job advances with time and ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from shunter.topology.model import StorageJob

if TYPE_CHECKING:
    from shunter.clusters.simulated.cluster import SimulatedCluster

WHOLE_S = 3600.0
"""So long takes a whole job of the cluster file; of one that is half done, half of that is left."""
STEP_PERCENT = 5
"""A job is seen to advance by this much at a time."""


class StorageJobs:
    """The jobs under way."""

    def __init__(self, world: SimulatedCluster, jobs: Iterable[StorageJob]) -> None:
        self._world = world
        self._jobs: dict[int, StorageJob] = {}
        self._number = 0
        for job in jobs:
            self._take_up(job, WHOLE_S)

    def now(self) -> tuple[StorageJob, ...]:
        return tuple(self._jobs.values())

    def begin(self, volume: str, duration_s: float) -> None:
        """Without effect while the volume is being rebuilt already."""
        if any(job.volume == volume for job in self._jobs.values()):
            return
        job = StorageJob(name=f"repair of {volume}", volume=volume)
        self._take_up(job, duration_s)
        self._world.touch()
        self._world.witness.saw("storage_job_started", name=job.name, volume=volume)

    def end(self, volume: str) -> None:
        """The volume's redundancy is back."""
        for number in [number for number, job in self._jobs.items() if job.volume == volume]:
            self._end_one(number)

    def _take_up(self, job: StorageJob, whole_s: float) -> None:
        self._number += 1
        self._jobs[self._number] = job
        self._world.in_background(self._advance(self._number, whole_s))

    async def _advance(self, number: int, whole_s: float) -> None:
        """Step by step until it is over, or something else has ended it."""
        while number in self._jobs:
            job = self._jobs[number]
            if job.percent >= 100:
                self._end_one(number)
                return
            step = min(STEP_PERCENT, 100 - job.percent)
            await self._world.clock.sleep(whole_s * step / 100)
            if number in self._jobs:
                self._jobs[number] = job.model_copy(update={"percent": job.percent + step})
                self._world.touch()

    def _end_one(self, number: int) -> None:
        job = self._jobs.pop(number)
        self._world.touch()
        self._world.witness.saw("storage_job_ended", name=job.name, volume=job.volume)
