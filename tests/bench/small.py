"""Small images through the service: what a score takes beside its forwards, where these take milliseconds.

Commits are counted by the service (/metrics). A thread's state is read from /proc: the busiest threads are the workers,
and the thread that writes files is the writer. A worker is idle while it neither runs nor waits for a processor, so that
other programs on the machine count little."""

import collections
import concurrent.futures
import http.client
import pathlib
import re
import statistics
import threading
import time

THREAD = collections.namedtuple("Thread", "cpu_s wait_s writes")


def threads(pid):
    """By thread id: processor time, time in the run queue, and write calls so far."""
    out = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        cpu_ns, wait_ns, _ = map(int, (task / "schedstat").read_text().split())
        writes = int(re.search(r"syscw: (\d+)", (task / "io").read_text())[1])
        out[task.name] = THREAD(cpu_ns / 1e9, wait_ns / 1e9, writes)
    return out


class Client:
    """A connection that stays open."""

    def __init__(self, service):
        self.connection = http.client.HTTPConnection(service.host, service.port, timeout=120)

    def ask(self, method, path, body=None, **headers):
        self.connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = self.connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {text}")
        return answer, text

    def score(self, pair, image):
        """Milliseconds from POST to answer, and what the service says of its steps."""
        start = time.perf_counter()
        answer, _ = self.ask("POST", f"/v1/scores?pair={pair}", image, Content_Type="image/png", Prefer="wait=60")
        ms = (time.perf_counter() - start) * 1000
        return ms, {name: float(step) for name, step in re.findall(r"(\w+);dur=([\d.]+)", answer.headers["Server-Timing"])}

    def commits(self):
        """Transactions, and writes in them, so far."""
        _, text = self.ask("GET", "/metrics")
        return [float(re.search(rf"^{name} (\S+)$", text, re.M)[1])
                for name in ("sslmem_db_commit_seconds_count", "sslmem_db_writes_total")]


def load(service, pair, images, clients, workers):
    """Posts all images from `clients` connections; what one score took."""
    own = threading.local()

    def post(image):
        if not hasattr(own, "client"):
            own.client = Client(service)
        own.client.score(pair, image)

    probe, pid = Client(service), service.process.pid
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        list(pool.map(post, images[:clients]))
        images = images[clients:]
        commits, before, start = probe.commits(), threads(pid), time.monotonic()
        list(pool.map(post, images))
        wall_s, after = time.monotonic() - start, threads(pid)
        commits = [(b - a) / len(images) for a, b in zip(commits, probe.commits())]
    spent = [THREAD(*(b - a for a, b in zip(before[tid], after[tid]))) for tid in after if tid in before]
    spent.sort(key=lambda thread: -thread.cpu_s)
    crew, rest = spent[:workers], spent[workers:]
    writer = max(rest, key=lambda thread: thread.writes)
    per_score = 1000 / len(images)
    return {"per_s": len(images) / wall_s, "commits": commits[0], "writes": commits[1],
            "worker_ms": sum(t.cpu_s for t in crew) * per_score, "writer_ms": writer.cpu_s * per_score,
            "rest_ms": sum(t.cpu_s for t in rest if t is not writer) * per_score,
            "idle": 1 - sum(t.cpu_s + t.wait_s for t in crew) / (workers * wall_s)}


def single(service, pair, images):
    """One image at a time: medians of POST to answer, and of that without decoding, views and forwards, in ms."""
    client = Client(service)
    times = [client.score(pair, image) for image in images]
    beside = [ms - steps["encode"] for ms, steps in times]
    return {"ms": statistics.median(t[0] for t in times), "beside_ms": statistics.median(beside),
            **{f"{step}_ms": statistics.median(t[1][step] for t in times) for step in ("queue", "decode", "encode", "commit")}}
