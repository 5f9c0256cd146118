#!/usr/bin/python3
"""Makes the database that test_compat.py opens, and records the answers that it compares.

    tests/api/compat/make.py --binary build/release/sslmem           a new database, and its answers
    tests/api/compat/make.py --binary build/release/sslmem --record  the answers alone

The database stays what an earlier version left: that is what the test is about. A change on purpose (of a document, by a
migration) is `--record` and a look at the difference. Beside this file: `test.db.gz`, the database, vacuumed (`gzip -dc`
unpacks it); `fixture.json`, its keys, which are good for nothing else, and names of its rows; `pair`, what the pair
`resnet` has beside tests/golden/score; `answers.json`."""

import argparse
import gzip
import json
import os
import pathlib
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path[:0] = [str(pathlib.Path(__file__).parents[1])]
from compat.session import (  # noqa: E402
    BLAS_CORE, CUT, FOLDER, JSON, KEYED, MANY, OPTIONS, PNG, ROWS, TAR, digest, keyed, pairs_of, parts, play, tar_of, unpack)
from conftest import ROOT, Server, png  # noqa: E402

KEYS = {
    "owner": ("acme", "score,read,audit,admin,metrics"), "reader": ("acme", "read"),
    "rounder": ("acme", "score,read,audit", "--round", "2"), "revoked": ("acme", "read"), "rotated": ("acme", "read"),
    "expired": ("acme", "read", "--expires", "1s"), "globex": ("globex", "score,read,audit"),
    "initech": ("initech", "score,read,audit"), "limited": ("initech", "score", "--budget-per-day", "2"),
    "costly": ("initech", "score", "--cost-ms-per-day", "1"), "default": ("default", "read"),
}
SLOW = b'{"views": 64}'


def run(*command):
    return subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)


def make_pair(binary, folder):
    """The pair resnet with a reference of twelve images."""
    shutil.rmtree(FOLDER / "pair", ignore_errors=True)
    (FOLDER / "pair").mkdir()
    pairs_of(folder / "pairs")
    images = []
    for i in range(12):
        images.append(folder / f"{i}.png")
        images[-1].write_bytes(png(1000 + i))
    pair = folder / "pairs/resnet"
    run(binary, "reference", "--pair", pair, "--kernels", "ref", *images)
    document = json.loads((pair / "pair.json").read_text()) | {"reference": "reference.json"}
    (pair / "pair.json").write_text(json.dumps(document, indent=1) + "\n")
    for name in ("pair.json", "reference.json"):
        shutil.copy(pair / name, FOLDER / "pair")


def make_keys(binary, db):
    tokens, ids = {"unknown": "sslmem_0000000000_" + "A" * 43}, {}
    for who, (tenant, scopes, *more) in KEYS.items():
        expires = () if "--expires" in more else ("--expires", "never")
        made = run(binary, "key", "create", "--db", db, "--tenant", tenant, "--scopes", scopes, *expires, *more)
        tokens[who], ids[who] = made.stdout.strip(), re.match(r"key (\S+)", made.stderr)[1]
    run(binary, "key", "revoke", "--db", db, ids["revoked"])
    tokens["rotated"] = run(binary, "key", "rotate", "--db", db, ids["rotated"]).stdout.strip()
    return tokens


class Maker:
    def __init__(self, server, tokens):
        self.server, self.tokens = server, tokens

    def ask(self, who, method, path, headers=None, body=None, status=200):
        if who:
            headers = {**(headers or {}), "Authorization": f"Bearer {self.tokens[who]}"}
        answer = self.server.ask(method, path, body, headers)
        assert answer.status == status, (path, answer.status, answer.body)
        return answer

    def score(self, who, image, recipe=None, pair="resnet", prefer="wait=60", status=200):
        images = image if isinstance(image, list) else [image]
        return self.ask(who, "POST", f"/v1/scores?pair={pair}", {**MANY, "Prefer": prefer}, parts(
            *[("image", data) for data in images], *([("recipe", recipe)] if recipe else [])), status)

    def ended(self, who, path):
        while (document := self.ask(who, "GET", path).json)["state"] in ("queued", "running"):
            time.sleep(0.02)
        return document

    def audit(self, who, images=(), **spec):
        body = json.dumps({"name": "audit", "pair": "resnet", "resamples": 50} | spec).encode()
        path = self.ask(who, "POST", "/v1/audits", JSON, body, 201).headers["Location"]
        if images:
            self.ask(who, "POST", f"{path}/images", TAR, tar_of(images))
        return path

    def start(self, who, path):
        self.ask(who, "POST", f"{path}/start")
        return path


def id_of(path):
    return path.rsplit("/", 1)[1]


COHORTS = [(f"{cohort}/{i}.png", png(first + i)) for cohort, first, count in
           (("candidate", 100, 8), ("shared", 200, 4), ("independent", 300, 4), ("external", 400, 8)) for i in range(count)]


def make_scores(m, names):
    names["keyless"] = m.score("", [png(1), png(2)], b'{"views": 2}').json["id"]


def make_more_scores(m, names):
    for name in KEYED:
        who, method, path, headers, body = keyed(name)
        status = {"cut": 422, "async": 202, "audit": 201}.get(name, 200)
        got = m.ask(who, method, path, headers, body, status)
        if name == "async":
            m.ended(who, got.headers["Location"])
        if status != 422:
            names[name] = got.json.get("job") or got.json["id"]
        if name == "one":
            names["score"] = got.json["id"]
    names["failed"] = m.score("owner", [CUT, png(901)[:90]]).json["id"]
    for image, recipe, pair in ((6, b'{"views": 2, "representation": "pooled"}', "resnet"),
                                (6, b'{"views": 4, "distance": "cosine"}', "vit"),
                                (7, b'{"seed": "12345678901234567890"}', "resnet"), (8, b'{"normalize": "none"}', "vit")):
        m.score("owner", png(image), recipe, pair)
    adaptive = m.score("owner", [png(9)], b'{"views": 20, "target_se": 0.05}').json
    names["adaptive"], names["created"] = adaptive["id"], adaptive["created"]
    m.score("rounder", png(3))
    m.score("globex", png(1))
    m.score("globex", [png(1), png(2)], b'{"views": 3}')
    for image in (20, 21):
        m.score("initech", png(image))
        m.score("initech", png(image), SLOW)
    m.score("limited", png(20))


def make_audits(m, names):
    done = m.audit("owner", COHORTS + [("candidate/again.png", png(100)), ("external/cut.png", CUT), ("note.txt", b"text"),
                                       ("other/0.png", png(500))],
                   name="done", gates=["auc<=0.9", "fdr5_share<=0.5", "auc<=0.1"], keep_thumbnails=True, signed_by="quality", seed="3")
    m.ask("owner", "POST", f"{done}/images?cohort=candidate&class=cat&group=one", MANY,
          parts(("image", png(120)), ("image", png(121)), ("image", png(200))))
    m.ask("owner", "POST", f"{done}/images?cohort=external&class=dog&name=single.png", PNG, png(420))
    m.ended("owner", m.start("owner", done))
    other = m.audit("owner", COHORTS, name="other", pair="vit", recipe={"views": 2}, reference="independent", gates=["auc<=1"])
    m.ended("owner", m.start("owner", other))
    theirs = m.audit("globex", COHORTS[:3] + COHORTS[-3:], name="theirs", recipe={"views": 2})
    m.ended("globex", m.start("globex", theirs))
    opened = m.audit("owner", [COHORTS[0], COHORTS[-1]], name="open")
    many = [(f"{('candidate', 'external')[i % 2]}/{i}.png", png(700 + i)) for i in range(24)]
    for name, verb in (("cancelled", "cancel"), ("paused", "pause")):
        path = m.start("owner", m.audit("owner", many, name=name, recipe={"views": 64}))
        while m.ask("owner", "GET", path).json["succeeded_count"] < 2:
            time.sleep(0.005)
        m.ask("owner", "POST", f"{path}/{verb}")
        while m.ask("owner", "GET", f"{path}/items?state=running").json["items"]:
            time.sleep(0.02)
        names[name] = id_of(path)
    ready = m.audit("initech", [("candidate/a.png", png(20)), ("external/b.png", png(21))], name="ready", resamples=0)
    m.audit("rounder", name="rounded")
    names.update(done=id_of(done), other=id_of(other), theirs=id_of(theirs), open=id_of(opened), ready=id_of(ready))
    # The log of reads, and erasures.
    for path in (f"{done}/report.json", f"{done}/items?limit=2", "/v1/scores?limit=3", f"/v1/scores/{names['score']}"):
        m.ask("owner", "GET", path)
    for image in (5, 102, 402):
        m.ask("owner", "DELETE", f"/v1/images/{digest(png(image))}")
    names["revision"] = str(m.ask("owner", "GET", done).json["revision"])


def make_queue(m, names):
    """Two jobs that wait behind images that are erased when the service has stopped: the next start finds their scores."""
    for first in range(2000, 2064, 8):
        names["lost"] = m.score("owner", [png(first + i) for i in range(8)], SLOW, prefer="respond-async", status=202).json["id"]
    names["queued"] = m.score("initech", png(20), SLOW, prefer="respond-async", status=202).json["id"]
    names["queued_many"] = m.score("initech", [png(21), png(20)], SLOW, prefer="respond-async", status=202).json["id"]


def make(binary, folder):
    make_pair(binary, folder)
    (folder / "data").mkdir()
    db, names = folder / "test.db", {}
    serve = lambda *options: Server(binary, folder, folder / "pairs", *OPTIONS, "--data-root", folder / "data", *options)
    server = serve()
    make_scores(Maker(server, {}), names)
    assert server.stop() == 0
    tokens = make_keys(binary, db)
    server = serve()
    maker = Maker(server, tokens)
    make_more_scores(maker, names)
    make_audits(maker, names)
    make_queue(maker, names)
    assert server.stop() == 0
    run(binary, "erase", "--db", db, *(digest(png(i)) for i in range(2000, 2064)))
    with sqlite3.connect(db) as edit:
        queued = edit.execute("SELECT lower(hex(id)) FROM job WHERE queued_count > 0 AND kind = 'score'").fetchall()
        assert {row[0] for row in queued} == {names[name].replace("-", "") for name in ("queued", "queued_many")}
    edit.execute("VACUUM")
    edit.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    edit.close()
    (FOLDER / "test.db.gz").write_bytes(gzip.compress(db.read_bytes(), 9, mtime=0))
    (FOLDER / "fixture.json").write_text(json.dumps({"made_ms": int(time.time() * 1000), "keys": tokens} | names, indent=1) + "\n")


def record(binary, folder):
    unpack(folder)
    lines = []
    for number, request, answer in play(binary, folder):
        head = {"request": f"{number} {request}"} | {name: answer[name] for name in answer if name != "body"}
        body = ",\n  ".join(map(json.dumps, answer["body"]))
        lines.append(json.dumps(head)[:-1] + (f', "body": [\n  {body}]}}' if body else ', "body": []}'))
    assert len(lines) == len(ROWS) + 1, "the libraries are not those of the database: some requests were left out"
    (FOLDER / "answers.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "build/release/sslmem")
    parser.add_argument("--record", action="store_true", help="keep the database")
    options = parser.parse_args()
    os.environ.update([BLAS_CORE])
    for step in [record] if options.record else [make, record]:
        with tempfile.TemporaryDirectory() as folder:
            step(options.binary.resolve(), pathlib.Path(folder))


if __name__ == "__main__":
    main()
