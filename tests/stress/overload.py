#!/usr/bin/python3
"""Offers ten times the capacity, then opens crowds of connections that send nothing or little.

Capacity is the rate of scores that a closed loop of clients gets from POST /v1/scores. Then a multiple of it is offered as
an open loop: arrivals do not wait for answers. The queue is short, as it should be where clients wait; with a long queue
the program would mostly measure how it fills, not how the service refuses. The generator runs on one processor and the
service on the others, although on loopback the kernel charges work for the receiver to the sender (--apart 0: they share
all processors, and the generator takes from the capacity). A machine has faster and slower minutes, so the goodput of each
round is compared with the capacity before and after it, and the median of the rounds counts. The more a score costs
(--views; 0: the pair's own recipe), the fewer refusals there are for each score. A process that only answers (Echo) is
measured at the same time: its p99 shows how the scheduler of a busy machine delays any answer.

The crowd is idle connections, and connections that send headers or bodies one byte a second; a closed loop posts scores
meanwhile. Connections that the service closes are opened again."""

import asyncio
import collections
import itertools
import json
import os
import re
import statistics
import time

import client
import daemon

LIMIT_REFUSAL_MS, LIMIT_GOODPUT, LIMIT_LIVEZ_MS, LIMIT_GROWTH_MB = 20, 0.90, 50, 64
REFUSED, DONE = (429, 503), (200, 202)


class Site:
    """The service, and the requests to send to it."""

    def __init__(self, options, service):
        self.service, self.port, self.pair = service, service.port, options.pair
        self.recipe = json.dumps({"views": options.views}) if options.views else None
        self.numbers = itertools.count()

    def draw(self, count):
        """Makes `count` requests in advance. No picture occurs twice, because history would answer it without work."""
        images = [daemon.drawn_image(number) for number in itertools.islice(self.numbers, count)]
        typed = [client.multipart([data], self.recipe) if self.recipe else ("image/png", data) for data in images]
        return [client.request("POST", f"/v1/scores?pair={self.pair}", body, media_type) for media_type, body in typed]

    def scored(self):
        """Returns how many images the workers have finished, by the service's own counter."""
        text = self.service.ask("GET", "/metrics").decode()
        return float(re.search(r'^sslmem_items_finished_total{state="computed"} (\S+)$', text, re.MULTILINE)[1])

    async def score(self, _):
        return await client.exchange(self.port, self.draw(1)[0])


def statuses(replies):
    return ", ".join(f"{count} of {status or 'no answer'}"
                     for status, count in sorted(collections.Counter(r.status for r in replies).items()))


def spread(times_ms):
    return (f"median {client.quantile(times_ms, 0.5):.1f} ms, p99 {client.quantile(times_ms, 0.99):.1f} ms, slowest "
            f"{max(times_ms, default=0):.1f} ms")


async def capacity(site, options):
    with client.Shares(site.service) as shares:
        before = site.scored()
        replies = await client.closed_loop(options.clients, options.capacity_seconds, site.score)
        count = site.scored() - before
    if count == 0:
        raise SystemExit(f"nothing was scored: {statuses(replies)}: {replies[0].body[:300]!r}")
    rate, cost_s = count / options.capacity_seconds, shares.service_s / count
    print(f"capacity: {rate:.1f} scores a second by {options.clients} clients, {1000 * cost_s:.1f} ms of a processor each; {shares}",
          flush=True)
    return rate, cost_s


async def memory_until(site, event):
    most = 0.0
    while not event.is_set():
        most = max(most, client.own_mb(site.service.process.pid))
        await asyncio.sleep(0.1)
    return most


async def overload(site, options, rate, echo):
    """Offers requests for some seconds; returns all replies, goodput, shares, largest memory, and times of the echo."""
    over = asyncio.Event()
    watch = asyncio.gather(memory_until(site, over), echo.times_ms(over))
    requests = site.draw(round(options.times * rate * options.seconds))
    with client.Shares(site.service) as shares:
        before = site.scored()
        sending = asyncio.create_task(client.open_loop(
            len(requests) / options.seconds, options.seconds, lambda i: client.exchange(site.port, requests[i])))
        await asyncio.sleep(options.seconds)
        goodput = (site.scored() - before) / options.seconds
    over.set()
    return await sending, goodput, shares, *await watch


async def check_round(site, options, verdicts, echo, before):
    """Runs and checks one round; returns the goodput as a share of the capacity, and the capacity after the round."""
    memory = client.own_mb(site.service.process.pid)
    replies, goodput, shares, most, echoes = await overload(site, options, before[0], echo)
    after = await capacity(site, options)
    rate, cost_s = ((b + a) / 2 for b, a in zip(before, after))
    print(f"offered {len(replies) / options.seconds:.0f} a second for {options.seconds} s; {shares}")
    for status in sorted({reply.status for reply in replies}):
        times = [1000 * reply.seconds for reply in replies if reply.status == status]
        print(f"       {len(times)} of {status or 'no answer'}: {spread(times)}")
    refusals = [reply for reply in replies if reply.status in REFUSED]
    spent_s = shares.service_s - goodput * options.seconds * cost_s
    print(f"       {1e6 * spent_s / max(1, len(replies)):.0f} us of a processor for each that was offered, besides scoring; "
          f"goodput {goodput:.1f} a second, {100 * goodput / rate:.1f} % of the capacity")
    times = [1000 * reply.seconds for reply in refusals]
    verdicts.check(refusals and client.quantile(times, 0.99) < LIMIT_REFUSAL_MS,
                   f"refusals: {spread(times)}, limit of p99 {LIMIT_REFUSAL_MS} ms; an echo meanwhile: {spread(echoes)}")
    verdicts.check(most - memory < LIMIT_GROWTH_MB, f"memory: {memory:.1f} MB, at most {most:.1f} MB, limit of the growth "
                   f"{LIMIT_GROWTH_MB} MB")
    wrong = [reply.status for reply in replies if reply.status not in (*REFUSED, *DONE)]
    verdicts.check(not wrong, f"no answer but scores, 202 and {REFUSED}: {len(wrong)} others")
    verdicts.check(all("retry-after" in reply.headers for reply in refusals), "Retry-After in every refusal")
    return goodput / rate, after


async def check_overload(site, options, verdicts, echo):
    shares, rate = [], await capacity(site, options)
    for _ in range(options.rounds):
        share, rate = await check_round(site, options, verdicts, echo, rate)
        shares.append(share)
    verdicts.check(statistics.median(shares) >= LIMIT_GOODPUT,
                   f"goodput: {', '.join(f'{100 * share:.1f}' for share in shares)} % of the capacity, limit of the middle "
                   f"{100 * LIMIT_GOODPUT:.0f} %")


# --- the crowd ---

# For each kind of connection: the bytes sent at once, and those repeated for ever at one byte a second.
CROWD = {
    "idle": (b"", b""),
    "slow headers": (b"GET /livez HTTP/1.1\r\nHost: stress\r\n", b"X: y\r\n"),
    "slow bodies": (b"POST /v1/scores?pair=%s HTTP/1.1\r\nHost: stress\r\nContent-Type: image/png\r\nContent-Length: 20000\r\n\r\n",
                    b"\x89PNG\r\n\x1a\n"),
}


async def dawdle(site, kind, counts):
    head, rest = CROWD[kind]
    head = head % site.pair.encode() if b"%s" in head else head
    while True:
        writer = None
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            counts[kind] += 1
            writer.write(head)
            for i in itertools.count():
                if reader.at_eof():
                    break
                writer.write(rest[i % len(rest):][:1] if rest else b"")
                await asyncio.sleep(1)
        except OSError:
            await asyncio.sleep(1)
        finally:
            if writer is not None:
                counts[kind] -= 1
                counts["closed"] += 1
                writer.close()


async def check_crowd(site, options, verdicts, echo):
    counts = collections.Counter()
    sizes = {"idle": options.idle, "slow headers": options.slow // 2, "slow bodies": options.slow - options.slow // 2}
    crowd = [asyncio.create_task(dawdle(site, kind, counts)) for kind, count in sizes.items() for _ in range(count)]
    await asyncio.sleep(5)
    present = dict(counts)  # connected and not closed by the service, as this program sees it
    livez, over = [], asyncio.Event()

    async def ask():
        while not over.is_set():
            livez.append(await client.exchange(site.port, client.request("GET", "/livez")))
            await asyncio.sleep(0.02)

    with client.Shares(site.service) as shares:
        asking = asyncio.gather(ask(), echo.times_ms(over))
        scores = await client.closed_loop(2, options.crowd_seconds, site.score)
        over.set()
        _, echoes = await asking
    print(f"crowd: {present}, at the end {dict(counts)}; {shares}")
    for task in crowd:
        task.cancel()
    await asyncio.gather(*crowd, return_exceptions=True)
    verdicts.check(all(present.get(kind) == count for kind, count in sizes.items()), f"{sum(sizes.values())} connections at once")
    times = [1000 * reply.seconds for reply in livez]
    verdicts.check(client.quantile(times, 0.99) < LIMIT_LIVEZ_MS and all(reply.status == 200 for reply in livez),
                   f"/livez meanwhile: {statuses(livez)}; {spread(times)}, limit of p99 {LIMIT_LIVEZ_MS} ms; an echo meanwhile: "
                   f"{spread(echoes)}")
    verdicts.check(all(reply.status == 200 for reply in scores), f"scores meanwhile: {statuses(scores)}")


async def run(site, options, verdicts):
    with client.Echo() as echo:
        if options.seconds > 0:
            await check_overload(site, options, verdicts, echo)
        if options.crowd_seconds > 0:
            await check_crowd(site, options, verdicts, echo)


def main():
    options = daemon.options(__doc__, pair="fashion-simclr", views=0, times=10, rounds=6, seconds=10, capacity_seconds=5,
                             clients=8, queue=200, connections=2048, idle=1000, slow=500, crowd_seconds=60, workers=0, apart=1)
    verdicts = daemon.Verdicts()
    client.allow_descriptors(3 * options.connections)
    *theirs, own = sorted(os.sched_getaffinity(0))
    apart = bool(options.apart and theirs)
    with daemon.folder(options, "overload") as folder, \
            daemon.Daemon(options, folder, daemon.DEMO / "pairs", "--metrics", "on", "--connections-max", options.connections,
                          "--connections-per-client-max", options.connections, "--workers", options.workers,
                          "--queue-max", options.queue, processors=theirs if apart else ()) as service:
        print(f"the service on processors {theirs}, the generator on {own}" if apart else "all on the same processors")
        if apart:
            os.sched_setaffinity(0, {own})
        asyncio.run(run(Site(options, service), options, verdicts))
        verdicts.check(service.process.poll() is None and json.loads(service.ask("GET", "/livez")), "the service is alive")
    verdicts.end()


if __name__ == "__main__":
    main()
