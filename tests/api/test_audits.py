"""Audits over HTTP, from the first image to the report, on the demo pairs."""

import csv
import http.client
import io
import json
import os
import shutil
import signal
import tarfile
import time
import zipfile

import jsonschema
import pytest

from conftest import Answer, PATIENCE_S, ROOT, SPEC, Server, check_contract, check_schema, multipart, png

pytestmark = [pytest.mark.threads, pytest.mark.memory]  # uploads, workers and reports share an audit; archives are hostile

PAIRS = ROOT / "deploy/demo/pairs"
PICTURES = ROOT / "deploy/demo/images"
COHORTS = ("shared", "candidate", "independent", "external")
REPORT = json.loads((ROOT / "deploy/report.schema.json").read_text())
JSON = {"Content-Type": "application/json"}
NO_ID = "019abd9e-74f6-7d55-9b6a-0f6f0c3d1c55"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A data root: the demo's cohorts, and what must not be reached from it."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "secret.png").write_bytes(png(1))
    for cohort in COHORTS:
        shutil.copytree(PICTURES / cohort, folder / "root" / cohort)
    (folder / "root/link.png").symlink_to("../secret.png")
    (folder / "root/up").symlink_to("..")
    os.mkfifo(folder / "root/pipe.png")
    return folder / "root"


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory, root):
    running = Server(binary, tmp_path_factory.mktemp("server"), PAIRS, "--data-root", root,
                     "--images-max", "8", "--archive-bytes-max", "60000000", "--audit-images-max", "300")
    yield running
    assert running.stop() == 0


# --- steps ------------------------------------------------------------------------------------------


def create(server, pair="fashion-vit", recipe={"views": 4}, **spec):
    body = {"name": "trial", "pair": pair, "recipe": recipe, "resamples": 100} | spec
    answer = server.ask("POST", "/v1/audits", json.dumps(body), JSON)
    assert answer.status == 201, answer.body
    assert answer.headers["Location"] == f"/v1/audits/{answer.json['id']}"
    assert answer.headers["ETag"] == f'"{answer.json["revision"]}"'
    return answer.headers["Location"]


def pictures(cohort, count=20):
    return sorted((PICTURES / cohort).glob("*.png"))[:count]


def tar_of(entries, mode="w"):
    """entries: (name, bytes) or a TarInfo."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
            else:
                info = tarfile.TarInfo(entry[0])
                info.size = len(entry[1])
                tar.addfile(info, io.BytesIO(entry[1]))
    return out.getvalue()


def zip_of(entries):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)
    return out.getvalue()


def add(server, audit, body, media_type, query=""):
    return server.ask("POST", f"{audit}/images{query}", body, {"Content-Type": media_type})


def add_tar(server, audit, entries, query=""):
    answer = add(server, audit, tar_of(entries), "application/x-tar", query)
    assert answer.status == 200, answer.body
    return answer.json


def add_cohorts(server, audit, count):
    return add_tar(server, audit, [(f"{cohort}/{path.name}", path.read_bytes())
                                   for cohort in COHORTS for path in pictures(cohort, count)])


def add_lines(server, audit, *lines):
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    return server.ask("POST", f"{audit}/manifest", text, {"Content-Type": "application/jsonl"})


def move(server, audit, how):
    return server.ask("POST", f"{audit}/{how}")


def await_state(server, audit, *states):
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        document = server.get(audit).json
        if document["state"] in states:
            return document
        time.sleep(0.02)
    raise AssertionError(f"the audit is still {document['state']}")


def counts(report):
    return (report["added_count"], report["duplicate_count"], report["failed_count"],
            report["skipped_count"])


@pytest.fixture(scope="module")
def finished(server):
    """An audit of six images a cohort that has come to its end."""
    audit = create(server, gates=["auc<=0.99"], keep_thumbnails=True)
    assert counts(add_cohorts(server, audit, 6)) == (24, 0, 0, 0)
    assert move(server, audit, "start").status == 200
    document = await_state(server, audit, "succeeded")
    assert document["succeeded_count"] == 24
    return audit


# --- the whole life ---------------------------------------------------------------------------------


def test_life(server):
    audit = create(server)
    document = server.get(audit).json
    assert document["state"] == "open" and document["items_count"] == 0
    assert document["spec"]["reference"] == "external"

    path = pictures("candidate")[0]
    one = add(server, audit, path.read_bytes(), "image/png", "?cohort=candidate&class=7&group=a%20b&name=first")
    assert counts(one.json) == (1, 0, 0, 0)
    parts = [("image", p.read_bytes(), "image/png", p.name) for p in pictures("candidate", 6)]
    media_type, body = multipart(parts)
    assert counts(add(server, audit, body, media_type, "?cohort=candidate").json) == (5, 1, 0, 0)
    entries = [(f"external/{p.name}", p.read_bytes()) for p in pictures("external", 6)]
    packed = add(server, audit, tar_of(entries, "w:gz"), "application/x-tar")
    assert counts(packed.json) == (6, 0, 0, 0)
    zipped = zip_of((f"independent/{p.name}", p.read_bytes()) for p in pictures("independent", 6))
    assert counts(add(server, audit, zipped, "application/zip").json) == (6, 0, 0, 0)
    lines = [{"cohort": "shared", "path": f"shared/{p.name}", "class": "c", "group": "g"}
             for p in pictures("shared", 6)]
    assert counts(add_lines(server, audit, *lines).json) == (6, 0, 0, 0)
    folders = server.ask("POST", f"{audit}/manifest", json.dumps({"folders": {"shared": "shared"}}), JSON)
    assert counts(folders.json) == (14, 6, 0, 0)

    started = move(server, audit, "start")
    assert started.status == 200 and started.json["state"] == "running"
    document = await_state(server, audit, "succeeded")
    assert document["items_count"] == document["succeeded_count"] == 38
    assert document["cohorts"]["shared"] == {"items_count": 20, "succeeded_count": 20, "failed_count": 0}
    items = server.get(f"{audit}/items").json["items"]
    assert [i["index"] for i in items] == list(range(38))
    assert (items[0]["name"], items[0]["class"], items[0]["group"]) == ("first", "7", "a b")
    assert items[6]["name"] == entries[0][0]
    # The very score that POST /v1/scores gives.
    score = server.get(f"/v1/scores/{items[0]['score']}").json
    assert score["m"] == items[0]["m"] and score["image"]["digest"] == items[0]["image"]

    assert server.ask("DELETE", audit).status == 204
    for path in (audit, f"{audit}/items", f"{audit}/events", f"{audit}/report.json"):
        server.get(path).problem(404, "audit_unknown")
    server.get(f"/v1/scores/{items[0]['score']}").problem(404, "score_unknown")
    server.ask("DELETE", audit).problem(404, "audit_unknown")


def test_pause_resume_cancel(server):
    audit = create(server, "fashion-simclr", {"views": 64})
    add_cohorts(server, audit, 12)
    move(server, audit, "pause").problem(409, "audit_state")
    move(server, audit, "resume").problem(409, "audit_state")
    move(server, audit, "start")
    paused = move(server, audit, "pause")
    assert paused.status == 200 and paused.json["state"] == "paused"
    assert paused.json["waiting_count"] > 0
    detail = move(server, audit, "pause").problem(409, "audit_state")
    assert detail.endswith("is paused, it must be running to be paused")
    before = server.get(audit).json["waiting_count"]
    time.sleep(0.5)
    assert server.get(audit).json["waiting_count"] >= before - 2  # what was under way
    assert move(server, audit, "resume").json["state"] == "running"
    server.ask("DELETE", audit).problem(409, "audit_state")
    cancelled = move(server, audit, "cancel")
    assert cancelled.json["state"] == "cancelled" and cancelled.json["finished"] is not None
    move(server, audit, "resume").problem(409, "audit_state")
    states = {i["state"] for i in server.get(f"{audit}/items").json["items"]}
    assert "cancelled" in states and states <= {"cancelled", "succeeded", "running"}
    await_states = time.monotonic() + PATIENCE_S
    while "running" in {i["state"] for i in server.get(f"{audit}/items").json["items"]}:
        assert time.monotonic() < await_states
    assert server.ask("DELETE", audit).status == 204


def test_goes_on_after_a_kill(serve, root):
    server = serve("--data-root", root, "--workers", "1", pairs=PAIRS)
    audit = create(server, "fashion-simclr", {"views": 16})
    add_cohorts(server, audit, 4)
    move(server, audit, "start")
    server.stop(signal.SIGKILL)
    server = serve("--data-root", root, pairs=PAIRS)
    document = await_state(server, audit, "succeeded")
    assert document["succeeded_count"] == 16
    # Without its pair it cannot be started; a pair that has failed says so.
    other = create(server)
    add_cohorts(server, other, 1)
    assert server.stop() == 0
    server = serve("--data-root", root)
    assert server.get(audit).json["state"] == "succeeded"
    move(server, other, "start").problem(404, "pair_unknown")
    assert server.get(other).json["state"] == "open"


# --- progress ---------------------------------------------------------------------------------------


def test_etag(server):
    audit = create(server)
    first = server.get(audit)
    assert server.get(audit, **{"If-None-Match": first.headers["ETag"]}).status == 304
    add_cohorts(server, audit, 1)
    second = server.get(audit, **{"If-None-Match": first.headers["ETag"]})
    assert second.status == 200 and second.headers["ETag"] != first.headers["ETag"]
    assert second.json["revision"] > first.json["revision"]
    server.get(f"/v1/audits/{NO_ID}", **{"If-None-Match": '"-1"'}).problem(404, "audit_unknown")


class Events:
    """A stream of events, read as they come."""

    def __init__(self, server, audit, last=None):
        self.connection = server.connect()
        headers = {} if last is None else {"Last-Event-ID": str(last)}
        self.connection.request("GET", f"{audit}/events", headers=headers)
        self.answer = self.connection.getresponse()
        self.retry = None

    def next(self):
        """The next event as (event, id, data), or None at the end."""
        event = {}
        while True:
            line = self.answer.readline().decode()
            if line == "":
                self.connection.close()
                return None
            if line == "\n" and "data" in event:
                return event["event"], int(event["id"]), json.loads(event["data"])
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "retry":
                self.retry = int(value)
            event[name] = value

    def close(self):
        self.connection.close()


AUDIT = SPEC["components"]["schemas"]["Audit"]


def check_event(event):
    data = dict(event[2])
    assert data.pop("rate_per_s") is None or event[2]["rate_per_s"] >= 0
    assert data.pop("time_left_s") is None or event[2]["time_left_s"] >= 0
    check_schema(AUDIT, data)
    assert data["revision"] == event[1]


def whole_stream(server, views):
    """An audit of 80 images, all its events, and the seconds that it took."""
    audit = create(server, "fashion-simclr", {"views": views})
    add_cohorts(server, audit, 20)
    events = Events(server, audit)
    assert events.answer.status == 200
    assert events.answer.headers["Content-Type"] == "text/event-stream"
    seen = [events.next()]
    assert events.retry == 2000
    assert seen[0][2]["state"] == "open" and seen[0][2]["rate_per_s"] is None
    started = time.monotonic()
    move(server, audit, "start")
    while (event := events.next()) is not None:
        seen.append(event)
    return audit, seen, time.monotonic() - started


def test_events(server):
    for views in (16, 32, 64):  # a rate is known from the second look on, half a second later
        audit, seen, seconds = whole_stream(server, views)
        if seconds > 2.5:
            break
    for event in seen:
        check_event(event)
    ids = [event[1] for event in seen]
    assert ids == sorted(set(ids))
    assert [event[0] for event in seen] == ["progress"] * (len(seen) - 1) + ["end"]
    assert seen[-1][2]["state"] == "succeeded" and seen[-1][2]["succeeded_count"] == 80
    rates = [event[2] for event in seen if event[2]["rate_per_s"]]
    assert rates or seconds <= 2.5, "no event had a rate"
    for data in rates:
        left = data["items_count"] - data["succeeded_count"] - data["failed_count"]
        assert data["time_left_s"] == pytest.approx(left / data["rate_per_s"])

    # Coming back: the end again for an older id, nothing for the last.
    again = Events(server, audit, seen[-2][1])
    assert again.next()[0] == "end" and again.next() is None
    done = Events(server, audit, seen[-1][1])
    assert done.answer.status == 204
    done.close()
    garbled = Events(server, audit, "x")
    assert garbled.next()[0] == "end"
    garbled.close()


def test_events_resume(server):
    """An open stream says nothing while nothing changes, and at once what has changed since an id."""
    audit = create(server)
    revision = server.get(audit).json["revision"]
    events = Events(server, audit, revision)
    add_cohorts(server, audit, 1)
    event = events.next()
    check_event(event)
    assert event[1] > revision and event[2]["items_count"] == 4
    events.close()
    late = Events(server, audit, revision)
    assert late.next()[1] == event[1]
    late.close()
    server.ask("DELETE", audit)


def test_streams_are_limited(serve):
    server = serve("--streams-per-client-max", "64", "--connections-per-client-max", "100", pairs=PAIRS)
    audit = create(server)
    streams = [Events(server, audit) for _ in range(64)]
    assert all(s.answer.status == 200 for s in streams)
    refused = Events(server, audit)
    Answer(refused.answer.status, refused.answer.headers, refused.answer.read()).problem(503, "streams_limit")
    for stream in streams:
        stream.answer.close()
        stream.close()
    # A client that is gone is noticed, though there is nothing to tell it.
    until = time.monotonic() + 10
    while (more := Events(server, audit)).answer.status != 200:
        more.close()
        assert time.monotonic() < until
        time.sleep(0.1)
    more.close()


def test_streams_end_with_the_service(serve):
    server = serve(pairs=PAIRS)
    events = Events(server, create(server))
    assert events.next()[0] == "progress"
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 4
    assert events.next() is None


# --- lists ------------------------------------------------------------------------------------------


def test_list(server):
    made = [create(server, name=f"audit {i}") for i in range(3)]
    answer = server.get("/v1/audits?limit=2")
    assert [a["name"] for a in answer.json["audits"]] == ["audit 2", "audit 1"]
    assert answer.headers["Link"] == f'<{answer.json["next"]}>; rel="next"'
    page = server.get(answer.json["next"]).json
    assert page["audits"][0]["name"] == "audit 0"
    names, path = [], "/v1/audits?limit=1"
    while path is not None:
        page = server.get(path).json
        names += [a["id"] for a in page["audits"]]
        path = page["next"]
    assert len(names) == len(set(names)) >= 3
    for audit in made:
        server.ask("DELETE", audit)
    for query, code in (("limit=0", "query_invalid"), ("limit=201", "query_invalid"),
                        ("cursor=x", "cursor_invalid"), ("since=x", "query_unknown")):
        server.get(f"/v1/audits?{query}").problem(400, code)


def test_items(server, finished):
    everything = server.get(f"{finished}/items").json["items"]
    assert len(everything) == 24
    found, path = [], f"{finished}/items?cohort=candidate&limit=4"
    while path is not None:
        page = server.get(path).json
        found += page["items"]
        path = page["next"]
    assert found == [i for i in everything if i["cohort"] == "candidate"]
    assert server.get(f"{finished}/items?state=failed").json["items"] == []
    assert server.get(f"{finished}/items?state=succeeded&limit=1000").json["items"] == everything
    cursor = server.get(f"{finished}/items?limit=4").json["next"].split("cursor=")[1]
    for query, code in (("cohort=none", "cohort_invalid"), ("state=open", "query_invalid"),
                        ("state=x", "query_invalid"), ("limit=1001", "query_invalid"),
                        ("cursor=x", "cursor_invalid"), (f"cohort=shared&cursor={cursor}", "cursor_invalid")):
        server.get(f"{finished}/items?{query}").problem(400, code)
    other = create(server)
    server.get(f"{other}/items?cursor={cursor}").problem(400, "cursor_invalid")


# --- reports ----------------------------------------------------------------------------------------


def test_report(server, finished):
    answer = server.get(f"{finished}/report.json")
    assert answer.status == 200 and answer.headers["Content-Type"] == "application/json"
    jsonschema.validate(answer.json, REPORT)
    assert b".png" not in answer.body
    assert server.get(f"{finished}/report.json").body == answer.body
    named = server.get(f"{finished}/report.json?names=true")
    jsonschema.validate(named.json, REPORT)
    assert b"candidate/00015.png" in named.body
    head = server.ask("HEAD", f"{finished}/report.json")
    assert head.headers["Content-Length"] == str(len(answer.body))


def test_report_table(server, finished):
    answer = server.get(f"{finished}/report.csv?names=true")
    assert answer.headers["Content-Type"] == "text/csv"
    rows = list(csv.reader(io.StringIO(answer.body.decode())))
    assert len(rows) == 25 and all(len(row) == len(rows[0]) for row in rows)
    assert b".png" not in server.get(f"{finished}/report.csv").body


def test_report_page(server, finished):
    answer = server.get(f"{finished}/report.html")
    text = answer.body.decode()
    assert text.lower().startswith("<!doctype html>")
    assert ".png" not in text and "data:image/png" not in text
    named = server.get(f"{finished}/report.html?names=true").body.decode()
    assert "candidate/00015.png" in named and "data:image/png;base64," in named


def test_report_states(server):
    audit = create(server)
    add_cohorts(server, audit, 3)
    for kind in ("report.json", "report.csv", "report.html", "selection?kind=top&n=1"):
        detail = server.get(f"{audit}/{kind}").problem(409, "audit_state")
        assert detail.endswith("is open, it must have ended; ?partial=true takes what there is")
    partial = server.get(f"{audit}/report.json?partial=true")
    assert partial.status == 200, partial.body
    jsonschema.validate(partial.json, REPORT)
    server.get(f"{audit}/report.json?partial=yes").problem(400, "query_invalid")
    server.get(f"{audit}/report.json?names=").problem(400, "query_invalid")
    server.get(f"/v1/audits/{NO_ID}/report.json").problem(404, "audit_unknown")
    server.get("/v1/audits/x/report.html").problem(404, "audit_unknown")
    server.get(f"{audit}/report.pdf").problem(404, "route_unknown")


def test_selection(server, finished):
    def lines(query):
        answer = server.get(f"{finished}/selection?{query}")
        assert answer.status == 200, answer.body
        return answer.body.decode().splitlines()

    record = server.get(f"{finished}/report.json?names=true").json
    candidates = [i for i in record["items"] if i["cohort"] == "candidate"]
    for by, key in (("raw", "m"), ("shrunken", "shrunken")):
        best = [i["name"] for i in sorted(candidates, key=lambda i: -i[key])[:3]]
        assert lines(f"kind=top&n=3&names=true&by={by}") == best
        assert lines(f"kind=share&share=0.5&names=true&by={by}") == best
    ranked = sorted(candidates, key=lambda i: -i["shrunken"])
    assert lines("kind=top&n=3&names=true") == [i["name"] for i in ranked[:3]]
    assert len(lines("kind=random&n=2")) == 2
    assert lines("kind=random&n=3&seed=5") == lines("kind=random&n=3&seed=5")
    assert len(lines("kind=fdr&q=0.99")) <= 6
    rows = [json.loads(line) for line in lines("kind=top&n=2&format=jsonl&names=true")]
    assert [(r["name"], r["m"], r["shrunken"]) for r in rows] == [(i["name"], i["m"], i["shrunken"]) for i in ranked[:2]]
    assert len(lines("kind=top&n=2&format=csv")) == 3
    assert sorted(lines("kind=fdr&q=0.99&by=raw")) == sorted(lines("kind=fdr&q=0.99"))
    for query in ("", "kind=best&n=1", "kind=top", "kind=top&n=0", "kind=top&n=x", "kind=top&n=2&q=0.1",
                  "kind=share&share=0", "kind=share&share=1.5", "kind=share&share=nan", "kind=fdr&n=3",
                  "kind=fdr&q=", "kind=fdr&q=1", "kind=random", "kind=random&n=2&seed=-1", "kind=top&n=1&format=xml",
                  "kind=top&n=1&by=q", "kind=top&n=1&by=", "kind=random&n=2&by=raw"):
        server.get(f"{finished}/selection?{query}").problem(400, "query_invalid")


def test_comparison(server, finished):
    other = create(server, recipe={"views": 6})
    add_cohorts(server, other, 6)
    ids = finished.split("/")[-1], other.split("/")[-1]
    server.get(f"/v1/comparisons?audits={','.join(ids)}").problem(409, "audit_state")
    move(server, other, "start")
    await_state(server, other, "succeeded")
    answer = server.get(f"/v1/comparisons?audits={','.join(ids)}")
    assert answer.status == 200, answer.body
    for bad in ("", ids[0], f"{ids[0]},{ids[0]}", f"{ids[0]},x", f"{ids[0]},{ids[1]},", ",".join([ids[0]] * 9)):
        server.get(f"/v1/comparisons?audits={bad}").problem(400, "query_invalid")
    server.get("/v1/comparisons").problem(400, "query_invalid")
    server.get(f"/v1/comparisons?audits={ids[0]},{NO_ID}").problem(404, "audit_unknown")
    nothing = create(server)
    add(server, nothing, png(9, 32), "image/png", "?cohort=external")
    move(server, nothing, "start")
    await_state(server, nothing, "succeeded")
    server.get(f"/v1/comparisons?audits={ids[0]},{nothing.split('/')[-1]}").problem(
        422, "comparison_invalid")


# --- what is sent wrong -----------------------------------------------------------------------------


def test_bad_audits(server):
    def refused(body, status, code, pointer=None):
        text = body if isinstance(body, (str, bytes)) else json.dumps(body)
        answer = server.ask("POST", "/v1/audits", text, JSON)
        detail = answer.problem(status, code)
        if pointer is not None:
            assert answer.json["errors"][0]["pointer"] == pointer
        return detail

    good = {"name": "n", "pair": "fashion-vit"}
    refused("", 400, "body_empty")
    refused("{", 400, "json_invalid")
    refused("[]", 400, "json_invalid")
    refused('{"name": "n", "name": "m"}', 400, "json_invalid")
    refused("[" * 10000, 400, "json_invalid")
    refused(json.dumps(good | {"name": "x" * 70000}), 400, "json_invalid")
    refused({"name": "n"}, 422, "audit_invalid", "/pair")
    refused(good | {"pair": 7}, 422, "audit_invalid", "/pair")
    refused(good | {"pair": "none"}, 404, "pair_unknown")
    refused({"pair": "fashion-vit"}, 422, "audit_invalid", "/name")
    refused(good | {"name": ""}, 422, "audit_invalid", "/name")
    refused(good | {"name": "x" * 201}, 422, "audit_invalid", "/name")
    refused(good | {"reference": "candidate"}, 422, "audit_invalid", "/reference")
    refused(good | {"gates": ["auc"]}, 422, "audit_invalid", "/gates/0")
    refused(good | {"gates": ["auc<1"] * 17}, 422, "audit_invalid", "/gates")
    refused(good | {"resamples": 100001}, 422, "audit_invalid", "/resamples")
    refused(good | {"extra": 1}, 422, "audit_invalid", "/extra")
    refused(good | {"recipe": {"views": 257}}, 422, "recipe_invalid", "/recipe/views")
    refused(good | {"recipe": {"nonsense": 1}}, 422, "recipe_invalid", "/recipe/nonsense")
    refused(good | {"recipe": []}, 422, "recipe_invalid")
    server.ask("POST", "/v1/audits", "x", {"Content-Type": "text/plain"}).problem(
        415, "media_type_unsupported")


def test_pairs_that_are_not_ready(serve):
    server = serve()  # with pairs of every way to be bad
    answer = server.ask("POST", "/v1/audits", '{"name": "n", "pair": "corrupt"}', JSON)
    answer.problem(503, "pair_failed")


@pytest.mark.parametrize("how", ["start", "pause", "resume", "cancel"])
def test_unknown_audits(server, how):
    move(server, f"/v1/audits/{NO_ID}", how).problem(404, "audit_unknown")
    move(server, "/v1/audits/not-an-id", how).problem(404, "audit_unknown")


def test_states(server):
    audit = create(server)
    detail = move(server, audit, "start").problem(409, "audit_state")
    assert detail.endswith("has 0 images, it must have at least 1 to be started")
    add_cohorts(server, audit, 1)
    assert move(server, audit, "start").status == 200
    detail = move(server, audit, "start").problem(409, "audit_state")  # twice
    assert "it must be open to be started" in detail
    await_state(server, audit, "succeeded")
    move(server, audit, "start").problem(409, "audit_state")
    detail = add(server, audit, png(3), "image/png", "?cohort=shared").problem(409, "audit_state")
    assert detail.endswith("is succeeded, it must be open to take images")
    add(server, audit, tar_of([]), "application/x-tar").problem(409, "audit_state")
    add_lines(server, audit, {}).problem(409, "audit_state")


def test_bad_images(server):
    audit = create(server)
    where = f"/v1/audits/{NO_ID}"
    add(server, where, png(1), "image/png", "?cohort=shared").problem(404, "audit_unknown")
    add(server, audit, png(1), "image/png").problem(400, "cohort_invalid")
    detail = add(server, audit, png(1), "image/png", "?cohort=candidates").problem(400, "cohort_invalid")
    assert detail == 'cohort is "candidates", must be one of shared, candidate, independent, external'
    add(server, audit, png(1), "image/png", f"?cohort=shared&name={'x' * 256}").problem(400, "query_invalid")
    add(server, audit, b"", "image/png", "?cohort=shared").problem(400, "body_empty")
    add(server, audit, b"text", "image/png", "?cohort=shared").problem(415, "image_unrecognised")
    add(server, audit, b"x", "image/gif", "?cohort=shared").problem(415, "image_unrecognised")
    detail = add(server, audit, tar_of([("candidate/a.png", png(1))]), "image/png", "?cohort=shared").problem(
        415, "image_unrecognised")
    assert "a tar archive" in detail and "application/octet-stream" in detail
    add(server, audit, b"x", "text/plain", "?cohort=shared").problem(415, "media_type_unsupported")
    add(server, audit, b"x", "multipart/form-data", "?cohort=shared").problem(400, "multipart_invalid")
    media_type, body = multipart([("file", png(1), None, "a.png")])
    add(server, audit, body, media_type, "?cohort=shared").problem(422, "part_unknown")
    media_type, body = multipart([("image", png(i), None, f"{i}.png") for i in range(9)])
    add(server, audit, body, media_type, "?cohort=shared").problem(422, "images_limit")
    assert server.get(audit).json["items_count"] == 0
    media_type, body = multipart([("image", png(1), None, "a.png"), ("image", b"text", None, "b.png"),
                                  ("image", b"", None, "c.png")])
    report = add(server, audit, body, media_type, "?cohort=shared").json
    assert counts(report) == (1, 0, 0, 2)
    assert report["skipped_by_reason"] == {"not_an_image": 1, "empty": 1}
    assert report["skipped"][0] == {"name": "b.png", "reason": "not_an_image",
                                    "detail": "the first of 4 bytes are those of no JPEG, PNG or raw image"}


SOME = [("candidate/a.png", png(1)), ("external/b.png", png(2))]
ARCHIVES = {"tar": tar_of(SOME), "tar.gz": tar_of(SOME, "w:gz"), "zip": zip_of(SOME)}


@pytest.mark.parametrize("media_type", [None, "application/octet-stream", "application/x-tar", "application/zip",
                                        "application/gzip", "application/zstd"])
def test_bytes_say_what_is_sent(server, media_type):
    """curl --data-binary @x with any label of bytes, or none."""
    headers = {} if media_type is None else {"Content-Type": media_type}

    def send(audit, body, query=""):
        return server.ask("POST", f"{audit}/images{query}", body, headers)

    for body in ARCHIVES.values():
        audit = create(server)
        assert counts(send(audit, body).json) == (2, 0, 0, 0)
        assert [item["cohort"] for item in server.get(f"{audit}/items").json["items"]] == ["candidate", "external"]
    audit = create(server)
    send(audit, png(1)).problem(400, "cohort_invalid")
    assert counts(send(audit, png(1), "?cohort=shared&name=x").json) == (1, 0, 0, 0)
    assert counts(send(audit, png(1) + bytes(17 << 20), "?cohort=shared&name=large").json) == (0, 0, 1, 0)
    assert [(item["name"], item["state"]) for item in server.get(f"{audit}/items").json["items"]] == [
        ("x", "queued"), ("large", "failed")]
    send(audit, b"no archive and no image" * 99, "?cohort=shared").problem(422, "archive_invalid")


@pytest.mark.parametrize("label", ["image/jpeg", "image/jpg", "image/x-png", "image/webp"])
def test_labels_of_images_are_not_looked_at(server, label):
    audit = create(server)
    assert counts(add(server, audit, png(1), label, "?cohort=shared").json) == (1, 0, 0, 0)
    media_type, body = multipart([("image", png(2), label, "a.JPEG"), ("image", b"text", label, "b.JPEG")])
    assert counts(add(server, audit, body, media_type, "?cohort=shared").json) == (1, 0, 0, 1)


def test_nothing_added(server):
    """Of an upload nothing is in the audit: no green light. Sent again, what was taken is there already."""
    audit, junk = create(server), [("candidate/a.txt", b"text"), ("elsewhere/b.png", png(1)), ("candidate/c.png", b"")]
    reasons = {"not_an_image": 1, "cohort_invalid": 1, "empty": 1}
    media_type, parts = multipart([("image", b"text", None, "a.png"), ("image", b"", None, "b.png")])
    lines = '{"cohort": "candidate", "path": "none.png"}\nno line\n'
    for body, kind, query, wanted in (
            (tar_of(junk), "application/x-tar", "", reasons), (zip_of(junk), "application/zip", "", reasons),
            (tar_of([]), "application/x-tar", "", {}), (parts, media_type, "?cohort=shared", {"not_an_image": 1, "empty": 1})):
        answer = add(server, audit, body, kind, query)
        detail = answer.problem(422, "nothing_added")
        assert detail.startswith(f"0 images (JPEG, PNG), {sum(wanted.values())} skipped")
        assert all(f"{count} {reason}" in detail for reason, count in wanted.items())
        report = answer.json["report"]
        assert counts(report) == (0, 0, 0, sum(wanted.values())) and report["skipped_by_reason"] == wanted
    for body, kind, wanted in ((lines, "application/jsonl", {"file_missing": 1, "line_invalid": 1}),
                               ("\n\n", "application/x-ndjson", {})):
        answer = server.ask("POST", f"{audit}/manifest", body, {"Content-Type": kind})
        answer.problem(422, "nothing_added")
        assert answer.json["report"]["skipped_by_reason"] == wanted
    assert server.get(audit).json["items_count"] == 0
    body = tar_of(junk + [("candidate/d.png", png(4))])
    assert counts(add(server, audit, body, "application/x-tar").json) == (1, 0, 0, 3)
    assert counts(add(server, audit, body, "application/x-tar").json) == (0, 1, 0, 3)
    broken = png(5)[:8] + bytes(17 << 20)
    assert counts(add(server, audit, tar_of([("candidate/e.png", broken)]), "application/x-tar").json) == (0, 0, 1, 0)
    assert counts(add(server, audit, tar_of([("candidate/e.png", broken)]), "application/x-tar").json) == (0, 1, 0, 0)


def test_one_bad_image_is_one_failed_item(server):
    audit = create(server)
    good = pictures("candidate", 2)
    add_tar(server, audit, [("candidate/a.png", good[0].read_bytes()), ("candidate/bad.png", png(1)[:60]),
                            ("candidate/b.png", good[1].read_bytes())])
    move(server, audit, "start")
    document = await_state(server, audit, "succeeded")
    assert (document["succeeded_count"], document["failed_count"]) == (2, 1)
    assert document["failures"] == [{"code": "corrupt", "count": 1}]
    failed, = server.get(f"{audit}/items?state=failed").json["items"]
    assert failed["name"] == "candidate/bad.png" and failed["error"]["code"] == "corrupt"
    jsonschema.validate(server.get(f"{audit}/report.json").json, REPORT)


def test_an_image_in_two_cohorts(server):
    audit = create(server)
    report = add_tar(server, audit, [("candidate/a.png", png(1, 32)), ("external/a.png", png(1, 32))])
    assert counts(report) == (2, 0, 0, 0)
    move(server, audit, "start")
    await_state(server, audit, "succeeded")
    first, second = server.get(f"{audit}/items").json["items"]
    assert first["score"] == second["score"]
    jsonschema.validate(server.get(f"{audit}/report.json").json, REPORT)  # one image a cohort, others empty


def test_hostile_archives(server):
    audit = create(server)
    link, hard = tarfile.TarInfo("candidate/link.png"), tarfile.TarInfo("candidate/hard.png")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    hard.type, hard.linkname = tarfile.LNKTYPE, "/etc/passwd"
    report = add_tar(server, audit, [link, hard, ("/candidate/abs.png", png(1)), ("../candidate/up.png", png(2)),
                                     ("candidate/../../in.png", png(3)), ("candidate/a.png", png(4)),
                                     ("nowhere.png", png(5)), ("candidate/notes.txt", b"notes")])
    assert counts(report) == (2, 0, 0, 6)
    assert report["skipped_by_reason"] == {"link": 2, "cohort_invalid": 3, "not_an_image": 1}
    assert [i["name"] for i in server.get(f"{audit}/items").json["items"]] == ["candidate/../../in.png",
                                                                             "candidate/a.png"]
    bomb = zip_of([("candidate/bomb.png", png(1) + bytes(80 << 20))])
    detail = add(server, audit, bomb, "application/zip").problem(422, "archive_limit")
    assert detail.startswith(f"entry 1: {len(bomb)} bytes have unpacked to ")
    assert detail.endswith(", the limit is 100 times; 0 images were added before")
    bomb = tar_of([("candidate/x.png", png(6)), ("candidate/bomb.png", bytes(80 << 20))], "w:gz")
    detail = add(server, audit, bomb, "application/x-tar").problem(422, "archive_limit")
    assert detail.endswith("; 1 images were added before")
    broken = tar_of([("candidate/y.png", png(7)), ("candidate/z.png", png(8) + bytes(9000))])[:3000]
    detail = add(server, audit, broken, "application/x-tar").problem(422, "archive_invalid")
    assert detail.startswith("after entry 2: ") and detail.endswith("; 1 images were added before")
    add(server, audit, b"no archive", "application/zip").problem(422, "archive_invalid")
    add(server, audit, b"", "application/zip").problem(400, "body_empty")
    add(server, audit, b"x", "application/zip", "?cohort=x").problem(400, "cohort_invalid")
    on_the_headers(server, f"{audit}/images", "60000001").problem(413, "body_too_large")
    assert server.get(audit).json["items_count"] == 4


def test_a_hundred_thousand_empty_entries(server):
    audit = create(server)
    entry = tarfile.TarInfo("candidate/empty.png").tobuf()
    began = time.monotonic()
    answer = add(server, audit, entry * 100000 + bytes(1024), "application/x-tar")
    answer.problem(422, "nothing_added")
    report = answer.json["report"]
    assert counts(report) == (0, 0, 0, 100000) and report["skipped_by_reason"] == {"empty": 100000}
    assert len(report["skipped"]) == 100
    assert time.monotonic() - began < PATIENCE_S


def test_manifests(server):
    audit = create(server)
    report = add_lines(server, audit, {"cohort": "candidate", "path": "candidate/00015.png"},
                       {"cohort": "nobody", "path": "candidate/00015.png"}, "{", "",
                       {"cohort": "candidate", "path": "candidate/none.png"},
                       {"cohort": "candidate", "path": "../secret.png"},
                       {"cohort": "candidate", "path": "/etc/passwd"},
                       {"cohort": "candidate", "path": "link.png"},
                       {"cohort": "candidate", "path": "up/secret.png"},
                       {"cohort": "candidate", "path": "pipe.png"},
                       {"cohort": "candidate", "path": "candidate"},
                       {"cohort": "candidate", "path": "candidate/00015.png", "class": 7},
                       {"cohort": "candidate", "path": "x" * 17000},
                       {"cohort": "candidate", "path": "candidate/00034.png"}).json
    assert counts(report) == (2, 0, 0, 11)
    assert {row["line"]: row["reason"] for row in report["skipped"]} == {
        2: "cohort_invalid", 3: "line_invalid", 5: "file_missing", 6: "file_outside", 7: "file_outside",
        8: "link", 9: "link", 10: "not_a_file", 11: "not_a_file", 12: "line_invalid", 13: "line_too_long"}
    many = add_lines(server, audit, *["no JSON"] * 500).json["report"]
    assert many["skipped_by_reason"] == {"line_invalid": 500} and len(many["skipped"]) == 100


def test_a_file_that_changes_is_a_failed_item(server, root):
    audit = create(server)
    (root / "changes.png").write_bytes(png(11))
    (root / "goes.png").write_bytes(png(12))
    add_lines(server, audit, {"cohort": "candidate", "path": "changes.png"},
              {"cohort": "candidate", "path": "goes.png"}, {"cohort": "candidate", "path": "candidate/00015.png"})
    (root / "changes.png").write_bytes(png(13))
    (root / "goes.png").unlink()
    move(server, audit, "start")
    document = await_state(server, audit, "succeeded")
    assert (document["succeeded_count"], document["failed_count"]) == (1, 2)
    (root / "changes.png").unlink()


def test_folders(server):
    audit = create(server)

    def post(body):
        return server.ask("POST", f"{audit}/manifest", json.dumps(body), JSON)

    for body, pointer in (({}, "/folders"), ({"folders": {}}, "/folders"), ({"folders": []}, "/folders"),
                          ({"folders": {"nobody": "shared"}}, "/folders/nobody"),
                          ({"folders": {"shared": 7}}, "/folders/shared"),
                          ({"folders": {"shared": ""}}, "/folders/shared"),
                          ({"folders": {"shared": "shared"}, "x": 1}, "/x")):
        answer = post(body)
        answer.problem(422, "manifest_invalid")
        assert answer.json["errors"][0]["pointer"] == pointer
    for folder, text in (("none", "No such file or directory"), ("..", "leads out of the data root"),
                         ("up", "is a link"), ("/etc", "leads out of the data root"),
                         ("link.png", "is a link")):
        detail = post({"folders": {"shared": folder}}).problem(422, "manifest_invalid")
        assert detail == f"folder {folder}: {text}; 0 images were added before"
    report = post({"folders": {"candidate": "candidate", "external": "external"}}).json
    assert counts(report) == (40, 0, 0, 0)


def test_without_a_data_root(serve):
    server = serve(pairs=PAIRS)
    audit = create(server)
    detail = add_lines(server, audit, {"cohort": "shared", "path": "a.png"}).problem(403, "data_root_missing")
    assert detail == "files are taken below the folder of --data-root, which is not set"
    server.ask("POST", f"{audit}/manifest", '{"folders": {"shared": "."}}', JSON).problem(
        403, "data_root_missing")


def test_an_audit_is_full(server):
    audit = create(server)
    report = add_tar(server, audit, [(f"shared/{i}.png", png(i)) for i in range(300)])
    assert counts(report) == (300, 0, 0, 0)
    detail = add(server, audit, png(300), "image/png", "?cohort=shared").problem(422, "images_limit")
    assert "has 300 images of at most 300" in detail
    add(server, audit, tar_of([("shared/300.png", png(300))]), "application/x-tar").problem(
        422, "archive_limit")


def on_the_headers(server, path, length):
    """The answer to an archive whose body is not sent."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    connection.putrequest("POST", path)
    connection.putheader("Content-Type", "application/x-tar")
    connection.putheader("Content-Length", length)
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    got = connection.getresponse()
    answer = Answer(got.status, got.headers, got.read())
    connection.close()
    check_contract("POST", path, answer)
    return answer


def test_refused_on_the_headers(server):
    on_the_headers(server, f"/v1/audits/{NO_ID}/images", "1000000").problem(404, "audit_unknown")
    on_the_headers(server, f"{create(server)}/images?cohort=x", "1000").problem(400, "cohort_invalid")


def test_an_upload_that_is_under_way_when_the_service_stops(serve):
    """What was committed stays, the client is told, and the stop does not wait for the rest."""
    server = serve(pairs=PAIRS)
    audit, image, count = create(server), png(1), 60000
    entries = [(f"shared/{i}.png", image + b"%d" % i) for i in range(count)]
    connection = server.connect()
    connection.request("POST", f"{audit}/images", tar_of(entries), {"Content-Type": "application/x-tar"})
    began = time.monotonic()
    assert server.stop() == 0 and time.monotonic() - began < 20
    answer = connection.getresponse()
    told = json.loads(answer.read())
    server = serve(pairs=PAIRS)
    there = server.get(audit).json["items_count"]
    if answer.status == 200:
        assert told["added_count"] == there == count
    else:
        assert (answer.status, told["code"]) == (503, "draining") and there < count
    first, last = max(0, there - 500), min(count, there + 500)  # sent again, it goes on where it ended
    report = add(server, audit, tar_of(entries[first:last]), "application/x-tar").json
    assert report["duplicate_count"] == there - first and report["added_count"] == last - there
