"""What stands between the service and its clients: TLS, proxies, web pages, the admin socket, limits on connections,
and SIGHUP."""

import http.client
import json
import os
import re
import signal
import socket
import ssl
import stat
import subprocess
import time

import pytest

from conftest import PATIENCE_S, Answer, Server, check_contract, png
from test_audits import Events
from test_log import lines


def certificate(folder, name, kind="ec", days=30, mode=0o600):
    """Makes NAME.pem and NAME.key, and returns both."""
    cert, key = folder / f"{name}.pem", folder / f"{name}.key"
    algorithm = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else ["rsa:2048"]
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-newkey", *algorithm, "-keyout", key, "-out", cert,
                    "-days", str(days), "-subj", f"/CN={name}",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], check=True, capture_output=True)
    key.chmod(mode)
    return cert, key


def create(server):
    return server.ask("POST", "/v1/audits", json.dumps({"name": "a", "pair": "resnet"}),
                      {"Content-Type": "application/json"}).headers["Location"]


def trusting(cert, **versions):
    context = ssl.create_default_context(cafile=str(cert))
    for name, version in versions.items():
        setattr(context, name, version)
    return context


class Secure:
    """Asks a server over TLS."""

    def __init__(self, server, cert, **versions):
        self.connection = http.client.HTTPSConnection("127.0.0.1", server.port, timeout=PATIENCE_S,
                                                      context=trusting(cert, **versions))

    def ask(self, method, path, body=None, headers=None):
        self.connection.request(method, path, body, headers or {})
        got = self.connection.getresponse()
        answer = Answer(got.status, got.headers, got.read())
        check_contract(method, path, answer)
        return answer

    @property
    def name(self):
        return dict(pair for (pair,) in self.connection.sock.getpeercert()["subject"])["commonName"]

    def close(self):
        self.connection.close()


def serve_tls(serve, folder, *options, name="first", kind="ec"):
    cert, key = certificate(folder, name, kind)
    return serve("--tls-cert", cert, "--tls-key", key, *options), cert, key


def refused(binary, folder, *options):
    done = subprocess.run([binary, "serve", "--listen", "127.0.0.1:0", "--db", folder / "r.db", "--pairs", folder,
                           *options], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.stdout == ""
    return done.returncode, done.stderr.splitlines()[-1]


# --- TLS --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["ec", "rsa"])
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_tls(serve, tmp_path, kind, version):
    server, cert, _ = serve_tls(serve, tmp_path, kind=kind)
    wanted = getattr(ssl.TLSVersion, version)
    client = Secure(server, cert, minimum_version=wanted, maximum_version=wanted)
    answer = client.ask("POST", "/v1/scores?pair=resnet", png(1), {"Content-Type": "image/png", "Prefer": "wait=60"})
    assert answer.status == 200
    assert client.connection.sock.version() == version.replace("_", ".")
    cipher, _, bits = client.connection.sock.cipher()
    assert bits >= 128 and re.search("GCM|CHACHA20", cipher) and (version == "TLSv1_3" or "ECDHE" in cipher)
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    client.close()


def openssl_client(server, *options):
    """The connection as the command line of OpenSSL makes it, whose oldest settings are allowed."""
    return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", *options],
                          input="", capture_output=True, text=True, timeout=PATIENCE_S)


@pytest.mark.parametrize("options", [
    ["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
    ["-tls1_2", "-cipher", "AES128-SHA:AES128-GCM-SHA256:@SECLEVEL=0"],  # RSA key exchange
    ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA:@SECLEVEL=0"],  # CBC
], ids=["1.1", "1.0", "no forward secrecy", "no AEAD"])
def test_weak_tls_is_refused(serve, tmp_path, options):
    server, cert, _ = serve_tls(serve, tmp_path, kind="rsa")
    done = openssl_client(server, *options)
    assert done.returncode != 0 and "Cipher is (NONE)" in done.stdout
    assert openssl_client(server, "-tls1_2").returncode == 0  # the same client, unrestricted
    client = Secure(server, cert)
    assert client.ask("GET", "/livez").status == 200
    client.close()


def test_too_many_parameters_over_tls(serve, tmp_path):
    server, cert, _ = serve_tls(serve, tmp_path)
    for count in (17, 1000):
        client = Secure(server, cert)
        client.ask("GET", "/livez?" + "&".join(["a=1"] * count)).problem(414, "url_too_long")
        client.close()
    client = Secure(server, cert)
    assert client.ask("GET", "/livez").status == 200
    client.close()


def test_plain_http_to_tls(serve, tmp_path):
    server, cert, _ = serve_tls(serve, tmp_path)
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as sock:
        sock.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not sock.recv(4096).startswith(b"HTTP")
    client = Secure(server, cert)
    assert client.ask("GET", "/livez").status == 200
    client.close()


def test_no_hsts_without_tls(server):
    assert "Strict-Transport-Security" not in server.get("/livez").headers


def test_start_is_refused(binary, tmp_path):
    cert, key = certificate(tmp_path, "one")
    other, _ = certificate(tmp_path, "two")
    tls = lambda c, k: refused(binary, tmp_path, "--tls-cert", c, "--tls-key", k)
    key.chmod(0o640)
    assert tls(cert, key) == (2, f"sslmem serve: {key} has mode 640, must be a file that only its owner may read")
    key.chmod(0o604)
    assert tls(cert, key) == (2, f"sslmem serve: {key} has mode 604, must be a file that only its owner may read")
    key.chmod(0o600)
    assert tls(other, key) == (2, f"sslmem serve: {key} is not the key of the certificate in {other}")
    assert tls(tmp_path / "none", key) == (1, f"sslmem serve: {tmp_path}/none: No such file or directory")
    assert tls(key, key)[1].startswith(f"sslmem serve: {key} is no certificate in PEM: ")
    bad = tmp_path / "bad.key"
    bad.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    bad.chmod(0o600)
    assert tls(cert, bad)[1].startswith(f"sslmem serve: {bad} is no key in PEM: ")
    bad.write_bytes(bytes(65537))
    assert tls(cert, bad) == (1, f"sslmem serve: {bad} has 65537 bytes, at most 65536")
    bad.write_bytes(cert.read_bytes() * 9)
    assert tls(bad, key) == (1, f"sslmem serve: {bad} has 9 certificates, at most 8")
    assert tls(tmp_path, key)[1].endswith("must be a file")


def hang_up(server, event):
    """SIGHUP, and the line that it makes."""
    before = (server.folder / "stderr").read_text().count(f'"event":"{event}"')
    server.process.send_signal(signal.SIGHUP)
    until = time.monotonic() + PATIENCE_S
    while len(found := lines(server, event)) == before:
        assert time.monotonic() < until
    return found[-1]


def test_certificate_is_reloaded(serve, tmp_path):
    server, cert, key = serve_tls(serve, tmp_path, "--admin-listen", f"unix:{tmp_path}/admin")
    (tmp_path / "old.pem").write_bytes(cert.read_bytes())
    old = Secure(server, tmp_path / "old.pem")
    assert (old.ask("GET", "/livez").status, old.name) == (200, "first")
    first = old.connection.sock
    new_cert, new_key = certificate(tmp_path, "second", "rsa", days=60)
    os.replace(new_cert, cert)
    os.replace(new_key, key)
    line = hang_up(server, "certificate")
    assert abs(time.mktime(time.strptime(line["expires"], "%Y-%m-%dT%H:%M:%S.000Z")) - time.timezone
               - time.time() - 60 * 86400) < 86400
    new = Secure(server, cert)
    assert (new.ask("GET", "/livez").status, new.name) == (200, "second")
    assert old.ask("GET", "/livez").status == 200 and old.connection.sock is first  # not dropped
    new.close()
    old.close()
    metric = re.search(r"(?m)^sslmem_tls_certificate_expiry_seconds (\S+)", admin_metrics(tmp_path / "admin"))
    assert abs(float(metric[1]) - time.time() - 60 * 86400) < 86400


def test_bad_certificate_is_kept_out(serve, tmp_path):
    server, cert, key = serve_tls(serve, tmp_path)
    trusted = tmp_path / "trusted.pem"
    trusted.write_bytes(cert.read_bytes())
    good_key = key.read_bytes()
    other, _ = certificate(tmp_path, "other")
    for change, text in (
            (lambda: cert.write_text("nonsense"), f"{cert} is no certificate in PEM: "),
            (lambda: cert.write_bytes(other.read_bytes()), f"{key} is not the key of the certificate in {cert}"),
            (lambda: cert.unlink(), f"{cert}: No such file"),
            (lambda: (cert.write_bytes(trusted.read_bytes()), key.chmod(0o644)), f"{key} has mode 644"),
            (lambda: (key.chmod(0o600), key.write_text("")), f"{key} is no key in PEM")):
        change()
        line = hang_up(server, "certificate_kept")
        assert line["level"] == "error" and line["text"].startswith(text), line
        client = Secure(server, trusted)
        assert (client.ask("GET", "/livez").status, client.name) == (200, "first")
        client.close()
    key.write_bytes(good_key)
    hang_up(server, "certificate")


def test_reloads_under_load(serve, tmp_path):
    """Handshakes while the certificate changes: each gets one or the other, none fails."""
    server, cert, key = serve_tls(serve, tmp_path)
    both = tmp_path / "both.pem"
    pairs = [(cert.read_bytes(), key.read_bytes())]
    pairs += [tuple(path.read_bytes() for path in certificate(tmp_path, "second"))]
    both.write_bytes(pairs[0][0] + pairs[1][0])
    names = set()
    for i in range(40):
        for path, data in ((cert, pairs[i % 2][0]), (key, pairs[i % 2][1])):
            new = path.with_suffix(".new")
            new.write_bytes(data)
            new.chmod(0o600)
            os.replace(new, path)
        server.process.send_signal(signal.SIGHUP)
        for _ in range(5):
            client = Secure(server, both)
            assert client.ask("GET", "/livez").status == 200
            names.add(client.name)
            client.close()
    assert names == {"first", "second"}


def test_events_and_slow_bodies_over_tls(serve, tmp_path):
    server, cert, _ = serve_tls(serve, tmp_path, "--body-deadline-ms", "300", "--body-rate-min-bytes-per-s", "1000000")
    with trusting(cert).wrap_socket(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S),
                                    server_hostname="localhost") as sock:
        answer = trickle(sock)
    assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n") and b"Strict-Transport-Security: " in answer
    client = Secure(server, cert)
    client.connection.request("POST", "/v1/audits", json.dumps({"name": "a", "pair": "resnet"}),
                              {"Content-Type": "application/json"})
    audit = json.loads(client.connection.getresponse().read())["id"]
    client.connection.request("GET", f"/v1/audits/{audit}/events")
    answer = client.connection.getresponse()
    assert answer.status == 200 and answer.readline() == b"retry: 2000\n"
    client.close()
    assert server.stop() == 0


# --- SIGHUP -----------------------------------------------------------------------------------------


def write_config(path, top=None, **limits):
    path.write_text(json.dumps({**(top or {}), "limits": limits}))


def test_limits_are_reloaded(serve, tmp_path):
    config = tmp_path / "c.json"
    write_config(config, body_bytes_max=5000, queue_max=50)
    server = serve("--config", config, "--images-max", "9")
    connection = server.connect()
    server.ask("GET", "/livez", connection=connection)
    server.post(bytes(5001)).problem(413, "body_too_large")
    write_config(config, {"http_threads": 1, "kernels": "ref"}, body_bytes_max=6000, queue_max=60, images_max=7,
                 connections_max=99)
    line = hang_up(server, "reloaded")
    assert line["changed"] == [{"setting": "body-bytes-max", "from": 5000, "to": 6000},
                               {"setting": "queue-max", "from": 50, "to": 60}]  # the flag goes before images_max
    assert line["need_restart"] == ["kernels", "http-threads", "connections-max"]
    limits = server.get("/v1/limits").json
    assert [limits[name] for name in ("body_bytes_max", "queue_max", "images_max", "connections_max")] == [
        6000, 60, 9, 1024]
    server.post(bytes(6000)).problem(415, "image_unrecognised")
    server.post(bytes(6001)).problem(413, "body_too_large")
    assert server.ask("GET", "/livez", connection=connection).status == 200  # not dropped
    connection.close()


def test_broken_file_keeps_the_old(serve, tmp_path):
    config = tmp_path / "c.json"
    write_config(config, streams_max=5)
    server = serve("--config", config)
    for text, said in (('{"limits": ', "c.json: "), ('{"limits": {"streams_max": 0}}', "streams_max is 0"),
                       ('{"streams_max": 5}', "key streams_max"), (None, "No such file")):
        config.write_text(text) if text is not None else config.unlink()
        line = hang_up(server, "reload_failed")
        assert line["level"] == "error" and said in line["text"]
        assert server.get("/v1/limits").json["streams_max"] == 5
    write_config(config, streams_max=6)
    assert hang_up(server, "reloaded")["changed"] == [{"setting": "streams-max", "from": 5, "to": 6}]
    assert server.get("/v1/limits").json["streams_max"] == 6


# --- proxies ----------------------------------------------------------------------------------------


def client_of(server, forwarded, path="/livez"):
    """The client's address in the log, for a request with these Forwarded lines."""
    request_id = f"f{time.monotonic_ns()}"
    connection = server.connect()
    connection.putrequest("GET", path)
    connection.putheader("X-Request-Id", request_id)
    for line in forwarded:
        connection.putheader("Forwarded", line)
    connection.endheaders()
    got = connection.getresponse()
    answer = Answer(got.status, got.headers, got.read())
    connection.close()
    check_contract("GET", path, answer)
    line, = lines(server, "request", request=request_id)
    return line["client"], answer


def test_forwarded_from_a_trusted_proxy(serve):
    server = serve("--trusted-proxies", "127.0.0.0/8,10.0.0.0/8")
    assert client_of(server, [])[0] == "127.0.0.1"
    assert client_of(server, ["for=192.0.2.7"])[0] == "192.0.2.7"
    assert client_of(server, ['for="[2001:db8::1]:80";proto=http'])[0] == "2001:db8::1"
    assert client_of(server, ["for=1.2.3.4, for=192.0.2.7, for=10.1.1.1"])[0] == "192.0.2.7"
    assert client_of(server, ["for=192.0.2.7", "for=10.1.1.1"])[0] == "192.0.2.7"
    client, answer = client_of(server, ["for=192.0.2.7;proto=https"])
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert "Strict-Transport-Security" not in client_of(server, ["for=192.0.2.7;proto=http"])[1].headers
    client, answer = client_of(server, ["for=192.0.2.7", "for=example.com"])
    assert answer.problem(400, "forwarded_invalid") == "Forwarded: what is no address ends at byte 15"
    answer = client_of(server, ["for=192.0.2.7"] * 17)[1]
    assert answer.problem(400, "forwarded_invalid") == "Forwarded: over 16 elements"


def test_forwarded_from_others_is_ignored(serve):
    server = serve("--trusted-proxies", "10.0.0.0/8")
    for line in ("for=192.0.2.7;proto=https", "nonsense"):
        client, answer = client_of(server, [line])
        assert (client, answer.status) == ("127.0.0.1", 200)
        assert "Strict-Transport-Security" not in answer.headers


def test_clients_behind_a_proxy_are_counted_each(serve):
    """The proxy's own connections are not limited; the requests of each of its clients are."""
    server = serve("--trusted-proxies", "127.0.0.1", "--connections-per-client-max", "2",
                   "--streams-per-client-max", "9")
    audit = create(server)
    streams = [forwarded_events(server, audit, "192.0.2.7") for _ in range(2)]
    assert [s.status for s in streams] == [200, 200]
    answer = server.get("/livez", Forwarded="for=192.0.2.7")
    assert answer.problem(429, "client_limit") == "this client has 2 requests under way"
    assert answer.headers["Retry-After"] == "1"
    assert server.get("/livez", Forwarded="for=192.0.2.8").status == 200
    for stream in streams:
        stream.end()
    until = time.monotonic() + PATIENCE_S
    while server.get("/livez", Forwarded="for=192.0.2.7").status != 200:
        assert time.monotonic() < until
        time.sleep(0.05)


def forwarded_events(server, audit, client):
    connection = server.connect()
    connection.request("GET", audit + "/events", headers={"Forwarded": f"for={client}"})
    answer = connection.getresponse()
    answer.end = lambda: (answer.close(), connection.close())
    return answer


# --- limits -----------------------------------------------------------------------------------------


def metrics(server, name):
    return {labels: float(value) for labels, value in
            re.findall(rf"^{name}(\{{[^}}]*\}})? (\S+)$", server.get("/metrics").body.decode(), re.M)}


def test_connections_of_a_client(serve):
    server = serve("--connections-per-client-max", "3", "--metrics", "on")
    held = [server.connect() for _ in range(3)]
    for connection in held:
        assert server.ask("GET", "/livez", connection=connection).status == 200
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as sock:
        with pytest.raises(ConnectionError):  # or an end without a byte
            sock.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            if sock.recv(4096) == b"":
                raise ConnectionResetError
    held.pop().close()
    until = time.monotonic() + PATIENCE_S
    while True:  # the service sees the end of a connection in its own time
        try:
            cut = metrics(server, "sslmem_http_connections_cut_total")
            break
        except (ConnectionError, http.client.BadStatusLine):
            assert time.monotonic() < until
    for connection in held:
        connection.close()
    assert cut['{cause="client_limit"}'] >= 1


def test_streams_of_a_client(serve):
    server = serve("--streams-per-client-max", "2")
    audit = create(server)
    streams = [Events(server, audit) for _ in range(2)]
    answer = server.get(audit + "/events")
    assert answer.problem(429, "client_limit") == "this client has 2 event streams"
    assert answer.headers["Retry-After"] == "1"
    for stream in streams:
        stream.close()


def trickle(sock, length=4000):
    """A body at a few bytes a time; what is answered until the close."""
    sock.sendall(b"POST /v1/scores?pair=resnet HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
                 b"Content-Length: %d\r\nX-Request-Id: slow\r\n\r\n" % length)
    sock.settimeout(0.05)
    text = b""
    for _ in range(length):
        try:
            sock.sendall(b"x")
            while got := sock.recv(4096):
                text += got
            break
        except (TimeoutError, socket.timeout, ssl.SSLWantReadError):
            continue
        except (ConnectionError, ssl.SSLError):
            break
    return text


def test_slow_body(serve):
    server = serve("--body-deadline-ms", "300", "--body-rate-min-bytes-per-s", "10000", "--metrics", "on")
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as sock:
        head, body = trickle(sock).split(b"\r\n\r\n", 1)
    took = time.monotonic() - began
    assert 0.7 <= took < 20  # 300 ms, and 4000 bytes at 10,000 a second
    got = http.client.parse_headers(__import__("io").BytesIO(head.split(b"\r\n", 1)[1] + b"\r\n\r\n"))
    assert head.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
    assert int(got["Content-Length"]) == len(body) and got["Connection"] == "close"
    answer = Answer(408, got, body)
    check_contract("POST", "/v1/scores", answer)
    assert re.fullmatch(r"\d+ of 4000 bytes came in \d+ ms, the limit is 700 ms", answer.problem(408, "body_timeout"))
    line, = lines(server, "request", request="slow")
    assert (line["status"], line["whole"]) == (408, False)
    assert metrics(server, "sslmem_http_connections_cut_total")['{cause="body_deadline"}'] == 1
    assert server.post(png(1)).status == 200  # a body that is in time


def test_slow_handshake(serve, tmp_path):
    server, _, _ = serve_tls(serve, tmp_path, "--head-deadline-ms", "500", "--idle-timeout-s", "1")
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as sock:
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for byte in b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500):
                sock.sendall(bytes([byte]))
                time.sleep(0.1)
    assert 0.9 < time.monotonic() - began < 10  # libmicrohttpd counts a handshake as silence


def test_slow_head(serve):
    """A head that comes byte by byte is not silent, and still ends."""
    server = serve("--head-deadline-ms", "500", "--idle-timeout-s", "1", "--metrics", "on")
    waiting = server.connect()
    events = Events(server, create(server))  # requests under way are not cut
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as sock:
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            for byte in b"GET /livez HTTP/1.1\r\nX: " + b"a" * 1000:
                sock.sendall(bytes([byte]))
                time.sleep(0.1)
    assert 1.4 < time.monotonic() - began < 10
    assert metrics(server, "sslmem_http_connections_cut_total")['{cause="head_deadline"}'] == 1
    assert events.answer.status == 200
    time.sleep(1)
    assert events.answer.fp is not None
    events.close()
    waiting.close()


def test_long_url(server):
    limit = server.get("/v1/limits").json["url_bytes_max"]
    path = "/v1/scores?pair="
    assert server.get(path + "a" * (limit - len(path))).status == 400
    detail = server.get(path + "a" * (limit - len(path) + 1)).problem(414, "url_too_long")
    assert detail == f"the URL has {limit + 1} bytes, the limit is {limit} bytes"


# --- web pages of other origins ---------------------------------------------------------------------

PAGE = "https://ui.example"


def cors(answer):
    return {name: value for name, value in answer.headers.items() if name.lower().startswith("access-control-")}


def test_cors_is_off(server):
    for answer in (server.get("/livez", Origin=PAGE),
                   server.ask("OPTIONS", "/v1/scores", headers={"Origin": PAGE, "Access-Control-Request-Method": "POST"})):
        assert answer.status in (200, 204) and cors(answer) == {} and "Vary" not in answer.headers


def test_cors_of_listed_origins(serve):
    server = serve("--cors-origins", f"{PAGE},http://localhost:3000")
    for origin in (PAGE, "http://localhost:3000"):
        for path, status in (("/livez", 200), ("/nothing", 404)):
            answer = server.get(path, Origin=origin)
            assert (answer.status, answer.headers["Vary"]) == (status, "Origin")
            assert cors(answer).keys() == {"Access-Control-Allow-Origin", "Access-Control-Expose-Headers"}
            assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert server.ask("POST", "/v1/scores?pair=resnet", png(1), {"Content-Type": "image/png", "Origin": origin,
                                                                     "Prefer": "wait=60"}).status == 200
    for origin in ("https://ui.example.evil", "https://evil", "null", PAGE.upper(), PAGE + "/", "https://ui.example:443"):
        answer = server.get("/livez", Origin=origin)
        assert (answer.status, cors(answer), answer.headers["Vary"]) == (200, {}, "Origin")
    assert server.get("/livez").headers["Vary"] == "Origin"


@pytest.mark.parametrize("path,methods", [("/v1/scores", "POST, GET, HEAD, OPTIONS"),
                                          ("/v1/audits/x", "GET, HEAD, DELETE, OPTIONS")])
def test_preflight(serve, path, methods):
    server = serve("--cors-origins", PAGE)
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    answer = server.ask("OPTIONS", path, headers={"Origin": PAGE, **asked})
    assert (answer.status, answer.headers["Access-Control-Allow-Methods"]) == (204, methods)
    assert {"Authorization", "Content-Type", "Idempotency-Key", "Prefer"} <= set(
        answer.headers["Access-Control-Allow-Headers"].split(", "))
    assert (answer.headers["Access-Control-Allow-Origin"], answer.headers["Access-Control-Max-Age"]) == (PAGE, "600")
    assert "Access-Control-Allow-Credentials" not in answer.headers
    assert cors(server.ask("OPTIONS", path, headers={"Origin": "https://evil", **asked})) == {}
    assert "Access-Control-Allow-Methods" not in server.ask("OPTIONS", path, headers={"Origin": PAGE}).headers


def test_pages_that_are_not_listed_change_nothing(serve):
    """A form of another page sends its body without asking first."""
    for options in ((), ("--cors-origins", PAGE)):
        server = serve(*options)
        for origin in ("https://evil", "null", f"http://127.0.0.1:{server.port}"):
            answer = server.ask("POST", "/v1/audits", b'{"name": "a", "pair": "resnet"}',
                                {"Content-Type": "application/json", "Origin": origin})
            assert answer.problem(403, "origin_forbidden") == f"pages of {origin} may not do this"
        assert server.get("/v1/audits").json["audits"] == []
        server.stop()


# --- the admin listener -----------------------------------------------------------------------------


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(str(self.path))


def admin_metrics(path):
    connection = UnixConnection(path)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    assert answer.status == 200
    text = answer.read().decode()
    connection.close()
    return text


def test_admin_on_a_unix_socket(serve, tmp_path):
    path = tmp_path / "admin"
    server = serve("--admin-listen", f"unix:{path}")
    assert server.process.stdout.readline().decode() == f"admin listening on unix:{path}\n"
    mode = path.stat().st_mode
    assert stat.S_ISSOCK(mode) and stat.S_IMODE(mode) == 0o600
    assert "sslmem_http_connections " in admin_metrics(path)
    assert server.stop() == 0
    assert not path.exists()


def test_admin_socket_of_the_killed(serve, tmp_path):
    path = tmp_path / "admin"
    first = serve("--admin-listen", f"unix:{path}")
    first.stop(signal.SIGKILL)
    assert path.exists()
    serve("--admin-listen", f"unix:{path}")
    assert admin_metrics(path)


def test_admin_socket_of_another(binary, serve, tmp_path):
    path = tmp_path / "admin"
    serve("--admin-listen", f"unix:{path}")
    assert refused(binary, tmp_path, "--admin-listen", f"unix:{path}")[1] == f"sslmem serve: somebody listens on {path}"
    assert admin_metrics(path)
    (tmp_path / "file").write_text("mine")
    assert refused(binary, tmp_path, "--admin-listen", f"unix:{tmp_path}/file")[1] == (
        f"sslmem serve: {tmp_path}/file is there and is no socket")
    assert (tmp_path / "file").read_text() == "mine"


def test_admin_is_for_this_machine(binary, tmp_path):
    code, text = refused(binary, tmp_path, "--admin-listen", "0.0.0.0:0")
    assert (code, text) == (2, "sslmem serve: --admin-listen is 0.0.0.0:0, must be on 127.0.0.0/8 or [::1], or unix:/path")
