"""Drives the real binary: each server on a port of its own, with a database and a pairs folder in a temporary folder.

Every answer that goes through `Server.ask` is compared with openapi.yaml: status, headers, media type and schema."""

import http.client
import json
import os
import pathlib
import re
import shutil
import signal
import struct
import subprocess
import time
import uuid
import zlib

import jsonschema
import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
SPEC = yaml.safe_load((ROOT / "openapi.yaml").read_text())
EVERYWHERE = SPEC["components"]["x-everywhere"]
IMAGES = ROOT / "tests/golden/image/files"
PAIRS = ROOT / "tests/golden/score"

# A sanitizer build is slower by an order of magnitude; deadlines of the tests are for that.
PATIENCE_S = 60


def pytest_addoption(parser):
    parser.addoption("--binary", default=str(ROOT / "build/release/sslmem"))


def pytest_configure(config):
    for name, what in (("threads", "run under ThreadSanitizer and AddressSanitizer too"),
                       ("memory", "run under AddressSanitizer too")):
        config.addinivalue_line("markers", f"{name}: {what}")


def pytest_make_parametrize_id(val, argname):
    """Shortens the names of tests with long data: pytest puts a name into the environment, where the kernel limits it."""
    if not isinstance(val, (bytes, str)) or len(val) <= 60:
        return None
    start = ascii(val[:24])
    return f"{start}...{len(val)}-{zlib.crc32(val if isinstance(val, bytes) else val.encode(errors='surrogatepass')):08x}"


@pytest.fixture(scope="session")
def binary(request):
    path = pathlib.Path(request.config.getoption("--binary")).resolve()
    assert path.exists(), f"{path} is not built"
    return path


# --- images and bodies ------------------------------------------------------------------------------


def png(seed, side=16):
    """A PNG whose pixels depend on `seed`: distinct digests without a picture file each."""
    rows = b""
    for y in range(side):
        rows += b"\0" + bytes((seed * 7919 + (x * y + c * 85) * (seed % 13 + 1)) % 256
                              for x in range(side) for c in range(3))
    chunk = lambda kind, data: (struct.pack(">I", len(data)) + kind + data
                                + struct.pack(">I", zlib.crc32(kind + data)))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    # The seed also stands in a text chunk, so that no two seeds share a file.
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"tEXt", b"seed\0%d" % seed)
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def drop_tensors(path, prefix):
    """Rewrites a safetensors file without the tensors whose names begin with `prefix`."""
    data = path.read_bytes()
    header_bytes, = struct.unpack("<Q", data[:8])
    header, values, kept = json.loads(data[8:8 + header_bytes]), b"", {}
    for name, tensor in header.items():
        if name != "__metadata__" and not name.startswith(prefix):
            begin, end = tensor["data_offsets"]
            kept[name] = dict(tensor, data_offsets=[len(values), len(values) + end - begin])
            values += data[8 + header_bytes + begin:8 + header_bytes + end]
    text = json.dumps(kept).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + values)


def image(name):
    return (IMAGES / name).read_bytes()


def multipart(parts):
    """parts: (name, bytes, media type or None, file name or None) to (content type, body)."""
    boundary = uuid.uuid4().hex
    body = b""
    for name, data, media_type, filename in parts:
        body += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"'.encode()
        body += f'; filename="{filename}"'.encode() if filename else b""
        body += f"\r\nContent-Type: {media_type}".encode() if media_type else b""
        body += b"\r\n\r\n" + data + b"\r\n"
    return f"multipart/form-data; boundary={boundary}", body + f"--{boundary}--\r\n".encode()


def images_and_recipe(images, recipe=None):
    parts = [("image", data, None, f"{i}.bin") for i, data in enumerate(images)]
    if recipe is not None:
        text = recipe if isinstance(recipe, bytes) else json.dumps(recipe).encode()
        parts.append(("recipe", text, "application/json", None))
    return multipart(parts)


# --- the contract -----------------------------------------------------------------------------------


def operation_of(method, path):
    """The operation of openapi.yaml that serves a path, or None."""
    path = path.split("?")[0]
    for template, item in SPEC["paths"].items():
        if re.fullmatch(re.sub(r"\{[^}]*\}", "[^/]+", re.escape(template).replace(r"\{", "{")
                               .replace(r"\}", "}")), path):
            return item.get({"HEAD": "get"}.get(method, method.lower()))
    return None


def resolve(node):
    while "$ref" in node:
        target = SPEC
        for step in node["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        node = target
    return node


def check_schema(schema, document):
    resolver = jsonschema.RefResolver("", SPEC)
    jsonschema.Draft202012Validator(
        schema, resolver=resolver,
        format_checker=jsonschema.draft202012_format_checker).validate(document)


def check_problem(answer):
    document = answer.json
    check_schema(SPEC["components"]["schemas"]["Problem"], document)
    known = SPEC["components"]["x-problems"][document["code"]]
    assert document["status"] == answer.status == known["status"]
    assert document["title"] == known["title"]
    assert document["request_id"] == answer.headers["X-Request-Id"]
    assert document["type"] == f"/openapi.yaml#/components/x-problems/{document['code']}"


# Once in every answer.
SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; .*",
    "Cache-Control": "no-store|private, no-cache",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def check_contract(method, path, answer):
    assert re.fullmatch("[0-9A-Za-z._-]{1,64}", answer.headers["X-Request-Id"])
    for name, wanted in SAFE_HEADERS.items():
        assert re.fullmatch(wanted, ", ".join(answer.headers.get_all(name))), name
    if answer.headers.get("Content-Type") == "application/problem+json" and method != "HEAD":
        check_problem(answer)
    operation = operation_of(method, path)
    if operation is None or method == "OPTIONS":
        assert answer.status in (204, 404, 405, 503) or str(answer.status) in EVERYWHERE
        return
    response = resolve(operation["responses"].get(str(answer.status)) or EVERYWHERE[str(answer.status)])
    for name, header in response.get("headers", {}).items():
        header = resolve(header)
        if header.get("required"):
            assert name in answer.headers, name
        if name in answer.headers:
            check_schema(header["schema"], answer.headers[name])
    content = response.get("content")
    if content is None:
        assert answer.body == b""
        return
    media_type = answer.headers["Content-Type"]
    assert media_type in content
    if method != "HEAD" and media_type.endswith("json"):
        check_schema(content[media_type]["schema"], answer.json)


# Every problem code, and the test that must bring it about: test_problems.py compares it with the binary's table.
PRODUCERS = dict(line.split() for line in (ROOT / "tests/api/problems.txt").read_text().splitlines())

asserted = set()  # codes of problems that the running test has asserted


def name_of(item):
    """Like "test_life.py::test_queue_full"."""
    return f"{item.path.name}::{item.name}"


@pytest.fixture(autouse=True)
def produces(request):
    asserted.clear()
    yield
    missing = {code for code, test in PRODUCERS.items() if test == name_of(request.node)} - asserted
    assert not missing, f"problems.txt says that this test brings about {missing}"


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def problem(self, status, code):
        """Asserts that this is that problem, and returns its detail."""
        assert (self.status, self.json.get("code")) == (status, code), self.body
        asserted.add(code)
        return self.json["detail"]


# --- the server -------------------------------------------------------------------------------------


class Server:
    def __init__(self, binary, folder, pairs, *options):
        self.errors = open(folder / "stderr", "ab")
        self.folder = folder
        self.process = subprocess.Popen(
            [binary, "serve", "--listen", "127.0.0.1:0", "--pairs", pairs, "--db", folder / "test.db",
             *options], stdout=subprocess.PIPE, stderr=self.errors)
        line = self.process.stdout.readline().decode()
        match = re.fullmatch(r"listening on https?://(127\.0\.0\.1):(\d+)\n", line)
        if match is None:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"first line is {line!r}; {(folder / 'stderr').read_text()}")
        self.port = int(match[2])

    def ask(self, method, path, body=None, headers=None, connection=None):
        headers = dict(headers or {})
        own = connection or self.connect()
        own.request(method, path, body, headers)
        got = own.getresponse()
        answer = Answer(got.status, got.headers, got.read())
        if connection is None:
            own.close()
        check_contract(method, path, answer)
        return answer

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)

    def get(self, path, **headers):
        return self.ask("GET", path, headers=headers)

    def post(self, body, media_type="image/png", pair="resnet", prefer=f"wait={PATIENCE_S}"):
        headers = {"Content-Type": media_type}
        if prefer is not None:
            headers["Prefer"] = prefer
        return self.ask("POST", f"/v1/scores?pair={pair}", body, headers)

    def post_many(self, images, recipe=None, **more):
        media_type, body = images_and_recipe(images, recipe)
        return self.post(body, media_type, **more)

    def await_job(self, location):
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            job = self.get(location).json
            if job["state"] not in ("queued", "running"):
                return job
            time.sleep(0.02)
        raise AssertionError(f"job is still {job['state']}")

    def stop(self, number=signal.SIGTERM):
        """Stops it and returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.stdout.close()
            self.errors.close()


@pytest.fixture
def serve(binary, tmp_path, pairs_folder):
    """Starts servers on one database, one after the other; stops what still runs."""
    started = []

    def start(*options, pairs=pairs_folder):
        started.append(Server(binary, tmp_path, pairs, *options))
        return started[-1]

    yield start
    for server in started:
        if server.process.poll() is None:
            assert server.stop() in (0, -signal.SIGKILL)


@pytest.fixture(scope="session")
def pairs_folder(tmp_path_factory):
    """Two good pairs, and one of every way to be bad."""
    folder = tmp_path_factory.mktemp("pairs")
    for name in ("resnet", "vit"):
        shutil.copytree(PAIRS / name, folder / name, ignore=shutil.ignore_patterns("*.views.*"))
    (folder / "empty").mkdir()
    for name in ("missing", "corrupt", "unreadable"):
        shutil.copytree(folder / "resnet", folder / name)
    (folder / "missing/g.pt").unlink()
    with open(folder / "corrupt/f.pt", "r+b") as file:
        file.truncate(os.path.getsize(folder / "corrupt/f.pt") // 2)
    shutil.copytree(folder / "vit", folder / "mismatched")
    drop_tensors(folder / "mismatched/g0.safetensors", "blocks.1.")
    (folder / "unreadable/pair.json").write_text('{"f": ["../resnet/f.pt"], "g": []')
    (folder / "a-file").write_text("not a folder")
    return folder


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory, pairs_folder):
    """One for all tests of a module that only ask."""
    running = Server(binary, tmp_path_factory.mktemp("server"), pairs_folder,
                     "--body-bytes-max", "100000", "--images-max", "4")
    yield running
    assert running.stop() == 0
