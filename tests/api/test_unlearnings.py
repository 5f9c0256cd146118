"""Has an encoder forgotten? Over HTTP and by the command line, on pairs made of the demo's checkpoints."""

import csv
import io
import json
import re
import shutil
import sqlite3
import struct
import subprocess
import time

import numpy as np
import pytest

from conftest import PATIENCE_S, ROOT, SPEC, Server, check_schema, png

pytestmark = pytest.mark.threads  # reports are written by a crew while others ask

DEMO = ROOT / "deploy/demo/pairs/fashion-vit"
PICTURES = ROOT / "deploy/demo/images"
JSON = {"Content-Type": "application/json"}
NO_ID = "019abd9e-74f6-7d55-9b6a-0f6f0c3d1c55"
DTYPES = {"F16": "<f2", "F32": "<f4"}


def tensors(path):
    data = path.read_bytes()
    begin = 8 + struct.unpack("<Q", data[:8])[0]
    header = {name: t for name, t in json.loads(data[8:begin]).items() if name != "__metadata__"}
    return {name: np.frombuffer(data[begin + t["data_offsets"][0]:begin + t["data_offsets"][1]], DTYPES[t["dtype"]])
            .reshape(t["shape"]) for name, t in header.items()}


def save(path, values):
    header, body = {}, b""
    for name, value in values.items():
        header[name] = {"dtype": {v: k for k, v in DTYPES.items()}[value.dtype.str], "shape": list(value.shape),
                        "data_offsets": [len(body), len(body) + value.nbytes]}
        body += value.tobytes()
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def make_pair(folder, f, g, **fields):
    """f, g: files, or tensors."""
    folder.mkdir(parents=True)
    for name, what in (("f", f), ("g", g)):
        if isinstance(what, dict):
            save(folder / f"{name}.safetensors", what)
        else:
            shutil.copy(what, folder / f"{name}.safetensors")
    own = json.loads((DEMO / "pair.json").read_text())
    own.pop("reference")
    (folder / "pair.json").write_text(json.dumps(own | {"f": "f.safetensors", "g": "g.safetensors"} | fields))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Below one folder: `before` (f, g); u of the others is f, g, between the two, or f against another g."""
    folder = tmp_path_factory.mktemp("pairs")
    f, g = (tensors(DEMO / f"{side}.safetensors") for side in "fg")
    between = lambda part: {name: ((1 - part) * f[name].astype("f4") + part * g[name].astype("f4")).astype(f[name].dtype) for name in f}
    make_pair(folder / "before", DEMO / "f.safetensors", DEMO / "g.safetensors")
    make_pair(folder / "as-f", DEMO / "f.safetensors", DEMO / "g.safetensors")
    make_pair(folder / "as-g", DEMO / "g.safetensors", DEMO / "g.safetensors", allow_same=True)
    make_pair(folder / "half", between(.5), DEMO / "g.safetensors")
    make_pair(folder / "other-g", DEMO / "f.safetensors", between(.5))
    return folder


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory, pairs):
    running = Server(binary, tmp_path_factory.mktemp("server"), pairs)
    yield running
    assert running.stop() == 0


# --- audits of a server -----------------------------------------------------------------------------


def create(server, pair, recipe={"views": 4}, images=None, start=True, **headers):
    """The id of an audit of the demo's candidates and externals, or of `images`: (cohort, bytes)."""
    ask = lambda method, path, body=None, **more: server.ask(method, path, body, headers | more)
    made = ask("POST", "/v1/audits", json.dumps({"name": pair, "pair": pair, "recipe": recipe}), **JSON)
    assert made.status == 201, made.body
    path = made.headers["Location"]
    for cohort, data in images or [(c, p.read_bytes()) for c in ("candidate", "external") for p in sorted((PICTURES / c).glob("*.png"))]:
        assert ask("POST", f"{path}/images?cohort={cohort}", data, **{"Content-Type": "image/png"}).status == 200
    if start:
        assert ask("POST", f"{path}/start").status == 200
        until = time.monotonic() + PATIENCE_S
        while ask("GET", path).json["finished"] is None:
            assert time.monotonic() < until
            time.sleep(.02)
    return made.json["id"]


def unlearn(server, before, after, query="", headers={}, **fields):
    return server.ask("POST", f"/v1/unlearnings{query}", json.dumps({"before": before, "after": after} | fields), JSON | headers)


@pytest.fixture(scope="module")
def before(server):
    return create(server, "before")


@pytest.fixture(scope="module")
def as_f(server):
    return create(server, "as-f")


@pytest.fixture(scope="module")
def as_g(server):
    return create(server, "as-g")


def test_u_as_f_and_u_as_g(server, before, as_f, as_g):
    gates = ["equivalent>=1", "residual_auc_dev<=0.2"]
    kept = unlearn(server, before, as_f, gates=gates).json
    assert (kept["verdict"], kept["passed"]) == ("still_memorized", False)
    assert kept["reasons"][0]["code"] == "u_is_f"
    assert kept["forgotten_share"]["value"] == 0 and kept["residual"] == kept["before"]
    gone = unlearn(server, before, as_g, gates=gates).json
    assert (gone["verdict"], gone["passed"]) == ("forgotten", True)
    assert [r["code"] for r in gone["reasons"]] == ["u_is_g"]
    assert gone["forgotten_share"]["value"] == 1 and gone["residual"]["mean"] == 0 and gone["equivalence"]["shown"] is True
    assert gone["before"] == kept["before"]
    assert gone["audits"]["after"]["id"] == as_g and gone["audits"]["before"]["pair"] == "before"
    # What the audits themselves say of these images.
    report = server.get(f"/v1/audits/{before}/report.json").json
    own = report["summary"]["comparisons"]["candidate_external"]
    assert kept["before"]["mean"] == pytest.approx(own["difference"], rel=1e-12)
    assert kept["before"]["low"] == pytest.approx(own["low"], rel=1e-12)
    assert kept["before"]["auc"]["value"] == report["summary"]["membership"]["candidate_external"]["auc"]["value"]
    centered = sorted(i["centered"] for i in report["items"] if i["cohort"] == "candidate")
    assert sorted(p[0] for p in kept["scatter"]) == pytest.approx(centered, rel=1e-9)


def test_formats(server, before, as_f):
    table = unlearn(server, before, as_f, "?format=csv")
    assert table.headers["Content-Type"] == "text/csv"
    assert table.headers["Content-Disposition"] == 'inline; filename="unlearning.csv"'
    rows = list(csv.DictReader(io.StringIO(table.body.decode())))
    assert len(rows) == 20 and {row["completeness"] for row in rows} == {"complete"}
    assert [float(row["residual"]) for row in rows] == sorted((float(row["residual"]) for row in rows), reverse=True)
    assert {row["name"] for row in rows} == {""}
    page = unlearn(server, before, as_f, "?format=html")
    assert "style-src 'unsafe-inline'" in page.headers["Content-Security-Policy"]
    text = page.body.decode()
    assert text.startswith("<!DOCTYPE html>") and "Still memorized" in text and "<script" not in text
    assert text.index("Still memorized") < text.index("95&nbsp;%")  # the verdict above the numbers
    unlearn(server, before, as_f, "?format=pdf").problem(400, "query_invalid")
    unlearn(server, before, as_f, "?names=1").problem(400, "query_invalid")
    unlearn(server, before, as_f, "?partial=true").problem(400, "query_unknown")


def test_audits_that_do_not_fit(server, before, as_f):
    def refused(other, text, **fields):
        detail = unlearn(server, before, other, **fields).problem(422, "unlearning_invalid")
        assert re.search(text, detail), detail

    refused(create(server, "as-f", {"views": 5}), "views is 4 in BEFORE, 5 in AFTER")
    refused(create(server, "other-g"), "g differs: BEFORE has 1 encoder, the first [0-9a-f]{16}, AFTER 1, the first [0-9a-f]{16}")
    two = [("external", png(1, 32)), ("external", png(2, 32))]
    refused(create(server, "as-f", images=two), "there is nothing to forget: 20 candidates in BEFORE, 0 in AFTER")
    refused(create(server, "as-f", images=[("candidate", png(3, 32)), *two]), "the forget images differ: BEFORE has 20, AFTER 1, and 0 are in both")
    refused(create(server, "as-f", images=[("candidate", png(3, 32)), two[0]]), "20 externals in BEFORE, 1 in AFTER")
    refused(before, "same audit")
    as_g = create(server, "as-g")
    assert "f has nothing to forget" in unlearn(server, as_g, as_f).problem(422, "unlearning_invalid")


def test_bad_requests(server, before, as_f):
    def refused(body, pointer):
        answer = server.ask("POST", "/v1/unlearnings", json.dumps(body), JSON)
        answer.problem(422, "unlearning_invalid")
        assert answer.json["errors"][0]["pointer"] == pointer

    good = {"before": before, "after": as_f}
    refused({"after": as_f}, "/before")
    refused(good | {"after": 1}, "/after")
    refused(good | {"after": before + "0"}, "/after")
    refused(good | {"after": before}, "/after")
    refused(good | {"delta": 0}, "/delta")
    refused(good | {"delta": "x"}, "/delta")
    refused(good | {"gates": ["auc<=0.6"]}, "/gates/0")
    refused(good | {"gates": ["equivalent>=1"] * 17}, "/gates")
    refused(good | {"names": True}, "/names")
    server.ask("POST", "/v1/unlearnings", "[]", JSON).problem(400, "json_invalid")
    server.ask("POST", "/v1/unlearnings", "", JSON).problem(400, "body_empty")
    unlearn(server, before, NO_ID).problem(404, "audit_unknown")
    waiting = create(server, "as-f", images=[("candidate", png(5, 32))], start=False)
    assert "it must have ended" in unlearn(server, waiting, as_f).problem(409, "audit_state")


def test_a_declared_margin(server, before, as_g, as_f):
    """One so wide that even u = f is equivalent: the verdict stays."""
    wide = unlearn(server, before, as_f, delta=1, gates=["equivalent>=1"]).json
    assert wide["equivalence"]["delta"] == 1 and wide["equivalence"]["declared"] is True and wide["equivalence"]["shown"] is True
    assert wide["verdict"] == "still_memorized"
    assert wide["gates"][0]["note"] == "BEFORE does not show memorization, so the gate does not hold"
    assert wide["passed"] is False


def test_a_part_is_no_forgetting(server, before):
    """Images that were erased since make a part of an audit, also of a verdict that was given before."""
    images = [(c, png(s, 32)) for c, s in [("candidate", s) for s in range(900, 906)] + [("external", s) for s in range(920, 926)]]
    first, second = create(server, "before", images=images), create(server, "as-g", images=images)
    key = {"Idempotency-Key": '"twice"'}
    whole = unlearn(server, first, second, headers=key, gates=["equivalent>=0"]).json
    assert "part" not in {r["code"] for r in whole["reasons"]}
    image = json.loads(server.get(f"/v1/audits/{first}/items?limit=1").body)["items"][0]["image"]
    assert server.ask("DELETE", f"/v1/images/{image}").status == 200
    part = unlearn(server, first, second, headers=key, gates=["equivalent>=0"])
    assert "Idempotent-Replayed" not in part.headers
    assert (part.json["verdict"], part.json["passed"]) == ("not_shown", None)
    assert [r["code"] for r in part.json["reasons"]][:2] == ["part", "part"]
    table = unlearn(server, first, second, "?format=csv")
    assert table.headers["Content-Disposition"] == 'inline; filename="unlearning-partial.csv"'
    assert b"partial: 11 of 12" in table.body
    assert "Partial" in unlearn(server, first, second, "?format=html").body.decode()


# --- keys -------------------------------------------------------------------------------------------


def test_tenants_scopes_and_rounded_keys(binary, serve, tmp_path, pairs):
    def key(*options):
        made = subprocess.run([binary, "key", "create", "--db", tmp_path / "test.db", "--create", *options], capture_output=True,
                              text=True, check=True)
        return {"Authorization": f"Bearer {made.stdout.strip()}"}

    one, other = key("--scopes", "score,read,audit", "--tenant", "a"), key("--scopes", "score,read,audit", "--tenant", "b")
    scorer, rounder = key("--scopes", "score", "--tenant", "a"), key("--scopes", "read,audit", "--tenant", "a", "--round", "2")
    server = serve(pairs=pairs)
    images = [("candidate", png(1, 32)), ("candidate", png(2, 32)), ("external", png(3, 32)), ("external", png(4, 32))]
    first, second = (create(server, pair, images=images, **one) for pair in ("before", "as-f"))
    theirs = create(server, "as-f", images=images, **other)
    assert unlearn(server, first, second, headers=one | {"X-Request-Id": "verdict"}).status == 200
    unlearn(server, first, second, headers=other).problem(404, "audit_unknown")
    unlearn(server, first, theirs, headers=one).problem(404, "audit_unknown")
    assert (unlearn(server, first, theirs, headers=one).json["detail"] ==
            unlearn(server, first, NO_ID, headers=one).json["detail"].replace(NO_ID, theirs))
    unlearn(server, first, second, headers=scorer).problem(403, "scope_missing")
    for query in ("", "?format=csv", "?format=html"):
        unlearn(server, first, second, query, headers=rounder).problem(403, "figures_rounded")
    unlearn(server, first, second).problem(401, "key_missing")
    assert server.stop() == 0
    with sqlite3.connect(f"file:{tmp_path / 'test.db'}?mode=ro", uri=True) as db:
        told = {row[0] for row in db.execute("SELECT lower(hex(record_id)) FROM access JOIN access_record ON access_id = access.id "
                                             "WHERE request = 'verdict'")}
    assert told == {first.replace("-", ""), second.replace("-", "")}


# --- the command ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def local(binary, pairs, tmp_path_factory):
    """local(pair, …): the folder of an audit of the demo's images."""
    made = {}

    def run(pair, views=4, candidates="candidate"):
        if (pair, views, candidates) not in made:
            out = tmp_path_factory.mktemp(pair)
            subprocess.run([binary, "audit", "--pair", pairs / pair, "--candidate", PICTURES / candidates, "--external", PICTURES / "external",
                            "--recipe", json.dumps({"views": views}), "--quiet", "--out", out], check=True, capture_output=True)
            made[pair, views, candidates] = out
        return made[pair, views, candidates]
    return run


@pytest.fixture
def command(binary):
    def run(*arguments, code=0):
        done = subprocess.run([binary, "audit", "unlearn", *map(str, arguments)], capture_output=True, text=True, timeout=2 * PATIENCE_S)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done
    return run


def test_command(command, local, tmp_path):
    out = tmp_path / "out"
    gates = ["--gate", "equivalent>=1", "--gate", "residual_auc_dev<=0.2"]
    done = command(local("before"), local("as-g"), "--out", out, *gates)
    assert done.stdout.startswith("Forgotten: ")
    for words in ("- encoder u has the weights of g", "forgotten share   100 %", "gate equivalent>=1 holds: 1", f"report: {out}/report.html"):
        assert words in done.stdout
    document = json.loads((out / "report.json").read_text())
    check_schema(SPEC["components"]["schemas"]["Unlearning"], document)
    assert document["verdict"] == "forgotten"
    assert len((out / "report.csv").read_text().splitlines()) == 21
    assert (out / "report.html").read_text().startswith("<!DOCTYPE html>") and not list(out.glob("*.part"))
    done = command(local("before"), local("as-f"), *gates, code=3)
    assert done.stdout.startswith("Still memorized: ") and "gate equivalent>=1 FAILS: 0" in done.stdout
    quiet = command(local("before"), local("as-f"), *gates, "--quiet", code=3)
    assert quiet.stdout.count("\n") == 2 and quiet.stdout.startswith("gate equivalent>=1 FAILS")
    assert command(local("before"), local("as-f")).stdout.startswith("Still memorized")  # no gates: exit code 0
    named = command(local("before"), local("as-g"), "--out", out, "--names")
    assert "00015.png" in (out / "report.csv").read_text() and "00015.png" not in named.stdout
    # Half way between the weights of two trainings lies neither f nor g: whatever the verdict, it is no forgetting by estimates of 20.
    half = command(local("before"), local("half"))
    assert not half.stdout.startswith("Forgotten")


STRONG, UNLEARNED = ROOT / "deploy/demo/pairs/fashion-strong", ROOT / "deploy/demo/unlearned"


def test_forgetting_grows_with_unlearning(binary, command, tmp_path):
    """f trained on without the candidates, longer each time: between f and g, and monotone. All still memorize."""
    own, shares, verdicts = json.loads((STRONG / "pair.json").read_text()), [], []
    own.pop("reference", None)
    for name, u in (("before", STRONG / "f.pt"), ("as-f", STRONG / "f.pt"), *((f"u{n}", UNLEARNED / f"u{n}.pt") for n in (1, 2, 3)),
                    ("as-g", STRONG / "g.pt")):
        pair = tmp_path / name
        pair.mkdir()
        shutil.copy(u, pair / "f.pt")
        shutil.copy(STRONG / "g.pt", pair)
        (pair / "pair.json").write_text(json.dumps(own | {"allow_same": True}))
        subprocess.run([binary, "audit", "--pair", pair, "--candidate", PICTURES / "candidate", "--external", PICTURES / "external",
                        "--quiet", "--out", tmp_path / f"audit-{name}"], check=True, capture_output=True)
        if name != "before":
            command(tmp_path / "audit-before", tmp_path / f"audit-{name}", "--out", tmp_path / f"verdict-{name}")
            document = json.loads((tmp_path / f"verdict-{name}/report.json").read_text())
            shares.append(document["forgotten_share"]["value"])
            verdicts.append(document["verdict"])
    assert verdicts == ["still_memorized"] * 4 + ["forgotten"]
    assert shares[0] == 0 and shares[-1] == 1 and all(a < b for a, b in zip(shares, shares[1:])), shares


def test_command_refusals(command, local, tmp_path):
    for pair, views, candidates, text in (("as-f", 5, "candidate", "views is 4 in BEFORE, 5 in AFTER"), ("other-g", 4, "candidate", "g differs"),
                                          ("as-f", 4, "shared", "the forget images differ: BEFORE has 20, AFTER 20, and 0 are in both")):
        assert text in command(local("before"), local(pair, views, candidates), code=1).stderr
    assert "are the same audit" in command(local("before"), local("before"), code=1).stderr
    assert "no audit was started there" in command(local("before"), tmp_path, code=1).stderr
    assert "has reports of its own" in command(local("before"), local("as-f"), "--out", local("before"), code=1).stderr
    assert "must be above 0" in command(local("before"), local("as-f"), "--delta", "0", code=2).stderr
    assert "is no number" in command(local("before"), local("as-f"), "--delta", "small", code=2).stderr
    assert "is none of residual_auc_dev, equivalent" in command(local("before"), local("as-f"), "--gate", "auc<=1", code=2).stderr
    assert "missing BEFORE AFTER" in command(local("before"), code=2).stderr
    assert "forget" in command("--help").stdout


def test_command_of_a_part(binary, command, local, pairs, tmp_path):
    """A merged part of an audit has no verdict, and its gates are not judged."""
    shard, merged = tmp_path / "shard", tmp_path / "merged"
    subprocess.run([binary, "audit", "--pair", pairs / "as-f", "--candidate", PICTURES / "candidate", "--external", PICTURES / "external",
                    "--recipe", '{"views": 4}', "--shard", "1/2", "--quiet", "--out", shard], check=True, capture_output=True)
    subprocess.run([binary, "audit", "merge", merged, shard, "--partial", "--quiet"], capture_output=True)
    done = command(local("before"), merged, "--gate", "equivalent>=1", code=4)
    assert done.stdout.startswith("Forgetting is not shown") and "AFTER: partial: 20 of 40 images scored" in done.stdout
    assert "gate equivalent>=1 NOT JUDGED" in done.stdout


def test_command_at_a_server(command, server, before, as_g, as_f, tmp_path):
    out, url = tmp_path / "out", f"http://127.0.0.1:{server.port}"
    done = command(before, as_g, "--server", url, "--out", out, "--gate", "equivalent>=1", "--names")
    assert done.stdout.startswith("Forgotten: ")
    assert json.loads((out / "report.json").read_text()) == unlearn(server, before, as_g, "?names=true", gates=["equivalent>=1"]).json
    assert (out / "report.csv").read_bytes() == unlearn(server, before, as_g, "?format=csv&names=true").body
    assert "Forgotten" in (out / "report.html").read_text()
    command(before, as_f, "--server", url, "--gate", "equivalent>=1", code=3)
    assert "there is no audit" in command(before, NO_ID, "--server", url, code=1).stderr
    assert "for audits of this machine" in command(before, as_f, "--server", url, "--digest-key", "x", code=1).stderr


def test_folders_of_a_server(binary, command, server, pairs, tmp_path):
    url = f"http://127.0.0.1:{server.port}"
    folders = []
    for pair in ("before", "as-f"):
        folders.append(tmp_path / pair)
        subprocess.run([binary, "audit", "--server", url, "--pair", pair, "--candidate", PICTURES / "candidate", "--external",
                        PICTURES / "external", "--recipe", '{"views": 4}', "--quiet", "--out", folders[-1]], check=True, capture_output=True)
    assert command(*folders).stdout.startswith("Still memorized")


def test_here_and_at_a_server_are_the_same(command, local, server, before, as_f, tmp_path):
    """But for ids, and digests of images, whose key each database has of its own."""
    command(local("before"), local("as-f"), "--out", tmp_path / "out")
    here, there = json.loads((tmp_path / "out/report.json").read_text()), unlearn(server, before, as_f).json
    for document in (here, there):
        for audit in document["audits"].values():
            for differs in ("id", "name"):
                del audit[differs]
    assert here == there
