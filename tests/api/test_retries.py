"""Idempotency-Key: the same answer, never two jobs; before, across and in the middle of a crash."""

import concurrent.futures
import hashlib
import http.client
import io
import random
import signal
import sqlite3
import tarfile
import threading
import time
import uuid

import pytest

from conftest import PATIENCE_S, image, images_and_recipe, png

pytestmark = pytest.mark.threads  # the same request is sent twice at once

SLOW = {"views": 64}


def key():
    return f'"{uuid.uuid4()}"'


def post(server, k, body, media_type="image/png", prefer=None, path="/v1/scores?pair=resnet", **more):
    headers = {"Content-Type": media_type, "Idempotency-Key": k, **more}
    if prefer is not None:
        headers["Prefer"] = prefer
    return server.ask("POST", path, body, headers)


def verb(server, k, path, **more):
    return server.ask("POST", path, headers={"Idempotency-Key": k, **more})


def same(again, first):
    """A stored answer: but for the id of the request, nothing tells it from the first."""
    assert again.headers["Idempotent-Replayed"] == "true"
    assert (again.status, again.body) == (first.status, first.body)
    for name in ("Content-Type", "Location", "ETag", "Retry-After", "Preference-Applied"):
        assert again.headers[name] == first.headers[name], name
    assert again.headers["X-Request-Id"] != first.headers["X-Request-Id"]


def rows(server):
    """What the database has of jobs and of keys."""
    with sqlite3.connect(server.folder / "test.db") as db:
        return (db.execute("SELECT COUNT(*) FROM job").fetchone()[0],
                db.execute("SELECT COUNT(*) FROM idempotency").fetchone()[0])


def lose_answers(server):
    """As a crash between the commit of what was made and that of its answer."""
    with sqlite3.connect(server.folder / "test.db") as db:
        assert db.execute("UPDATE idempotency SET status = NULL, headers = NULL, body = NULL").rowcount > 0


def new_audit(server, k=None, name="a"):
    headers = {"Content-Type": "application/json", **({"Idempotency-Key": k} if k else {})}
    return server.ask("POST", "/v1/audits", b'{"name": "%s", "pair": "resnet"}' % name.encode(), headers)


# --- the same request -------------------------------------------------------------------------------


def test_a_score(server):
    k, body = key(), png(1)
    first = post(server, k, body, prefer="wait=60")
    assert first.status == 200 and first.headers["Idempotent-Replayed"] is None
    before = rows(server)
    same(post(server, k, body, prefer="wait=60"), first)
    same(post(server, k.strip('"'), body), first)  # the same key, bare
    assert rows(server) == before


def test_a_score_from_history(server):
    """Nothing is made, and the answer is kept all the same."""
    server.post(png(2))
    k = key()
    first = post(server, k, png(2))
    assert first.json["from_history"] is True
    same(post(server, k, png(2)), first)


def test_several_images_at_once(server):
    media_type, body = images_and_recipe([png(3), b"no image", png(4)])
    k = key()
    first = post(server, k, body, media_type, "respond-async")
    assert first.status == 202
    same(post(server, k, body, media_type, "respond-async"), first)
    server.await_job(first.headers["Location"])
    same(post(server, k, body, media_type), first)  # what it was, not what the job is now


def test_an_image_that_fails(server):
    """A problem is not stored; it is made anew from the job, and has the id of its own request."""
    k, body = key(), image("cut_scan.jpg")
    details = {post(server, k, body, "image/jpeg", "wait=60").problem(422, "image_corrupt") for _ in range(3)}
    assert len(details) == 1
    with sqlite3.connect(server.folder / "test.db") as db:
        assert db.execute("SELECT COUNT(*) FROM idempotency WHERE key = ? AND resource IS NOT NULL AND status IS NULL",
                          (k.strip('"'),)).fetchone() == (1,)


def test_an_audit_and_its_verbs(server):
    k = key()
    made = new_audit(server, k)
    assert made.status == 201
    same(new_audit(server, k), made)
    audit = made.headers["Location"]
    k = key()
    added = post(server, k, png(5), path=audit + "/images?cohort=candidate&name=x")
    assert added.json["added_count"] == 1
    same(post(server, k, png(5), path=audit + "/images?name=x&cohort=candidate"), added)
    k = key()
    started = verb(server, k, audit + "/start")
    assert started.status == 200
    same(verb(server, k, audit + "/start"), started)


@pytest.mark.parametrize("name", ["pause", "resume", "cancel"])
def test_verbs(serve, name):
    server = serve("--workers", "1")
    audit = new_audit(server).headers["Location"]
    assert post(server, key(), *reversed(images_and_recipe([png(i) for i in range(40)])),
                path=audit + "/images?cohort=shared").json["added_count"] == 40
    # behind a plain job, so that it does not end
    media_type, body = images_and_recipe([png(i) for i in range(40)], SLOW)
    assert post(server, key(), body, media_type, "respond-async").status == 202
    for before in {"pause": ["start"], "resume": ["start", "pause"], "cancel": ["start"]}[name]:
        assert verb(server, key(), f"{audit}/{before}").status == 200
    k = key()
    first = verb(server, k, f"{audit}/{name}")
    assert first.status == 200
    same(verb(server, k, f"{audit}/{name}"), first)
    lose_answers(server)
    again = verb(server, k, f"{audit}/{name}")
    assert (again.status, again.json["state"]) == (200, first.json["state"])
    verb(server, key(), f"{audit}/{name}").problem(409, "audit_state")


def test_an_upload_after_the_start(server):
    """The headers alone would say 409 by now."""
    audit = new_audit(server).headers["Location"]
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for i in range(3):
            about = tarfile.TarInfo(f"candidate/{i}.png")
            about.size = len(png(i))
            archive.addfile(about, io.BytesIO(png(i)))
    k = key()
    added = post(server, k, packed.getvalue(), "application/x-tar", path=audit + "/images")
    assert added.json["added_count"] == 3
    assert verb(server, key(), audit + "/start").status == 200
    same(post(server, k, packed.getvalue(), "application/x-tar", path=audit + "/images"), added)
    post(server, key(), packed.getvalue(), "application/x-tar", path=audit + "/images").problem(409, "audit_state")


def test_a_manifest(serve, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data/1.png").write_bytes(png(1))
    server = serve("--data-root", str(tmp_path / "data"))
    audit = new_audit(server).headers["Location"]
    k, body = key(), b'{"cohort": "candidate", "path": "1.png"}\n'
    added = post(server, k, body, "application/jsonl", path=audit + "/manifest")
    assert added.json["added_count"] == 1
    same(post(server, k, body, "application/jsonl", path=audit + "/manifest"), added)


# --- another request --------------------------------------------------------------------------------


def test_another_request(server):
    k, body = key(), png(10)
    assert post(server, k, body).status == 200
    before = rows(server)
    others = [dict(body=png(11)), dict(body=body[:-1]), dict(body=body, path="/v1/scores?pair=vit"),
              dict(body=body, media_type="image/jpeg"), dict(body=body, media_type="image/png; x=1")]
    for other in others:
        assert "another request" in post(server, k, **other).problem(422, "idempotency_key_reused")
    new_audit(server, k).problem(422, "idempotency_key_reused")
    audit = new_audit(server).headers["Location"]
    post(server, k, body, path=audit + "/images?cohort=shared").problem(422, "idempotency_key_reused")
    verb(server, k, audit + "/start").problem(422, "idempotency_key_reused")
    assert rows(server) == (before[0] + 1, before[1])  # the audit without a key
    assert post(server, k, body).headers["Idempotent-Replayed"] == "true"
    k = key()
    assert post(server, k, body, path=audit + "/images?cohort=shared").status == 200
    second = new_audit(server).headers["Location"]
    post(server, k, body, path=second + "/images?cohort=shared").problem(422, "idempotency_key_reused")
    k = key()
    assert verb(server, k, audit + "/start").status == 200
    verb(server, k, audit + "/cancel").problem(422, "idempotency_key_reused")


def test_one_image_to_two_cohorts(server):
    """Path and query belong to the request: the values, and under which names."""
    audit = new_audit(server).headers["Location"]
    k = key()
    assert post(server, k, png(12), path=audit + "/images?cohort=shared&class=a").status == 200
    for query in ("cohort=shared&group=a", "cohort=external&class=a", "cohort=shared&class=a&name=", "cohort=shared"):
        post(server, k, png(12), path=f"{audit}/images?{query}").problem(422, "idempotency_key_reused")


def test_a_refusal_is_not_kept(server):
    k = key()
    post(server, k, b"no image").problem(415, "image_unrecognised")
    assert post(server, k, png(13)).status == 200  # the key is still free
    audit = new_audit(server).headers["Location"]
    k = key()
    verb(server, k, audit + "/start").problem(409, "audit_state")  # no images
    assert post(server, key(), png(14), path=audit + "/images?cohort=shared").status == 200
    assert verb(server, k, audit + "/start").status == 200


@pytest.mark.parametrize("bad", ["", '""', '"a', "a b", '"a", "b"', "a,b", '"\u00fc"', "k" * 256])
def test_malformed(server, bad):
    detail = post(server, bad.encode("latin-1"), png(15)).problem(400, "idempotency_key_invalid")
    assert detail == "Idempotency-Key must be there once, with 1 to 255 printable characters"


def test_two_keys(server):
    connection = server.connect()
    connection.putrequest("POST", "/v1/scores?pair=resnet")
    for name, value in (("Content-Type", "image/png"), ("Content-Length", str(len(png(15)))),
                        ("Idempotency-Key", "a"), ("Idempotency-Key", "a")):
        connection.putheader(name, value)
    connection.endheaders(png(15))
    assert connection.getresponse().status == 400


def test_other_methods_pass_it_over(server):
    for _ in range(2):
        assert server.get("/v1/scores", **{"Idempotency-Key": '"'}).status == 200
        audit = new_audit(server).headers["Location"]
        assert server.ask("DELETE", audit, headers={"Idempotency-Key": "same"}).status == 204


# --- in flight --------------------------------------------------------------------------------------


def test_in_flight(serve):
    server = serve("--workers", "1")
    media_type, body = images_and_recipe([png(i) for i in range(30)], SLOW)
    k = key()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(post, server, k, body, media_type, "wait=60")
        while server.get("/readyz").json["queued"] == 0:
            time.sleep(0.005)
        for sent in (body, body[:-1]):
            refused = post(server, k, sent, media_type)
            assert "under way" in refused.problem(409, "idempotency_in_flight")
            assert refused.headers["Retry-After"] == "1"
        assert post(server, key(), png(1), prefer="respond-async").status == 202  # others go on
        answer = first.result(PATIENCE_S)
    assert answer.status == 200
    again = post(server, k, body, media_type)
    assert (again.status, again.json["id"]) == (200, answer.json["id"])
    assert rows(server)[0] == 2


def test_many_at_once_make_one(serve):
    server = serve()
    k, body = key(), png(1)
    gate = threading.Barrier(8)

    def send(_):
        gate.wait()
        return post(server, k, body, prefer="wait=60")

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    good = [answer for answer in answers if answer.status == 200]
    assert good and len({answer.body for answer in good}) == 1
    for answer in answers:
        assert answer.status == 200 or answer.problem(409, "idempotency_in_flight")
    assert rows(server) == (1, 1)


def test_a_client_that_left(serve):
    """Its job goes on; the retry hears 409 until the request is over, and then gets to the same job."""
    server = serve("--workers", "1")
    media_type, body = images_and_recipe([png(i) for i in range(6)], SLOW)
    k = key()
    gone = server.connect()
    gone.request("POST", "/v1/scores?pair=resnet", body,
                 {"Content-Type": media_type, "Prefer": "wait=60", "Idempotency-Key": k})
    while server.get("/readyz").json["queued"] == 0:
        time.sleep(0.005)
    gone.close()
    until = time.monotonic() + PATIENCE_S
    while (answer := post(server, k, body, media_type)).status == 409 and time.monotonic() < until:
        time.sleep(0.05)
    assert answer.status in (200, 202)
    assert server.await_job("/v1/jobs/" + answer.json["id"])["succeeded_count"] == 6
    assert rows(server)[0] == 1


# --- limits -----------------------------------------------------------------------------------------


def test_forgotten_by_age(serve):
    server = serve("--idempotency-keep-s", "4")
    k = key()
    first = post(server, k, png(1), prefer="respond-async")
    post(server, k, png(2)).problem(422, "idempotency_key_reused")
    time.sleep(4.2)
    second = post(server, k, png(2), prefer="respond-async")
    assert second.status == 202 and second.json["id"] != first.json["id"]
    same(post(server, k, png(2), prefer="respond-async"), second)
    assert rows(server) == (2, 1)


def test_forgotten_by_number(serve):
    server = serve("--idempotency-keys-max", "2")
    keys = [key() for _ in range(3)]
    for i, k in enumerate(keys):
        assert post(server, k, png(i)).status == 200
    assert rows(server)[1] == 2
    for i in (1, 2):
        assert post(server, keys[i], png(i)).headers["Idempotent-Replayed"] == "true"
    assert post(server, keys[0], png(7)).headers["Idempotent-Replayed"] is None


def test_an_answer_over_the_limit(serve):
    """Is made anew from the job: the same job."""
    server = serve()
    media_type, body = images_and_recipe([png(i) for i in range(64)])
    k = key()
    first = post(server, k, body, media_type, "wait=60")
    assert first.status == 200 and len(first.body) > server.get("/v1/limits").json["idempotency_answer_bytes_max"]
    again = post(server, k, body, media_type, "wait=60")
    assert again.headers["Idempotent-Replayed"] is None
    assert (again.status, again.json) == (200, first.json)
    assert rows(server)[0] == 1


# --- restarts and crashes ---------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_after_the_end_of_the_process(serve, number):
    first = serve()
    media_type, body = images_and_recipe([png(i) for i in range(8)], SLOW)
    keys = [key() for _ in range(4)]
    job = post(first, keys[0], body, media_type, "respond-async")
    score = post(first, keys[1], png(1), prefer="wait=60")
    made = new_audit(first, keys[2])
    added = post(first, keys[3], png(2), path=made.headers["Location"] + "/images?cohort=shared")
    first.process.send_signal(number)
    first.process.wait()
    second = serve()
    same(post(second, keys[0], body, media_type, "respond-async"), job)
    same(post(second, keys[1], png(1)), score)
    same(new_audit(second, keys[2]), made)
    same(post(second, keys[3], png(2), path=made.headers["Location"] + "/images?cohort=shared"), added)
    assert second.await_job(job.headers["Location"])["succeeded_count"] == 8
    assert rows(second) == (3, 4)


def test_a_crash_before_the_answer_was_kept(serve):
    """The key is there with what its request made; the answer is made anew, and then kept."""
    first = serve()
    media_type, body = images_and_recipe([png(i) for i in range(3)])
    keys = [key() for _ in range(5)]
    jobs = post(first, keys[0], body, media_type, "wait=60")
    score = post(first, keys[1], png(9), prefer="wait=60")
    made = new_audit(first, keys[2])
    audit = made.headers["Location"]
    post(first, key(), png(1), path=audit + "/images?cohort=shared")
    started = verb(first, keys[3], audit + "/start")
    assert (jobs.status, score.status, made.status, started.status) == (200, 200, 201, 200)
    while first.get(audit).json["finished"] is None:
        time.sleep(0.01)
    first.process.kill()
    first.process.wait()
    lose_answers(first)
    second = serve()
    before = rows(second)
    again = post(second, keys[0], body, media_type, "wait=60")
    assert (again.status, again.json) == (200, jobs.json)
    again = post(second, keys[1], png(9), prefer="wait=60")
    assert (again.status, again.json) == (200, score.json)
    same(post(second, keys[1], png(9), prefer="wait=60"), again)
    again = new_audit(second, keys[2])
    assert (again.status, again.headers["Location"], again.json["id"]) == (201, audit, made.json["id"])
    again = verb(second, keys[3], audit + "/start")  # it would be 409 by now
    assert (again.status, again.json["id"], again.json["state"]) == (200, made.json["id"], "succeeded")
    assert rows(second) == before
    post(second, keys[1], png(8)).problem(422, "idempotency_key_reused")


def test_what_was_made_is_gone(serve):
    first = serve()
    k = key()
    made = new_audit(first, k)
    assert first.ask("DELETE", made.headers["Location"]).status == 204
    same(new_audit(first, k), made)
    first.process.kill()
    first.process.wait()
    lose_answers(first)
    assert "gone" in new_audit(serve(), k).problem(404, "audit_unknown")


def test_erased(serve):
    """The erasure of an image takes the answers that tell of it along, and no key makes a second job."""
    server = serve()
    keys, erased, others = [key() for _ in range(4)], png(1), png(2)
    media_type, body = images_and_recipe([erased, others])
    scored = post(server, keys[0], erased, prefer="wait=60")
    known = post(server, keys[1], erased)  # from history, without a job
    several = post(server, keys[2], body, media_type, "wait=60")
    kept = post(server, keys[3], others)
    assert (scored.status, known.status, several.status, kept.status) == (200, 200, 200, 200)
    digest = hashlib.sha256(erased).hexdigest()
    assert server.ask("DELETE", f"/v1/images/{digest}").json["scores_count"] == 1
    for path in server.folder.glob("test.db*"):
        assert digest.encode() not in path.read_bytes(), path
    before = rows(server)
    assert before == (2, 3)
    assert post(server, keys[0], erased).problem(422, "image_erased") == "the image was erased"
    again = post(server, keys[2], body, media_type, "wait=60")
    assert again.json["id"] == several.json["id"] and "score" not in again.json["items"][0]
    assert again.headers["Idempotent-Replayed"] is None
    same(post(server, keys[3], others), kept)
    assert rows(server) == before
    # what has nothing that remembers it is a new request
    assert post(server, keys[1], erased, prefer="respond-async").status == 202


def test_kill_at_any_moment(serve):
    """Whenever the process dies, the retry finds the job of its key, or makes it: never two."""
    draw = random.Random(6)
    body = png(1)
    for turn in range(12):
        k = key()
        server = serve("--workers", "1")
        jobs_before = rows(server)[0]

        def send():
            try:
                return post(server, k, body, prefer="respond-async")
            except (OSError, http.client.HTTPException):  # refused, or cut short
                return None

        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            sent = pool.submit(send)
            time.sleep(draw.uniform(0, 0.03))
            server.process.kill()
            server.process.wait()
            answer = sent.result(PATIENCE_S)
        server = serve("--workers", "1")
        again = post(server, k, body, prefer="respond-async")
        assert again.status == 202
        if answer is not None:
            assert again.json["id"] == answer.json["id"]
        assert server.await_job(again.headers["Location"])["succeeded_count"] == 1
        assert rows(server)[0] == jobs_before + 1
        server.process.kill()
        server.process.wait()
