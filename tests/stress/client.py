"""Sends requests over raw sockets with asyncio: each on its own connection, at times that do not depend on answers.

The generator runs on the machine that it loads and takes processor time from the service; `Shares` measures how much."""

import asyncio
import os
import pathlib
import resource
import subprocess
import sys
import time

import daemon

sys.path.insert(0, str(daemon.ROOT / "tests/bench"))
from turns import busy_s, cpu_s  # noqa: E402

LOST = 0  # instead of a status: no complete answer arrived


def allow_descriptors(count):
    """Raises the limit of descriptors to `count`, for this program and the service that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        raise SystemExit(f"{count} descriptors are needed, the limit is {hard}")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))


def request(method, path, body=b"", media_type="image/png", more=""):
    head = f"{method} {path} HTTP/1.1\r\nHost: stress\r\nConnection: close\r\n{more}"
    if body or method == "POST":
        head += f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"\r\n" + body


def multipart(images, recipe=None):
    """Returns media type and body of a request with pictures and, as JSON, a recipe."""
    fields = [("image", data) for data in images] + ([("recipe", recipe.encode())] if recipe else [])
    boundary = "stress-boundary"
    parts = b"".join(b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
                     % (boundary.encode(), name.encode(), data) for name, data in fields)
    return f"multipart/form-data; boundary={boundary}", parts + f"--{boundary}--\r\n".encode()


class Reply:
    """Status, headers with lower-case names, body, and the seconds from the attempt to connect to the last byte."""

    def __init__(self, status, headers=None, body=b"", seconds=0.0):
        self.status, self.headers, self.body, self.seconds = status, headers or {}, body, seconds


def parse(data):
    """Returns the answer in the bytes, or None if it is not complete."""
    head, end, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict((name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:]))
    if not end or len(body) < int(headers.get("content-length", 0)):
        return None
    return Reply(int(lines[0].split()[1]), headers, body)


class Exchange(asyncio.Protocol):
    """Sends everything at once and collects until the service closes. asyncio's streams would take three times the time."""

    def __init__(self, data):
        self.data, self.got, self.ended = data, [], asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        transport.write(self.data)

    def data_received(self, data):
        self.got.append(data)

    def connection_lost(self, error):
        if not self.ended.done():
            self.ended.set_result(None)


async def exchange(port, data, timeout_s=120):
    begun, transport = time.perf_counter(), None
    sent = Exchange(data)
    try:
        transport, _ = await asyncio.get_running_loop().create_connection(lambda: sent, "127.0.0.1", port)
        await asyncio.wait_for(sent.ended, timeout_s)
    except (OSError, TimeoutError):
        pass
    finally:
        if transport is not None:
            transport.abort()
    reply = parse(b"".join(sent.got)) or Reply(LOST)
    reply.seconds = time.perf_counter() - begun
    return reply


async def open_loop(rate, seconds, send):
    """Calls send(i) `rate` times a second, whether or not earlier calls have ended; returns all their results."""
    begun, tasks = time.perf_counter(), []
    for i in range(round(rate * seconds)):
        await asyncio.sleep(max(0, begun + i / rate - time.perf_counter()))
        tasks.append(asyncio.create_task(send(i)))
    return await asyncio.gather(*tasks)


async def closed_loop(clients, seconds, send):
    """Runs `clients` for some seconds; each sends when it has the answer to its last request. Returns the replies."""
    replies, until, count = [], time.perf_counter() + seconds, iter(range(1 << 60))

    async def client():
        while time.perf_counter() < until:
            replies.append(await send(next(count)))

    await asyncio.gather(*(client() for _ in range(clients)))
    return replies


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def children(pid):
    return [int(word) for task in pathlib.Path(f"/proc/{pid}/task").glob("*/children") for word in task.read_text().split()]


def family_cpu_s(pid):
    """Returns the processor seconds of the service and of its decoders, including decoders that have ended."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK") + sum(map(cpu_s, children(pid)))


class Shares:
    """Shares of the time of all processors between entering and leaving: of the service, of this program, of others."""

    def __init__(self, service):
        self.service_pid = service.process.pid

    def read(self):
        return time.monotonic(), busy_s(), family_cpu_s(self.service_pid), time.process_time()

    def __enter__(self):
        self.begun = self.read()
        return self

    def __exit__(self, *_):
        wall, busy, theirs, own = (now - then for now, then in zip(self.read(), self.begun))
        whole = wall * os.cpu_count()
        self.generator, self.service, self.service_s = own / whole, theirs / whole, theirs
        self.others = max(0.0, (busy - theirs - own) / whole)
        self.seconds = wall

    def __str__(self):
        return (f"of the processors {100 * self.service:.0f} % the service, {100 * self.generator:.1f} % the generator, "
                f"{100 * self.others:.1f} % others")


class Echo:
    """A process that only answers 204: its times show how the load of the machine, not the service, delays an answer."""

    PROGRAM = """
import asyncio

class Answer(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.transport.write(b"HTTP/1.1 204 No Content\\r\\n\\r\\n")
        self.transport.close()

async def main():
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()

asyncio.run(main())
"""

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, "-c", self.PROGRAM], stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    async def times_ms(self, event, every_s=0.02):
        """Sends requests until the event is set; returns their times."""
        times = []
        while not event.is_set():
            reply = await exchange(self.port, request("GET", "/"))
            times.append(1000 * reply.seconds)
            await asyncio.sleep(every_s)
        return times


def own_mb(pid):
    """Returns the private memory of a process (RssAnon), without mapped files and page cache."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"process {pid} is gone")
