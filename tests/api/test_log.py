"""The log: a line per request and per job, tied together by ids, without what the client sent."""

import json
import time

import pytest

from conftest import PATIENCE_S, png

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
    server.await_job(answer.headers["Location"])


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
