"""/metrics: both formats under parsers that know every rule, the table of deploy/METRICS.md, and numbers that count."""

import http.client
import json
import re
import shutil
import subprocess
import time

import pytest

from conftest import PATIENCE_S, ROOT, SPEC, Server, image, png

OPEN = {"Accept": "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1"}
NAME = "[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'([a-z]+)="((?:[^"\\\n]|\\["\\n])*)"'
SUFFIXES = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "info": ["_info"], "gauge": [""]}


@pytest.fixture(scope="module")
def metered(binary, tmp_path_factory, pairs_folder):
    running = Server(binary, tmp_path_factory.mktemp("metered"), pairs_folder, "--metrics", "on")
    yield running
    assert running.stop() == 0


def parse(text, open_metrics):
    """Families of an exposition: name to (type, unit, help, {(sample name, labels): value}). Strict: order of the lines of
    a family, no family twice, no series twice, suffixes that fit the type, buckets that rise to their count."""
    families, current = {}, None
    lines = text.split("\n")
    assert lines.pop() == "", "the last line must end"
    if open_metrics:
        assert lines.pop() == "# EOF"
    for line in lines:
        meta = re.fullmatch(f"# (HELP|TYPE|UNIT) ({NAME}) (.*)", line)
        if meta:
            kind, name, rest = meta.groups()
            if kind == "HELP":
                assert name not in families
                current = families[name] = {"help": rest, "unit": "", "samples": {}}
                current["name"] = name
            assert current["name"] == name and not current["samples"]
            assert kind.lower() not in current or kind in ("HELP", "UNIT")
            current[kind.lower()] = rest
            continue
        sample = re.fullmatch(f"({NAME})(?:\\{{({LABEL}(?:,{LABEL})*)\\}})? (?P<value>[-+0-9.e]+)", line)
        assert sample, line
        name, labels = sample[1], tuple(re.findall(LABEL, sample[2] or ""))
        assert len({label for label, _ in labels}) == len(labels)
        suffixes = SUFFIXES[current["type"]]
        if not open_metrics and current["type"] == "counter":
            suffixes = [""]
        assert name in [current["name"] + suffix for suffix in suffixes], line
        assert (name, labels) not in current["samples"]
        current["samples"][name, labels] = float(sample["value"])
    for name, family in families.items():
        assert family["help"] and family["type"] in SUFFIXES
        if open_metrics and family["unit"]:
            assert name.endswith("_" + family["unit"])
        if family["type"] == "histogram":
            check_histogram(name, family["samples"])
        if family["type"] == "counter":
            assert all(value >= 0 for value in family["samples"].values())
    return families


def check_histogram(name, samples):
    series = {}
    for (sample, labels), value in samples.items():
        rest = tuple(label for label in labels if label[0] != "le")
        series.setdefault(rest, {"bounds": []})
        if sample == name + "_bucket":
            series[rest]["bounds"].append((float(dict(labels)["le"]), value))
        else:
            series[rest][sample.removeprefix(name)] = value
    for one in series.values():
        bounds = [bound for bound, _ in one["bounds"]]
        counts = [count for _, count in one["bounds"]]
        assert bounds == sorted(set(bounds)) and bounds[-1] == float("inf")
        assert counts == sorted(counts) and counts[-1] == one["_count"]
        assert one["_sum"] >= 0


def scrape(server, headers=None):
    answer = server.ask("GET", "/metrics", headers=headers)
    assert answer.status == 200
    return parse(answer.body.decode(), headers is OPEN)


def value(families, family, sample=None, **labels):
    wanted = set(labels.items())
    found = [v for (name, have), v in families[family]["samples"].items()
             if name == (sample or family) and wanted <= set(have)]
    return sum(found)


def test_documentation_is_what_the_binary_prints(binary):
    table = subprocess.run([binary, "serve", "--metrics-table"], check=True, capture_output=True, text=True).stdout
    assert table in (ROOT / "deploy/METRICS.md").read_text()


def test_documentation_is_what_is_served(metered):
    metered.post(png(900))
    families = scrape(metered, OPEN)
    text = {}
    for line in (ROOT / "deploy/METRICS.md").read_text().splitlines():
        if line.startswith("| `"):
            name, kind, unit, labels, meaning = [cell.strip() for cell in line.split("|")[1:-1]]
            name = name.strip("`")
            for suffix in SUFFIXES[kind]:
                if suffix in ("_total", "_info"):
                    name = name.removesuffix(suffix)
            text[name] = (kind, unit, labels.split(), meaning)
    assert set(text) == set(families)
    for name, (kind, unit, labels, meaning) in text.items():
        family = families[name]
        assert (family["type"], family["unit"], family["help"]) == (kind, unit, meaning)
        for _, have in family["samples"]:
            assert [label for label, _ in have if label != "le"] == labels
        assert family["samples"], f"{name} has no series"


def test_formats(metered):
    plain = metered.ask("GET", "/metrics")
    assert plain.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    parse(plain.body.decode(), False)
    opened = metered.ask("GET", "/metrics", headers=OPEN)
    assert opened.headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    parse(opened.body.decode(), True)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is of Debian's package prometheus")
def test_promtool(metered):
    metered.post(png(901))
    body = metered.ask("GET", "/metrics").body
    done = subprocess.run(["promtool", "check", "metrics"], input=body, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    subprocess.run(["promtool", "check", "rules", ROOT / "deploy/alerts.yml"], check=True, capture_output=True)


def test_alerts_name_metrics_that_exist(metered):
    rules = (ROOT / "deploy/alerts.yml").read_text()
    names = set(re.findall(r"\b(?:sslmem|process)_[a-z_]+\b", rules))
    assert names and names <= set(scrape(metered))


def test_requests_are_counted(metered):
    http_seconds = "sslmem_http_request_duration_seconds"
    before = scrape(metered)
    for _ in range(3):
        metered.get("/v1/jobs/no-such-job").problem(404, "job_unknown")
    metered.ask("HEAD", "/livez")
    metered.get("/wp-admin.php?x=1")
    metered.get("/v1/pairs/resnet")
    metered.get("/v1/pairs/vit")
    after = scrape(metered)
    grown = lambda **labels: (value(after, http_seconds, http_seconds + "_count", **labels)
                              - value(before, http_seconds, http_seconds + "_count", **labels))
    assert grown(route="/v1/jobs/{id}", method="GET", status="4xx") == 3
    assert grown(route="/livez", method="HEAD", status="2xx") == 1
    assert grown(route="other", status="4xx") == 1
    assert grown(route="/v1/pairs/{name}", status="2xx") == 2
    assert grown() == 7 + 1  # the first scrape too
    problems = "sslmem_http_problems_total"
    assert value(after, problems, code="job_unknown") - value(before, problems, code="job_unknown") == 3
    codes = {dict(labels)["code"] for _, labels in after[problems]["samples"]}
    assert codes == set(SPEC["components"]["x-problems"])
    assert value(after, "sslmem_http_requests_in_progress") == 1


def test_strange_methods_make_no_series(metered):
    for method in ("BREW", "X" * 15, "get"):
        own = metered.connect()
        own.request(method, "/livez")
        assert own.getresponse().status == 405
        own.close()
    methods = {dict(labels)["method"]
               for _, labels in scrape(metered)["sslmem_http_request_duration_seconds"]["samples"]}
    assert methods <= {"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "other"}


def test_images_are_counted(metered):
    before = scrape(metered)
    assert metered.post(png(910)).status == 200
    assert metered.post_many([png(911), png(912)]).status == 200
    broken = metered.post(png(913)[:-40])
    broken.problem(422, "image_corrupt")
    metered.post_many([png(910)] * 2)
    after = scrape(metered)
    grown = lambda family, sample=None, **labels: (value(after, family, sample, **labels)
                                                   - value(before, family, sample, **labels))
    assert grown("sslmem_items_finished_total", state="computed") == 3
    assert grown("sslmem_items_finished_total", state="failed") == 1
    assert grown("sslmem_items_finished_total", state="history") == 2
    assert grown("sslmem_item_failures_total", reason="corrupt") == 1
    assert grown("sslmem_item_failures_total") == 1
    assert grown("sslmem_image_decode_seconds", "sslmem_image_decode_seconds_count") == 4
    assert grown("sslmem_queue_wait_seconds", "sslmem_queue_wait_seconds_count") == 6
    assert grown("sslmem_encode_unit_seconds", "sslmem_encode_unit_seconds_count") >= 6
    assert grown("sslmem_db_commit_seconds", "sslmem_db_commit_seconds_count") >= 4
    assert (grown("sslmem_db_writes_total")
            >= grown("sslmem_db_commit_seconds", "sslmem_db_commit_seconds_count"))
    for family in ("sslmem_image_decode_seconds", "sslmem_encode_unit_seconds", "sslmem_db_commit_seconds"):
        assert 0 < grown(family, family + "_sum") < PATIENCE_S
    assert value(after, "sslmem_queue_items") == 0


def test_queue_is_seen(serve):
    server = serve("--metrics", "on", "--workers", "1", "--queue-max", "50")
    server.post_many([png(i) for i in range(20)], {"views": 64}, prefer="respond-async")
    families = scrape(server)
    assert 1 <= value(families, "sslmem_queue_items") <= 20
    assert value(families, "sslmem_queue_items_max") == 50
    assert value(families, "sslmem_db_wal_bytes") > 0


def test_process_and_pairs(metered):
    families = scrape(metered, OPEN)
    assert abs(value(families, "process_start_time_seconds") - time.time()) < 3600
    assert 1e6 < value(families, "process_resident_memory_bytes") < 1e10
    assert 5 < value(families, "process_open_fds") < value(families, "process_max_fds")
    assert value(families, "process_cpu_seconds", "process_cpu_seconds_total") > 0
    ready = [pair for pair in metered.get("/v1/pairs").json["pairs"] if pair["state"] == "ready"]
    infos = {dict(labels)["pair"]: dict(labels)["digest"]
             for _, labels in families["sslmem_pair"]["samples"]}
    assert infos == {pair["name"]: pair["digest"][:12] for pair in ready}
    assert value(families, "sslmem_pairs", state="ready") == 2
    assert value(families, "sslmem_pairs", state="failed") == 5
    build, = families["sslmem_build"]["samples"]
    version = metered.get("/version").json
    assert dict(build[1])["version"] == version["sslmem"]
    assert dict(build[1])["kernels"] == version["kernels"]


def test_off_unless_told(server):
    server.get("/metrics").problem(404, "route_unknown")


def test_admin_listener(serve):
    server = serve("--admin-listen", "127.0.0.1:0")
    line = server.process.stdout.readline().decode()
    port = int(re.fullmatch(r"admin listening on http://127\.0\.0\.1:(\d+)\n", line)[1])
    admin = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    admin.request("GET", "/metrics")
    answer = admin.getresponse()
    assert answer.status == 200
    parse(answer.read().decode(), False)
    admin.request("GET", "/v1/pairs")
    answer = admin.getresponse()
    assert (answer.status, json.loads(answer.read())["code"]) == (404, "route_unknown")
    server.get("/metrics").problem(404, "route_unknown")


def test_admin_listener_that_is_taken(serve, binary, tmp_path, pairs_folder):
    taken = serve().port
    done = subprocess.run([binary, "serve", "--listen", "127.0.0.1:0", "--pairs", pairs_folder, "--db", tmp_path / "b.db",
                           "--admin-listen", f"127.0.0.1:{taken}"], capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"cannot listen on 127.0.0.1:{taken}" in done.stderr
