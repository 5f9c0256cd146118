#!/usr/bin/python3
"""`make bench`: what the engine and the service reach on this machine. Prints tables, writes build/bench.json.

    tests/bench/bench.py --binary build/release/sslmem --engine build/release/bench/engine [--networks NAME,NAME]
                         [--kernels ROW,ROW] [--openblas CORE] [--seconds N]

Engine: forwards of ten views with one and with two workers, pinned threads. Every timing stands between two of OpenBLAS's
sgemm on as many threads, in the same process, and is given as a share of their rate; absolute times of different runs or
machines say nothing. Rates are those of processor time, milliseconds those of the clock. Service: images posted over HTTP by 2 clients per worker until each has its committed score; the
engine is timed before and after, and overhead is what the service takes beyond the forwards: HTTP, decoding, views,
distances, commit. It is given by the clock, and by processor time, which other programs on the machine disturb less.
Rates of history are measured with wrk on the same cores."""

import argparse
import concurrent.futures
import http.client
import itertools
import json
import math
import pathlib
import re
import statistics
import subprocess
import tempfile
import time

import networks
import small
from networks import NETWORKS, VIEWS
from turns import ROOT, Program, cpu_s, environment, machine, peak_mb, reset_peak, table

PEAK_FLOP = 2 * 2048**3
SERVED = ("vit-tiny2-32", "resnet50-32", "vit-s16-224", "vit-b16-224", "resnet50-224")
DEMO = ROOT / "deploy/demo"


# --- engine -----------------------------------------------------------------------------------------


def sgemm_gflops(engine, workers):
    """Rate of one thread while `workers` of them multiply."""
    return PEAK_FLOP / engine.ask("peak", workers, 2)["cpu_ms"] / 1e6


def rounds_for(seconds, round_ms, least=2):
    return max(least, math.ceil(seconds * 1000 / round_ms))


def time_engine(options, folder, row):
    """One network on one row of kernels, with one and two workers."""
    out = {}
    for workers in (1, 2):
        variables = {"OPENBLAS_CORETYPE": options.openblas} if options.openblas else {}
        with Program([options.engine, "--kernels", row, "--views", VIEWS, folder], **variables) as engine:
            pid = engine.process.pid
            engine.ask("peak", workers, 1)
            reset_peak(pid)
            first = engine.ask("forward", workers, 1)
            peak, times = [sgemm_gflops(engine, workers)], []
            for _ in range(3):
                times.append(engine.ask("forward", workers, rounds_for(options.seconds / 3, first["ms"], 1)))
                peak.append(sgemm_gflops(engine, workers))
            median = {key: statistics.median(t[key] for t in times) / VIEWS for key in times[0]}
            gflops = 2 * engine.facts["multiply_adds"] / median["cpu_ms"] / 1e6
            out[workers] = {"ms_per_view": median["ms"], "best_ms_per_view": median["best_ms"], "cpu_ms_per_view": median["cpu_ms"],
                            "gflops": gflops, "sgemm_gflops": statistics.median(peak), "of_sgemm": gflops / statistics.median(peak),
                            "peak_mb": peak_mb(pid) - 48 * workers,  # the sgemm's three matrices
                            "weights_mb": min(workers, 2) * engine.facts["parameters"] * 4 / 2**20}
            out["facts"] = engine.facts
    out["scaling"] = 2 * out[1]["ms_per_view"] / out[2]["ms_per_view"]
    return out


def bench_engine(options, names):
    rows = [("engine, a worker's", "row", "GMAC", "ms/view", "GFLOP/s", "of sgemm", "2 workers", "of sgemm", "speed-up",
             "peak MB", "weights")]
    found = {}
    for name, row in itertools.product(names, options.kernels):
        got = time_engine(options, networks.make(options.out, name), row)
        found.setdefault(name, {})[row] = got
        rows.append((NETWORKS[name]["title"], got["facts"]["kernels"], got["facts"]["multiply_adds"] / 1e9,
                     got[1]["ms_per_view"], got[1]["gflops"], got[1]["of_sgemm"], got[2]["ms_per_view"],
                     got[2]["of_sgemm"], got["scaling"], got[1]["peak_mb"], got[1]["weights_mb"]))
        print(f"{name} {row}: {got[1]['of_sgemm']:.2f} of sgemm", flush=True)
    table(rows)
    return found


# --- service ----------------------------------------------------------------------------------------


class Service:
    """The real binary on a free port, with a new database."""

    def __init__(self, options, pairs, workers, *more):
        self.folder = tempfile.TemporaryDirectory(prefix="sslmem-bench-")
        self.log = open(pathlib.Path(self.folder.name) / "log", "wb")
        self.process = subprocess.Popen(
            [str(options.binary), "serve", "--listen", "127.0.0.1:0", "--pairs", str(pairs), "--workers", str(workers),
             "--kernels", options.kernels[0], "--db", f"{self.folder.name}/bench.db", *more],
            stdout=subprocess.PIPE, stderr=self.log, env=environment())
        line = self.process.stdout.readline().decode()
        match = re.match(r"listening on http://(.*):(\d+)$", line)
        if not match:
            raise SystemExit(pathlib.Path(self.log.name).read_text())
        self.host, self.port = match[1], int(match[2])

    def url(self, path):
        return f"http://{self.host}:{self.port}{path}"

    def score(self, pair, image):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=120)
        connection.request("POST", f"/v1/scores?pair={pair}", image, {"Content-Type": "image/png", "Prefer": "wait=60"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != 200:
            raise SystemExit(f"score: {answer.status} {body.decode()}")
        return json.loads(body)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()
        self.log.close()
        self.folder.cleanup()


def serve_images(service, pair, images, clients):
    """Posts all images, `clients` at a time; returns the clock's seconds and the service's processor seconds."""
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        cpu, start = cpu_s(service.process.pid), time.monotonic()
        list(pool.map(lambda image: service.score(pair, image), images))
        return time.monotonic() - start, cpu_s(service.process.pid) - cpu


def time_service(options, name, workers):
    """Images per second of a pair, and what the service adds to its forwards."""
    folder, forwards = networks.make(options.out, name), 2 * VIEWS
    side = networks.picture_side(NETWORKS[name])
    with Program([options.engine, "--kernels", options.kernels[0], "--views", VIEWS, folder]) as engine, \
            Service(options, folder.parent, workers) as service:
        pid = service.process.pid
        loaded_mb = peak_mb(pid)
        reset_peak(pid)
        before = engine.ask("forward", workers, 1)
        image_s = forwards * before["ms"] / VIEWS / 1000 / workers
        count = workers * max(2, math.ceil(options.seconds * 2 / image_s / workers))
        images = [networks.png(100 + i, side) for i in range(count + workers)]
        serve_images(service, name, images[:workers], workers)  # scorers are made
        wall, cpu = serve_images(service, name, images[workers:], 2 * workers)
        after = engine.ask("forward", workers, rounds_for(options.seconds / 2, before["ms"], 1))
        engine_ms = {key: (before[key] + after[key]) / 2 / VIEWS * forwards for key in ("ms", "cpu_ms")}
        return {"images_per_s": count / wall, "images": count, "weights_mb": 2 * engine.facts["parameters"] * 4 / 2**20,
                "overhead": 1 - engine_ms["ms"] / (1000 * wall * workers / count),
                "overhead_cpu": 1 - engine_ms["cpu_ms"] / (1000 * cpu / count),
                "peak_mb_loading": loaded_mb, "peak_mb": peak_mb(pid)}


def bench_service(options, names):
    rows = [("service, pair of", "images/s", "overhead", "by CPU", "2 workers", "overhead", "by CPU", "speed-up",
             "peak MB", "2 workers", "weights")]
    found = {}
    for name in names:
        one, two = (time_service(options, name, workers) for workers in (1, 2))
        found[name] = {1: one, 2: two, "scaling": two["images_per_s"] / one["images_per_s"]}
        print(f"{name}: {one['images_per_s']:.2f} images/s", flush=True)
        percent = [f"{100 * got[key]:.1f} %" for got in (one, two) for key in ("overhead", "overhead_cpu")]
        rows.append((NETWORKS[name]["title"], one["images_per_s"], *percent[:2], two["images_per_s"], *percent[2:],
                     found[name]["scaling"], one["peak_mb"], two["peak_mb"], one["weights_mb"]))
    print()
    table(rows)
    return found


# --- small images ---


def bench_small(options):
    """What a score takes beside its forwards where these take milliseconds."""
    with Service(options, DEMO / "pairs", 2, "--metrics", "on") as service:
        images = [networks.png(1000 + i, 32) for i in range(round(150 * options.seconds) + 60)]
        loaded = small.load(service, "fashion-simclr", images[60:], 8, 2)
        alone = small.single(service, "fashion-simclr", images[:60])
    print()
    table([("small images, 8 clients, 2 workers, a score's", "commits", "worker ms", "writer ms", "other ms", "workers idle",
            "scores/s"),
           ("ResNet-18 of width 16 at 32", loaded["commits"], loaded["worker_ms"], loaded["writer_ms"], loaded["rest_ms"],
            f"{100 * loaded['idle']:.0f} %", loaded["per_s"])])
    print()
    table([("one image at a time, medians in ms", "POST to answer", "beside the forwards", "decode", "forwards", "commit"),
           ("ResNet-18 of width 16 at 32", alone["ms"], alone["beside_ms"], alone["decode_ms"], alone["encode_ms"],
            alone["commit_ms"])])
    return {"loaded": loaded, "alone": alone}


# --- history ----------------------------------------------------------------------------------------


def wrk(url, *arguments):
    """Requests per second; every answer must be a success."""
    text = subprocess.run(["wrk", "-t2", "-c32", "-d4s", "--latency", *arguments[:2], url, *arguments[2:]], check=True,
                          capture_output=True, text=True).stdout
    if "Non-2xx" in text or "Socket errors" in text:
        raise SystemExit(text)
    return {"per_s": float(re.search(r"Requests/sec:\s*([\d.]+)", text)[1]), "p99": re.search(r"99%\s*(\S+)", text)[1]}


def bench_history(options):
    image = DEMO / "images/candidate/00015.png"
    with Service(options, DEMO / "pairs", 2) as service:
        score = service.score("fashion-simclr", image.read_bytes())
        found = {"repeat": wrk(service.url("/v1/scores?pair=fashion-simclr"), "-s", str(ROOT / "tests/bench/repeat.lua"),
                               "--", str(image)),
                 "get": wrk(service.url(f"/v1/scores/{score['id']}"))}
    print()
    table([("history, 32 connections, wrk beside the service", "per second", "99 % within"),
           ("repeated POST, answered from history", found["repeat"]["per_s"], found["repeat"]["p99"]),
           ("GET /v1/scores/{id}", found["get"]["per_s"], found["get"]["p99"])])
    return found


# --- cost -------------------------------------------------------------------------------------------


def bench_cost(options, names):
    """Each kind of work beside the table of coefficients (core/score/cost.c); a ratio of 1 is a reference core."""
    program = options.engine.parent / "cost"
    lines = lambda *arguments: [json.loads(line) for line in subprocess.run(
        [str(program), *map(str, arguments)], check=True, capture_output=True, text=True).stdout.splitlines()]
    found = lines()
    for name in names:
        found += lines("--kernels", options.kernels[0], networks.make(options.out, name))
        print(f"{name}: {found[-1]['ratio']:.2f} of the table", flush=True)
    print()
    table([("work", "of", "ms", "by the table", "ns a step", "table", "ratio")]
          + [(f["work"], f["size"], f["ms"], f["table_ms"], f.get("ns", ""), f.get("table_ns", ""), f["ratio"]) for f in found])
    return found


def rows_of(binary):
    """"auto" where the binary knows it."""
    text = subprocess.run([str(binary), "serve", "--help"], check=True, capture_output=True, text=True).stdout
    return "auto" if re.search(r"--kernels.*\bauto\b|\bauto\b.*blas", text) else "blas"


def main():
    parser = argparse.ArgumentParser(description="Times the engine and the service.")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build/release/sslmem")
    parser.add_argument("--engine", type=pathlib.Path, default=ROOT / "build/release/bench/engine")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/bench", help="folder of the networks")
    parser.add_argument("--networks", default=",".join(NETWORKS), help="with commas; " + ", ".join(NETWORKS))
    parser.add_argument("--kernels", help="rows, with commas; the service runs the first")
    parser.add_argument("--openblas", metavar="CORE", help="the sgemm's kernels: Haswell is the peer of row avx2")
    parser.add_argument("--seconds", type=float, default=2, help="about how long each timing lasts")
    parser.add_argument("--parts", default="engine,service,small,history,cost", help="which of these")
    options = parser.parse_args()
    options.kernels = (options.kernels or rows_of(options.binary)).split(",")
    names, parts = options.networks.split(","), options.parts.split(",")
    found = {"machine": machine()}
    if "engine" in parts:
        found["engine"] = bench_engine(options, names)
    if "service" in parts:
        found["service"] = bench_service(options, [name for name in SERVED if name in names])
    if "small" in parts:
        found["small"] = bench_small(options)
    if "history" in parts:
        found["history"] = bench_history(options)
    if "cost" in parts:
        found["cost"] = bench_cost(options, names)
    path = options.out.parent / "bench.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\nwritten to {path}")


if __name__ == "__main__":
    main()
