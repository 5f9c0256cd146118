"""Keys: made and ended by `sslmem key`, checked on every request; scopes, tenants, budgets, rounding, the log of reads."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import time
from decimal import Decimal

import pytest

from conftest import PATIENCE_S, SPEC, operation_of, png, images_and_recipe
from test_log import lines

pytestmark = pytest.mark.threads  # keys change and budgets are spent while requests run


@pytest.fixture
def key(binary, tmp_path):
    """`key("create", "--scopes", "read")` on the database of the test's servers."""
    def run(verb, *operands, **variables):
        create = ["--create"] if verb == "create" else []
        return subprocess.run([binary, "key", verb, "--db", tmp_path / "test.db", *create, *operands],
                              env={**os.environ, **variables}, capture_output=True, text=True, timeout=60)
    return run


class Client:
    """A server as the holder of a key sees it."""

    def __init__(self, key, *options):
        made = key("create", *options)
        assert made.returncode == 0, made.stderr
        assert re.fullmatch(r"sslmem_[0-9a-f]{10}_[A-Za-z0-9_-]{43}\n", made.stdout)
        self.token = made.stdout.strip()
        self.id = re.match(r"key (\S{36}) of tenant \S+; the token is shown this once\n", made.stderr)[1]
        self.server = None

    def ask(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.server.ask(method, path, body, {"Authorization": f"Bearer {self.token}", **headers})

    def get(self, path, **headers):
        return self.ask("GET", path, **headers)

    def post(self, data, **headers):
        return self.ask("POST", "/v1/scores?pair=resnet", data, Content_Type="image/png",
                        Prefer=f"wait={PATIENCE_S}", **headers)

    def post_many(self, images, recipe=None, **headers):
        media_type, body = images_and_recipe(images, recipe)
        return self.ask("POST", "/v1/scores?pair=resnet", body, Content_Type=media_type,
                        Prefer=f"wait={PATIENCE_S}", **headers)

    def audit(self, candidates=2, externals=2):
        """An open audit with its images."""
        made = self.ask("POST", "/v1/audits", json.dumps({"pair": "resnet", "name": "a"}),
                        Content_Type="application/json")
        assert made.status == 201, made.body
        path = f"/v1/audits/{made.json['id']}"
        for cohort, first, count in (("candidate", 0, candidates), ("external", 100, externals)):
            for i in range(count):
                added = self.ask("POST", f"{path}/images?cohort={cohort}", png(first + i), Content_Type="image/png")
                assert added.json["added_count"] == 1
        return path

    def finish(self, path):
        assert self.ask("POST", f"{path}/start").status == 200
        until = time.monotonic() + PATIENCE_S
        while self.get(path).json["finished"] is None:
            assert time.monotonic() < until
            time.sleep(0.02)


@pytest.fixture
def clients(serve, key):
    """Clients of one server by their options."""
    def make(*options, server=()):
        made = [Client(key, *each) for each in options]
        running = serve(*server)
        for client in made:
            client.server = running
        return made
    return make


ALL = ("--scopes", "score,read,audit,admin,metrics")


# --- the command ------------------------------------------------------------------------------------


def test_create_and_list(key):
    made = key("create", "--scopes", "read,score", "--tenant", "acme", "--expires", "12h", "--budget-per-day", "50",
               "--round", "2")
    assert made.returncode == 0
    listed = key("list")
    row, = map(json.loads, listed.stdout.splitlines())
    assert made.stdout.startswith(f"sslmem_{row['prefix']}_")
    assert made.stdout.strip()[18:] not in listed.stdout
    assert made.stderr == f"key {row['id']} of tenant acme; the token is shown this once\n"
    assert (row["tenant"], row["scopes"], row["state"]) == ("acme", ["score", "read"], "active")
    assert (row["budget_per_day"], row["round"], row["last_used"], row["revoked"]) == (50, 2, None, None)
    begin, end = (time.strptime(row[name][:19], "%Y-%m-%dT%H:%M:%S") for name in ("created", "expires"))
    assert abs(time.mktime(end) - time.mktime(begin) - 12 * 3600) <= 2


@pytest.mark.parametrize("options,text", [
    ((), "missing option --scopes; see sslmem key create --help"),
    (("--scopes", "write"), "scope 'write' is none of score, read, audit, admin, metrics"),
    (("--scopes", "read", "--tenant", "A B"), "tenant 'A B' must be of a to z, 0 to 9, '-', '_' and '.'"),
    (("--scopes", "read", "--tenant", "a" * 64), "the tenant has 64 bytes, must have 1 to 63"),
    (("--scopes", "read", "--expires", "soon"),
     "--expires is soon, must be a number and d, h, m or s, such as 90d, up to 36525d"),
    (("--scopes", "read", "--expires", "36526d"),
     "--expires is 36526d, must be a number and d, h, m or s, such as 90d, up to 36525d"),
    (("--scopes", "read", "--expires", "0d"), "--expires is 0d: the key would never be good"),
    (("--scopes", "read", "--budget-per-day", "-1"),
     "--budget-per-day is -1, must be a whole number from 0 to 1000000000000"),
    (("--scopes", "read", "--budget-per-day", "0"), "--budget-per-day is 0: leave the scope 'score' out"),
    (("--scopes", "read", "--cost-ms-per-day", "0"), "--cost-ms-per-day is 0: leave the scope 'score' out"),
    (("--scopes", "read", "--round", "16"), "--round is 16, must be a whole number from 0 to 15"),
    (("--scopes", "read", "--round", ""), "--round is empty, must be a whole number from 0 to 15"),
])
def test_create_refuses(key, options, text):
    done = key("create", *options)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"sslmem key create: {text}\n")


def test_revoke_and_rotate_refuse(key):
    one = json.loads((key("create", "--scopes", "read") and key("list")).stdout)
    for verb in ("revoke", "rotate"):
        done = key(verb, "none")
        assert (done.returncode, done.stderr) == (1, f"sslmem key {verb}: there is no key with id 'none'\n")
        done = key(verb)
        assert (done.returncode, done.stderr) == (2, f"sslmem key {verb}: missing ID; see sslmem key {verb} --help\n")
    assert key("revoke", one["id"]).stderr == f"key {one['id']} is revoked\n"
    assert key("revoke", one["id"]).returncode == 0
    done = key("rotate", one["id"])
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"sslmem key rotate: key {one['id']} is revoked: make a new one\n"


def test_unknown_verb(binary):
    done = subprocess.run([binary, "key", "make"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith('sslmem key: unknown verb "make"\nusage: sslmem key VERB')
    assert subprocess.run([binary, "key", "--help"], capture_output=True, text=True).returncode == 0


# --- without a key ----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "[::ffff:127.0.0.1]:0"])
def test_without_keys_only_this_machine(binary, key, tmp_path, pairs_folder, address):
    db = tmp_path / "test.db"
    command = [binary, "serve", "--listen", address, "--pairs", pairs_folder, "--db", db]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        f"sslmem serve: listen is {address}, which others can reach, and there is no key: make one with sslmem key "
        f"create --db {str(db)[:100]}, or listen on 127.0.0.1")
    assert key("create", "--scopes", "read").returncode == 0
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("listening on http://")
    process.terminate()
    _, log = process.communicate(timeout=PATIENCE_S)
    assert '"no_keys"' not in log


def test_open_says_so_and_closes_with_the_first_key(serve, key, tmp_path):
    server = serve()
    assert server.get("/v1/scores").status == 200
    assert server.get("/v1/scores", Authorization="Bearer anything").status == 200
    log = [json.loads(line) for line in (tmp_path / "stderr").read_text().splitlines()]
    assert [line["level"] for line in log if line["event"] == "no_keys"] == ["warning"]
    one = Client(key, "--scopes", "read")
    one.server = server
    server.get("/v1/scores").problem(401, "key_missing")
    assert one.get("/v1/scores").status == 200
    assert key("revoke", one.id).returncode == 0
    server.get("/v1/scores").problem(401, "key_missing")  # not open again


# --- keys that are not good -------------------------------------------------------------------------


def scoped_operations():
    return [(method.upper(), path.replace("{id}", "01a20dbf-dbb1-70cd-95d7-3628adc9d814").replace("{name}", "resnet"),
             [scheme["key"][0] for scheme in operation["security"]])
            for path, item in SPEC["paths"].items() for method, operation in item.items() if "security" in operation]


def test_every_operation_with_a_scope(clients):
    none, *each = clients(("--scopes", "admin"), *(("--scopes", scope) for scope in ("score", "read", "audit", "metrics")),
                          server=("--metrics", "on", "--auth-failures-max", "1000000"))
    by_scope = dict(zip(("score", "read", "audit", "metrics"), each), admin=none)
    for method, path, scopes in scoped_operations():
        answer = none.server.ask(method, path)
        answer.problem(401, "key_missing")
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="sslmem"'
        for scope, client in by_scope.items():
            answer = client.ask(method, path)
            if scope in scopes:
                assert answer.status not in (401, 403), (method, path, scope)
                continue
            detail = answer.problem(403, "scope_missing")
            assert detail == f"this needs a key with one of the scopes: {' '.join(scopes)}; this key has: {scope}"
            assert answer.headers["WWW-Authenticate"] == (
                f'Bearer realm="sslmem", error="insufficient_scope", scope="{" ".join(scopes)}"')


def test_what_needs_no_key(clients):
    one, = clients(ALL)
    for path in ("/livez", "/readyz", "/version", "/openapi.yaml"):
        assert "security" not in operation_of("GET", path)
        assert one.server.get(path).status == 200


def test_bad_keys_are_all_the_same(clients, key):
    one, revoked, expired = clients(ALL, ALL, ("--scopes", "read", "--expires", "1s"))
    assert key("revoke", revoked.id).returncode == 0
    time.sleep(1.1)
    other = one.token[:18] + ("A" if one.token[18] != "A" else "B") + one.token[19:]
    bad = [revoked.token, expired.token, other, one.token[:-1], one.token + "A", "", "x" * 4000,
           "sslmem_0000000000_" + one.token[18:], one.token.upper()]
    details = {}
    for token in bad:
        answer = one.server.get("/v1/scores", Authorization=f"Bearer {token}")
        details[answer.problem(401, "key_invalid")] = token
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="sslmem", error="invalid_token"'
    assert list(details) == ["the key is unknown, revoked or has expired"]
    for header in (f"Basic {one.token}", one.token, "Bearer"):
        one.server.get("/v1/scores", Authorization=header).problem(401, "key_invalid")
    assert one.server.get("/v1/scores", Authorization=f"bearer   {one.token}").status == 200


def test_refused_before_the_body(clients):
    """The headers are enough: no byte of the body is asked for."""
    one, = clients(ALL)
    connection = one.server.connect()
    connection.putrequest("POST", "/v1/scores?pair=resnet")
    for name, value in (("Content-Type", "image/png"), ("Content-Length", "1000000"), ("Expect", "100-continue")):
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 401


def test_failures_are_limited(clients, tmp_path):
    one, = clients(("--scopes", "read,metrics"), server=("--auth-failures-max", "3", "--metrics", "on"))
    for _ in range(3):
        one.server.get("/v1/scores").problem(401, "key_missing")
    answer = one.server.get("/v1/scores", Authorization="Bearer x")
    assert answer.problem(429, "auth_limited") == "this address may send 3 requests without a good key in a minute"
    assert 1 <= int(answer.headers["Retry-After"]) <= 20
    assert one.get("/v1/scores").status == 200  # a good key is not locked out
    metrics = one.get("/metrics").body.decode()
    for failure, count in (("missing", 3), ("limited", 1), ("unknown", 0), ("wrong", 0)):
        assert f'sslmem_auth_failures_total{{failure="{failure}"}} {count}\n' in metrics
    log = (tmp_path / "stderr").read_text()
    assert log.count('"auth_failed"') == 3


def test_tokens_are_nowhere_in_the_log(clients, tmp_path):
    one, two = clients(ALL, ALL)
    one.get("/v1/scores")
    one.server.get("/v1/scores", Authorization=f"Bearer {one.token[:-1]}A")
    assert lines(one.server, "request", key=one.id)  # waits: it is written after the answer
    assert one.token[18:40] not in (tmp_path / "stderr").read_text()


# --- while the service runs -------------------------------------------------------------------------


def test_revoked_and_rotated_at_once(clients, key):
    one, two = clients(ALL, ALL)
    old = one.token
    rotated = key("rotate", one.id, "--overlap", "2s")
    assert rotated.returncode == 0, rotated.stderr
    assert rotated.stderr == f"key {one.id} has a new secret; the token is shown this once\n"
    begun = time.monotonic()
    one.token = rotated.stdout.strip()
    assert one.token[:18] == old[:18] and one.token != old
    assert one.get("/v1/scores").status == 200
    if time.monotonic() - begun < 1.5:
        assert one.server.get("/v1/scores", Authorization=f"Bearer {old}").status == 200
    time.sleep(2.1)
    one.server.get("/v1/scores", Authorization=f"Bearer {old}").problem(401, "key_invalid")
    assert one.get("/v1/scores").status == 200
    assert key("revoke", one.id).returncode == 0
    one.get("/v1/scores").problem(401, "key_invalid")
    assert two.get("/v1/scores").status == 200
    state = {row["id"]: row["state"] for row in map(json.loads, key("list").stdout.splitlines())}
    assert state == {one.id: "revoked", two.id: "active"}


def test_a_stream_ends_with_its_key(clients, key):
    reader, owner = clients(ALL, ALL)
    audit = owner.audit()
    streams = []
    for client in (reader, owner):
        connection = client.server.connect()
        connection.request("GET", f"{audit}/events", headers={"Authorization": f"Bearer {client.token}"})
        streams.append(connection.getresponse())
        while not streams[-1].readline().startswith(b"data:"):
            pass
    assert key("revoke", reader.id).returncode == 0
    owner.finish(audit)
    of_revoked, of_good = (stream.read() for stream in streams)
    assert of_revoked.strip() == b"" and b"event: end" in of_good


# --- tenants ----------------------------------------------------------------------------------------


def test_tenants_do_not_see_each_other(clients):
    a, b = clients((*ALL, "--tenant", "a"), (*ALL, "--tenant", "b"))
    mine = a.post(png(1))
    assert mine.status == 200 and not mine.json["from_history"]
    assert a.post(png(1)).json["from_history"]
    # The same content for the other: computed again, to the same numbers, under another id.
    theirs = b.post(png(1)).json
    assert not theirs["from_history"] and theirs["id"] != mine.json["id"]
    assert (theirs["m"], theirs["provenance"]["key"]) == (mine.json["m"], mine.json["provenance"]["key"])
    for who, other, score in ((a, b, mine.json), (b, a, theirs)):
        assert [s["id"] for s in who.get("/v1/scores").json["scores"]] == [score["id"]]
        assert [s["id"] for s in who.get(f"/v1/scores?image={score['image']['digest']}").json["scores"]] == [score["id"]]
        assert who.get(f"/v1/scores/{score['id']}").status == 200
        other.get(f"/v1/scores/{score['id']}").problem(404, "score_unknown")
        assert who.get(f"/v1/jobs/{score['job']}").status == 200
        other.get(f"/v1/jobs/{score['job']}").problem(404, "job_unknown")


def test_another_tenants_audit_is_not_there(clients):
    """Whatever is asked of it: the answer is that to an id that nobody has."""
    a, b = clients((*ALL, "--tenant", "a"), (*ALL, "--tenant", "b"))
    path, own = a.audit(), b.audit()
    audit = path.rsplit("/", 1)[1]
    nobody = path[:-12] + "0" * 12
    for method, template, item in ((m, p, i) for p, i in SPEC["paths"].items() for m in i if "/audits/{id}" in p):
        operation = item[method]
        media_type = next(iter(operation.get("requestBody", {}).get("content", [])), None)
        query = {"addImages": "?cohort=shared", "getSelection": "?kind=top&n=1"}.get(operation["operationId"], "")
        answers = []
        for target in (path, nobody):
            answer = b.ask(method.upper(), template.replace("/v1/audits/{id}", target) + query,
                           b"x" if media_type else None, **({"Content_Type": media_type} if media_type else {}))
            detail = answer.problem(404, "audit_unknown") if answer.status != 403 else answer.problem(403, "data_root_missing")
            answers.append((answer.status, detail.replace(target.rsplit("/", 1)[1], "ID")))
        assert answers[0] == answers[1] == (404, "there is no audit 'ID'")
    assert b.get(f"/v1/comparisons?audits={audit},{own.rsplit('/', 1)[1]}").problem(404, "audit_unknown") == (
        f"there is no audit '{audit}'")
    assert [x["id"] for x in b.get("/v1/audits").json["audits"]] == [own.rsplit("/", 1)[1]]
    assert a.get(path).json["state"] == "open"


def test_cursors_of_another_tenant(clients):
    a, b = clients((*ALL, "--tenant", "a"), (*ALL, "--tenant", "b"))
    for client in (a, b):
        for i in range(3):
            assert client.post(png(i)).status == 200
            client.audit(0, 0)
    for path in ("/v1/scores?limit=1", "/v1/scores?order=highest&limit=1", "/v1/audits?limit=1"):
        page = a.get(path).json["next"]
        assert a.get(page).status == 200
        b.get(page).problem(400, "cursor_invalid")


def test_rows_from_before_the_keys(serve, key):
    """What was scored without keys is the default tenant's."""
    server = serve()
    score = server.post(png(1)).json["id"]
    for tenant, status in (("default", 200), ("a", 404)):
        client = Client(key, "--scopes", "read", "--tenant", tenant)
        client.server = server
        assert client.get(f"/v1/scores/{score}").status == status


# --- budgets ----------------------------------------------------------------------------------------


def seconds_left_of_the_day():
    return 86400 - time.time() % 86400


def refused(answer, text):
    assert answer.problem(429, "budget_spent") == text
    assert abs(int(answer.headers["Retry-After"]) - seconds_left_of_the_day()) < 10


def test_budget_of_scores(clients, serve):
    a, b = clients(("--scopes", "score,read", "--budget-per-day", "5"), ("--scopes", "score,read", "--budget-per-day", "1"))
    assert a.post(png(1)).status == 200
    assert a.post(png(1)).json["from_history"]  # asked for again: the answer is worth as much
    assert a.post(b"no image").status == 415  # nothing was asked for
    refused(a.post_many([png(i) for i in range(4)]),
            "asked for: 4; left of the 5 scores that this key has for a day: 3")
    assert a.post_many([png(i) for i in range(3)]).status == 200
    refused(a.post(png(9)), "asked for: 1; left of the 5 scores that this key has for a day: 0")
    assert a.get("/v1/scores").status == 200
    assert b.post(png(1)).status == 200  # a budget is a key's own
    assert a.server.stop() == 0
    a.server = b.server = serve()
    refused(a.post(png(9)), "asked for: 1; left of the 5 scores that this key has for a day: 0")
    refused(b.post(png(9)), "asked for: 1; left of the 1 scores that this key has for a day: 0")


def test_spent_budget_refuses_before_the_body(clients):
    a, = clients(("--scopes", "score", "--budget-per-day", "1"))
    assert a.post(png(1)).status == 200
    connection = a.server.connect()
    connection.putrequest("POST", "/v1/scores?pair=resnet")
    for name, value in (("Content-Type", "image/png"), ("Content-Length", "1000000"), ("Expect", "100-continue"),
                        ("Authorization", f"Bearer {a.token}")):
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 429


def test_what_was_not_admitted_is_given_back(clients):
    a, = clients(("--scopes", "score,read", "--budget-per-day", "3"), server=("--queue-max", "1"))
    for _ in range(5):
        a.post_many([png(1), png(2)]).problem(503, "queue_full")
    assert a.post(png(1)).status == 200


def test_budget_of_work(clients):
    """Counted as the cost that admission computes; an answer from history costs nothing."""
    heavy = {"views": 64, "representation": "tokens"}
    exact, = clients(ALL)
    priced = exact.get(exact.audit(1, 1)).json["cost_ms"] // 2
    assert exact.server.stop() == 0
    a, = clients((*ALL, "--cost-ms-per-day", str(2 * priced)))
    assert a.post(png(1)).status == 200 and a.post(png(1)).json["from_history"]
    with_cost = a.post_many([png(2)], heavy).problem(429, "budget_spent")
    asked, most, left = map(int, re.findall(r"\d+", with_cost))
    assert asked > left == priced and most == 2 * priced and "milliseconds of work" in with_cost
    a.ask("POST", f"{a.audit(1, 1)}/start").problem(429, "budget_spent")
    assert a.post(png(3)).status == 200
    a.post(png(4)).problem(429, "budget_spent")


def test_budget_of_an_audit(clients):
    a, = clients((*ALL, "--budget-per-day", "6"))
    path = a.audit(2, 2)
    a.finish(path)
    a.ask("POST", f"{path}/start").problem(409, "audit_state")  # given back
    refused(a.ask("POST", f"{a.audit(2, 1)}/start"),
            "asked for: 3; left of the 6 scores that this key has for a day: 2")
    assert a.post(png(50)).status == 200


# --- rounding ---------------------------------------------------------------------------------------


@pytest.fixture
def rounding(serve, key, binary, tmp_path, pairs_folder):
    """Clients of a server whose pair `resnet` has a reference of its own recipe; `vit` has none."""
    folder, images = tmp_path / "pairs", tmp_path / "reference"
    images.mkdir()
    for i in range(40):
        (images / f"{i}.png").write_bytes(png(1000 + i))
    for name in ("resnet", "vit"):
        shutil.copytree(pairs_folder / name, folder / name)
    subprocess.run([binary, "reference", "--pair", folder / "resnet", *sorted(images.iterdir())], check=True, timeout=120)
    document = json.loads((folder / "resnet/pair.json").read_text())
    (folder / "resnet/pair.json").write_text(json.dumps(document | {"reference": "reference.json"}))

    def make(*options, spread=None):
        if spread is not None:
            path = folder / "resnet/reference.json"
            path.write_text(json.dumps(json.loads(path.read_text()) | {"scores": [spread, -spread] * 20}))
        made = [Client(key, *each) for each in options]
        running = serve(pairs=folder)
        for client in made:
            client.server = running
        return made
    return make


def step_of(sd, digits):
    """The rule of openapi.yaml, in other words: the first power of ten that is no less than the wanted share of sd."""
    return Decimal(10) ** (next(e for e in range(-30, 30) if 10.0 ** e >= sd) - digits)


GRID = {"m", "m_se", "m_low", "m_high", "alignment", "se", "sd_encoders", "encoders", "mean", "sd", "centered"}
FIXED = {"reliability": 1, "reliability_of_reference": 1, "percentile": 100, "p_value": 1, "q_value": 1, "ratio": 1}
SETTINGS = {"recipe", "spec", "std"}


def check_rounded(answer, step, digits):
    """Every number that is not whole is a known figure on its grid; returns how many there are."""
    found = []

    def look(node, name):
        if isinstance(node, dict):
            for child in node:
                if not (child in SETTINGS or (child == "encoders" and isinstance(node[child], dict))
                        or (child == "mean" and isinstance(node[child], list))):
                    look(node[child], child)
        elif isinstance(node, list):
            for child in node:
                look(child, name)
        elif isinstance(node, Decimal):
            unit = step if name in GRID else FIXED[name] * Decimal(10) ** -digits
            assert node % unit == 0, (name, node)
            found.append(name)

    look(json.loads(answer.body, parse_float=Decimal), "")
    return len(found)


@pytest.mark.parametrize("digits", [0, 1, 2, 3])
def test_rounded_figures(rounding, digits):
    a, exact = rounding((*ALL, "--round", str(digits)), ALL)
    full = exact.post(png(1)).json
    step = step_of(full["reference"]["sd"], digits)
    one = a.post(png(1))  # of the same tenant: from history
    assert check_rounded(one, step, digits) > 10
    assert abs(one.json["m"] - full["m"]) <= float(step) / 2 * 1.0001
    assert one.json["m"] != full["m"]
    assert one.json["recipe"] == full["recipe"]
    assert one.json["provenance"] == full["provenance"]
    many = a.post_many([png(i) for i in (1, 2)])
    path = a.audit()
    a.finish(path)
    for answer in (many, a.get("/v1/scores"), a.get(f"/v1/jobs/{many.json['id']}"), a.get(f"{path}/items")):
        assert check_rounded(answer, step, digits) >= 8
    items = a.get(f"{path}/items").json["items"]
    for item, whole in zip(items, exact.get(f"{path}/items").json["items"]):
        assert abs(item["m"] - whole["m"]) <= float(step) / 2 * 1.0001
    assert check_rounded(a.get(path), step, digits) == 0
    assert check_rounded(a.get("/v1/pairs"), step, digits) == 3  # mean, sd, reliability
    assert a.get("/v1/limits").json == exact.get("/v1/limits").json
    got = a.get(f"/v1/scores/{full['id']}")
    assert check_rounded(got, step, digits) > 10
    # The validator is that of what was sent.
    assert got.headers["ETag"] != exact.get(f"/v1/scores/{full['id']}").headers["ETag"]
    assert a.get(f"/v1/scores/{full['id']}", If_None_Match=got.headers["ETag"]).status == 304
    assert "Server-Timing" not in a.post(png(77)).headers and "Server-Timing" in exact.post(png(78)).headers
    page = a.get("/v1/scores?limit=1").json
    assert a.get(page["next"]).status == 200


def test_a_kept_answer_is_rounded_once(rounding):
    a, = rounding((*ALL, "--round", "0"), spread=0.02)
    first = a.post(png(1), Idempotency_Key='"k"')
    assert (first.json["reference"]["sd"], first.json["reference"]["mean"]) == (0, 0)  # there is no step for a second time
    again = a.post(png(1), Idempotency_Key='"k"')
    assert again.headers["Idempotent-Replayed"] == "true" and again.body == first.body


def test_a_key_that_rounds_asks_with_the_pairs_own_recipe(rounding, tmp_path):
    """Any other recipe would choose the scale of the figures; without a reference there is none."""
    a, exact = rounding((*ALL, "--round", "2"), ALL)
    media_type, body = images_and_recipe([png(1)], {"views": 3, "normalize": "none"})
    own = "the figures of this key are rounded: it asks with the pair's own recipe only, leave yours out"
    bare = ("the figures of this key are rounded to the spread of a reference, and pair 'vit' has none for its own recipe")
    ask = lambda client, pair: client.ask("POST", f"/v1/scores?pair={pair}", body, Content_Type=media_type,
                                          Prefer=f"wait={PATIENCE_S}")
    assert ask(a, "resnet").problem(403, "figures_rounded") == own
    assert ask(a, "vit").problem(403, "figures_rounded") == bare
    audit = lambda client, **more: client.ask("POST", "/v1/audits", json.dumps({"name": "a", "pair": "resnet"} | more),
                                              Content_Type="application/json")
    assert audit(a, recipe={"views": 3}).problem(403, "figures_rounded") == own
    assert audit(a, pair="vit").problem(403, "figures_rounded") == bare
    assert audit(a).status == 201
    # What others of the tenant have asked for is there, without its figures.
    whole = ask(exact, "resnet").json
    assert whole["reference"] is None and whole["m"] is not None
    shown = a.get(f"/v1/scores/{whole['id']}").json
    assert (shown["m"], shown["m_se"], shown["ratio"], shown["f"]["alignment"], shown["g"]["encoders"]) == (
        None, None, None, None, [None])
    adaptive = exact.post_many([png(5)], recipe={"target_se": 0.5}).json["id"]
    assert "views_used" in exact.get(f"/v1/scores/{adaptive}").json
    assert "views_used" not in a.get(f"/v1/scores/{adaptive}").json
    made = audit(exact, recipe={"views": 3}).headers["Location"]
    assert exact.ask("POST", f"{made}/images?cohort=external", png(3), Content_Type="image/png").status == 200
    exact.finish(made)
    item, = a.get(f"{made}/items").json["items"]
    assert (item["m"], item["m_se"]) == (None, None)


def test_what_would_tell_more_than_rounded_figures(rounding):
    a, exact = rounding((*ALL, "--round", "3"), ALL)
    path = a.audit()
    a.finish(path)
    audit = path.rsplit("/", 1)[1]
    for target in ("report.json", "report.csv", "report.html", "selection?kind=top&n=1"):
        assert a.get(f"{path}/{target}").problem(403, "figures_rounded") == (
            "the figures of this key are rounded: reports, selections and comparisons are not for it")
        assert exact.get(f"{path}/{target}").status == 200
    a.get(f"/v1/comparisons?audits={audit},{audit}").problem(403, "figures_rounded")
    for query in ("min=0", "max=0", "order=highest", "order=lowest"):
        assert a.get(f"/v1/scores?{query}").problem(403, "figures_rounded") == (
            "the figures of this key are rounded: min, max and the orders highest and lowest are not for it")
        assert exact.get(f"/v1/scores?{query}").status == 200
    assert a.get("/v1/scores?order=oldest").status == 200


# --- the log of reads -------------------------------------------------------------------------------


def reads(folder):
    """(key, operation, request) to records."""
    found = {}
    with sqlite3.connect(f"file:{folder / 'test.db'}?mode=ro", uri=True) as db:
        for key_id, operation, request, record in db.execute(
                "SELECT lower(hex(key_id)), operation, request, lower(hex(record_id)) FROM access "
                "JOIN access_record ON access_id = access.id"):
            found.setdefault((key_id, operation, request), set()).add(record)
    return found


def test_who_read_what(clients, tmp_path):
    a, b = clients((*ALL, "--tenant", "a"), (*ALL, "--tenant", "b"))
    hexed = lambda *ids: {i.replace("-", "") for i in ids}
    one = a.post(png(1), X_Request_Id="post-1").json
    many = a.post_many([png(1), png(2)], X_Request_Id="post-2").json
    scores = [s["id"] for s in a.get("/v1/scores", X_Request_Id="list").json["scores"]]
    a.get(f"/v1/scores/{one['id']}", X_Request_Id="get")
    etag = a.get(f"/v1/scores/{one['id']}", X_Request_Id="get").headers["ETag"]
    a.get(f"/v1/scores/{one['id']}", X_Request_Id="cached", If_None_Match=etag)
    b.get(f"/v1/scores/{one['id']}", X_Request_Id="other").problem(404, "score_unknown")
    b.get("/v1/scores", X_Request_Id="other")
    a.get(f"/v1/jobs/{many['id']}", X_Request_Id="job")
    paths = [a.audit(), a.audit()]
    for path in paths:
        a.finish(path)
    audits = [path.rsplit("/", 1)[1] for path in paths]
    a.get(f"{paths[0]}/report.csv", X_Request_Id="report")
    a.get(f"{paths[0]}/items", X_Request_Id="items")
    a.get(f"/v1/comparisons?audits={','.join(audits)}", X_Request_Id="compare")
    assert a.server.stop() == 0
    key_id = a.id.replace("-", "")
    found = reads(tmp_path)
    assert {key for key, _, _ in found} == {key_id}
    for operation, request, records in (
            ("createScores", "post-1", hexed(one["id"])), ("createScores", "post-2", hexed(many["id"])),
            ("listScores", "list", hexed(*scores)), ("getScore", "get", hexed(one["id"])),
            ("getScore", "cached", hexed(one["id"])), ("getJob", "job", hexed(many["id"])),
            ("getReportTable", "report", hexed(audits[0])), ("listItems", "items", hexed(audits[0])),
            ("compareAudits", "compare", hexed(*audits))):
        assert found[key_id, operation, request] == records, operation
    assert not [request for _, _, request in found if request == "other"]
    with sqlite3.connect(tmp_path / "test.db") as db:
        for change in ("DELETE FROM access", "UPDATE access_record SET access_id = 0"):
            with pytest.raises(sqlite3.IntegrityError, match="the access log is append-only"):
                db.execute(change)


def test_nobody_is_named_without_keys(serve, tmp_path):
    server = serve()
    server.post(png(1))
    server.get("/v1/scores")
    assert server.stop() == 0
    assert reads(tmp_path) == {}


# --- the client of audits ---------------------------------------------------------------------------


@pytest.fixture
def audit_at(binary, tmp_path):
    folders = []
    for cohort, first in (("candidate", 0), ("external", 100)):
        (tmp_path / cohort).mkdir()
        for i in range(2):
            (tmp_path / cohort / f"{i}.png").write_bytes(png(first + i))
        folders += [f"--{cohort}", tmp_path / cohort]

    def run(server, *options, **variables):
        return subprocess.run([binary, "audit", "--server", f"http://127.0.0.1:{server.port}", "--pair", "resnet", "--out",
                               tmp_path / "out", *folders, *options], env={**os.environ, **variables},
                              capture_output=True, text=True, timeout=4 * PATIENCE_S)
    return run


def test_audit_with_a_key(clients, audit_at, binary, tmp_path):
    a, = clients(ALL)
    done = audit_at(a.server)
    assert done.returncode == 1
    assert "401: send a key: Authorization: Bearer sslmem_..." in done.stderr
    done = audit_at(a.server, SSLMEM_KEY=a.token)
    assert done.returncode == 0, done.stderr
    assert a.token not in done.stdout + done.stderr
    assert (tmp_path / "out/report.json").exists()
    file = tmp_path / "token"
    file.write_text(a.token + "\n")
    file.chmod(0o600)
    done = subprocess.run([binary, "audit", "select", tmp_path / "out", "--top", "1", "--key-file", file],
                          capture_output=True, text=True)
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1), done.stderr
    for path in (tmp_path / "out").iterdir():
        assert a.token.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("mode,text,message", [
    (0o644, None, "has mode 644, must be a file that only its owner may read"),
    (0o600, "sslmem_short", "--key-file has no key of the form sslmem_PREFIX_SECRET"),
    (0o600, "", "must be one line of 1 to 256 bytes"),
    (None, None, "No such file or directory"),
])
def test_key_files_that_are_refused(clients, audit_at, tmp_path, mode, text, message):
    a, = clients(ALL)
    file = tmp_path / "token"
    if mode is not None:
        file.write_text(a.token if text is None else text)
        file.chmod(mode)
    done = audit_at(a.server, "--key-file", file)
    assert done.returncode == 1
    assert done.stderr.startswith("sslmem audit: --key-file") and done.stderr.endswith(message + "\n"), done.stderr
    assert a.token not in done.stderr


def test_a_key_in_the_environment_that_is_none(clients, audit_at, binary, tmp_path):
    a, = clients(ALL)
    done = audit_at(a.server, SSLMEM_KEY="hunter2")
    assert (done.returncode, done.stderr) == (1, "sslmem audit: SSLMEM_KEY has no key of the form sslmem_PREFIX_SECRET\n")
    done = subprocess.run([binary, "audit", "--pair", "x", "--out", tmp_path / "out", "--manifest", "m", "--root", "r",
                           "--key-file", "f"], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (2, "sslmem audit: --key-file is for --server; see sslmem audit --help\n")
