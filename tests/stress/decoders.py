#!/usr/bin/python3
"""Kills a decoder that has an image, with kill -9, again and again.

Both decoders of a service with two workers are suspended and two images are posted. Then one decoder is killed and the
other continues. One client must get a clear answer (422, with the signal), the other its score. The image of the killed
decoder is posted again and must be scored, because it was not the cause. A third client requests /livez all the time.
Afterwards the numbers of descriptors and children are as before, and all scores equal, bit by bit, those of an
undisturbed service. A kill that came before the decoder had its image has no effect and does not count."""

import asyncio
import itertools
import json
import os
import pathlib
import signal
import time

import client
import daemon

DETAIL = "the decoder ended on this image, by signal 9"
SAME = ("image", "m", "m_se", "m_low", "m_high", "f", "g", "recipe", "provenance")
HEAD_START_S = 0.1  # time for an image to reach a suspended decoder


class Site:
    def __init__(self, options, service):
        self.pid, self.port, self.pair = service.process.pid, service.port, options.pair
        self.others = itertools.count(10**6)  # numbers of pictures that only keep decoders busy

    def decoders(self):
        return sorted(pid for pid in client.children(self.pid)
                      if b"decode-helper" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes())

    async def decoders_again(self):
        """Returns both decoders. A killed one is replaced when its worker gets the next image, so this posts some."""
        while len(self.decoders()) < 2:
            await self.warm()
        return self.decoders()

    async def warm(self):
        await asyncio.gather(*(self.post(next(self.others)) for _ in range(4)))

    def descriptors(self):
        """Counts descriptors, except the database's: it keeps as many readers as were ever needed at once."""
        opened = [os.readlink(f"/proc/{self.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{self.pid}/fd")]
        return sum("stress.db" not in path for path in opened)

    async def post(self, number):
        return await client.exchange(self.port, client.request(
            "POST", f"/v1/scores?pair={self.pair}", daemon.drawn_image(number), more="Prefer: wait=60\r\n"))

    async def livez(self, over, replies):
        while not over.is_set():
            replies.append(await client.exchange(self.port, client.request("GET", "/livez")))
            await asyncio.sleep(0.01)


def kept(reply):
    return json.dumps({name: json.loads(reply.body)[name] for name in SAME})


async def kill_one(site, number):
    """Posts images `number` and `number` + 1 to suspended decoders and kills one.

    Returns both replies, and whether the killed decoder had an image."""
    pids = await site.decoders_again()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    posted = [asyncio.create_task(site.post(number + i)) for i in range(2)]
    await asyncio.sleep(HEAD_START_S)
    os.kill(pids[number // 2 % 2], signal.SIGKILL)
    os.kill(pids[1 - number // 2 % 2], signal.SIGCONT)
    replies = await asyncio.gather(*posted)
    return replies, any(reply.status != 200 for reply in replies)


class Count:
    def __init__(self):
        self.kills = self.clear = self.spared = self.again = self.early = 0
        self.scores = {}


async def disturbed(site, options):
    count, number, over, livez = Count(), 0, asyncio.Event(), []
    watching = asyncio.create_task(site.livez(over, livez))
    while count.kills < options.kills and count.early <= options.kills:
        replies, hit = await kill_one(site, number)
        count.kills += hit
        count.early += not hit
        for i, reply in enumerate(replies):
            if reply.status == 422:
                problem = json.loads(reply.body)
                count.clear += (problem["code"], problem["detail"]) == ("image_corrupt", DETAIL)
                reply = await site.post(number + i)
                count.again += reply.status == 200
            elif hit:
                count.spared += reply.status == 200
            if reply.status == 200:
                count.scores[number + i] = kept(reply)
        number += 2
    over.set()
    await watching
    return count, livez


async def undisturbed(site, numbers):
    return {number: kept(await site.post(number)) for number in numbers}


def main():
    options = daemon.options(__doc__, kills=100, pair="resnet")
    verdicts, pairs = daemon.Verdicts(), daemon.ROOT / "tests/golden/score"
    with daemon.folder(options, "decoders") as folder, \
            daemon.Daemon(options, folder, pairs, "--workers", 2) as service:
        site = Site(options, service)
        asyncio.run(site.warm())  # opens everything that is opened once
        before, time_before = site.descriptors(), time.monotonic()
        count, livez = asyncio.run(disturbed(site, options))
        print(f"{count.kills} decoders killed with an image, {count.early} before they had one, in "
              f"{time.monotonic() - time_before:.0f} s")
        verdicts.check(count.kills == options.kills, f"{options.kills} kills in mid-decode")
        verdicts.check(count.clear == options.kills, f"{count.clear} answers 422 image_corrupt: {DETAIL}")
        verdicts.check(count.spared == options.kills, f"{count.spared} scores of the images in the other decoder")
        verdicts.check(count.again == options.kills, f"{count.again} of the images scored when posted again")
        verdicts.check(all(reply.status == 200 for reply in livez),
                       f"/livez meanwhile: {len(livez)} of 200, slowest {1000 * max(r.seconds for r in livez):.0f} ms")
        pids = asyncio.run(site.decoders_again())
        verdicts.check(sorted(client.children(site.pid)) == pids and len(pids) == 2, "two decoders, and no child besides")
        verdicts.check(site.descriptors() <= before, f"{site.descriptors()} descriptors but the database's, {before} before")
    with daemon.folder(options, "undisturbed") as folder, daemon.Daemon(options, folder, pairs, "--workers", 2) as service:
        expected = asyncio.run(undisturbed(Site(options, service), count.scores))
        verdicts.check(len(expected) >= 2 * options.kills and expected == count.scores,
                       f"{len(expected)} scores are those of an undisturbed service")
    verdicts.end()


if __name__ == "__main__":
    main()
