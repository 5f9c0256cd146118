#!/usr/bin/python3
"""Measures the rate of an audit as a share of the engine's own rate.

The engine (tests/bench/engine.c) times forwards of ten views before and after the audit, so that the machine is in the
same state. An audit of the same pair does these forwards, and for every image decoding, views, distances and a durable
commit. The share is measured by the clock, which other programs disturb, and by processor time, which does not include
waiting for the disk. A disturbed measurement is repeated; the least disturbed one counts."""

import math
import os
import sys
import time

import daemon

sys.path.insert(0, str(daemon.ROOT / "tests/bench"))
import networks  # noqa: E402
from turns import Program, busy_s, cpu_s  # noqa: E402

LIMITS = {32: 0.85, 224: 0.95}
DISTURBED_MAX = 0.05


def measure(options, name, workers):
    pair = networks.make(options.out, name)
    side = networks.picture_side(networks.NETWORKS[name])
    forwards = 2 * networks.VIEWS
    with Program([options.engine, "--kernels", "auto", "--views", networks.VIEWS, pair]) as engine, \
            daemon.folder(options, "throughput") as folder, \
            daemon.Daemon(options, folder, pair.parent, "--workers", workers) as service:
        first = engine.ask("forward", workers, 1)
        image_s = forwards * first["ms"] / networks.VIEWS / 1000 / workers
        count = max(2 * workers, math.ceil(options.seconds / image_s))
        rounds = max(2, math.ceil(options.seconds / 4 * 1000 / first["ms"]))
        audit = service.new_audit(name)
        service.add(audit, "candidate", ((f"{i}.png", networks.png(100 + i, side)) for i in range(count)), 100)
        busy, began, others = busy_s(), time.monotonic(), cpu_s(engine.process.pid)
        before = engine.ask("forward", workers, rounds)
        cpu = cpu_s(service.process.pid)
        service.start(audit)
        document = service.await_end(audit, every_s=0.1)
        cpu = cpu_s(service.process.pid) - cpu
        after = engine.ask("forward", workers, rounds)
        own = cpu + cpu_s(engine.process.pid) - others
        disturbed = max(0, busy_s() - busy - own) / (time.monotonic() - began) / len(os.sched_getaffinity(0))
        wall = milliseconds(document["finished"]) - milliseconds(document["started"])
        engine_ms = {key: (before[key] + after[key]) / 2 / networks.VIEWS * forwards for key in ("ms", "cpu_ms")}
        return {"count": count, "rate": 1000 * count / wall, "by_clock": engine_ms["ms"] * count / workers / wall,
                "by_cpu": engine_ms["cpu_ms"] * count / (1000 * cpu), "disturbed": disturbed}


def least_disturbed(options, name, workers):
    tries = []
    while len(tries) < options.tries and not (tries and tries[-1]["disturbed"] < DISTURBED_MAX):
        tries.append(measure(options, name, workers))
    return min(tries, key=lambda got: got["disturbed"])


def milliseconds(text):
    """Returns the milliseconds since midnight of a time such as "2026-01-31T12:34:56.789Z"."""
    hours, minutes, seconds = text[11:-1].split(":")
    return 1000 * (3600 * int(hours) + 60 * int(minutes) + float(seconds))


def main():
    options = daemon.options(__doc__, networks="vit-tiny2-32,vit-b16-224", workers="1,2", seconds=20.0, tries=4,
                             engine=str(daemon.ROOT / "build/release/bench/engine"), out=str(daemon.ROOT / "build/bench"))
    verdicts = daemon.Verdicts()
    for name in options.networks.split(","):
        limit = LIMITS[networks.NETWORKS[name]["side"]]
        for workers in map(int, options.workers.split(",")):
            got = least_disturbed(options, name, workers)
            verdicts.check(got["by_clock"] >= limit, f"{name}, {workers} workers: {got['count']} images, {got['rate']:.2f}/s, "
                           f"{100 * got['by_clock']:.1f} % of the engine ({100 * got['by_cpu']:.1f} % by processor time), limit "
                           f"{100 * limit:.0f} %; others took {100 * got['disturbed']:.0f} % of the processors")
    verdicts.end()


if __name__ == "__main__":
    main()
