"""Strangers who mean harm: requests that two readers see differently, floods, bombs, forged cursors, paths that lead away.

Bytes go over plain sockets where a client library would tidy them up. Whatever comes, the answer is one of the described
problems or an end of the connection, and the next client is served."""

import concurrent.futures
import contextlib
import http.client
import io
import json
import os
import pathlib
import re
import socket
import struct
import tarfile
import time

import pytest

from conftest import Answer, PATIENCE_S, Server, check_problem, images_and_recipe, multipart, png

pytestmark = pytest.mark.memory  # raw bytes reach every parser of HTTP

LIMIT, IDLE_S = 100000, 2
JSON = {"Content-Type": "application/json"}
NO_ID = "019abd9e-74f6-7d55-9b6a-0f6f0c3d1c55"


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory, pairs_folder):
    root = tmp_path_factory.mktemp("root")
    (root / "data").mkdir()
    (root / "data/in.png").write_bytes(png(1))
    (root / "secret.png").write_bytes(png(2))
    running = Server(binary, tmp_path_factory.mktemp("server"), pairs_folder, "--body-bytes-max", str(LIMIT),
                     "--images-max", "4", "--idle-timeout-s", str(IDLE_S), "--data-root", root / "data",
                     "--connections-per-client-max", "400")
    yield running
    assert running.stop() == 0


@pytest.fixture(autouse=True)
def next_client_is_served(server):
    yield
    assert server.get("/livez").status == 200
    assert server.post(png(1)).status == 200


def connect(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)


def answers_of(data):
    """Every answer in what came, one after the other."""
    file, found = io.BytesIO(data), []
    while line := file.readline():
        assert line.startswith(b"HTTP/1."), data
        headers = http.client.parse_headers(file)
        found.append(Answer(int(line.split()[1]), headers, file.read(int(headers.get("Content-Length", 0)))))
        if headers["Content-Type"] == "application/problem+json":
            check_problem(found[-1])
    return found


def wire_bytes(server, data, half_close=False):
    """Sends bytes as they are and reads until the service closes."""
    got = b""
    with connect(server) as sock, contextlib.suppress(ConnectionResetError, BrokenPipeError):
        sock.sendall(data)
        if half_close:
            sock.shutdown(socket.SHUT_WR)
        while more := sock.recv(65536):
            got += more
    return got


def wire(server, data, half_close=False):
    return answers_of(wire_bytes(server, data, half_close))


def post(headers, body=b"", target="/v1/scores?pair=resnet"):
    head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n{headers}\r\n"
    return head.encode("latin-1") + body


# --- where a request ends ---------------------------------------------------------------------------

SMUGGLED = b"GET /version HTTP/1.1\r\nHost: x\r\n\r\n"
N = len(SMUGGLED)


UNCERTAIN = [
    f"Content-Length: 0\r\nContent-Length: {N}\r\n", f"Content-Length: {N}\r\nContent-Length: 0\r\n",
    f"Content-Length: {N}\r\nContent-Length: {N}\r\n", f"content-length: 5\r\nCONTENT-LENGTH: {N}\r\n",
    f"Content-Length : {N}\r\n", "Transfer-Encoding : chunked\r\n", f"Content-Length\t: {N}\r\n",
    f"Content-Length: 3\r\nTransfer-Encoding:\r\n chunked\r\n", f"Content-Length: 3\r\nTransfer-Encoding: x\r\n\tchunked\r\n",
    f"X: y\r\n Content-Length: {N}\r\n", f"X: y\rContent-Length: {N}\r\n", "Transfer-Encoding: \x0bchunked\r\n",
    "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n", f"Content-Length: {N}\r\nHost: y\r\n",
    f"Content-Length: {N}\r\nContent-Type: text/plain\r\n", f"Content Length: {N}\r\n",
    "Content-Length: 0\r\nContent-Length: 0\r\n", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"]


@pytest.mark.parametrize("headers", UNCERTAIN, ids=range(len(UNCERTAIN)))
def test_a_request_that_could_end_elsewhere(server, headers):
    """One answer, then the end: no byte behind the head is taken for a request."""
    for method in ("POST /v1/scores?pair=resnet", "POST /v1/audits", "POST /v1/audits/x/start", "GET /livez",
                   "GET /nothing", "OPTIONS /livez"):
        data = post(headers, SMUGGLED).replace(b"POST /v1/scores?pair=resnet", method.encode())
        answer, = wire(server, data)
        answer.problem(400, "header_invalid")
        assert answer.headers["Connection"] == "close"


@pytest.mark.parametrize("headers", [
    f"Content-Length: {N}\r\nTransfer-Encoding: chunked\r\n", f"Transfer-Encoding: chunked\r\nContent-Length: {N}\r\n",
    "Transfer-Encoding: chunked\r\n", f"Transfer-Encoding: identity\r\nContent-Length: {N}\r\n",
    f"Transfer-Encoding: xchunked\r\nContent-Length: {N}\r\n", f"Transfer-Encoding:\r\nContent-Length: {N}\r\n"])
@pytest.mark.parametrize("body", [b"0\r\n\r\n", b"", b"ffff\r\n" + bytes(65535) + b"\r\n", b"ffffffffffffffffff\r\n", b"-1\r\n"])
def test_chunked(server, headers, body):
    """With a length besides, that is two lengths."""
    both = "Content-Length" in headers
    answer, = wire(server, post(headers, body + SMUGGLED))
    answer.problem(*((400, "header_invalid") if both else (411, "length_required")))
    answer, = wire(server, post(headers, body + SMUGGLED, "/v1/audits/x/start"))
    answer.problem(400, "header_invalid" if both else "body_unexpected")


@pytest.mark.parametrize("value", [f"{N}, {N}", f"+{N}", "-1", "0x20", "9" * 40, "1 0", "1e3", "\u00b2", "1.0"])
def test_lengths_that_are_no_number(server, value):
    """Refused by libmicrohttpd, which sends the head of this refusal twice."""
    got = wire_bytes(server, post(f"Content-Length: {value}\r\n", SMUGGLED))
    assert got.startswith(b"HTTP/1.1 4") and b"sqlite" not in got
    assert {int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", got)} <= {400, 413}


def test_a_body_that_is_not_asked_for(server):
    """It is not the next request either."""
    for method in ("GET", "DELETE", "PUT", "BREW"):
        answer, = wire(server, f"{method} /livez HTTP/1.1\r\nHost: x\r\nContent-Length: {N}\r\n\r\n".encode() + SMUGGLED)
        assert answer.status in (400, 405)


# --- floods, and silence ----------------------------------------------------------------------------


def flood(count):
    return "".join(f"X-{i}: {'y' * 20}\r\n" for i in range(count))


@pytest.mark.parametrize("data,statuses", [
    (post(flood(100000)), {431}), (post(flood(900) + "Content-Length: 9\r\n", b"123456789"), {415, 431}),
    (b"GET /livez HTTP/1.1\r\nX: " + b"y" * 10**6, {431}), (b"G" * 10**6, {414}), (b"\r\n" * 10**5, {414}),
    (b"GET /livez?" + b"&".join(b"a%d=1" % i for i in range(3000)) + b" HTTP/1.1\r\nHost: x\r\n\r\n", {400, 414}),
    (b"GET /livez HTTP/1.1\r\nHost: x\r\nCookie: " + b"a=b;" * 10**5 + b"\r\n\r\n", {431}),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {505}), (b"\x16\x03\x01\x00\xc8\x01\x00" + bytes(200), {400})])
def test_floods(server, data, statuses):
    assert {answer.status for answer in wire(server, data)} <= statuses


def test_many_floods_at_once(server):
    """Heads that never end hold their 32 KiB each, and nobody else."""
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(connect(server)).sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 30000)
        began = time.monotonic()
        assert all(server.get("/livez").status == 200 for _ in range(10))
        assert time.monotonic() - began < PATIENCE_S / 10


def get(target, *lines, method="GET"):
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *lines, "", ""]).encode()


def query(count, pair="a=1"):
    return "/v1/scores?" + "&".join([pair] * count)


def distinct(count):
    return "/v1/scores?" + "&".join(f"a{i}=1" for i in range(count))


# Each takes the memory that libmicrohttpd has for a head, at another place of its reading.
HEADS = (
    [get(query(n)) for n in (17, 400, 430, 440, 500, 1000, 2000, 4000, 8000)]
    + [get(query(n, pair)) for pair in ("", "a", "=", "%41=%42", "a=b=c") for n in (100, 500, 1600, 5000)]
    + [get("/livez?" + "a" * n) for n in (4000, 8000, 16000, 30000)] + [get("/livez?" + "&a" * 16000), get("/" + "?" * 16000)]
    + [get(query(600), method=method) for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")]
    + [get(distinct(count), "X: " + "y" * n) for count in (1, 16, 300) for n in (15000, 20000, 28000, 30000, 31500, 32300, 32600)]
    + [get("/livez?a=" + "b" * n, "X: " + "y" * m) for n in (8000, 16000) for m in (8000, 16000, 23000, 24500, 30000)]
    + [get("/livez", "Cookie: " + "; ".join(["a=1"] * n)) for n in (100, 300, 400, 430, 450, 500, 1000, 5000)]
    + [get("/livez", *["Cookie: a=1"] * n) for n in (300, 400, 500, 1000)]
    + [get("/livez", "Cookie: a=" + "x" * n) for n in (8000, 15000, 16500, 20000, 30000, 32300, 60000)]
    + [get(distinct(16), "Cookie: " + "; ".join(["a=1"] * n), "X: " + "y" * m) for n in (100, 300) for m in (5000, 20000, 30000)]
    + [get("/livez", *[f"X{i}: 1" for i in range(n)]) for n in (200, 400, 430, 450, 500, 1000, 3000)]
    + [get("/livez", "X: " + "y" * n) for n in (16000, 31000, 32300, 32500, 32700, 33000, 100000)]
    + [get("/livez", *[f"X{i}" for i in range(1000)]), get("/livez", *[f"X: y\r\n {'z' * 20}"] * 800)])


def comes_to_an_end(server, data, piece, within_s=2):
    """Sends in pieces; whether the service then answers or closes."""
    with connect(server) as sock, contextlib.suppress(ConnectionError):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for at in range(0, len(data), piece):
            sock.sendall(data[at:at + piece])
            if piece < len(data):
                time.sleep(0.0005)
        sock.settimeout(within_s)
        try:
            sock.recv(1)
        except TimeoutError:
            return False
    return True


@pytest.mark.parametrize("piece", [10**6, 1400, 487])
def test_heads_that_take_all_memory_come_to_an_end(serve, piece):
    server = serve("--idle-timeout-s", "60")
    late = [(data[:60], len(data)) for data in HEADS if not comes_to_an_end(server, data, piece)]
    assert late == []


def test_too_many_parameters(serve):
    server = serve("--metrics", "on")
    limit = server.get("/v1/limits").json["query_parameters_max"]
    assert server.get("/livez?" + "&".join(["a=1"] * limit)).status == 400
    detail = server.get("/livez?" + "&".join(["a=1"] * (limit + 1))).problem(414, "url_too_long")
    assert detail == f"the URL has {limit + 1} query parameters, the limit is {limit}"
    for _ in range(20):
        server.get(query(1000)).problem(414, "url_too_long")
    def number(name):
        return float(re.search(rf"^{re.escape(name)} (\S+)$", server.get("/metrics").body.decode(), re.M)[1])

    assert number('sslmem_http_connections_cut_total{cause="parameters"}') == 21
    until = time.monotonic() + PATIENCE_S
    while number("sslmem_http_connections") > 1:  # they are gone, not only silent
        assert time.monotonic() < until
    assert (server.folder / "stderr").read_text().count('"status":414') == 21


def test_a_body_that_stops_coming(server):
    """Its connection is closed after the idle timeout, and nothing of it is kept."""
    with connect(server) as sock:
        sock.sendall(post("Content-Length: 5000\r\n", b"\x89PNG"))
        began = time.monotonic()
        assert sock.recv(1) == b""
        assert IDLE_S / 2 < time.monotonic() - began < PATIENCE_S
    assert server.get("/readyz").json["queued"] == 0


def test_bodies_that_are_only_announced(server):
    """Room for 16 of the largest is all there is; it comes back with the connections."""
    announced = post(f"Content-Length: {LIMIT}\r\nExpect: 100-continue\r\n")
    with contextlib.ExitStack() as stack:
        for _ in range(server.get("/v1/limits").json["bodies_max"]):
            sock = stack.enter_context(connect(server))
            sock.sendall(announced)
            assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
        refused = server.post(png(1))
        refused.problem(503, "busy")
        assert int(refused.headers["Retry-After"]) > 0
    until = time.monotonic() + PATIENCE_S
    while server.post(png(1)).status != 200:
        assert time.monotonic() < until


# --- clients that leave -----------------------------------------------------------------------------


def test_half_closed(server):
    """Who has said everything may still listen."""
    body = png(77)
    answer, = wire(server, SMUGGLED, half_close=True)
    assert answer.status == 200
    answer, = wire(server, post(f"Content-Length: {len(body)}\r\nPrefer: wait={PATIENCE_S}\r\n", body), half_close=True)
    assert answer.status == 200 and "m" in answer.json
    for part in (b"GE", b"GET /livez HTTP/1.1\r\nHo", post("Content-Length: 100\r\n"), post("Content-Length: 100\r\n", b"abc")):
        assert wire(server, part, half_close=True) == []


def descriptors_of(server):
    """But those of the database, which has as many readers as were ever needed at once."""
    count = 0
    for fd in os.listdir(f"/proc/{server.process.pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed since the listing
            count += "test.db" not in os.readlink(f"/proc/{server.process.pid}/fd/{fd}")
    return count


def test_gone_while_waiting(serve):
    """Resets in the middle of a wait: what was accepted is done, what is lost is the answer."""
    server = serve("--workers", "1")
    assert server.post(png(1)).status == 200
    before = descriptors_of(server)
    media_type, body = images_and_recipe([png(100), png(101)], {"views": 64})
    request = post(f"Content-Length: {len(body)}\r\nPrefer: wait=60\r\n", body).replace(b"image/png", media_type.encode(), 1)
    for _ in range(20):
        with connect(server) as sock:
            sock.sendall(request)
            time.sleep(0.02)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    until = time.monotonic() + PATIENCE_S
    while server.get("/readyz").json["queued"] > 0 or descriptors_of(server) > before:
        assert time.monotonic() < until, (descriptors_of(server), before)
        time.sleep(0.05)
    assert len(server.get("/v1/scores").json["scores"]) == 3


# --- multipart --------------------------------------------------------------------------------------

B = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="image"\r\n\r\n'


@pytest.mark.parametrize("media_type,body,status,code", [
    (B, PART + png(1), 400, "multipart_invalid"),
    (B, PART + png(1) + b"\r\n--b", 400, "multipart_invalid"),
    (B, PART + png(1) + b"\r\n--b-", 400, "multipart_invalid"),
    (B, PART + png(1) + b"\n--b--\n", 400, "multipart_invalid"),
    (B, b"--b--", 422, "images_missing"),
    (B, b"--b\r\n\r\n" + png(1) + b"\r\n--b--", 400, "multipart_invalid"),
    (B, b"--b\r\nContent-Disposition: attachment; name=image\r\n\r\nx\r\n--b--", 400, "multipart_invalid"),
    (B, b'--b\r\nContent-Disposition: form-data; name=""\r\n\r\nx\r\n--b--', 400, "multipart_invalid"),
    (B, b'--b\r\nContent-Disposition: form-data; name="' + b"i" * 5000 + b'"\r\n\r\nx\r\n--b--', 400, "multipart_invalid"),
    (B, b'--b\r\nContent-Disposition: form-data; name="im\0age"\r\n\r\nx\r\n--b--', 400, "multipart_invalid"),
    (B, b'--b\r\nContent-Disposition: form-data; name="image\r\n\r\nx\r\n--b--', 400, "multipart_invalid"),
    (B, b"--b\r\nX: " + b"y" * 90000 + b"\r\n\r\nx\r\n--b--", 400, "multipart_invalid"),
    (B, b"--b\r\n" + b"X: y\r\n" * 10000, 400, "multipart_invalid"),
    (B, b'--b\r\nContent-Disposition: form-data; name="../image"\r\n\r\nx\r\n--b--', 422, "part_unknown"),
    (B, PART + b"\r\n--b--", 400, "body_empty"),
    (B, b"--b " * 20000, 400, "multipart_invalid"),
    (B, b"\r\n" * 40000, 400, "multipart_invalid"),
    ("multipart/form-data; boundary=", PART, 400, "multipart_invalid"),
    ('multipart/form-data; boundary="', PART, 400, "multipart_invalid"),
    ("multipart/form-data; boundary=" + "b" * 71, PART, 400, "multipart_invalid"),
    ("multipart/mixed; boundary=b", PART, 415, "media_type_unsupported")])
def test_broken_multipart(server, media_type, body, status, code):
    began = time.monotonic()
    server.post(body, media_type).problem(status, code)
    assert time.monotonic() - began < PATIENCE_S / 10


@pytest.mark.parametrize("part", [b"--b\r\nContent-Disposition: form-data; name=image\r\n\r\nx\r\n",
                                  b"--b\r\nContent-Disposition: form-data; name=image\r\n\r\n\r\n",
                                  b"--b\r\nContent-Disposition: form-data; name=recipe\r\n\r\n{}\r\n"])
def test_ten_thousand_parts(serve, part):
    server = serve("--images-max", "1024")
    began = time.monotonic()
    server.post(part * 10000 + b"--b--\r\n", B).problem(422, "images_limit")
    assert time.monotonic() - began < PATIENCE_S / 10
    assert server.post(png(1)).status == 200


# --- JSON -------------------------------------------------------------------------------------------

BOMBS = [b"[" * 30000, b"[" * 30000 + b"]" * 30000, b'{"a":' * 10000 + b"1" + b"}" * 10000, b'{"views": 5, "views": 5}',
         b'{"views": 1e400}', b'{"views": ' + b"9" * 30000 + b"}", b'{"views": -1e-400}', b'{"views": NaN}',
         b'{"views": Infinity}', b'{"views": 0x10}', b'{"views": 05}', b'{"views": 1,}', b'{"a\\u0000b": 1}',
         b'{"a": "\\ud800"}', b'{"a": "\xc0\xae"}', b"\xef\xbb\xbf\xef\xbb\xbf{}", "{}".encode("utf-16"), b"{} {}", b"{}\0", b"null", b'"x"',
         b"{" + b",".join(b'"k%d": %d' % (i, i) for i in range(4000)) + b"}", b'{"a": "' + b"x" * 60000 + b'"}',
         b'{"a": [' + b"0," * 30000 + b"0]}", b"/**/{}", b"{'a': 1}"]


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: repr(bomb[:24]))
def test_bombs(server, bomb):
    began = time.monotonic()
    server.post_many([png(1)], bomb).problem(422, "recipe_invalid")
    answer = server.ask("POST", "/v1/audits", bomb, JSON)
    assert (answer.status, answer.json["code"]) in {(400, "json_invalid"), (422, "audit_invalid")}
    assert time.monotonic() - began < PATIENCE_S / 10


# --- cursors ----------------------------------------------------------------------------------------


def new_audit(server, images=(), cohort="external"):
    audit = server.ask("POST", "/v1/audits", json.dumps({"name": "n", "pair": "resnet"}), JSON).headers["Location"]
    for image in images:
        assert server.ask("POST", f"{audit}/images?cohort={cohort}", image, {"Content-Type": "image/png"}).status == 200
    return audit


def cursor_of(server, path):
    return re.search("cursor=([^&]*)", server.get(path).json["next"])[1]


@pytest.fixture(scope="module")
def lists(server):
    """Lists with more than a page, and a cursor of each."""
    for i in range(3):
        assert server.post(png(200 + i)).status == 200
    first, second = (new_audit(server, [png(300 + i) for i in range(3)]) for _ in range(2))
    paths = ["/v1/scores?limit=1", "/v1/scores?limit=1&order=highest", "/v1/scores?limit=1&pair=resnet", "/v1/audits?limit=1",
             f"{first}/items?limit=1", f"{first}/items?limit=1&cohort=external", f"{second}/items?limit=1"]
    return {path: cursor_of(server, path) for path in paths}


def test_cursors_of_another_list(server, lists):
    for path in lists:
        for owner, cursor in lists.items():
            answer = server.get(f"{path}&cursor={cursor}")
            if owner == path:
                assert answer.status == 200
            else:
                answer.problem(400, "cursor_invalid")


def test_forged_cursors(server, lists):
    for path, cursor in lists.items():
        flipped = [cursor[:i] + ("A" if cursor[i] != "A" else "B") + cursor[i + 1:] for i in range(0, len(cursor), 5)]
        for forged in flipped + [cursor[:-1], cursor + "A", "A" * len(cursor), "-" * len(cursor), "x", "A" * 5000,
                                 "%00" + cursor, cursor + "%00", "%ff" * len(cursor), "../" + cursor, "';--"]:
            server.get(f"{path}&cursor={forged}").problem(400, "cursor_invalid")


# --- paths ------------------------------------------------------------------------------------------

AWAY = ["..", "../..", "../resnet", "..%2f..%2fetc%2fpasswd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "%2e%2e", "..%5c..%5cetc", "..\\..\\x",
        "%2e%2e%5cresnet", "%c0%ae%c0%ae%c0%af", "%252e%252e%252f", "resnet%00", "%00", "resnet%2f", "resnet%2f..%2fresnet", "./resnet",
        "%2fetc%2fpasswd", "resnet%0d%0aX:%20y", "a" * 5000, "%ff%fe", "~", "*", "resnet%20"]
PLACES = ["/v1/scores/{}", "/v1/jobs/{}", "/v1/pairs/{}", "/v1/audits/{}", "/v1/audits/{}/items", "/v1/audits/{}/events",
          "/v1/audits/{}/report.json", "/v1/audits/{}/report.csv", "/v1/audits/{}/report.html", "/v1/audits/{}/selection?kind=top&n=1"]
UNKNOWN = {"route_unknown", "score_unknown", "job_unknown", "pair_unknown", "audit_unknown", "query_invalid", "url_too_long"}


@pytest.mark.parametrize("away", AWAY, ids=lambda away: away[:30])
def test_paths_that_lead_away(server, away):
    """As ids and names in a path, and as a pair's name: nothing of the kind is there, and no header comes back."""
    plain = away.replace("\\", "%5c")
    for place in PLACES:
        data = f"GET {place.format(away)} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode("latin-1")
        answer, = wire(server, data)
        assert answer.status in (400, 404, 414) and answer.json["code"] in UNKNOWN, (place, answer.body)
        assert "X" not in answer.headers
    answer = server.post(png(1), pair=plain)
    assert (answer.status, answer.json["code"]) in {(404, "pair_unknown"), (414, "url_too_long")}
    answer = server.ask("POST", "/v1/audits", json.dumps({"name": "n", "pair": away}), JSON)
    assert (answer.status, answer.json["code"]) in {(404, "pair_unknown"), (422, "audit_invalid")}
    for query in (f"pair={plain}", f"image={plain}", f"since={plain}", f"order={plain}"):
        answer = server.get(f"/v1/scores?{query}")
        assert answer.status in (400, 414) or answer.json["scores"] == []
    assert server.get(f"/v1/comparisons?audits={plain},{plain}").status in (400, 404, 414, 422)
    answer = server.ask("DELETE", f"/v1/audits/{NO_ID}{plain}")
    assert answer.json["code"] in ("audit_unknown", "route_unknown", "url_too_long")


def tree(folder):
    return sorted(str(path) for path in pathlib.Path(folder).rglob("*"))


NAMES = ["../secret.png", "/etc/hostname", "in/../../secret.png", "..\\secret.png", "./../secret.png", "in.png/../../secret.png"]


def test_names_are_labels(server, tmp_path):
    """File names of multipart and archives and the labels of a query make no file, wherever they point to."""
    before = tree(server.folder.parent)
    audit = new_audit(server)
    for i, name in enumerate(NAMES + ["a\0b"]):
        media_type, body = multipart([("image", png(400 + i), None, name)])
        assert server.ask("POST", f"{audit}/images?cohort=shared", body, {"Content-Type": media_type}).status in (200, 400)
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for i, name in enumerate(NAMES):
            info = tarfile.TarInfo(name)
            info.size = len(png(500 + i))
            archive.addfile(info, io.BytesIO(png(500 + i)))
        link = tarfile.TarInfo("link.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    report = server.ask("POST", f"{audit}/images?cohort=candidate", packed.getvalue(), {"Content-Type": "application/x-tar"}).json
    assert report["added_count"] + report["skipped_count"] == len(NAMES) + 1 and report["skipped_count"] >= 1
    label = "..%2f..%2fsecret.png"
    answer = server.ask("POST", f"{audit}/images?cohort=independent&name={label}&class={label}&group={label}", png(600),
                        {"Content-Type": "image/png"})
    assert answer.status == 200
    assert [name for name in tree(server.folder.parent) if name not in before] == []


@pytest.mark.parametrize("path", NAMES + ["", ".", "..", "//in.png", "in.png\0", "in.png/", "~/in.png", "a" * 5000])
def test_files_outside_of_the_data_root(server, path):
    audit = new_audit(server)
    line = json.dumps({"cohort": "shared", "path": path})
    answer = server.ask("POST", f"{audit}/manifest", line, {"Content-Type": "application/jsonl"})
    assert answer.status in (200, 422), answer.body
    assert answer.status == 422 or answer.json["added_count"] == 0, answer.body
    answer = server.ask("POST", f"{audit}/manifest", json.dumps({"folders": {"shared": path}}), JSON)
    if path == ".":
        assert answer.json["added_count"] == 1
    else:
        assert (answer.status, answer.json["code"]) in {(422, "manifest_invalid"), (400, "json_invalid")}
