"""Helpers that the stress programs share: the real binary as a service, pictures for it, and audits over HTTP."""

import argparse
import gzip
import http.client
import io
import json
import pathlib
import re
import struct
import subprocess
import tarfile
import tempfile
import time
import zlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEMO = ROOT / "deploy/demo"
DATASET = pathlib.Path("/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz")  # Debian's dataset-fashion-mnist
KEY = "5eed" * 16  # the digest key, so that reports from several databases agree


def parser(description, **defaults):
    """Returns a parser for a stress program's command line: --binary, --dir, and an option for each default."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build/release/sslmem")
    parser.add_argument("--dir", help="where databases are made; default: the system's temporary folder")
    for name, value in defaults.items():
        parser.add_argument("--" + name.replace("_", "-"), type=type(value), default=value, help=f"default {value}")
    return parser


def options(description, **defaults):
    return parser(description, **defaults).parse_args()


def folder(options, name):
    return tempfile.TemporaryDirectory(prefix=f"sslmem-{name}-", dir=options.dir)


# --- pictures ---------------------------------------------------------------------------------------


def png(rows, width, channels):
    """Returns a PNG with these rows of bytes."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, len(rows), 8, {1: 0, 3: 2}[channels], 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
            + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows), 1)) + chunk(b"IEND", b""))


def cohort_indexes(cohort):
    return [int(line) for line in (DEMO / "images" / f"{cohort}.txt").read_text().split()]


def dataset_images(indexes):
    """Yields names and PNGs of pictures of Fashion-MNIST, 28x28 grey."""
    if not DATASET.exists():
        raise SystemExit(f"{DATASET} is not there: apt-get install dataset-fashion-mnist")
    data = gzip.open(DATASET).read()
    _, _, height, width = struct.unpack(">IIII", data[:16])
    size = height * width
    for index in indexes:
        pixels = data[16 + index * size:16 + (index + 1) * size]
        yield f"{index:05}.png", png([pixels[y * width:(y + 1) * width] for y in range(height)], width, 1)


def drawn_image(seed, side=32):
    """Returns a small colour PNG, a different one for each seed."""
    base = bytes((seed * 7919 + 31 * i) % 251 for i in range(3 * side))
    rows = [bytes((value + y * (seed % 13 + 1)) & 255 for value in base) for y in range(side - 1)]
    return png(rows + [struct.pack(">Q", seed) + base[8:]], side, 3)


def tar(named_images):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in named_images:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


# --- the service ------------------------------------------------------------------------------------


class Daemon:
    """`sslmem serve` on a free port. Several processes may use the database in turn. `processors` limits where it runs."""

    def __init__(self, options, folder, pairs, *more, processors=()):
        self.folder = pathlib.Path(folder)
        key = self.folder / "digest-key"
        key.write_text(KEY + "\n")
        key.chmod(0o600)
        apart = ["taskset", "-c", ",".join(map(str, processors))] if processors else []
        self.command = [*apart, str(options.binary), "serve", "--listen", "127.0.0.1:0", "--pairs", str(pairs), "--db",
                        str(self.folder / "stress.db"), "--digest-key", str(key), *map(str, more)]
        self.log = open(self.folder / "log", "ab")
        self.process = self.port = None

    def spawn(self):
        self.process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=self.log)

    def await_port(self):
        line = self.process.stdout.readline().decode()
        match = re.match(r"listening on http://127\.0\.0\.1:(\d+)$", line)
        if not match:
            raise SystemExit((self.folder / "log").read_text()[-2000:])
        self.port = int(match[1])

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def ask(self, method, path, body=None, media_type="application/json", expect=(200, 201)):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=600)
        connection.request(method, path, body, {"Content-Type": media_type} if body is not None else {})
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        if answer.status not in expect:
            raise SystemExit(f"{method} {path}: {answer.status} {data[:500]!r}")
        return data

    def get(self, path):
        return json.loads(self.ask("GET", path))

    def __enter__(self):
        self.spawn()
        self.await_port()
        return self

    def __exit__(self, failure, *_):
        self.process.terminate()
        code = self.process.wait()
        self.process.stdout.close()
        self.log.close()
        if code != 0 and failure is None:  # also if a sanitizer found something
            raise SystemExit(f"the service ended with {code}: {(self.folder / 'log').read_text()[-4000:]}")

    # --- audits ---

    def new_audit(self, pair, **more):
        document = self.ask("POST", "/v1/audits", json.dumps({"pair": pair, "name": "stress", **more}))
        return json.loads(document)["id"]

    def add(self, audit, cohort, named_images, batch=2000):
        """Sends pictures as tar archives of `batch` each."""
        held, added = [], 0
        for named in named_images:
            held.append(named)
            if len(held) == batch:
                added += self.add_tar(audit, cohort, held)
                held = []
        return added + (self.add_tar(audit, cohort, held) if held else 0)

    def add_tar(self, audit, cohort, held):
        answer = self.ask("POST", f"/v1/audits/{audit}/images?cohort={cohort}", tar(held), "application/x-tar")
        report = json.loads(answer)
        if report["added_count"] != len(held):
            raise SystemExit(f"{len(held)} pictures sent, {report}")
        return len(held)

    def start(self, audit):
        self.ask("POST", f"/v1/audits/{audit}/start", "")

    def await_end(self, audit, look=lambda document: None, every_s=0.5):
        while True:
            document = self.get(f"/v1/audits/{audit}")
            look(document)
            if document["finished"] is not None:
                return document
            time.sleep(every_s)


def without_run(report):
    """Returns the record without "run", its only line that differs between two runs."""
    kept = re.sub(rb'\n"run":[^\n]*', b"", report)
    assert len(kept) < len(report)
    return kept


class Verdicts:
    """Prints whether each check holds; the exit code of the process is 1 if one failed."""

    def __init__(self):
        self.failed = 0

    def check(self, holds, text):
        print(("holds  " if holds else "FAILS  ") + text, flush=True)
        self.failed += not holds

    def end(self):
        raise SystemExit(1 if self.failed else 0)
