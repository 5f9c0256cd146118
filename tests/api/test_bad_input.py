"""Bad input: each kind has its own status and code, and the next request is served as if nothing had been."""

import json
import re
import socket

import pytest

from conftest import Answer, PATIENCE_S, image, images_and_recipe, multipart, png

pytestmark = pytest.mark.memory  # every parser of a request meets what it must refuse

LIMIT = 100000  # of the module's server, with 4 images


@pytest.mark.parametrize("name,status,code", [
    ("text.png", 415, "image_unrecognised"),
    ("gif.png", 415, "image_unrecognised"),
    ("cut_scan.jpg", 422, "image_corrupt"),
    ("cut_header.jpg", 422, "image_corrupt"),
    ("no_eoi.jpg", 422, "image_corrupt"),
    ("no_iend.png", 422, "image_corrupt"),
    ("cut.png", 422, "image_corrupt"),
    ("bad_crc.png", 422, "image_corrupt"),
    ("bad_deflate.png", 422, "image_corrupt"),
    ("huge.jpg", 422, "image_limit"),
    ("huge.png", 422, "image_limit"),
    ("pixels.png", 422, "image_limit"),
    ("scanned_pixels.jpg", 422, "image_limit"),
    ("cut_rows.jpg", 422, "image_corrupt"),
    ("empty_idat.png", 422, "image_corrupt"),
    ("grey16.png", 422, "image_unsupported"),
    ("two_components.jpg", 422, "image_unsupported"),
    ("bits12.jpg", 422, "image_unsupported"),
])
def test_bad_images(server, name, status, code):
    media_type = "image/jpeg" if name.endswith(".jpg") else "image/png"
    server.post(image(name), media_type).problem(status, code)
    assert server.post(png(1)).status == 200


def test_empty_body(server):
    server.post(b"").problem(400, "body_empty")
    server.post_many([b""]).problem(400, "body_empty")
    job = server.post_many([png(1), b"", png(2)]).json
    assert [item["state"] for item in job["items"]] == ["succeeded", "failed", "succeeded"]


def test_wrong_content_type(server):
    for media_type in ("text/plain", ";", "application/x-www-form-urlencoded", "application/x-tar", "images/png", "image",
                       "image/", "multipart/mixed; boundary=b"):
        answer = server.post(png(1), media_type)
        answer.problem(415, "media_type_unsupported")
        assert answer.headers["Accept-Post"] == ("image/jpeg, image/png, image/*, application/octet-stream, "
                                                 "multipart/form-data")
    assert server.post(png(1), "Image/PNG; charset=x").status == 200


# Wrong, of old browsers and libraries, of others, and none.
LABELS = ["image/jpeg", "image/png", "image/jpg", "image/pjpeg", "image/x-png", "image/apng", "image/gif", "image/*",
          "IMAGE/JPG; q=1", "application/octet-stream", "application/x-whatever", "text/plain", "nonsense", "", None]


def test_bytes_say_what_an_image_is(server):
    pictures = [png(1), image("baseline.jpg")]
    wanted = [server.post(picture, kind).json["m"] for picture, kind in zip(pictures, ("image/png", "image/jpeg"))]
    for picture, m in zip(pictures, wanted):
        for label in LABELS[:10]:
            assert server.post(picture, label).json["m"] == m, label
        for headers in ({}, {"Content-Type": ""}):
            answer = server.ask("POST", "/v1/scores?pair=resnet", picture, headers)
            assert answer.status == 200 and answer.json["m"] == m, answer.body
        for label in LABELS:
            content_type, body = multipart([("image", picture, label, "x.JPEG")])
            assert server.post(body, content_type).json["m"] == m, label


def test_a_bad_image_is_one_failed_item(server):
    bad = [b"", b"no image", image("gif.png"), image("cut.png")]
    for label in LABELS:
        for data in bad:
            content_type, body = multipart([("image", png(1), label, "a.JPEG"), ("image", data, label, "b.JPEG"),
                                            ("image", image("baseline.jpg"), label, "c.png")])
            job = server.post(body, content_type).json
            assert [item["state"] for item in job["items"]] == ["succeeded", "failed", "succeeded"], (label, job)


def test_an_archive_is_told_where_it_belongs(server):
    for data, name in ((b"PK\3\4" + bytes(99), "zip"), (bytes(257) + b"ustar\0" + bytes(99), "tar"),
                       (b"\x1f\x8b\x08" + bytes(99), "gzip"), (b"\x28\xb5\x2f\xfd" + bytes(9), "zstd")):
        detail = server.post(data, "application/octet-stream").problem(415, "image_unrecognised")
        assert f"a {name} archive" in detail and "/v1/audits/{id}/images" in detail


@pytest.mark.parametrize("path,media_type", [("/v1/scores?pair=resnet", "image/png"), ("/v1/audits", "application/json")])
def test_encoded_bodies(server, path, media_type):
    """Refused on the headers, whatever is in them; "identity" is none."""
    for coding in ("gzip", "br", "deflate", "identity, gzip", "gzip, identity", "aws-chunked", "x", "identityx"):
        answer = server.ask("POST", path, b"{}", {"Content-Type": media_type, "Content-Encoding": coding})
        assert coding in answer.problem(415, "content_encoding_unsupported")
        assert answer.headers["Accept-Encoding"] == "identity"
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as sock:
        sock.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {media_type}\r\nContent-Length: 2\r\n"
                     "Content-Encoding: identity\r\ncontent-encoding: GZIP\r\n\r\n".encode())
        assert sock.recv(4096).startswith(b"HTTP/1.1 415 ")
    for coding in ("identity", "Identity", "", "identity, identity"):
        answer = server.ask("POST", "/v1/scores?pair=resnet", png(1), {"Content-Type": "image/png", "Content-Encoding": coding})
        assert answer.status == 200, coding


@pytest.mark.parametrize("target,status", [
    ("http://127.0.0.1/livez", 200), ("http://example.com:8080/livez", 200), ("HTTPS://[::1]/version", 200),
    ("http://h/v1/scores?limit=1", 200), ("http://h/v1/%73cores", 200), ("http://h", 404), ("http://h/", 404),
    ("http://h?limit=1", 404), ("http://h//livez", 404), ("http:///livez", 404), ("http://user@h/livez", 404),
    ("http://h%2Flivez", 404), ("http%3A//h/livez", 404), ("ftp://h/livez", 404), ("//h/livez", 404), ("h:80", 404),
    ("http:/livez", 404), ("*", 404)])
def test_targets_in_absolute_form(server, target, status):
    """RFC 9112 section 3.2.2: a proxy's way to ask is anybody's."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as sock:
        sock.sendall(f"GET {target} HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n".encode())
        assert sock.recv(4096).startswith(f"HTTP/1.1 {status} ".encode())


@pytest.mark.parametrize("target", ["*", "http://h", "http://h:80"])
def test_options_of_the_service(server, target):
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as sock:
        sock.sendall(f"OPTIONS {target} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
        answer = sock.recv(4096).decode()
    assert answer.startswith("HTTP/1.1 204 ")
    assert set(re.search("\r\nAllow: (.*)\r\n", answer)[1].split(", ")) == {
        "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"}


def test_pairs(server):
    server.ask("POST", "/v1/scores", png(1), {"Content-Type": "image/png"}).problem(400, "pair_missing")
    server.post(png(1), pair="").problem(400, "pair_missing")
    assert "'gone'" in server.post(png(1), pair="gone").problem(404, "pair_unknown")
    server.post(png(1), pair="../resnet").problem(404, "pair_unknown")
    assert "g.pt" in server.post(png(1), pair="missing").problem(503, "pair_failed")
    server.ask("POST", "/v1/scores?pair=resnet&x=1", png(1),
               {"Content-Type": "image/png"}).problem(400, "query_unknown")


@pytest.mark.parametrize("recipe,pointer,words", [
    ({"viewz": 5}, "/viewz", ["viewz"]),
    ({"views": 1}, "/views", ["1", "2", "256"]),
    ({"views": 257}, "/views", ["257", "2", "256"]),
    ({"views": "5"}, "/views", []),
    ({"views": 5.5}, "/views", []),
    ({"views": None}, "/views", []),
    ({"seed": -1}, "/seed", []),
    ({"seed": "x"}, "/seed", []),
    ({"compare": "all"}, "/compare", []),
    ({"normalize": 1}, "/normalize", []),
    ({"distance": "l3"}, "/distance", []),
    ({"orientation": True}, "/orientation", []),
    ({"draws": "sobol"}, "/draws", ["independent, stratified"]),
    ({"draws": 1}, "/draws", []),
    ({"draws": "stratified", "target_se": 0.01}, "/draws", ["0.01", "independent"]),
    ({"representation": "cls"}, "/representation", ["cls"]),  # a ResNet has none
    ({"representation": "block.99"}, "/representation", ["block.99"]),
    ({"augment": "none"}, "/augment", []),
    ({"augment": 7}, "/augment", []),
    ({"augment": [{"op": "spin"}]}, "/augment/0/op", ["flip"]),
    ({"augment": [{"op": "flip", "p": 2}]}, "/augment/0/p", ["2"]),
    ({"augment": [{"op": "flip", "q": 1}]}, "/augment/0/q", ["q"]),
    ([], "", []),
    (b"{", "", []),
    (b"", "", []),
    (b'{"views": 5, "views": 6}', "", []),
    (b'{"seed": "\xff"}', "", []),
    (b"[" * 5000, "", []),
    (b'{"x": "' + b"y" * 70000 + b'"}', "", []),
])
def test_bad_recipes(server, recipe, pointer, words):
    answer = server.post_many([png(1)], recipe)
    detail = answer.problem(422, "recipe_invalid")
    assert [e["pointer"] for e in answer.json["errors"]] == [pointer], detail
    assert all(word in detail for word in words), detail


def test_recipes_at_the_limits(server):
    for recipe in ({"views": 2}, {"views": 256}, {"seed": "18446744073709551615"}, {"representation": "block.0"}, {}):
        assert server.post_many([png(1)], recipe).status == 200
    # Wide text in the place of a field's name: the pointer names it as far as ASCII goes.
    answer = server.post_many([png(1)], {"\u732b": 1})
    answer.problem(422, "recipe_invalid")


def test_views_that_end_at_another_size(server):
    detail = server.post_many([png(1, side=17)], {"augment": "identity"}).problem(422, "recipe_invalid")
    assert "17x17" in detail


def test_multipart(server):
    at_limit = server.post_many([png(i) for i in range(4)], {"views": 4})
    assert at_limit.status == 200 and at_limit.json["succeeded_count"] == 4
    assert "4" in server.post_many([png(i) for i in range(5)]).problem(422, "images_limit")
    server.post_many([png(i) for i in range(6)]).problem(422, "images_limit")
    server.post_many([], {"views": 4}).problem(422, "images_missing")
    content_type, body = multipart([("image", png(1), None, None), ("picture", b"x", None, None)])
    assert "'picture'" in server.post(body, content_type).problem(422, "part_unknown")
    content_type, body = multipart([("image", png(1), None, None), ("recipe", b"{}", None, None),
                                    ("recipe", b"{}", None, None)])
    server.post(body, content_type).problem(422, "part_unknown")
    content_type, body = images_and_recipe([png(1)])
    server.post(body[:-10], content_type).problem(400, "multipart_invalid")
    server.post(body, "multipart/form-data").problem(400, "multipart_invalid")
    server.post(body, "multipart/form-data; boundary=other").problem(400, "multipart_invalid")
    server.post(body, "multipart/form-data; boundary=" + "x" * 71).problem(400, "multipart_invalid")
    server.post(body.replace(b'name="image"', b'nome="image"'), content_type).problem(400, "multipart_invalid")


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/", "/v1/scores/", "/v1/scores/a/b", "/livez/", "//livez", "/V1/scores",
                                  "/v1/scores%00", "/../etc/passwd", "/%"])
def test_unknown_paths(server, path):
    server.get(path).problem(404, "route_unknown")


@pytest.mark.parametrize("method,path,allow", [
    ("PUT", "/v1/scores", "POST, GET, HEAD, OPTIONS"), ("DELETE", "/v1/scores/x", "GET, HEAD, OPTIONS"),
    ("POST", "/v1/pairs", "GET, HEAD, OPTIONS"), ("PATCH", "/livez", "GET, HEAD, OPTIONS"),
    ("BREW", "/v1/jobs/x", "GET, HEAD, OPTIONS")])
def test_methods(server, method, path, allow):
    answer = server.ask(method, path)
    answer.problem(405, "method_not_allowed")
    assert answer.headers["Allow"] == allow


def test_body_where_none_is_taken(server):
    server.ask("GET", "/livez", b"x").problem(400, "body_unexpected")


# --- on the headers, before the body ----------------------------------------------------------------


def raw(server, head, body=b""):
    """Sends bytes as they are; returns everything up to the close, or the first whole answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as sock:
        sock.sendall(head.encode().replace(b"\n", b"\r\n") + body)
        text = b""
        while not (b"\r\n\r\n" in text and complete(text)):
            got = sock.recv(65536)
            if not got:
                break
            text += got
    return text


def complete(text):
    head, body = text.split(b"\r\n\r\n", 1)
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return len(body) >= int(line.split(b":")[1])
    return True


def head(length, media_type="image/png", pair="resnet", more=""):
    return (f"POST /v1/scores?pair={pair} HTTP/1.1\nHost: x\nContent-Type: {media_type}\n"
            f"{length}\n{more}\n")


@pytest.mark.parametrize("expect", ["", "Expect: 100-continue\n"])
def test_refused_on_the_headers(server, expect):
    """No byte of a body is sent, and the answer comes."""
    for text, status, code in (
            (head(f"Content-Length: {LIMIT + 1}", more=expect), 413, "body_too_large"),
            (head("Content-Length: 99999999999999999", more=expect), 413, "body_too_large"),
            (head("Transfer-Encoding: chunked", more=expect), 411, "length_required"),
            (head("Content-Length: 9", "text/plain", more=expect), 415, "media_type_unsupported"),
            (head("Content-Length: 9", pair="gone", more=expect), 404, "pair_unknown"),
            (head("Content-Length: 9", pair="corrupt", more=expect), 503, "pair_failed")):
        answer = raw(server, text)
        assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
        assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["code"] == code
        assert b"\r\nConnection: close\r\n" in answer


def test_limit_is_exact_and_named(server):
    answer = raw(server, head(f"Content-Length: {LIMIT + 1}"))
    detail = json.loads(answer.split(b"\r\n\r\n", 1)[1])["detail"]
    assert str(LIMIT + 1) in detail and str(LIMIT) in detail
    exactly = png(1) + b"\0" * (LIMIT - len(png(1)))
    assert server.post(exactly).status in (200, 422)  # read whole, whatever the decoder says to the padding


def test_large_body_that_is_sent_anyway(server):
    """A client that does not wait for the answer still finds it."""
    answer = raw(server, head(f"Content-Length: {3 * LIMIT}"), b"x" * (2 * LIMIT))
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_length_required(server):
    connection = server.connect()
    connection.putrequest("POST", "/v1/scores?pair=resnet")
    connection.putheader("Content-Type", "image/png")
    connection.endheaders()
    got = connection.getresponse()
    Answer(got.status, got.headers, got.read()).problem(411, "length_required")


@pytest.mark.parametrize("text", [
    "GET / HTTP/9.9\n\n", "nonsense\n\n", "GET /livez HTTP/1.1\nContent-Length: x\nHost: x\n\n",
    "GET /livez HTTP/1.1\n\n", "GET /" + "a" * 70000 + " HTTP/1.1\nHost: x\n\n",
    "GET /livez HTTP/1.1\nHost: x\nX: " + "a" * 70000 + "\n\n"])
def test_broken_http(server, text):
    try:
        answer = raw(server, text)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5", b"HTTP/1.0 4"))
    except (BrokenPipeError, ConnectionResetError):
        pass
    assert server.get("/livez").status == 200


def test_request_id(server):
    assert server.get("/livez", **{"X-Request-Id": "abc-1._Z"}).headers["X-Request-Id"] == "abc-1._Z"
    for bad in ("a b", "a" * 65, "\u00e9".encode(), "a;b", ""):
        assert len(server.get("/livez", **{"X-Request-Id": bad}).headers["X-Request-Id"]) == 36


def test_nothing_was_lost(server):
    assert server.get("/readyz").json["queued"] == 0
    assert server.post(png(1)).status == 200
