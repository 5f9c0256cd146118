"""Validators and conditional requests; Content-Digest."""

import base64
import hashlib
import io
import tarfile

import pytest

from conftest import images_and_recipe, png


def new_audit(server, **more):
    answer = server.ask("POST", "/v1/audits", b'{"name": "a", "pair": "resnet"}', {"Content-Type": "application/json", **more})
    assert answer.status == 201
    return answer.headers["Location"]


def add(server, audit, seed=1):
    return server.ask("POST", f"{audit}/images?cohort=candidate", png(seed), {"Content-Type": "image/png"})


@pytest.fixture(scope="module")
def places(server):
    """A path of every kind that has a validator."""
    score = server.post(png(1)).json
    audit = new_audit(server)
    assert add(server, audit).status == 200
    ended = new_audit(server)
    assert add(server, ended).status == 200
    assert server.ask("POST", ended + "/start").status == 200
    while server.get(ended).json["finished"] is None:
        pass
    return {"score": "/v1/scores/" + score["id"], "job": "/v1/jobs/" + score["job"], "scores": "/v1/scores?limit=1",
            "audit": audit, "audits": "/v1/audits", "items": audit + "/items", "report.json": ended + "/report.json",
            "report.csv": ended + "/report.csv?names=true", "report.html": ended + "/report.html",
            "selection": ended + "/selection?kind=top&n=1", "pair": "/v1/pairs/resnet", "pairs": "/v1/pairs",
            "limits": "/v1/limits", "version": "/version", "description": "/openapi.yaml"}


KINDS = ["score", "job", "scores", "audit", "audits", "items", "report.json", "report.csv", "report.html", "selection",
         "pair", "pairs", "limits", "version", "description"]


@pytest.mark.parametrize("kind", KINDS)
def test_validators(server, places, kind):
    path = places[kind]
    first = server.get(path)
    etag = first.headers["ETag"]
    assert (first.status, first.headers["Cache-Control"]) == (200, "private, no-cache")
    assert etag[0] == etag[-1] == '"' and len(etag) > 2
    assert first.headers.get_all("ETag") == [etag]
    for known in (etag, "W/" + etag, f'"x", W/{etag}', "*"):
        again = server.get(path, **{"If-None-Match": known})
        assert (again.status, again.body) == (304, b"")
        assert (again.headers["ETag"], again.headers["Cache-Control"]) == (etag, "private, no-cache")
        assert server.ask("HEAD", path, headers={"If-None-Match": known}).status == 304
    for unknown in ('"x"', etag.strip('"'), etag[:-2] + '"'):
        again = server.get(path, **{"If-None-Match": unknown})
        assert (again.status, again.body) == (200, first.body)
    assert server.get(path, **{"If-Match": etag}).body == first.body
    assert server.get(path, **{"If-Match": "*"}).status == 200
    for unknown in ('"x"', "W/" + etag):
        assert etag in server.get(path, **{"If-Match": unknown}).problem(412, "precondition_failed")
    # If-Match goes first
    assert server.get(path, **{"If-Match": '"x"', "If-None-Match": etag}).status == 412
    assert server.ask("HEAD", path).headers["ETag"] == etag


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_have_none(server, path):
    answer = server.get(path, **{"If-None-Match": "*"})
    assert (answer.status, answer.headers["ETag"], answer.headers["Cache-Control"]) == (200, None, "no-store")


def test_a_condition_over_two_lines(server, places):
    etag = server.get(places["job"]).headers["ETag"]
    connection = server.connect()
    connection.putrequest("GET", places["job"])
    connection.putheader("If-None-Match", '"x"')
    connection.putheader("If-None-Match", etag)
    connection.endheaders()
    assert connection.getresponse().status == 304


def test_what_changes_has_another_tag(server):
    audit = new_audit(server)
    before = {path: server.get(path).headers["ETag"] for path in (audit, audit + "/items", "/v1/audits")}
    add(server, audit, 2)
    for path, etag in before.items():
        answer = server.get(path, **{"If-None-Match": etag})
        assert answer.status == 200 and answer.headers["ETag"] != etag, path


def test_errors_have_no_condition(server):
    answer = server.get("/v1/jobs/none", **{"If-None-Match": "*", "If-Match": '"x"'})
    answer.problem(404, "job_unknown")
    assert answer.headers["ETag"] is None


def test_delete_of_a_version(server):
    audit = new_audit(server)
    old = server.get(audit).headers["ETag"]
    add(server, audit)
    now = server.get(audit).headers["ETag"]
    assert now in server.ask("DELETE", audit, headers={"If-Match": old}).problem(412, "precondition_failed")
    server.ask("DELETE", audit, headers={"If-Match": "W/" + now}).problem(412, "precondition_failed")
    server.ask("DELETE", audit, headers={"If-None-Match": now}).problem(412, "precondition_failed")
    assert server.get(audit).status == 200
    assert server.ask("DELETE", audit, headers={"If-Match": f"{old}, {now}"}).status == 204
    server.ask("DELETE", audit, headers={"If-Match": now}).problem(404, "audit_unknown")
    assert server.ask("DELETE", new_audit(server), headers={"If-Match": "*"}).status == 204


# --- Content-Digest ---------------------------------------------------------------------------------


def digest(body, name="sha256"):
    return f"sha-{name[3:]}=:{base64.b64encode(hashlib.new(name, body).digest()).decode()}:"


def tar(*files):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in files:
            about = tarfile.TarInfo(name)
            about.size = len(data)
            archive.addfile(about, io.BytesIO(data))
    return packed.getvalue()


@pytest.fixture(scope="module")
def bodies(server):
    """Every way in: path, content type, body."""
    audit = new_audit(server)
    multipart_type, multipart_body = images_and_recipe([png(20)])
    return {"raw": ("/v1/scores?pair=resnet", "image/png", png(21)),
            "multipart": ("/v1/scores?pair=resnet", multipart_type, multipart_body),
            "tar": (audit + "/images", "application/x-tar", tar(*((f"candidate/{i}.png", png(i)) for i in range(30, 33)))),
            "json": ("/v1/audits", "application/json", b'{"name": "a", "pair": "resnet"}')}


@pytest.mark.parametrize("kind", ["raw", "multipart", "tar", "json"])
def test_content_digest(server, bodies, kind):
    path, media_type, body = bodies[kind]
    send = lambda value: server.ask("POST", path, body, {"Content-Type": media_type, "Content-Digest": value})
    wrong = send(digest(body[:-1]))
    assert f"the {len(body)} bytes that came have another sha-256" in wrong.problem(400, "digest_mismatch")
    send(f"{digest(body)}, {digest(b'', 'sha512')}").problem(400, "digest_mismatch")
    assert "sha-256 has 4 characters" in send("sha-256=:AAAA:").problem(400, "digest_invalid")
    send("sha-256").problem(400, "digest_invalid")
    for good in (digest(body), digest(body, "sha512"), f"{digest(body)}, {digest(body, 'sha512')}",
                 "md5=:AAAA:", f'x="y", {digest(body)}'):
        assert send(good).status in (200, 201)


def test_digest_before_anything_is_done(server, bodies):
    """What came broken leaves nothing: no job, no score."""
    body = png(22)
    path, media_type, _ = bodies["raw"]
    jobs = len(server.get("/v1/scores?limit=200").json["scores"])
    server.ask("POST", path, body, {"Content-Type": media_type, "Content-Digest": digest(b"")})
    assert len(server.get("/v1/scores?limit=200").json["scores"]) == jobs


def test_digest_of_an_empty_body(server):
    audit = new_audit(server)
    server.ask("POST", audit + "/start", headers={"Content-Digest": digest(b"x")}).problem(400, "digest_mismatch")
    answer = server.ask("POST", audit + "/start", headers={"Content-Digest": digest(b"")})
    answer.problem(409, "audit_state")  # it has no images


def test_digests_over_two_lines(server):
    body = png(23)
    for second, status in ((digest(body, "sha512"), 200), (digest(b"", "sha512"), 400), ("?", 400)):
        connection = server.connect()
        connection.putrequest("POST", "/v1/scores?pair=resnet")
        connection.putheader("Content-Type", "image/png")
        connection.putheader("Content-Length", str(len(body)))
        connection.putheader("Content-Digest", digest(body))
        connection.putheader("Content-Digest", second)
        connection.endheaders(body)
        assert connection.getresponse().status == status
