"""A Dask scheduler on this machine whose workers are Slurm jobs: ``python cluster.py --jobs 4``, ended with Ctrl-C.

Needs dask-jobqueue, here and nowhere else. A worker whose job ends (a time limit, ``scancel``) is replaced by another.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from dask_jobqueue import SLURMCluster


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1, help="workers, each of them a Slurm job")
    parser.add_argument("--cores", type=int, default=4, help="of a job, all of them for one thing at a time")
    parser.add_argument("--memory", default="8GB", help="of a job")
    parser.add_argument("--hours", type=int, default=4, help="until Slurm ends a job")
    parser.add_argument("--queue", help="Slurm's partition (default: Slurm's own)")
    parser.add_argument("--host", help="address at which the nodes reach this machine")
    parser.add_argument("--port", type=int, default=8786)
    given = parser.parse_args()
    cluster = SLURMCluster(
        queue=given.queue, cores=1, processes=1, job_cpu=given.cores, memory=given.memory, walltime=f"{given.hours}:00:00",
        python=sys.executable, worker_extra_args=["--no-dashboard", "--preload", "landscape.runs.worker"],
        scheduler_options={"host": given.host, "port": given.port, "dashboard": False})
    cluster.adapt(minimum_jobs=given.jobs, maximum_jobs=given.jobs)
    print(f"landscape app --scheduler {cluster.scheduler_address}", flush=True)
    ended = threading.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, lambda *_: ended.set())
    ended.wait()
    cluster.close()  # with it, its jobs


if __name__ == "__main__":
    main()
