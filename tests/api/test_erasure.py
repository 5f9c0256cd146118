"""Erasure over HTTP and from the command line, with the database's files searched afterwards; retention."""

import hashlib
import http.client
import json
import sqlite3
import subprocess
import time

import pytest

from conftest import PATIENCE_S, check_contract, Answer, multipart, png

pytestmark = pytest.mark.threads  # images are erased while others are scored

JSON = {"Content-Type": "application/json"}
COUNTS = ("scores_count", "items_count", "images_count", "thumbnails_count")


def digest(data):
    return hashlib.sha256(data).hexdigest()


def in_files(folder, *needles):
    """Those of the needles that one of the database's files holds."""
    content = b"".join(path.read_bytes() for path in folder.glob("test.db*"))
    return [needle for needle in needles if needle in content]


def erase(server, image):
    answer = server.ask("DELETE", f"/v1/images/{digest(image)}")
    assert answer.status == 200, answer.body
    assert answer.json["image"] == digest(image)
    return tuple(answer.json[name] for name in COUNTS)


def finished_audit(server, images, **more):
    body = {"name": "trial", "pair": "resnet", "recipe": {"views": 2}, "resamples": 0, "keep_thumbnails": True}
    audit = server.ask("POST", "/v1/audits", json.dumps(body), JSON).headers["Location"]
    for i, data in enumerate(images):
        cohort = ("candidate", "external")[i % 2]
        added = server.ask("POST", f"{audit}/images?cohort={cohort}&name=john-smith-{i}.png&group=ward-{i}", data,
                           {"Content-Type": "image/png"})
        assert added.json["added_count"] == 1
    assert server.ask("POST", audit + "/start").status == 200
    until = time.monotonic() + PATIENCE_S
    while server.get(audit).json["state"] == "running" and time.monotonic() < until:
        time.sleep(0.02)
    assert server.get(audit).json["state"] == "succeeded"
    return audit


def test_erased_everywhere(serve, tmp_path):
    server = serve()
    images = [png(i) for i in range(6)]
    gone, key = images[2], None
    score = server.post(gone).json
    job = server.post_many([gone, images[5]], {"views": 3}).json
    audit = finished_audit(server, images)
    needles = (bytes.fromhex(digest(gone)), b"john-smith-2.png", b"ward-2", bytes.fromhex(score["provenance"]["key"]))
    assert in_files(tmp_path, *needles) == list(needles)
    etag = server.get(audit).headers["ETag"]
    before = server.get(audit + "/report.json?names=true").json
    assert len(before["items"]) == 6

    # in history of its own, of the job, of the audit
    assert erase(server, gone) == (3, 3, 0, 1)
    assert in_files(tmp_path, *needles, digest(gone).encode()) == []
    assert in_files(tmp_path, b"john-smith-3.png", bytes.fromhex(digest(images[3]))) != []
    assert server.get(f"/v1/scores?image={digest(gone)}").json["scores"] == []
    server.get(f"/v1/scores/{score['id']}").problem(404, "score_unknown")

    after = server.ask("GET", audit, headers={"If-None-Match": etag})
    assert after.status == 200
    assert (after.json["items_count"], after.json["succeeded_count"], after.json["erased_count"]) == (6, 6, 1)
    items = server.get(audit + "/items").json["items"]
    assert [("erased" in item, "image" in item, item["name"] != "") for item in items] == [
        (i == 2, i != 2, i != 2) for i in range(6)]
    report = server.get(audit + "/report.json?names=true").json
    assert [item["index"] for item in report["items"]] == [0, 1, 3, 4, 5]
    flags = {flag["code"]: flag["text"] for flag in report["summary"]["flags"]}
    assert flags["images_erased"].startswith("1 image has been erased from this audit and is in no statistic: the numbers "
                                             "are those of the 5 that are left")
    assert report["summary"]["images"]["total"] == 5 and report["summary"]["images"]["failed"] == 0
    assert "images_erased" not in {flag["code"] for flag in before["summary"]["flags"]}
    page = server.get(audit + "/report.html?names=true").body
    assert b"1 image has been erased" in page and b"john-smith-2" not in page and b"john-smith-4" in page
    assert b"john-smith-2" not in server.get(audit + "/report.csv?names=true").body

    left = server.get(f"/v1/jobs/{job['id']}").json
    assert (left["state"], left["succeeded_count"]) == ("succeeded", 2)
    assert "score" not in left["items"][0] and "erased" in left["items"][0] and "score" in left["items"][1]
    assert erase(server, gone) == (0, 0, 0, 0)
    assert erase(server, png(1000)) == (0, 0, 0, 0)
    # It may come again, and is computed again.
    assert server.post(gone).json["from_history"] is False
    assert server.post(images[0]).json["from_history"] is False


def test_erased_while_somebody_waits(serve):
    """Whose image is erased before its turn is told so, and does not wait for the end of the wait."""
    server = serve("--workers", "1")
    last = png(77)
    server.post_many([png(i) for i in range(60)], {"views": 64}, prefer="respond-async")
    line = server.connect()
    line.request("POST", "/v1/scores?pair=resnet", last, {"Content-Type": "image/png", "Prefer": f"wait={PATIENCE_S}"})
    until = time.monotonic() + PATIENCE_S
    got = (0, 0, 0, 0)
    while got[1] == 0 and time.monotonic() < until:
        got = erase(server, last)
    assert got == (0, 1, 1, 0)
    began = time.monotonic()
    reply = line.getresponse()
    answer = Answer(reply.status, reply.headers, reply.read())
    check_contract("POST", "/v1/scores?pair=resnet", answer)
    assert answer.problem(422, "image_erased") == "the image was erased"
    assert time.monotonic() - began < PATIENCE_S / 4
    line.close()


@pytest.mark.parametrize("bad", ["abc", "E" * 64, "0" * 63, "0" * 65, "%00"])
def test_digests(server, bad):
    detail = server.ask("DELETE", f"/v1/images/{bad}").problem(400, "image_digest_invalid")
    assert detail.endswith("is no SHA-256 in 64 hexadecimal digits, lower case")
    assert server.ask("GET", "/v1/images/" + "0" * 64).problem(405, "method_not_allowed")


def test_command_line(serve, binary, tmp_path):
    def run(*words):
        return subprocess.run([binary, "erase", *words], capture_output=True, text=True, timeout=PATIENCE_S)

    server = serve()
    images = [png(i) for i in range(3)]
    for data in images:
        assert server.post(data).status == 200
    db = tmp_path / "test.db"
    done = run("--db", db, digest(images[0]))
    assert done.returncode == 1 and "is in use: another process holds" in done.stderr
    server.stop()
    needles = [bytes.fromhex(digest(data)) for data in images]
    assert in_files(tmp_path, *needles) == needles
    done = run("--db", db, digest(images[0]), digest(images[2]), "0" * 64)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["image"] for line in lines] == [digest(images[0]), digest(images[2]), "0" * 64]
    assert [tuple(line[name] for name in COUNTS) for line in lines] == [(1, 1, 0, 0), (1, 1, 0, 0), (0, 0, 0, 0)]
    assert in_files(tmp_path, *needles) == [needles[1]]
    done = run("--db", db, digest(images[1]), "abc")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("sslmem erase: 'abc' is no SHA-256 in 64 hexadecimal digits, lower case\n")
    assert in_files(tmp_path, *needles) == [needles[1]]
    done = run("--db", tmp_path / "none.db", "0" * 64)
    assert done.stderr == f"sslmem erase: database {tmp_path / 'none.db'}: No such file or directory\n"
    assert not (tmp_path / "none.db").exists()
    assert run("--db", db).returncode == 2
    check = sqlite3.connect(db)
    assert check.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def age(folder, days):
    """As if all that is in the database had been made and had ended so many days ago."""
    db = sqlite3.connect(folder / "test.db")
    with db:
        db.execute("UPDATE job SET created_ms = created_ms - ?1, finished_ms = finished_ms - ?1", [days * 86400000])
    db.close()


def expired(server, table):
    for line in server.get("/metrics").body.decode().splitlines():
        if line.startswith(f'sslmem_expired_rows_total{{table="{table}"}} '):
            return float(line.split()[-1])
    return 0


def test_retention(serve, tmp_path):
    """What has ended goes after its days, what has not stays; log and metrics say so, and the file becomes smaller."""
    images = [png(i) for i in range(8)]
    server = serve()
    job = server.post_many(images[:2]).json
    old = finished_audit(server, images)
    body = json.dumps({"name": "open", "pair": "resnet", "resamples": 0})
    still_open = server.ask("POST", "/v1/audits", body, JSON).headers["Location"]
    assert server.ask("POST", still_open + "/images?cohort=external", images[0], {"Content-Type": "image/png"}).status == 200
    server.stop()
    age(tmp_path, 31)

    server = serve("--metrics", "on", "--retention-thumbnails-days", "30", "--retention-audits-days", "32")
    until = time.monotonic() + PATIENCE_S
    while expired(server, "thumbnails") < 8 and time.monotonic() < until:
        time.sleep(0.02)
    assert (expired(server, "thumbnails"), expired(server, "audits")) == (8, 0)
    assert server.get(old).status == 200
    server.stop()

    server = serve("--metrics", "on", "--retention-audits-days", "30")
    until = time.monotonic() + PATIENCE_S
    while expired(server, "audits") < 1 and time.monotonic() < until:
        time.sleep(0.02)
    server.get(old).problem(404, "audit_unknown")
    assert server.get(still_open).json["waiting_count"] == 1
    assert server.get(f"/v1/jobs/{job['id']}").json["succeeded_count"] == 2
    server.stop()
    assert '"event":"expired","thumbnails":0,"audits":1,"jobs":0,"scores":0' in (tmp_path / "stderr").read_text()
    db = sqlite3.connect(tmp_path / "test.db")
    assert [db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0] for table in ("audit", "item", "thumbnail", "score")] == [
        1, 3, 0, 2]
    assert db.execute("PRAGMA freelist_count").fetchone() == (0,)
