#!/usr/bin/python3
"""Ends the service with SIGTERM, then with kill -9, at random moments under a load of POST /v1/scores.

Clients post one to four pictures at a time, all different, some waiting and some not. They note every promise: each 202 and
200 names a job. The service is ended and started again, over and over; each time the database that it left is copied, and
the copy must pass integrity_check. At the end every promised job has succeeded with exactly the pictures that were sent,
and no picture was scored twice: no picture is posted twice, so none may have been answered from history."""

import asyncio
import collections
import hashlib
import itertools
import json
import random
import shutil
import signal
import sqlite3
import time

import client
import daemon

STOP_LIMIT_S = 15


def job_of(reply):
    """Returns the id of the job that an answer promises, or None."""
    if reply.status == 202:
        return reply.headers["location"].rsplit("/", 1)[1]
    if reply.status == 200:
        document = json.loads(reply.body)
        return document["job"] if "job" in document else document["id"]
    return None


class Load:
    """Clients that post until `over` is set, whether or not the service answers."""

    def __init__(self, service, options):
        self.service, self.pair = service, options.pair
        self.numbers, self.draw = itertools.count(), random.Random(options.seed)
        self.promised, self.statuses = {}, collections.Counter()
        self.over = False

    async def post(self):
        images = [daemon.drawn_image(next(self.numbers)) for _ in range(self.draw.randint(1, 4))]
        media_type, body = ("image/png", images[0]) if len(images) == 1 else client.multipart(images)
        prefer = self.draw.choice(["respond-async", "wait=1", "wait=30"])
        reply = await client.exchange(self.service.port, client.request(
            "POST", f"/v1/scores?pair={self.pair}", body, media_type, f"Prefer: {prefer}\r\n"))
        self.statuses[reply.status] += 1
        job = job_of(reply)
        if job is not None:
            self.promised[job] = sorted(hashlib.sha256(data).digest() for data in images)
        return reply.status

    async def client(self):
        while not self.over:
            if await self.post() not in (200, 202):
                await asyncio.sleep(0.02)


def integrity(service, folder):
    """Checks a copy of the database, because SQLite would recover the original before the service can."""
    for path in folder.glob("stress.db*"):
        if not path.name.endswith("-shm"):
            shutil.copy(path, folder / ("copy" + path.name))
    with sqlite3.connect(folder / "copystress.db") as db:
        result = db.execute("PRAGMA integrity_check").fetchone()[0]
    db.close()
    for path in folder.glob("copy*"):
        path.unlink()
    return result == "ok"


class Ends:
    def __init__(self):
        self.whole = self.clean = 0
        self.slowest_s = 0.0


async def end(service, number, ends):
    begun = time.monotonic()
    service.process.send_signal(number)
    code = await asyncio.to_thread(service.process.wait)
    service.process.stdout.close()
    ends.slowest_s = max(ends.slowest_s, time.monotonic() - begun)
    ends.clean += code == (0 if number == signal.SIGTERM else -number)


async def run(service, folder, load, number, rounds, draw):
    clients = [asyncio.create_task(load.client()) for _ in range(6)]
    ends = Ends()
    for _ in range(rounds):
        await asyncio.sleep(draw.uniform(0.05, 0.6))
        await end(service, number, ends)
        ends.whole += await asyncio.to_thread(integrity, service, folder)
        service.spawn()
        if number == signal.SIGKILL and draw.random() < 0.1:  # kill this process while it starts
            await asyncio.sleep(draw.uniform(0, 0.1))
            service.kill()
            service.spawn()
        await asyncio.to_thread(service.await_port)
    load.over = True
    await asyncio.gather(*clients)
    return ends


def await_empty(service):
    """Waits until the queue is empty. /readyz answers 503 if, among other reasons, the queue is nearly full."""
    while json.loads(service.ask("GET", "/readyz", expect=(200, 503))).get("queued") != 0:
        time.sleep(0.1)


def check_database(path, load, verdicts):
    db = sqlite3.connect(path)
    rows = lambda sql: db.execute(sql).fetchall()
    found = collections.defaultdict(list)
    for job, digest in rows("SELECT lower(hex(job_id)), image_digest FROM item WHERE state = 'succeeded'"):
        found[job].append(digest)
    done = {job for job, in rows("SELECT lower(hex(id)) FROM job WHERE state = 'succeeded' AND items_count = succeeded_count")}
    promised = {job.replace("-", ""): digests for job, digests in load.promised.items()}
    kept = sum(job in done and sorted(found[job]) == digests for job, digests in promised.items())
    verdicts.check(kept == len(promised) > 0, f"{kept} of {len(promised)} promised jobs done, with the pictures that were sent")
    items, scores = rows("SELECT count(*) FROM item")[0][0], rows("SELECT count(*) FROM score")[0][0]
    twice = rows("SELECT count(*) FROM item WHERE from_history")[0][0]
    verdicts.check(items == scores == sum(map(len, found.values())) and twice == 0,
                   f"{items} pictures, {scores} scores, {twice} scored before")
    print(f"       {len(done) - len(promised)} jobs besides, whose answers were lost; most tries of a picture: "
          f"{rows('SELECT max(attempt) FROM item')[0][0]}")
    db.close()


def check(options, number, rounds, verdicts):
    name = signal.Signals(number).name
    with daemon.folder(options, "terms") as folder:
        with daemon.Daemon(options, folder, daemon.ROOT / "tests/golden/score", "--queue-max", 200) as service:
            load = Load(service, options)
            ends = asyncio.run(run(service, service.folder, load, number, rounds, random.Random(options.seed)))
            await_empty(service)
        counts = ", ".join(f"{count} {status or 'lost'}" for status, count in sorted(load.statuses.items()))
        print(f"{name}, {rounds} times; answers: {counts}", flush=True)
        verdicts.check(ends.clean == rounds and ends.slowest_s < STOP_LIMIT_S,
                       f"{ends.clean} ends by it, the slowest took {ends.slowest_s:.1f} s, limit {STOP_LIMIT_S} s")
        verdicts.check(ends.whole == rounds, f"integrity_check {ends.whole} times")
        verdicts.check(set(load.statuses) <= {client.LOST, 200, 202, 503}, "no answer but 200, 202, 503")
        check_database(service.folder / "stress.db", load, verdicts)


def main():
    options = daemon.options(__doc__, terms=50, kills=200, pair="resnet", seed=1)
    verdicts = daemon.Verdicts()
    check(options, signal.SIGTERM, options.terms, verdicts)
    check(options, signal.SIGKILL, options.kills, verdicts)
    verdicts.end()


if __name__ == "__main__":
    main()
