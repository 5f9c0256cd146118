#!/usr/bin/python3
"""One audit on a Ray cluster: a task computes a shard; this process merges when all are done.

    ray_shards.py 7 OUT --pair DIR --candidate DIR --external DIR

The options are those of `sslmem audit`. OUT, the pair and the images lie on a file system of all nodes, and sslmem is
in their PATH. A task whose node is lost runs again elsewhere and goes on from where it was."""

import pathlib
import subprocess
import sys

import ray

CORES = 4  # of a task


@ray.remote(num_cpus=CORES, max_retries=3, retry_exceptions=True)
def shard(number, shards, out, options):
    """Computes a shard; returns its folder. A shard that fails is tried again, also on another node."""
    folder = f"{out}/shard-{number}"
    done = subprocess.run(["sslmem", "audit", *options, "--quiet", "--workers", str(CORES), "--shard", f"{number}/{shards}",
                           "--out", folder], stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"shard {number} of {shards}: exit code {done.returncode}: {done.stderr[-2000:]}")
    return folder


def main():
    if len(sys.argv) < 4:
        print("usage: ray_shards.py SHARDS OUT OPTION... (the options of sslmem audit)", file=sys.stderr)
        return 2
    shards, out, options = int(sys.argv[1]), pathlib.Path(sys.argv[2]).absolute(), sys.argv[3:]
    out.mkdir(parents=True, exist_ok=True)
    ray.init()
    parts = ray.get([shard.remote(number, shards, str(out), options) for number in range(1, shards + 1)])
    return subprocess.run(["sslmem", "audit", "merge", str(out / "report"), *parts]).returncode


if __name__ == "__main__":
    sys.exit(main())
