"""A disk without room: refused on the headers, refused by the database while it accepts, paused while it scores; and all
of it goes on once there is room."""

import json
import os
import re
import resource
import socket
import sqlite3
import statistics
import time

import pytest

from conftest import PATIENCE_S, check_schema, SPEC, png

pytestmark = pytest.mark.threads  # workers and the writer meet a full disk at once

JSON = {"Content-Type": "application/json"}
PNG = {"Content-Type": "image/png"}
MANY = 1 << 50
NO_ROOM = r"the database may grow by \d+ bytes and keeps \d+ for the results of \d+ images that wait, no room for \d+ more"


def create(server, **spec):
    body = {"name": "trial", "pair": "resnet", "recipe": {"views": 2}, "resamples": 0} | spec
    answer = server.ask("POST", "/v1/audits", json.dumps(body), JSON)
    assert answer.status == 201, answer.body
    return answer.headers["Location"]


def heavy(seed, size=100_000):
    """Bytes that pass for a PNG until somebody decodes them, and that no page holds smaller."""
    return b"\x89PNG\r\n\x1a\n" + seed.to_bytes(8, "big") + os.urandom(size - 16)


def await_state(server, audit, state):
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        document = server.get(audit).json
        if document["state"] == state:
            return document
        time.sleep(0.02)
    raise AssertionError(f"the audit is {document['state']}, not {state}")


def head_alone(server, path, media_type, length):
    """The answer to headers whose body never comes, and the milliseconds that it took."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as line:
        began = time.monotonic()
        line.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: {media_type}\r\n"
                     f"Content-Length: {length}\r\n\r\n".encode())
        text = b""
        while b"\r\n\r\n" not in text or not text.split(b"\r\n\r\n", 1)[1].endswith(b"}\n"):
            got = line.recv(65536)
            assert got, text
            text += got
        took_ms = 1000 * (time.monotonic() - began)
    head, body = text.decode().split("\r\n\r\n", 1)
    return head, json.loads(body), took_ms


def test_the_reserve_is_kept(serve, tmp_path):
    """With both numbers, before the body; what needs no room is answered."""
    server = serve()
    audit = create(server)
    server.stop()
    server = serve("--disk-reserve-bytes", str(MANY))
    took = []
    for path, media_type, length in (("/v1/scores?pair=resnet", "image/png", 700), ("/v1/audits", "application/json", 20),
                                     (audit + "/images?cohort=shared", "image/png", 5000),
                                     (audit + "/images", "application/x-tar", 50_000_000)):
        for _ in range(5):
            head, problem, took_ms = head_alone(server, path, media_type, length)
            took.append(took_ms)
        assert head.startswith("HTTP/1.1 507 ") and "Retry-After: 5" in head
        check_schema(SPEC["components"]["schemas"]["Problem"], problem)
        assert problem["code"] == "disk_full"
        words = problem["detail"].split(" bytes ")
        assert abs(int(words[0].removeprefix("the disk has ")) - os.statvfs(tmp_path).f_bavail
                   * os.statvfs(tmp_path).f_frsize) < 1 << 30
        assert problem["detail"].endswith(f" bytes free, too few for a body of {length} bytes and the reserve of {MANY} bytes")
    assert statistics.median(took) < 100
    assert server.get(audit).status == 200
    assert server.ask("DELETE", audit).status == 204
    server.get("/readyz")


@pytest.mark.parametrize("limit", ["--queue-max", "--queue-bytes-max"])
def test_a_full_queue_says_so_at_once(serve, limit):
    """On the headers, in milliseconds, with when to come back; what is queued is done, and then there is room again."""
    images = [png(i, 32) for i in range(24)]
    held = sum(map(len, images))
    most = {"--queue-max": len(images), "--queue-bytes-max": held}[limit]
    server = serve("--workers", "1", limit, str(most))
    job = server.post_many(images, {"views": 256}, prefer="respond-async")
    assert job.status == 202
    took = []
    for _ in range(20):
        head, problem, took_ms = head_alone(server, "/v1/scores?pair=resnet", "image/png", held)
        took.append(took_ms)
    assert head.startswith("HTTP/1.1 503 ") and re.search(r"\r\nRetry-After: [1-9]\d*\r\n", head)
    assert problem["code"] == "queue_full"
    words = {"--queue-max": "images are queued, the limit is", "--queue-bytes-max": f"of at most {most}, no room for a body of {held}"}
    assert words[limit] in problem["detail"]
    assert statistics.median(took) < 100
    assert server.await_job(job.headers["Location"])["succeeded_count"] == 24
    assert server.post(png(99)).status == 200


def lines_of(folder, event):
    """What the log says of an event."""
    lines = map(json.loads, (folder / "stderr").read_text().splitlines())
    return [line for line in lines if line["event"] == event]


def fill(server, audit, most):
    """Puts images into the audit until it is told that there is no room: how many went in, and the words."""
    for i in range(most):
        answer = server.ask("POST", f"{audit}/images?cohort=external", heavy(i), PNG)
        if answer.status != 200:
            assert answer.headers["Retry-After"] == "5"
            return i, answer.problem(507, "disk_full")
    raise AssertionError(f"{most} images went in")


def test_accepting_into_a_full_database(serve):
    server = serve("--database-bytes-max", str(1 << 20))
    assert server.get("/v1/limits").json["database_bytes_max"] == 1 << 20
    audit = create(server)
    count, detail = fill(server, audit, 20)
    assert 3 <= count <= 10
    assert re.fullmatch(NO_ROOM + "; 0 images were added before", detail)
    assert server.get(audit).json["items_count"] == count
    big = server.post(heavy(99, 400_000))
    assert re.fullmatch(NO_ROOM, big.problem(507, "disk_full")) and big.headers["Retry-After"] == "5"
    assert server.ask("DELETE", audit).status == 204
    assert server.post(png(1)).status == 200
    answer = server.ask("POST", create(server) + "/images?cohort=external", heavy(1), PNG)
    assert answer.json["added_count"] == 1


def test_accepting_onto_a_full_disk(serve, tmp_path):
    """As a quota would have it: no file may be longer than it is now, and a little."""
    server = serve()
    audit = create(server)
    assert server.ask("POST", f"{audit}/images?cohort=external", heavy(77), PNG).status == 200
    longest = max(path.stat().st_size for path in tmp_path.glob("test.db*"))
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (longest + 150_000, resource.RLIM_INFINITY))
    count, detail = fill(server, audit, 20)
    assert detail.startswith("database: ") and detail.endswith("; 0 images were added before")
    assert server.get(audit).json["items_count"] == count + 1
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert server.ask("POST", f"{audit}/images?cohort=external", heavy(88), PNG).json["added_count"] == 1
    assert server.post(png(1)).status == 200


def test_scoring_pauses(serve, tmp_path):
    """An audit whose scores do not fit pauses with the reason, and goes on where it was."""
    root = tmp_path / "root"
    root.mkdir()
    for i in range(200):
        (root / f"{i:03}.png").write_bytes(png(i, 32))
    server = serve("--data-root", root)
    audit = create(server, keep_thumbnails=True)
    answer = server.ask("POST", audit + "/manifest", json.dumps({"folders": {"candidate": "."}}), JSON)
    assert answer.json["added_count"] == 200
    server.stop()
    server = serve("--data-root", root, "--database-bytes-max", str(os.path.getsize(tmp_path / "test.db") + 100_000))
    full = server.ask("POST", audit + "/start").problem(507, "disk_full")
    assert re.fullmatch(r"the database may grow by \d+ bytes and keeps \d+ for the results of 200 images that wait", full)
    server.stop()

    server = serve("--data-root", root, "--workers", "1")
    assert server.ask("POST", audit + "/start").status == 200
    server.stop()
    room = os.path.getsize(tmp_path / "test.db") + 100_000
    server = serve("--data-root", root, "--database-bytes-max", str(room), "--workers", "2")
    paused = await_state(server, audit, "paused")
    assert paused["reason"].startswith("database: database or disk is full (SQLite code 13")
    assert 0 < paused["succeeded_count"] < 200 and paused["failed_count"] == 0
    unready = server.get("/readyz")
    reason = unready.problem(503, "not_ready")
    assert re.match(r"[12] results wait for the store: database: database or disk is full", reason)
    assert unready.json["checks"]["store"] == {"ok": False, "reason": reason}
    assert "results wait for the store" in server.post(png(1)).problem(507, "disk_full")
    server.ask("POST", audit + "/resume").problem(507, "disk_full")
    server.stop()
    failed = lines_of(tmp_path, "finish_failed")
    assert 1 <= len(failed) == len({line["item"] for line in failed})  # each once, however often it was tried

    server = serve("--data-root", root)
    assert server.get(audit).json["reason"] == paused["reason"]
    assert server.ask("POST", audit + "/resume").status == 200
    done = await_state(server, audit, "succeeded")
    assert "reason" not in done and done["succeeded_count"] == 200 and done["failed_count"] == 0
    server.stop()
    db = sqlite3.connect(tmp_path / "test.db")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert db.execute("SELECT COUNT(*), COUNT(DISTINCT score_id) FROM item WHERE state = 'succeeded'").fetchone() == (200, 200)


def test_every_202_is_finished(serve, tmp_path):
    """Small images until there is no room: what was admitted is finished, and the service stays ready."""
    server = serve("--database-bytes-max", "1300000", "--workers", "1")
    accepted = []
    while True:
        answer = server.post(png(len(accepted), 32), prefer="respond-async")
        if answer.status != 202:
            break
        accepted.append(answer.headers["Location"])
    assert re.fullmatch(NO_ROOM, answer.problem(507, "disk_full"))
    assert len(accepted) > 20
    for location in accepted:
        assert server.await_job(location)["succeeded_count"] == 1
    assert server.get("/readyz").status == 200
    assert lines_of(tmp_path, "finish_failed") == lines_of(tmp_path, "commit_failed") == []
    assert os.path.getsize(tmp_path / "test.db") <= 1300000


@pytest.mark.parametrize("ending", ["", "-wal", "-shm", ".lock"])
def test_a_database_that_is_moved_away(serve, tmp_path, ending):
    """Nothing is read or written until it is back; each change is told once."""
    server = serve()
    score = server.post(png(1)).json["id"]
    path, aside = tmp_path / f"test.db{ending}", tmp_path / "aside"

    def lost(word):
        unready = server.get("/readyz")
        reason = unready.problem(503, "not_ready")
        assert re.fullmatch(rf"the file of (the database|its (log|index|lock)) was {word} while it was open: "
                            "put it back, or restart the service", reason)
        assert unready.json["checks"]["store"] == {"ok": False, "reason": reason}
        for answer in (server.post(png(2)), server.get(f"/v1/scores/{score}"),
                       server.ask("POST", "/v1/audits", json.dumps({"name": "a", "pair": "resnet"}), JSON)):
            assert answer.problem(503, "store_unavailable") == reason
            assert answer.headers["Retry-After"] == "5"
        assert server.get("/livez").status == 200

    path.rename(aside)
    lost("deleted or moved")
    path.write_bytes(b"")
    lost("replaced")
    aside.rename(path)
    assert server.get("/readyz").status == 200
    assert server.post(png(2)).status == server.get(f"/v1/scores/{score}").status == 200
    assert server.stop() == 0
    assert [line["detail"].split(" was ")[1].split()[0] for line in lines_of(tmp_path, "database_file_lost")] == ["deleted", "replaced"]
    assert len(lines_of(tmp_path, "database_file_back")) == 1


def test_a_database_that_is_deleted(serve, tmp_path):
    server = serve()
    assert server.post(png(1)).status == 200
    for path in tmp_path.glob("test.db*"):
        path.unlink()
    server.post(png(2)).problem(503, "store_unavailable")
    server.get("/readyz").problem(503, "not_ready")
    assert server.stop() == 0
    assert not (tmp_path / "test.db").exists()
