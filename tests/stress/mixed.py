#!/usr/bin/python3
"""Runs all kinds of clients at once for --minutes and checks that the service leaks nothing.

Clients post scores, read history, run whole audits with their reports, send files that are no images, leave in the middle
of a request or a wait, and reload pairs. Memory (RssAnon), descriptors and the write-ahead log are measured after a first
part (a fifth of the time, at most 3 minutes), when the clients are silent and the queue is empty, and again at the end:
they must be back at that level. Every answer must be one that its kind of client may get. If the service lacks
PUT /v1/pairs/{name}, the program fails, except with --no-reload."""

import asyncio
import collections
import itertools
import json
import os
import random
import time

import client
import daemon

LIMIT_GROWTH_MB, LIMIT_WAL_MB = 32, 64
IDLE_S, SETTLE_S = 5, 10  # the service closes silent connections after IDLE_S; the wait before measuring is longer
WARM_SHARE, WARM_S = 0.2, 180
CONNECTIONS_MAX = 1000  # a client that left counts until its score is ready, which is slow under a sanitizer
PAIR = "resnet"


class Site:
    def __init__(self, service, seed):
        self.service, self.port, self.pid = service, service.port, service.process.pid
        self.draw, self.numbers = random.Random(seed), itertools.count()
        self.counts = collections.defaultdict(collections.Counter)  # statuses by kind of client
        self.wrong = []

    def picture(self):
        return daemon.drawn_image(next(self.numbers))

    async def ask(self, kind, expect, *request, **more):
        reply = await client.exchange(self.port, client.request(*request, **more))
        self.counts[kind][reply.status] += 1
        if reply.status not in expect:
            self.wrong.append(f"{kind}: {' '.join(map(str, request[:2]))}: {reply.status} {reply.body[:200]!r}")
        return reply

    # --- kinds of clients: what each does once ---

    async def score(self):
        images = [self.picture() for _ in range(self.draw.choice([1, 1, 1, 8]))]
        media_type, body = ("image/png", images[0]) if len(images) == 1 else client.multipart(images)
        prefer = self.draw.choice(["respond-async", "wait=0", "wait=30"])
        reply = await self.ask("score", (200, 202), "POST", f"/v1/scores?pair={PAIR}", body, media_type,
                               f"Prefer: {prefer}\r\n")
        if reply.status == 202:
            await self.ask("job", (200,), "GET", reply.headers["location"])

    async def history(self):
        path = self.draw.choice(["/v1/scores?limit=50", "/v1/scores?order=highest&limit=200", "/v1/scores?min=0&limit=20",
                                 f"/v1/scores?pair={PAIR}&order=lowest", "/v1/audits"])
        for _ in range(3):
            reply = await self.ask("history", (200,), "GET", path)
            path = json.loads(reply.body or b"{}").get("next")
            if not path:
                break

    async def audit(self):
        document = {"pair": PAIR, "name": "mixed", "resamples": 200, "keep_thumbnails": self.draw.random() < 0.5}
        made = await self.ask("audit", (201,), "POST", "/v1/audits", json.dumps(document).encode(), "application/json")
        if made.status != 201:
            return
        path = made.headers["location"]
        for cohort in ("candidate", "external"):
            body = daemon.tar([(f"{i}.png", self.picture()) for i in range(40)])
            await self.ask("audit", (200,), "POST", f"{path}/images?cohort={cohort}", body, "application/x-tar")
        await self.ask("audit", (200,), "POST", f"{path}/start")
        while True:
            document = json.loads((await self.ask("audit", (200,), "GET", path)).body)
            if document["finished"] is not None:
                break
            await asyncio.sleep(0.2)
        for kind in ("json", "csv", "html"):
            await self.ask("report", (200,), "GET", f"{path}/report.{kind}")
        await self.ask("audit", (204,), "DELETE", path)

    async def bad_image(self):
        good = self.picture()
        body = self.draw.choice([self.draw.randbytes(2000), good[:self.draw.randrange(9, len(good) - 1)],
                                 b"GIF89a" + good[6:], good[:50] + self.draw.randbytes(len(good) - 50)])
        await self.ask("bad image", (415, 422), "POST", f"/v1/scores?pair={PAIR}", body)

    async def aborted(self):
        """Disconnects after a part of the request, or after all of it while the service makes the answer."""
        data = client.request("POST", f"/v1/scores?pair={PAIR}", self.picture(), more="Prefer: wait=30\r\n")
        sent = data[:self.draw.choice([self.draw.randrange(len(data)), len(data)])]
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(sent)
            await asyncio.sleep(self.draw.uniform(0, 0.05))
            writer.transport.abort()
            self.counts["aborted"]["whole" if sent == data else "cut"] += 1
        except OSError as error:
            self.wrong.append(f"aborted: {error}")

    async def reload(self):
        await self.ask("reload", (200,), "PUT", f"/v1/pairs/{PAIR}")

    async def look(self):
        for path in ("/livez", "/readyz", "/metrics", "/v1/pairs"):
            await self.ask("look", (200,), "GET", path)


# Kinds of clients: name, number, and seconds that each rests between two requests.
CLIENTS = (("score", 3, 0.05), ("history", 1, 0.1), ("audit", 1, 1), ("bad_image", 1, 0.05), ("aborted", 1, 0.02),
           ("look", 1, 0.5), ("reload", 1, 3))


def level(site):
    """Returns the service's private memory, its descriptors except the database's, and the write-ahead log's size."""
    opened = []
    for fd in os.listdir(f"/proc/{site.pid}/fd"):
        try:
            opened.append(os.readlink(f"/proc/{site.pid}/fd/{fd}"))
        except OSError:
            continue
    wal = site.service.folder / "stress.db-wal"
    return {"mb": client.own_mb(site.pid), "descriptors": sum("stress.db" not in path for path in opened),
            "wal_mb": wal.stat().st_size / 2**20 if wal.exists() else 0}


def told(now):
    return f"{now['mb']:.1f} MB, {now['descriptors']} descriptors, log {now['wal_mb']:.1f} MB"


async def until_quiet(site):
    while json.loads((await site.ask("look", (200,), "GET", "/readyz")).body)["queued"] > 0:
        await asyncio.sleep(0.2)
    await asyncio.sleep(SETTLE_S)
    # A decoder that ended on a bad image is replaced at the next image, so post some.
    await asyncio.gather(*(site.ask("score", (200,), "POST", f"/v1/scores?pair={PAIR}", site.picture()) for _ in range(8)))
    await asyncio.sleep(SETTLE_S)
    return level(site)


async def busy(site, seconds, kinds, seen):
    until = time.monotonic() + seconds

    async def act(name, rest_s):
        while time.monotonic() < until:
            await getattr(site, name)()
            await asyncio.sleep(rest_s)

    async def watch():
        said = time.monotonic()
        while time.monotonic() < until:
            seen.append(level(site))
            if time.monotonic() - said > 60:
                said = time.monotonic()
                print(f"       {(until - said) / 60:.0f} minutes left: {told(seen[-1])}", flush=True)
            await asyncio.sleep(1)

    await asyncio.gather(watch(), *(act(name, rest_s) for name, count, rest_s in CLIENTS if name in kinds
                                    for _ in range(count)))


async def run(site, options, verdicts):
    kinds = {name for name, _, _ in CLIENTS} - ({"reload"} if options.no_reload else set())
    allowed = (await site.ask("look", (204,), "OPTIONS", f"/v1/pairs/{PAIR}")).headers["allow"]
    if "reload" in kinds and "PUT" not in allowed:
        verdicts.check(False, f"pairs can be loaded anew: /v1/pairs/{PAIR} allows {allowed} (--no-reload does without)")
        return
    seconds, seen = 60 * options.minutes, []
    warm = min(WARM_S, WARM_SHARE * seconds)
    await busy(site, warm, kinds, [])
    before = await until_quiet(site)
    print(f"after {warm:.0f} s: {told(before)}", flush=True)
    await busy(site, seconds - warm, kinds, seen)
    after = await until_quiet(site)
    for kind, counts in site.counts.items():
        print(f"       {kind}: " + ", ".join(f"{count} {status or 'lost'}" for status, count in counts.items()))
    verdicts.check(not site.wrong, f"{len(site.wrong)} answers of another kind" + "".join("\n       " + w for w in site.wrong[:5]))
    verdicts.check(after["mb"] - before["mb"] < LIMIT_GROWTH_MB,
                   f"memory {after['mb']:.1f} MB, {before['mb']:.1f} before, at most {max(now['mb'] for now in seen):.1f}; limit "
                   f"of the growth {LIMIT_GROWTH_MB} MB")
    verdicts.check(after["descriptors"] <= before["descriptors"],
                   f"{after['descriptors']} descriptors, {before['descriptors']} before, at most "
                   f"{max(now['descriptors'] for now in seen)}")
    most = max(now["wal_mb"] for now in seen)
    verdicts.check(after["wal_mb"] <= before["wal_mb"] and most < LIMIT_WAL_MB,
                   f"write-ahead log {after['wal_mb']:.1f} MB, {before['wal_mb']:.1f} before, at most {most:.1f}, limit "
                   f"{LIMIT_WAL_MB} MB")


def main():
    parser = daemon.parser(__doc__, minutes=30.0, seed=1)
    parser.add_argument("--no-reload", action="store_true", help="leave pairs as they are")
    options = parser.parse_args()
    verdicts = daemon.Verdicts()
    with daemon.folder(options, "mixed") as folder, \
            daemon.Daemon(options, folder, daemon.ROOT / "tests/golden/score", "--metrics", "on",
                          "--idle-timeout-s", IDLE_S, "--connections-per-client-max", CONNECTIONS_MAX) as service:
        asyncio.run(run(Site(service, options.seed), options, verdicts))
        verdicts.check(service.process.poll() is None, "the service is alive")
    verdicts.end()


if __name__ == "__main__":
    main()
