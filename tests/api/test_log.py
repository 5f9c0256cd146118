"""The log: a line per request and per job, tied together by ids, without what the client sent."""

import json
import re
import time

import pytest

from conftest import PATIENCE_S, ROOT, image, images_and_recipe, png

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}


def lines(server, event, **fields):
    """The lines of an event with these fields; waits for the first."""
    until = time.monotonic() + PATIENCE_S
    while True:
        found = [line for line in map(json.loads, (server.folder / "stderr").read_text().splitlines())
                 if line["event"] == event and fields.items() <= line.items()]
        if found or time.monotonic() > until:
            return found
        time.sleep(0.01)


def test_levels_are_three_words():
    """The same three in every line that the source writes."""
    calls = [call for path in (ROOT / "server").rglob("*.c")
             for call in re.findall(r"\bsm_log(?:_json)?\(([^,;]*),", path.read_text())]
    levels = [re.findall(r'"([^"]*)"', call) for call in calls if not re.match(r"(const char \*)?level$", call)]
    assert len(levels) > 30 and all(levels)
    assert {word for found in levels for word in found} == {"info", "warning", "error"}


def test_a_line_for_each_request(server):
    body = png(1)
    answer = server.ask("POST", "/v1/scores?pair=resnet", body,
                        {"Content-Type": "image/png", "X-Request-Id": "one", "Prefer": "wait=60", **PARENT})
    line, = lines(server, "request", request="one")
    assert line["ms"] >= 0
    assert {key: line[key] for key in line if key not in ("time", "ms")} == {
        "level": "info", "event": "request", "request": "one", "client": "127.0.0.1", "method": "POST", "route": "/v1/scores",
        "status": 200, "received": len(body), "bytes": len(answer.body), "whole": True, "trace": TRACE}


@pytest.mark.parametrize("method,path,route,status", [
    ("GET", "/v1/jobs/secret-job", "/v1/jobs/{id}", 404), ("GET", "/secret/path", "?", 404),
    ("GET", "/v1/scores?pair=secret", "/v1/scores", 200), ("HEAD", "/version", "/version", 200)])
def test_templates_in_place_of_paths(server, method, path, route, status):
    request_id = f"r{abs(hash((method, path)))}"
    answer = server.ask(method, path, headers={"X-Request-Id": request_id})
    line, = lines(server, "request", request=request_id)
    assert (line["route"], line["status"], line["bytes"]) == (route, status, len(answer.body))
    assert "trace" not in line and "secret" not in json.dumps(line)


def test_a_job_has_its_request_and_trace(server):
    answer = server.ask("POST", "/v1/scores?pair=resnet", png(2),
                        {"Content-Type": "image/png", "X-Request-Id": "asked", "Prefer": "respond-async", **PARENT})
    line, = lines(server, "job_submitted", job=answer.json["id"])
    assert (line["request"], line["trace"], line["pair"], line["items"]) == ("asked", TRACE, "resnet", 1)
    job = server.await_job(answer.headers["Location"])
    assert (job["request_id"], job["trace_id"]) == ("asked", TRACE)
    line, = lines(server, "job_finished", job=answer.json["id"])
    assert (line["request"], line["trace"]) == ("asked", TRACE)
    job = server.get("/v1/jobs/" + server.post(png(8)).json["job"]).json
    assert "trace_id" not in job and len(job["request_id"]) == 36


def test_an_image_that_fails_has_its_request(serve):
    """Also when another process finishes what the one that was asked began."""
    first = serve("--workers", "1")
    media_type, body = images_and_recipe([png(i) for i in range(20)] + [b"no image"], {"views": 64})
    answer = first.ask("POST", "/v1/scores?pair=resnet", body,
                       {"Content-Type": media_type, "X-Request-Id": "two", "Prefer": "respond-async", **PARENT})
    assert answer.status == 202
    first.process.kill()
    first.process.wait()
    second = serve()
    assert second.await_job(answer.headers["Location"])["failed_count"] == 1
    for event in ("item_failed", "job_finished"):
        line, = lines(second, event, job=answer.json["id"])
        assert (line["request"], line["trace"]) == ("two", TRACE), event


def test_an_audit_has_its_requests(server):
    ask = lambda name, path, body=None, **more: server.ask("POST", path, body, {"X-Request-Id": name, **more, **PARENT})
    made = ask("making", "/v1/audits", b'{"name": "a", "pair": "resnet"}', **{"Content-Type": "application/json"})
    audit, path = made.json["id"], made.headers["Location"]
    assert (made.json["request_id"], made.json["trace_id"]) == ("making", TRACE)
    ask("adding", path + "/images?cohort=shared", png(1), **{"Content-Type": "image/png"})
    ask("broken", path + "/images?cohort=shared", image("cut_scan.jpg"), **{"Content-Type": "image/jpeg"})
    ask("starting", path + "/start")
    for event, fields in {"audit_created": {"request": "making"}, "images_added": {"request": "adding", "added": 1},
                          "audit_moved": {"request": "starting", "operation": "startAudit"}}.items():
        line, = lines(server, event, audit=audit, **fields)
        assert line["trace"] == TRACE
    for event in ("item_failed", "job_finished"):
        line, = lines(server, event, job=audit)
        assert (line["request"], line["trace"]) == ("making", TRACE), event
    assert server.ask("DELETE", path, headers={"X-Request-Id": "deleting"}).status == 204
    line, = lines(server, "audit_deleted", audit=audit)
    assert line["request"] == "deleting" and "trace" not in line


def test_no_whole_digest(server):
    document = server.post(png(3)).json
    log = (server.folder / "stderr").read_text()
    for digest in (document["image"]["digest"], document["provenance"]["key"]):
        assert len(digest) == 64 and digest not in log


def test_a_validator_may_be_kept(server):
    posted = server.post(png(4)).json
    answer = server.get("/v1/scores/" + posted["id"])
    assert answer.headers["Cache-Control"] == "private, no-cache"
    again = server.get("/v1/scores/" + posted["id"], **{"If-None-Match": answer.headers["ETag"]})
    assert (again.status, again.headers["Cache-Control"]) == (304, "private, no-cache")
    assert server.get("/livez").headers["Cache-Control"] == "no-store"


def test_server_timing(server):
    began = time.monotonic()
    answer = server.post(png(5))
    took_ms = 1000 * (time.monotonic() - began)
    parts = dict(part.split(";dur=") for part in answer.headers["Server-Timing"].split(", "))
    assert list(parts) == ["queue", "decode", "encode", "commit"]
    assert all(0 < float(parts[name]) for name in ("decode", "encode", "commit"))
    assert sum(map(float, parts.values())) <= took_ms + 1  # the queue is known to a millisecond
    assert server.post(png(5)).headers["Server-Timing"] is None  # from history
    assert server.post_many([png(6), png(7)]).headers["Server-Timing"] is None
