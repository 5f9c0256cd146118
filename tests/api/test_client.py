"""deploy/clients/python/sslmem.py against the real service, and against a scripted one for what a real one does rarely."""

import base64
import contextlib
import csv
import http.server
import importlib.util
import io
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import types
import zlib

import pytest

from conftest import PATIENCE_S, PAIRS, ROOT, Server, image, png

FOLDER = ROOT / "deploy/clients/python"
IMAGES = ROOT / "deploy/demo/images"


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


sslmem = load(FOLDER / "sslmem.py")
Client, Problem, Unreachable = sslmem.Client, sslmem.Problem, sslmem.Unreachable


@pytest.fixture(scope="module")
def service(binary, tmp_path_factory):
    """With the demo pairs, which have references; small jobs, so that a few images are several."""
    running = Server(binary, tmp_path_factory.mktemp("service"), ROOT / "deploy/demo/pairs", "--images-max", "6")
    yield running
    assert running.stop() == 0


@pytest.fixture(params=["standard library", "requests"])
def client(request, service):
    session = None if request.param == "standard library" else pytest.importorskip("requests").Session()
    with Client(f"http://127.0.0.1:{service.port}", pair="fashion-simclr", session=session) as made:
        yield made


def files(cohort):
    return sorted((IMAGES / cohort).glob("*.png"))


# --- images -----------------------------------------------------------------------------------------


def decoded(data):
    """(width, height, kind, rows) of a PNG, by this test's own reader."""
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(data):
        size, name = int.from_bytes(data[at:at + 4], "big"), data[at + 4:at + 8]
        chunks[name] = data[at + 8:at + 8 + size]
        assert int.from_bytes(data[at + 8 + size:at + 12 + size], "big") == zlib.crc32(name + chunks[name])
        at += 12 + size
    head, raw = chunks[b"IHDR"], zlib.decompress(chunks[b"IDAT"])
    width, height = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:8], "big")
    stride = len(raw) // height
    assert all(raw[y * stride] == 0 for y in range(height))
    return width, height, head[9], b"".join(raw[y * stride + 1:(y + 1) * stride] for y in range(height))


@pytest.mark.parametrize("channels,kind", [(1, 0), (2, 4), (3, 2), (4, 6)])
def test_a_png_is_its_pixels(channels, kind):
    pixels = bytes((i * 37 + i // 251) % 256 for i in range(150 * 160 * channels))  # more than one stored block
    assert decoded(sslmem.encode_png(pixels, 150, 160, channels)) == (150, 160, kind, pixels)


def test_a_png_is_the_same_everywhere():
    """Digests, and with them scores, follow from these bytes: they never change."""
    data = sslmem.encode_png(bytes(range(12)), 2, 2, 3)
    assert base64.b64encode(data) == (b"iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAGUlEQVR4AQEOAPH/AAABAgMEBQAGBwgJCgsBOwBDOcEnGwAA"
                                      b"AABJRU5ErkJggg==")


def test_a_png_over_12_mib_is_compressed():
    """A row is a byte longer than its pixels: 4096 rows of 3072 bytes are 12 MiB."""
    assert len(sslmem.encode_png(bytes(3071 * 4096), 3071, 4096, 1)) > 12 << 20
    data = sslmem.encode_png(bytes(3071 * 4097), 3071, 4097, 1)
    assert len(data) < 1 << 20 and decoded(data)[:2] == (3071, 4097)


def test_sizes_that_do_not_fit():
    with pytest.raises(ValueError, match="2x2 pixels of 3 channels are 12 bytes, there are 11"):
        sslmem.encode_png(bytes(11), 2, 2, 3)


def data_of(things):
    return [i.data for i in sslmem.images_of(things)]


def test_every_kind_of_image_is_the_same_image():
    np, pil = pytest.importorskip("numpy"), pytest.importorskip("PIL.Image")
    array = np.random.RandomState(1).randint(0, 256, (5, 7, 3), np.uint8)
    wanted = [sslmem.encode_png(array.tobytes(), 7, 5, 3)]
    assert data_of(array) == data_of([array]) == data_of(array[None]) == data_of(pil.fromarray(array)) == wanted
    assert data_of(np.ascontiguousarray(array.transpose(1, 0, 2)).transpose(1, 0, 2)) == wanted  # of other strides
    assert data_of(array.astype("float32") / 255) == data_of(array / 255.0) == wanted
    assert data_of((array, 3)) == data_of([{"image": pil.fromarray(array), "label": 3}]) == data_of(wanted[0]) == wanted
    grey = array[:, :, 0]
    assert data_of(grey) == data_of(pil.fromarray(grey)) == data_of(np.stack([grey])) == [sslmem.encode_png(grey.tobytes(), 7, 5, 1)]


def test_tensors_are_channels_first():
    np, torch = pytest.importorskip("numpy"), pytest.importorskip("torch")
    array = np.random.RandomState(1).randint(0, 256, (3, 7, 3), np.uint8)  # as an array and as a tensor, two different images
    tensor = torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1)))
    assert data_of(tensor) == data_of(tensor[None]) == data_of(array)
    assert data_of(tensor.float().div(255).requires_grad_()) == data_of(array)  # what ToTensor gives
    assert data_of(torch.from_numpy(array)) != data_of(array)


@pytest.mark.parametrize("mode,kind", [("1", 0), ("L", 0), ("P", 2), ("LA", 6), ("RGB", 2), ("RGBA", 6)])
def test_pil_modes(mode, kind):
    pil = pytest.importorskip("PIL.Image")
    made = pil.open(files("shared")[0]).convert(mode)
    width, height, got, rows = decoded(data_of(made)[0])
    wanted = made.convert({0: "L", 2: "RGB", 6: "RGBA"}[kind])
    assert (width, height, got, rows) == (*made.size, kind, wanted.tobytes())


@pytest.mark.parametrize("make,told", [
    (lambda np, pil: pil.new("CMYK", (2, 2)), "mode CMYK has no lossless"),
    (lambda np, pil: pil.new("I;16", (2, 2)), "mode I;16 has no lossless"),
    (lambda np, pil: np.zeros((4, 4, 3), "uint16"), "uint16, must be uint8"),
    (lambda np, pil: np.full((4, 4, 3), 0.5003), "holds floats that are no k/255"),
    (lambda np, pil: np.full((4, 4, 3), -1 / 255), "holds floats that are no k/255"),
    (lambda np, pil: np.full((4, 4, 3), 2.0), "holds floats that are no k/255"),
    (lambda np, pil: [np.zeros((4, 4, 2), "uint8")], r"shape \(4, 4, 2\)"),
    (lambda np, pil: [1, 2], "image 0 is int"),
    (lambda np, pil: {"image": 1}, "dict is no image"),
    (lambda np, pil: 7, "int is no image"),
])
def test_what_is_no_image(make, told):
    np, pil = pytest.importorskip("numpy"), pytest.importorskip("PIL.Image")
    with pytest.raises((TypeError, ValueError), match=told):
        data_of(make(np, pil))


def test_folders_and_their_classes(tmp_path):
    for name in ("b/2.png", "a/1.JPG", "top.png", "a/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    found = list(sslmem.images_of(tmp_path))
    assert [(i.name, i.label, i.data) for i in found] == [("a/1.JPG", "a", b"a/1.JPG"), ("b/2.png", "b", b"b/2.png"), ("top.png", "", b"top.png")]
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match="none holds no .png"):
        data_of(tmp_path / "none")
    assert [i.label for i in sslmem.images_of([(tmp_path / "top.png", 4), (b"x", "cat")])] == ["4", "cat"]


def test_datasets():
    """Names are indices of the whole dataset, also in a Subset of a Subset; labels are names of classes."""
    data = pytest.importorskip("torch.utils.data")
    np = pytest.importorskip("numpy")

    class Pictures(data.Dataset):
        classes, transform = ["cat", "dog"], None

        def __len__(self):
            return 6

        def __getitem__(self, at):
            return np.full((2, 2, 3), at, np.uint8), at % 2

    got = list(sslmem.images_of(data.Subset(data.Subset(Pictures(), [5, 3, 1]), [0, 2])))
    assert [(i.name, i.label) for i in got] == [("00005.png", "dog"), ("00001.png", "dog")]
    assert [i.data for i in got] == data_of([np.full((2, 2, 3), at, np.uint8) for at in (5, 1)])
    random = Pictures()
    random.transform = "RandomCrop(32)"
    with pytest.warns(UserWarning, match="RandomCrop"):
        list(sslmem.images_of(random))


# --- scores -----------------------------------------------------------------------------------------


def test_scores_equal_those_of_the_command_line(client, binary):
    paths = files("candidate")[:8]
    steps = []
    got = client.score(paths, progress=steps.append)
    done = subprocess.run([binary, "score", "--pair", ROOT / "deploy/demo/pairs/fashion-simclr", *paths], capture_output=True, text=True)
    for line, path, score in zip(done.stdout.splitlines(), paths, got, strict=True):
        wanted = json.loads(line)
        assert (score.name, score.error) == (path.name, None)
        assert (score.m, score.m_se, score.m_low, score.m_high) == tuple(wanted[k] for k in ("m", "m_se", "m_low", "m_high"))
        assert (score.centered, score.p_value) == (wanted["reference"]["centered"], wanted["reference"]["p_value"])
        assert score.document["provenance"]["key"] == wanted["provenance"]["key"]
    assert steps[-1] == {"done": 8, "sent": 8} and [s["done"] for s in steps] == sorted(s["done"] for s in steps)
    assert {s["sent"] for s in steps} == {8}


def test_images_that_fail_do_not_stop_the_others(client):
    got = client.score([b"no image", files("external")[0], image("cut_scan.jpg")])
    assert [s.m is None for s in got] == [True, False, True]
    assert got[0].error.startswith("unsupported: ") and got[1].error is None and got[2].error
    assert client.score([b"no image"])[0].error.startswith("image_unrecognised: ")  # refused at once, because it is alone
    assert client.score([]) == []


def test_a_recipe_and_the_pairs(client):
    plain, other = (client.score(files("shared")[0], recipe=r)[0] for r in (None, {"views": 3}))
    assert plain.m != other.m and other.document["recipe"]["views"] == 3 and other.p_value is None
    assert client.score(files("shared")[0], pair="fashion-vit")[0].document["pair"] == "fashion-vit"
    with pytest.raises(Problem) as told:
        client.score(files("shared")[0], recipe={"views": 1})
    assert (told.value.code, told.value.status) == ("recipe_invalid", 422) and "views is 1" in str(told.value)
    with pytest.raises(Problem) as told:
        client.score(files("shared")[0], pair="none")
    assert told.value.code == "pair_unknown"
    client.pair = None
    with pytest.raises(ValueError, match="fashion-simclr, fashion-strong, fashion-vit"):
        client.score(files("shared")[0])


def test_a_job_that_is_too_costly_is_halved(serve):
    """A request may cost what two of these images cost: of five, all five and then three at once are refused."""
    server = serve("--request-cost-ms-max", "6")
    client = Client(f"http://127.0.0.1:{server.port}", pair="resnet")
    assert [s.error for s in client.score([png(i) for i in range(5)], recipe={"views": 64})] == [None] * 5
    assert len({s["image"]["digest"] for s in client.history()}) == 5
    assert (server.folder / "stderr").read_text().count('"status":422') == 2


def test_history_goes_through_the_pages(client):
    client.score(files("external")[:5])
    found = list(client.history(pair="fashion-simclr", order="highest", limit=2))
    assert len(found) >= 5 and [s["m"] for s in found] == sorted((s["m"] for s in found), reverse=True)


# --- audits -----------------------------------------------------------------------------------------


def test_an_audit(client, tmp_path):
    np, pil = pytest.importorskip("numpy"), pytest.importorskip("PIL.Image")
    events = []
    external = [(np.asarray(pil.open(path)), f"class {at % 3}") for at, path in enumerate(files("external"))]
    audit = client.audit({"candidate": IMAGES / "candidate", "external": external}, name="from Python", gates=["auc<=0.99"],
                         resamples=100, progress=events.append)
    assert audit.state == "succeeded" and audit.document["succeeded_count"] == 40
    uploads = [e for e in events if e["state"] == "open"]
    assert sum(e["added_count"] for e in uploads) == 40 and len(uploads) == 4  # one of candidates, one for each class
    followed = [e for e in events if e["state"] != "open"]
    assert followed[-1]["state"] == "succeeded" and followed[-1]["succeeded_count"] == 40
    assert "rate_per_s" in followed[0]
    report = audit.report()
    assert report["spec"]["name"] == "from Python" and len(report["items"]) == 40
    assert audit.passed in (True, False)
    assert sorted({i["class"] for i in report["items"] if i["cohort"] == "external"}) == ["class 0", "class 1", "class 2"]
    assert "00015.png" not in json.dumps(report) and "00015.png" in json.dumps(audit.report(names=True))
    audit.save(tmp_path / "out", names=True)
    assert len(list(csv.DictReader(io.StringIO((tmp_path / "out/report.csv").read_text())))) == 40
    assert (tmp_path / "out/report.html").read_text().startswith("<!DOCTYPE html>")
    assert json.loads((tmp_path / "out/report.json").read_text())["items"][0]["name"]
    assert [e["state"] for e in client.events(audit)] == ["succeeded"]


def test_uploads_are_cut_to_fit_memory(client, monkeypatch):
    monkeypatch.setattr(sslmem, "UPLOAD_BYTES", 60000)
    monkeypatch.setattr(sslmem, "ARCHIVE_FRAME_BYTES", 2048)
    uploads = []
    audit = client.audit({"candidate": files("candidate"), "external": files("external")}, resamples=0, progress=uploads.append)
    assert sum(e["state"] == "open" for e in uploads) > 2 and audit.document["items_count"] == 40


def test_cohorts_are_named(client):
    with pytest.raises(ValueError, match="'candidates'"):
        client.audit({"candidates": files("candidate")})
    with pytest.raises(ValueError, match="not none"):
        client.audit({})
    with pytest.raises(Problem) as told:
        client.audit({"candidate": [b"no image"]})
    assert told.value.code == "nothing_added"
    with pytest.raises(ValueError, match="not 'pdf'"):
        client.report("x", "pdf")


# --- what breaks ------------------------------------------------------------------------------------


def port_of(process):
    return int(re.fullmatch(r"listening on http://127\.0\.0\.1:(\d+)\n", process.stdout.readline().decode())[1])


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_service_restarts_in_the_middle(binary, tmp_path, caplog, number):
    """An audit and scores, as if nothing had happened: no image twice, none missing."""
    port, processes = free_port(), []

    def start():
        processes.append(subprocess.Popen(
            [binary, "serve", "--listen", f"127.0.0.1:{port}", "--pairs", PAIRS, "--db", tmp_path / "db", "--workers", "1"],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL))
        assert port_of(processes[-1]) == port

    def restart():
        processes[-1].send_signal(number)
        processes[-1].wait(PATIENCE_S)
        time.sleep(0.4)  # the client meets a closed port
        start()

    start()
    try:
        client = Client(f"http://127.0.0.1:{port}", pair="resnet")
        client.limits()
        caplog.set_level(logging.WARNING, "sslmem")
        events = []
        audit = client.audit({"shared": [png(i) for i in range(100)]}, recipe={"views": 64}, resamples=0, wait=False)
        assert audit.state == "running"
        thread = threading.Thread(target=restart)
        thread.start()
        audit.wait(events.append)
        thread.join(PATIENCE_S)
        assert audit.state == "succeeded" and audit.document["succeeded_count"] == 100, audit.document
        assert events[-1]["state"] == "succeeded"
        assert "Connection refused" in caplog.text
        thread = threading.Timer(0.2, restart)
        thread.start()
        got = client.score([png(i) for i in range(100, 160)], recipe={"views": 64})
        thread.join(PATIENCE_S)
        assert len(got) == 60 and all(s.m is not None for s in got)
        assert len({s.document["id"] for s in got}) == 60
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()


def test_a_full_queue_is_waited_for(serve):
    """Real 503 queue_full with Retry-After: all is scored in the end."""
    server = serve("--workers", "1", "--queue-max", "5", "--images-max", "4")
    client = Client(f"http://127.0.0.1:{server.port}", pair="resnet")
    got = client.score([png(i) for i in range(24)], recipe={"views": 64})
    assert [s.error for s in got] == [None] * 24


def test_keys(serve, binary, tmp_path):
    server = serve()
    made = subprocess.run([binary, "key", "create", "--db", tmp_path / "test.db", "--create", "--scopes", "score,read"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    token = re.search(r"sslmem_\S+", made.stdout)[0]
    with pytest.raises(Problem) as told:
        Client(f"http://127.0.0.1:{server.port}", pair="resnet").score(png(1))
    assert told.value.code == "key_missing"
    client = Client(f"http://127.0.0.1:{server.port}", token, pair="resnet")
    assert client.score(png(1))[0].m is not None
    with pytest.raises(Problem) as told:
        client.audit({"shared": [png(1)]})
    assert told.value.code == "scope_missing"


class Scripted:
    """A service that gives scripted answers: (status, headers, body), or None to hang up; notes the requests."""

    def __init__(self, answers):
        self.requests, self.answers = [], list(answers)
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                owner.requests.append((time.monotonic(), self.command, self.path, self.headers, body))
                planned = owner.answers.pop(0)
                if planned is None:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                status, headers, text = planned
                self.send_response(status)
                for name, value in {"Content-Length": str(len(text)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def scripted():
    made = []

    def make(*answers):
        made.append(Scripted(answers))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()
        one.server.server_close()


def problem(status, code, **headers):
    text = json.dumps({"status": status, "code": code, "detail": "as scripted", "request_id": "r"}).encode()
    return status, {"Content-Type": "application/problem+json", **headers}, text


def ok(document, status=200, **headers):
    return status, headers, json.dumps(document).encode()


AUDIT = {"id": "a", "state": "open"}


@pytest.mark.parametrize("failure", [
    problem(429, "budget_spent", **{"Retry-After": "1"}), problem(503, "queue_full", **{"Retry-After": "1"}),
    problem(409, "idempotency_in_flight", **{"Retry-After": "1"}), (502, {"Retry-After": "1"}, b"<html>bad gateway"), None])
def test_a_post_is_repeated_under_one_key(scripted, failure):
    service = scripted(failure, failure, ok(AUDIT, 201), ok({"images_max": 4, "archive_bytes_max": 1 << 20}),
                       problem(415, "image_unrecognised"))
    with pytest.raises(Problem, match="image_unrecognised"):
        Client(service.url, pair="x").audit({"shared": [b"x"]})
    first, second, third, *_, upload = service.requests
    keys = {r[3]["Idempotency-Key"] for r in (first, second, third)}
    assert len(keys) == 1 and re.fullmatch(r'"[0-9a-f-]{36}"', keys.pop())
    assert first[4] == second[4] == third[4] and json.loads(first[4]) == {"name": "audit", "pair": "x", "gates": []}
    assert upload[3]["Idempotency-Key"] != first[3]["Idempotency-Key"]
    least = 0.24 if failure is None else 0.99  # Retry-After is kept
    assert second[0] - first[0] >= least and third[0] - second[0] >= least


@pytest.mark.parametrize("failure", [problem(503, "pair_failed"), problem(404, "audit_unknown"), problem(500, "internal"),
                                     problem(507, "disk_full"), problem(429, "budget_spent", **{"Retry-After": "40000"}),
                                     problem(409, "audit_state")])
def test_what_is_not_repeated(scripted, failure):
    service = scripted(failure)
    with pytest.raises(Problem) as told:
        Client(service.url, patience_s=5).get("/v1/audits/a")
    assert len(service.requests) == 1 and told.value.request_id == "r" and told.value.status == failure[0]


def test_a_service_that_was_never_there():
    began = time.monotonic()
    with pytest.raises(Unreachable, match="GET http://127.0.0.1:1/v1/pairs: .*refused"):
        Client("http://127.0.0.1:1", patience_s=0.6).get("/v1/pairs")
    assert 0.2 < time.monotonic() - began < 5
    with pytest.raises(ValueError, match="no address of a service"):
        Client("127.0.0.1:8080")


def test_a_connection_that_was_closed_while_idle(scripted, caplog):
    """Opened again at once and without a word."""
    service = scripted(ok({}), None, ok({"a": 1}))
    client = Client(service.url)
    client.get("/")
    assert client.get("/") == {"a": 1} and caplog.text == ""


def test_events_resume_where_they_broke_off(scripted):
    def event(revision, kind, state):
        return f'id: {revision}\nevent: {kind}\ndata: {{"state": "{state}"}}\n\n'.encode()

    half = (200, {"Content-Length": "500"}, b"retry: 2000\n\n: comment\n\n" + event(3, "progress", "running") + b'id: 4\ndata: {"sta')
    service = scripted(half, problem(503, "streams_limit", **{"Retry-After": "0"}), (200, {}, event(5, "end", "succeeded")))
    service.server.RequestHandlerClass.protocol_version = "HTTP/1.0"  # hangs up after an answer
    assert [e["state"] for e in Client(service.url).events("a")] == ["running", "succeeded"]
    assert [r[3]["Last-Event-ID"] for r in service.requests] == [None, "3", "3"]
    ended = scripted((204, {}, b""))
    assert list(Client(ended.url).events("a")) == []


# --- parquet ----------------------------------------------------------------------------------------


class FakeParquet:
    """Stands in for pyarrow.parquet, which Debian does not have: rows as Hugging Face's datasets write them."""
    schema_arrow = types.SimpleNamespace(names=["image", "label"], metadata={
        b"huggingface": json.dumps({"info": {"features": {"label": {"names": ["cat", "../dog"], "_type": "ClassLabel"}}}}).encode()})
    rows = [{"image": {"bytes": png(1), "path": "1.png"}, "label": 0}, {"image": {"bytes": image("cut_scan.jpg"), "path": None}, "label": 1},
            {"image": {"bytes": png(2), "path": None}, "label": 0}]

    def __init__(self, path):
        if path == "none":
            raise FileNotFoundError("none")

    def iter_batches(self, batch_size, columns):
        for at in range(0, len(self.rows), 2):
            part = [{c: row[c] for c in columns} for row in self.rows[at:at + 2]]
            yield types.SimpleNamespace(to_pylist=lambda part=part: part)


@pytest.fixture
def pyarrow(monkeypatch):
    fake = types.ModuleType("pyarrow.parquet")
    fake.ParquetFile = FakeParquet
    parent = types.ModuleType("pyarrow")
    parent.parquet = fake
    monkeypatch.setitem(sys.modules, "pyarrow", parent)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", fake)


def test_parquet(pyarrow, tmp_path, capsys):
    found = list(sslmem.parquet_images("x"))
    assert [(i.name, i.label) for i in found] == [("000000.png", "cat"), ("000001.jpg", "../dog"), ("000002.png", "cat")]
    assert [i.data for i in found] == [row["image"]["bytes"] for row in FakeParquet.rows]
    assert sslmem.main(["parquet", "x", "y", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"6 images in {tmp_path}/out\n"
    written = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*g"))
    assert written == [f"out/{n}" for n in ("_dog/000001.jpg", "_dog/000004.jpg", "cat/000000.png", "cat/000002.png", "cat/000003.png",
                                            "cat/000005.png")]
    assert (tmp_path / "out/cat/000003.png").read_bytes() == png(1)
    with pytest.raises(ValueError, match="no column 'img', it has image, label"):
        list(sslmem.parquet_images("x", image="img"))
    assert sslmem.main(["parquet", "none", "--out", str(tmp_path)]) == 1


def test_parquet_without_pyarrow(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    assert sslmem.main(["parquet", "x", "--out", str(tmp_path)]) == 1
    assert "pip install pyarrow" in capsys.readouterr().err


# --- the file ---------------------------------------------------------------------------------------


def test_it_needs_nothing_but_python():
    """-I and -S hide every package: the module and a score must do without."""
    done = subprocess.run([sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import sslmem; "
                           "print(len(list(sslmem.images_of([b'x']))))"], capture_output=True, text=True)
    assert done.stdout == "1\n", done.stderr


def test_types():
    if shutil.which("mypy") is None:
        pytest.skip("mypy is not installed (Debian: apt-get install mypy)")
    done = subprocess.run(["mypy", "--strict", "--cache-dir", "/dev/null", FOLDER / "sslmem.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_readme(service, tmp_path):
    """Its example runs as it is printed, in the top folder."""
    code, = re.findall(r"```python\n(.*?)```", (ROOT / "deploy/clients/README.md").read_text(), re.S)
    (tmp_path / "deploy").symlink_to(ROOT / "deploy")
    code = code.replace("127.0.0.1:8080", f"127.0.0.1:{service.port}")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(FOLDER)})
    lines = done.stdout.splitlines()
    assert done.returncode == 0 and len([line for line in lines if re.match(r"\d{5}\.png -?[0-9.e-]+ [0-9.]+ None$", line)]) == 20, done
    assert lines[-1] == "passed: False" and "succeeded" in lines
    assert sorted(p.name for p in (tmp_path / "report").iterdir()) == ["report.csv", "report.html", "report.json"]


# --- the notebook, and logging ----------------------------------------------------------------------

NOTEBOOK = FOLDER / "first_verdict.ipynb"


def printed(cells):
    """What each cell of code wrote to its standard output; of pictures that there is one."""
    return [["".join(o["text"]) if o["output_type"] == "stream" else "image/png" in o["data"] for o in cell["outputs"]
             if o.get("name") != "stderr"] for cell in cells if cell["cell_type"] == "code"]


def ran_by_jupyter(tmp_path):
    done = subprocess.run(["jupyter", "nbconvert", "--to", "notebook", "--execute", "--stdout", NOTEBOOK], capture_output=True, text=True,
                          env=os.environ | {"HOME": str(tmp_path), "JUPYTER_ALLOW_INSECURE_WRITES": "true"})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["cells"]


def ran_here(cells):
    """The same without Jupyter: the cells' code in one module; a picture is drawn into memory."""
    plot = pytest.importorskip("matplotlib.pyplot")
    plot.switch_backend("agg")
    space, ran = {}, []
    for cell in cells:
        written, code = io.StringIO(), "".join(cell["source"])
        if cell["cell_type"] == "code":
            with contextlib.redirect_stdout(written):
                exec(re.sub(r"^%.*$", "", code, flags=re.M), space)
        outputs = [{"output_type": "stream", "text": written.getvalue()}] if written.getvalue() else []
        if plot.get_fignums():
            drawn = io.BytesIO()
            plot.gcf().savefig(drawn)
            assert drawn.getvalue().startswith(b"\x89PNG")
            outputs.append({"output_type": "display_data", "data": {"image/png": ""}})
            plot.close("all")
        ran.append({**cell, "outputs": outputs})
    return ran


@pytest.mark.parametrize("how", ["cells", "jupyter"])
def test_the_notebook_gives_its_outputs(binary, tmp_path, monkeypatch, how):
    for needed in ("numpy", "PIL", "matplotlib"):
        pytest.importorskip(needed)
    if how == "jupyter" and (shutil.which("jupyter-nbconvert") is None or importlib.util.find_spec("ipykernel") is None):
        pytest.skip("needs Debian's jupyter-nbconvert and python3-ipykernel")
    monkeypatch.setenv("SSLMEM", str(binary))
    monkeypatch.chdir(FOLDER)
    monkeypatch.setattr(sys, "path", list(sys.path))
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    wanted = printed(cells)
    assert sum(map(len, wanted)) >= 5 and [True] in wanted
    assert printed(ran_by_jupyter(tmp_path) if how == "jupyter" else ran_here(cells)) == wanted


class Recorder(types.ModuleType):
    """Stands in for mlflow and wandb, which Debian does not have: records every call."""

    def __init__(self, name):
        super().__init__(name)
        self.calls = {}

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*arguments, **options):
            self.calls[name] = (arguments, options)
            return self

        return call

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.calls["end"] = ()


def test_an_audit_is_logged(service, monkeypatch):
    log_audit = load(FOLDER / "log_audit.py")
    client = Client(f"http://127.0.0.1:{service.port}", pair="fashion-vit")
    audit = client.audit({"candidate": files("candidate"), "external": files("external")}, name="spring", resamples=0, gates=["auc<=0.99"])
    summary = audit.report()["summary"]
    fakes = {name: Recorder(name) for name in ("mlflow", "wandb")}
    for name, fake in fakes.items():
        monkeypatch.setitem(sys.modules, name, fake)
    log_audit.to_mlflow(audit)
    calls = fakes["mlflow"].calls
    assert calls["start_run"] == ((), {"run_name": "spring"}) and "end" in calls
    numbers = calls["log_metrics"][0][0]
    assert numbers["candidate_mean_m"] == summary["cohorts"]["candidate"]["mean"] and "shared_mean_m" not in numbers
    assert numbers["candidate_external_auc"] == summary["membership"]["candidate_external"]["auc"]["value"]
    assert numbers["passed"] == 1.0 and numbers["flags"] == len(summary["flags"]) and "memorized_fdr0.05" in numbers
    assert calls["log_dict"][0][0]["summary"] == summary and calls["log_dict"][0][1] == "report.json"
    assert calls["log_text"][0][0].startswith("<!DOCTYPE html>") and calls["log_text"][0][1] == "report.html"
    log_audit.to_wandb(audit, project="p")
    calls = fakes["wandb"].calls
    assert calls["init"][1]["project"] == "p" and calls["init"][1]["name"] == "spring" and "finish" in calls
    assert len(calls["Table"][1]["data"]) == 40 and len(calls["Table"][1]["data"][0]) == len(calls["Table"][1]["columns"])
    logged = calls["log"][0][0]
    assert {**numbers, "images": fakes["wandb"], "report": fakes["wandb"]} == logged
