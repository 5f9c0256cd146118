"""Keys: made and ended by `sslmem key`, checked on every request; scopes, tenants, budgets, rounding, the log of reads."""

import json
import os
import re
import sqlite3
import subprocess
import time

import pytest
import yaml

from conftest import PATIENCE_S, SPEC, operation_of, png, images_and_recipe


@pytest.fixture
def key(binary, tmp_path):
    """`key("create", "--scopes", "read")` on the database of the test's servers."""
    def run(verb, *operands, **variables):
        return subprocess.run([binary, "key", verb, "--db", tmp_path / "test.db", *operands],
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

    def post_many(self, images, **headers):
        media_type, body = images_and_recipe(images)
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


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_without_keys_only_this_machine(binary, key, tmp_path, pairs_folder, address):
    db = tmp_path / "test.db"
    command = [binary, "serve", "--listen", address, "--pairs", pairs_folder, "--db", db]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        f"sslmem serve: listen is {address}, which others can reach, and database {str(db)[:60]} has no key: make one "
        "with sslmem key create, or listen on 127.0.0.1")
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
    log = (tmp_path / "stderr").read_text()
    assert one.token[18:40] not in log
    assert f'"key":"{one.id}"' in log


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
