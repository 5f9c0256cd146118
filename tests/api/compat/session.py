"""The session of requests that test_compat.py plays on the database of an earlier version; a row is a request.

    (who, method, path, headers, body)

`who` is a key of fixture.json or "" for none. `{name}` in a path or header stands for an entry of fixture.json or for what
an answer before it gave: `{etag}` of the last one, `{next}` and `{location}` of the last that had them. The method AWAIT
is GET when the events of the audit have ended. HEAD of a long document compares its digest, which is its ETag.

No figure is computed: what the tenant initech posts has scores in the database. They are found again under the same
versions of OpenBLAS and the PNG decoder only; under others the rows of this tenant are left out."""

import datetime
import gzip
import hashlib
import io
import json
import pathlib
import re
import shutil
import sqlite3
import tarfile
import time

from conftest import Answer, PAIRS, PATIENCE_S, Server, png

FOLDER = pathlib.Path(__file__).parent
# Plain C kernels give the same bits on every processor; a score's identity also names OpenBLAS's core.
BLAS_CORE = ("OPENBLAS_CORETYPE", "Prescott")
OPTIONS = ("--kernels", "ref", "--workers", "2", "--images-max", "8", "--body-bytes-max", "100000",
           "--idempotency-keep-s", "2592000")

JSON = {"Content-Type": "application/json"}
PNG = {"Content-Type": "image/png"}
TAR = {"Content-Type": "application/x-tar"}
HISTORY = ("initech", "limited", "costly")  # the keys of the tenant initech
NO_ID = "019abd9e-74f6-7d55-9b6a-0f6f0c3d1c55"
CUT = png(900)[:80]
MANY = {"Content-Type": "multipart/form-data; boundary=boundary"}


def parts(*all_parts):
    """A multipart body of (name, bytes), always with the same boundary."""
    return b"".join(b'--boundary\r\nContent-Disposition: form-data; name="%s"; filename="%d.png"\r\n\r\n%s\r\n'
                    % (name.encode(), i, data) for i, (name, data) in enumerate(all_parts)) + b"--boundary--\r\n"


def tar_of(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


def digest(data):
    return hashlib.sha256(data).hexdigest()


# Requests that the generator sent with an Idempotency-Key, by its name.
KEYED = {
    "one": ("owner", "POST", "/v1/scores?pair=resnet", {**PNG, "Prefer": "wait=60"}, png(1)),
    "async": ("owner", "POST", "/v1/scores?pair=vit", {**PNG, "Prefer": "respond-async"}, png(2)),
    "many": ("owner", "POST", "/v1/scores?pair=resnet", {**MANY, "Prefer": "wait=60"},
             parts(("image", png(3)), ("image", CUT), ("image", png(4)), ("recipe", b'{"views": 3}'))),
    "cut": ("owner", "POST", "/v1/scores?pair=resnet", {**PNG, "Prefer": "wait=60"}, CUT),
    "erased": ("owner", "POST", "/v1/scores?pair=resnet", {**PNG, "Prefer": "wait=60"}, png(5)),
    "audit": ("owner", "POST", "/v1/audits", JSON, b'{"name": "keyed", "pair": "vit", "recipe": {"views": 2}}'),
}


def keyed(name):
    who, method, path, headers, body = KEYED[name]
    return who, method, path, {**headers, "Idempotency-Key": f'"{name}"'}, body


ROWS = [
    # --- the service, pairs, limits ---
    ("", "GET", "/livez"), ("", "GET", "/readyz"), ("", "GET", "/version"), ("", "GET", "/metrics"),
    ("owner", "GET", "/metrics"),
    ("owner", "GET", "/v1/limits"), ("owner", "HEAD", "/v1/limits"),
    ("reader", "GET", "/v1/pairs"), ("reader", "GET", "/v1/pairs", {"If-None-Match": "{etag}"}),
    ("rounder", "GET", "/v1/pairs/resnet"), ("reader", "GET", "/v1/pairs/vit"),
    ("", "OPTIONS", "/v1/scores"), ("", "OPTIONS", "*"),

    # --- scores and jobs ---
    ("owner", "GET", "/v1/scores?limit=5"), ("owner", "GET", "/v1/scores?limit=5", {"If-None-Match": "{etag}"}),
    ("owner", "GET", "/v1/scores", {"If-Match": '"0"'}), ("owner", "HEAD", "/v1/scores"),
    ("owner", "GET", "/v1/scores?limit=4"), ("owner", "GET", "{next}"),
    ("owner", "GET", "/v1/scores?order=oldest&limit=3"), ("owner", "GET", "{next}"),
    ("reader", "GET", "/v1/scores?order=highest&limit=3&pair=resnet"), ("reader", "GET", "{next}"),
    ("reader", "GET", "/v1/scores?order=lowest&limit=5&pair=vit&max=0.1"),
    ("owner", "GET", "/v1/scores?min=0.05&max=0.2&limit=3"),
    ("owner", "GET", f"/v1/scores?image={digest(png(1))}"),
    ("owner", "GET", "/v1/scores?until={created}&limit=2"), ("owner", "GET", "/v1/scores?since={created}&order=oldest&limit=2"),
    ("rounder", "GET", "/v1/scores?order=oldest&limit=3"), ("rounder", "GET", "/v1/scores?order=highest"),
    ("globex", "GET", "/v1/scores"), ("default", "GET", "/v1/scores"),
    ("owner", "GET", "/v1/scores/{score}"), ("owner", "GET", "/v1/scores/{score}", {"If-None-Match": "{etag}"}),
    ("owner", "HEAD", "/v1/scores/{score}"), ("rounder", "GET", "/v1/scores/{score}"),
    ("owner", "GET", "/v1/scores/{adaptive}"), ("rounder", "GET", "/v1/scores/{adaptive}"),
    ("owner", "GET", "/v1/jobs/{one}"), ("owner", "GET", "/v1/jobs/{async}"), ("owner", "GET", "/v1/jobs/{many}"),
    ("owner", "GET", "/v1/jobs/{many}", {"If-None-Match": "{etag}"}), ("rounder", "GET", "/v1/jobs/{many}"),
    ("owner", "GET", "/v1/jobs/{failed}"), ("owner", "GET", "/v1/jobs/{erased}"), ("owner", "GET", "/v1/jobs/{lost}"),
    ("default", "GET", "/v1/jobs/{keyless}"),
    ("initech", "GET", "/v1/jobs/{queued}"), ("initech", "GET", "/v1/jobs/{queued_many}"),

    # --- requests sent again ---
    keyed("one"), keyed("async"), keyed("many"), keyed("cut"), keyed("erased"), keyed("audit"),
    ("owner", "POST", "/v1/scores?pair=vit", {**PNG, "Idempotency-Key": '"one"'}, png(1)),
    ("globex", "POST", "/v1/scores?pair=resnet", {**PNG, "Idempotency-Key": "a b"}, png(1)),
    ("initech", "POST", "/v1/scores?pair=resnet", PNG, png(20)),
    ("initech", "POST", "/v1/scores?pair=resnet", {**PNG, "Idempotency-Key": '"new"'}, png(21)),
    ("initech", "POST", "/v1/scores?pair=resnet", {**PNG, "Idempotency-Key": '"new"'}, png(21)),
    ("initech", "POST", "/v1/scores?pair=resnet", {**MANY, "Prefer": "wait=60"},
     parts(("image", png(20)), ("image", png(21)))),
    ("limited", "POST", "/v1/scores?pair=resnet", PNG, png(20)), ("limited", "POST", "/v1/scores?pair=resnet", PNG, png(21)),
    ("limited", "POST", "/v1/scores?pair=resnet", PNG, png(20)), ("costly", "POST", "/v1/scores?pair=resnet", PNG, png(20)),
    ("costly", "POST", "/v1/scores?pair=resnet", MANY, parts(*[("image", png(30 + i)) for i in range(4)])),
    ("initech", "GET", "/v1/scores?limit=2"),

    # --- audits that have ended ---
    ("owner", "GET", "/v1/audits?limit=2"), ("owner", "GET", "{next}"), ("globex", "GET", "/v1/audits"),
    ("rounder", "GET", "/v1/audits?limit=1"),
    ("owner", "GET", "/v1/audits/{done}"), ("owner", "GET", "/v1/audits/{done}", {"If-None-Match": "{etag}"}),
    ("owner", "GET", "/v1/audits/{other}"), ("owner", "GET", "/v1/audits/{cancelled}"),
    ("owner", "GET", "/v1/audits/{open}"), ("owner", "GET", "/v1/audits/{paused}"), ("globex", "GET", "/v1/audits/{theirs}"),
    ("owner", "GET", "/v1/audits/{done}/events"), ("owner", "GET", "/v1/audits/{done}/events", {"Last-Event-ID": "{revision}"}),
    ("owner", "GET", "/v1/audits/{done}/items?limit=5"), ("owner", "GET", "{next}"),
    ("owner", "GET", "/v1/audits/{done}/items?cohort=external&state=succeeded&limit=3"), ("owner", "HEAD", "{next}"),
    ("owner", "GET", "/v1/audits/{done}/items?state=failed"), ("rounder", "GET", "/v1/audits/{done}/items?cohort=shared"),
    ("owner", "GET", "/v1/audits/{other}/items?limit=4"), ("owner", "GET", "/v1/audits/{cancelled}/items"),
    ("owner", "GET", "/v1/audits/{open}/items"), ("owner", "GET", "/v1/audits/{paused}/items?state=queued&limit=2"),
    ("owner", "GET", "/v1/audits/{done}/report.json"), ("owner", "GET", "/v1/audits/{done}/report.json", {"If-None-Match": "{etag}"}),
    ("owner", "GET", "/v1/audits/{done}/report.csv?names=true"), ("owner", "GET", "/v1/audits/{done}/report.html"),
    ("owner", "HEAD", "/v1/audits/{done}/report.html?names=true"),
    ("owner", "HEAD", "/v1/audits/{other}/report.json?names=true"), ("owner", "GET", "/v1/audits/{other}/report.csv"),
    ("owner", "GET", "/v1/audits/{cancelled}/report.csv"), ("globex", "GET", "/v1/audits/{theirs}/report.csv"),
    ("owner", "GET", "/v1/audits/{paused}/report.csv"), ("owner", "GET", "/v1/audits/{paused}/report.csv?partial=true"),
    ("owner", "POST", "/v1/audits/{done}/gates", JSON, b'{"gates": ["auc<=0.9", "fdr5_share<=0.01", "auc>=0.1"]}'),
    ("owner", "POST", "/v1/audits/{done}/gates", JSON, b'{"gates": ["beauty<=0.9"]}'),
    ("owner", "GET", "/v1/audits/{done}/selection?kind=top&n=3"),
    ("owner", "GET", "/v1/audits/{done}/selection?kind=share&share=0.5&format=csv&names=true"),
    ("owner", "GET", "/v1/audits/{done}/selection?kind=random&n=3&seed=5&format=jsonl"),
    ("owner", "GET", "/v1/audits/{done}/selection?kind=fdr&q=0.5"), ("owner", "GET", "/v1/audits/{done}/selection?kind=best"),
    ("owner", "GET", "/v1/comparisons?audits={done},{other}"), ("owner", "GET", "/v1/comparisons?audits={done}"),
    ("owner", "GET", "/v1/comparisons?audits={done},{theirs}"), ("rounder", "GET", "/v1/comparisons?audits={done},{other}"),
    ("rounder", "GET", "/v1/audits/{done}/report.json"), ("rounder", "GET", "/v1/audits/{done}"),

    # --- refusals ---
    ("", "GET", "/v1/scores"), ("unknown", "GET", "/v1/scores"), ("revoked", "GET", "/v1/scores"),
    ("expired", "GET", "/v1/scores"), ("rotated", "GET", "/v1/scores?limit=1"),
    ("reader", "POST", "/v1/scores?pair=resnet", PNG, png(1)), ("reader", "PUT", "/v1/pairs/vit"),
    ("reader", "DELETE", "/v1/images/" + "0" * 64), ("reader", "POST", "/v1/audits/{open}/start"),
    ("globex", "GET", "/v1/scores/{score}"), ("globex", "GET", "/v1/jobs/{one}"), ("globex", "GET", "/v1/audits/{done}"),
    ("globex", "GET", "/v1/audits/{done}/report.html"), ("globex", "POST", "/v1/audits/{open}/cancel"),
    ("owner", "GET", f"/v1/scores/{NO_ID}"), ("owner", "GET", "/v1/scores/1"), ("owner", "GET", f"/v1/jobs/{NO_ID}"),
    ("owner", "GET", f"/v1/audits/{NO_ID}"), ("owner", "GET", "/v1/pairs/none"), ("owner", "GET", "/v2/scores"),
    ("owner", "GET", "/v1/scores?cursor=AAAA"), ("owner", "GET", "/v1/audits?cursor=AAAA"),
    ("owner", "GET", "/v1/audits/{done}/items?cursor=AAAA"), ("owner", "GET", "/v1/scores?limit=3"),
    ("owner", "GET", "{next}&order=oldest"),
    ("owner", "GET", "/v1/scores?limit=0"), ("owner", "GET", "/v1/scores?order=best"), ("owner", "GET", "/v1/scores?since=today"),
    ("owner", "GET", "/v1/scores?min=x"), ("owner", "GET", "/v1/scores?image=abc"), ("owner", "GET", "/v1/scores?colour=red"),
    ("owner", "GET", "/v1/audits/{done}/items?cohort=none"), ("owner", "GET", "/v1/limits", JSON, b"{}"),
    ("owner", "PATCH", "/v1/scores"), ("owner", "DELETE", "/v1/jobs/{one}"), ("owner", "PUT", "/v1/audits/{open}"),
    ("owner", "POST", "/v1/scores", PNG, png(1)), ("owner", "POST", "/v1/scores?pair=none", PNG, png(1)),
    ("owner", "POST", "/v1/scores?pair=resnet", PNG, b""), ("owner", "POST", "/v1/scores?pair=resnet", PNG, b"GIF89a"),
    ("owner", "POST", "/v1/scores?pair=resnet", PNG, bytes(100001)),
    ("owner", "POST", "/v1/scores?pair=resnet", {"Content-Type": "text/plain"}, b"x"),
    ("owner", "POST", "/v1/scores?pair=resnet", {**PNG, "Content-Encoding": "gzip"}, png(1)),
    ("owner", "POST", "/v1/scores?pair=resnet", {**PNG, "Content-Digest": "sha-256=:" + "A" * 43 + "=:"}, png(1)),
    ("owner", "POST", "/v1/scores?pair=resnet", {**PNG, "Content-Digest": "sha-256=1"}, png(1)),
    ("owner", "POST", "/v1/scores?pair=resnet", {**PNG, "Prefer": "wait=60"}, CUT),
    ("owner", "POST", "/v1/scores?pair=resnet", MANY, b"--boundary"),
    ("owner", "POST", "/v1/scores?pair=resnet", MANY, parts(("picture", png(1)))),
    ("owner", "POST", "/v1/scores?pair=resnet", MANY, parts(("recipe", b"{}"))),
    ("owner", "POST", "/v1/scores?pair=resnet", MANY, parts(*[("image", png(1))] * 9)),
    ("owner", "POST", "/v1/scores?pair=resnet", MANY, parts(("image", png(1)), ("recipe", b'{"views": 257, "angle": 3}'))),
    ("owner", "POST", "/v1/scores?pair=resnet", MANY, parts(("image", png(1)), ("recipe", b'{"views": '))),
    ("rounder", "POST", "/v1/scores?pair=resnet", MANY, parts(("image", png(1)), ("recipe", b'{"views": 4}'))),
    ("owner", "POST", "/v1/audits", JSON, b'{"name": '), ("owner", "POST", "/v1/audits", JSON, b'{"pair": "resnet"}'),
    ("owner", "POST", "/v1/audits", JSON, b'{"name": "a", "pair": "none"}'),
    ("owner", "POST", "/v1/audits", JSON, b'{"name": "a", "pair": "vit", "gates": ["auc"], "resamples": -1}'),
    ("owner", "POST", "/v1/audits", {"Content-Type": "text/plain"}, b"a"),
    ("owner", "POST", "/v1/audits/{done}/start"), ("owner", "POST", "/v1/audits/{open}/pause"),
    ("owner", "POST", "/v1/audits/{cancelled}/resume"), ("owner", "GET", "/v1/audits/{open}/report.json"),
    ("owner", "POST", "/v1/audits/{done}/images?cohort=shared", PNG, png(1)),
    ("owner", "POST", "/v1/audits/{open}/images", PNG, png(1)),
    ("owner", "POST", "/v1/audits/{open}/images?cohort=none", PNG, png(1)),
    ("owner", "POST", "/v1/audits/{open}/images", TAR, b"no archive" * 100),
    ("owner", "POST", "/v1/audits/{open}/images", TAR, tar_of([("none/a.png", png(1)), ("shared/b.txt", b"text")])),
    ("owner", "POST", "/v1/audits/{open}/manifest", JSON, b'{"folders": {"none": "."}}'),

    # --- changes ---
    ("owner", "POST", "/v1/audits/{open}/images", TAR,
     tar_of([("shared/new.png", png(60)), ("shared/again.png", png(60)), ("note.txt", b"text"), ("external/cut.png", CUT)])),
    ("owner", "POST", "/v1/audits/{open}/manifest", {"Content-Type": "application/jsonl"},
     b'{"cohort": "independent", "path": "file.png", "class": "7"}\n{"cohort": "external", "path": "../file.png"}\nnone\n'),
    ("owner", "GET", "/v1/audits/{open}/items?limit=10"), ("owner", "GET", "/v1/audits/{open}"),
    ("owner", "POST", "/v1/audits/{paused}/cancel", {"Idempotency-Key": '"end"'}),
    ("owner", "POST", "/v1/audits/{paused}/cancel", {"Idempotency-Key": '"end"'}),
    ("owner", "POST", "/v1/audits", JSON, b'{"name": "new", "pair": "resnet", "gates": ["auc<=0.6"], "seed": "7"}'),
    ("owner", "DELETE", "{location}", {"If-Match": '"9"'}), ("owner", "DELETE", "{location}", {"If-Match": '"0"'}),
    ("owner", "GET", "{location}"),
    ("initech", "POST", "/v1/audits/{ready}/start"), ("initech", "AWAIT", "/v1/audits/{ready}"),
    ("initech", "GET", "/v1/audits/{ready}/items"), ("initech", "GET", "/v1/audits/{ready}/report.csv"),
    ("owner", "PUT", "/v1/pairs/none"), ("owner", "PUT", "/v1/pairs/vit"), ("owner", "DELETE", "/v1/pairs/vit"),
    ("owner", "GET", "/v1/pairs/vit"), ("owner", "POST", "/v1/scores?pair=vit", PNG, png(2)), ("owner", "PUT", "/v1/pairs/vit"),

    # --- erasures ---
    ("owner", "DELETE", "/v1/images/abc"), ("owner", "DELETE", f"/v1/images/{digest(png(999))}"),
    ("owner", "DELETE", f"/v1/images/{digest(png(101))}"), ("owner", "DELETE", f"/v1/images/{digest(png(101))}"),
    ("owner", "DELETE", f"/v1/images/{digest(png(1))}"), ("owner", "GET", "/v1/scores/{score}"),
    ("owner", "GET", "/v1/jobs/{one}"), keyed("one"),
    ("owner", "GET", "/v1/audits/{done}"), ("owner", "GET", "/v1/audits/{done}/items?limit=3"),
    ("owner", "GET", "/v1/audits/{done}/report.csv"), ("owner", "HEAD", "/v1/audits/{done}/report.html?names=true"),
    ("owner", "DELETE", "/v1/audits/{other}"), ("owner", "GET", "/v1/audits/{other}"), ("owner", "GET", "/v1/scores?limit=2"),
    ("owner", "POST", "/v1/unlearnings", JSON, b'{"before": "x", "after": "y"}'),
]

# --- what differs from run to run ---------------------------------------------------------------------

# (what stands for it, in which paths, how it looks). Times and ids count only if they are not older than the session.
VARYING = (
    ("time", "", r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"),
    ("id", "", r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"),
    ("room", "/readyz", r"(?<=disk has )\d+(?= bytes)"),
    ("generation", "/v1/pairs", r'(?<="generation":)\d+'),  # pairs are loaded in the order of their folder
    ("version", "/version", r'(?<=":")[^"]*(?="[,}]+"?(?:image/png|kernels|microhttpd|sqlite|jansson|$))'),
)
# (what stands for it, of which header in answers of which status, how it looks)
VARYING_HEADERS = (
    ("ms", "Server-Timing", 200, r"(?<=dur=)[0-9.]+"),
    ("s_to_midnight", "Retry-After", 429, r"[0-9]+"),
)


class Mask:
    """Puts names in place of what differs. An id is named by the row that first tells it, and its place there."""

    def __init__(self, began_ms):
        self.began = datetime.datetime.fromtimestamp(began_ms / 1000, datetime.timezone.utc).strftime(
            "%Y-%m-%dT%H:%M:%S.") + f"{began_ms % 1000:03d}Z"
        self.began_id = f"{began_ms:012x}"
        self.ids, self.row, self.row_ids = {}, 0, 0

    def put(self, name, found):
        if name == "time":
            return found if found < self.began else "<time>"
        if name == "id":
            if found.replace("-", "")[:12] < self.began_id:
                return found
            if found not in self.ids:
                self.row_ids += 1
                self.ids[found] = f"<id {self.row}.{self.row_ids}>"
            return self.ids[found]
        return f"<{name}>"

    def text(self, path, text):
        for name, where, pattern in VARYING:
            if path.startswith(where):
                text = re.sub(pattern, lambda match, name=name: self.put(name, match[0]), text)
        return text

    def answer(self, row, path, answer):
        """Status, headers and body as they are compared and kept."""
        self.row, self.row_ids = row, 0
        body = answer.body.decode(errors="surrogateescape")
        masked = self.text(path, body)
        headers = {}
        for key in sorted(set(answer.headers) - {"Date"}):
            value = self.text(path, ", ".join(answer.headers.get_all(key)))
            for name, header, status, pattern in VARYING_HEADERS:
                if (key, answer.status) == (header, status):
                    value = re.sub(pattern, f"<{name}>", value)
            headers[key] = value
        if masked != body:  # of what was masked: its length, and the digest that is its validator
            headers["Content-Length"] = "<length>"
            if len(headers.get("ETag", "")) > 30:
                headers["ETag"] = "<digest>"
        return {"status": answer.status, "headers": headers, "body": masked.splitlines(keepends=True)}


# --- the database of an earlier version ---------------------------------------------------------------


def load(name):
    return json.loads((FOLDER / name).read_text())


def pairs_of(folder):
    """Two pairs of the golden scores; `resnet` has a reference besides."""
    for name in ("resnet", "vit"):
        shutil.copytree(PAIRS / name, folder / name, ignore=shutil.ignore_patterns("*.views.*"))
    for file in (FOLDER / "pair").iterdir():
        shutil.copy(file, folder / "resnet")
    return folder


def unpack(folder):
    """The database, and the files around it. What counts for a day or some days only is of today: budgets that were
    spent, and stored answers."""
    pairs_of(folder / "pairs")
    (folder / "data").mkdir()
    (folder / "data/file.png").write_bytes(png(61))
    (folder / "test.db").write_bytes(gzip.decompress((FOLDER / "test.db.gz").read_bytes()))
    with sqlite3.connect(folder / "test.db") as db:
        db.execute("UPDATE idempotency SET created_ms = ?", (int(time.time() * 1000),))
        db.execute("UPDATE key_day SET day = ?", (int(time.time()) // 86400,))
    db.close()


def same_libraries(server, folder):
    """Whether scores of the database can be found again: their identity names the libraries that made them."""
    version = server.get("/version").json
    with sqlite3.connect(folder / "test.db") as db:
        text, = db.execute("SELECT group_concat(body) FROM shape").fetchone()
    db.close()
    return version["blas"] in text and version["decoders"]["image/png"] in text


def settle(server):
    until = time.monotonic() + PATIENCE_S
    while server.get("/readyz").json["queued"] > 0:
        assert time.monotonic() < until
        time.sleep(0.01)


def ask(server, row, names, request_id):
    who, method, path, headers, body = row + (None,) * (5 - len(row))
    fill = lambda text: re.sub(r"\{(\w+)\}", lambda match: names[match[1]], text)
    headers = {name: fill(value) for name, value in (headers or {}).items()} | {"X-Request-Id": request_id}
    if who:
        headers["Authorization"] = f"Bearer {names['keys'][who]}"
    path, line = fill(path), server.connect()
    if method == "AWAIT":
        server.get(f"{path}/events", **headers)
        method = "GET"
    line.request(method, path, body, headers)
    got = line.getresponse()
    answer = Answer(got.status, got.headers, got.read())
    line.close()
    names["etag"] = answer.headers.get("ETag", "")
    names["location"] = answer.headers.get("Location", names.get("location"))
    if "Link" in answer.headers:
        names["next"] = re.match("<(.*)>", answer.headers["Link"])[1]
    return path, answer


def left(folder, sql):
    with sqlite3.connect(folder / "test.db") as db:
        rows = db.execute(sql).fetchall()
    db.close()
    return rows


def tables(folder):
    """What the session left: rows of each table, and what the log of reads says of it."""
    names = [name for name, in left(folder, "SELECT name FROM sqlite_schema WHERE type = 'table' "
                                        "AND name NOT LIKE 'sqlite_%' AND name <> 'migration' ORDER BY name")]
    reads = left(folder, "SELECT request, operation, COUNT(record_id) FROM access LEFT JOIN access_record ON access_id = id "
                         "WHERE request LIKE 'session-%' GROUP BY id ORDER BY id")
    lines = [f"{name} {left(folder, f'SELECT COUNT(*) FROM {name}')[0][0]}\n" for name in names]
    return {"body": lines + [" ".join(map(str, row)) + "\n" for row in reads]}


def play(binary, folder):
    """Yields (number, request, answer) for each row, then what the session left in the database."""
    names, began_ms = load("fixture.json"), int(time.time() * 1000)
    assert began_ms > names["made_ms"], "the clock is before the time at which the database was made"
    mask = Mask(began_ms)
    server = Server(binary, folder, folder / "pairs", *OPTIONS, "--data-root", folder / "data")
    try:
        same = same_libraries(server, folder)
        settle(server)
        for number, row in enumerate(ROWS, 1):
            if row[0] in HISTORY and not same:
                continue
            path, answer = ask(server, row, names, f"session-{number}")
            yield number, " ".join((row[0] or "-", *row[1:3])), mask.answer(number, path, answer)
    finally:
        assert server.stop() == 0
    if same:
        yield len(ROWS) + 1, "the database", tables(folder)
