"""Limits with many requests at once: what a check allowed is still allowed when it is carried out."""

import io
import json
import sqlite3
import tarfile
import threading

from conftest import png
from test_keys import ALL, Client, clients, key  # noqa: F401

BUDGET = 10


def spent(folder, client):
    db = sqlite3.connect(folder / "test.db")
    try:
        return db.execute("SELECT COALESCE(SUM(scores_count), 0) FROM key_day WHERE hex(key_id) = ?",
                          (client.id.replace("-", "").upper(),)).fetchone()[0]
    finally:
        db.close()


def archive(first, count):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for i in range(first, first + count):
            data = png(i, 8)
            entry = tarfile.TarInfo(f"external/{i}.png")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def together(*calls):
    """Runs all at once and returns their results in order."""
    results, barrier = [None] * len(calls), threading.Barrier(len(calls))

    def run(i, call):
        barrier.wait()
        results[i] = call()

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_budget_holds_against_uploads_beside_a_start(clients, key, tmp_path):
    """However uploads and start fall, no more images are scored than the budget has, and each is paid for."""
    first, = clients(ALL)
    started = 0
    for round_number in range(24):
        client = Client(key, *ALL, "--budget-per-day", str(BUDGET))
        client.server = first.server
        path = client.audit(2, 6)
        late = 1 if round_number % 2 else 60

        def upload(i):
            return client.ask("POST", f"{path}/images", archive(1000 * i, late), Content_Type="application/x-tar").status

        answers = together(lambda: upload(1), lambda: client.ask("POST", f"{path}/start"), lambda: upload(2))
        audit = client.get(path).json
        if answers[1].status == 200:
            started += 1
            assert audit["items_count"] == spent(tmp_path, client) <= BUDGET
        else:
            answers[1].problem(429, "budget_spent")
            assert spent(tmp_path, client) == 0 and audit["state"] == "open"
    assert started > 0


def test_a_budget_holds_for_jobs_and_history_at_once(clients, tmp_path):
    """New images, images from history and an audit, all at the same time, from one budget."""
    exact, client = clients(ALL, (*ALL, "--budget-per-day", str(BUDGET)))
    assert exact.post(png(1)).status == 200
    path = client.audit(1, 2)
    calls = [lambda i=i: client.post(png(1 if i % 2 else 50 + i)) for i in range(16)]
    answers = together(*calls, lambda: client.ask("POST", f"{path}/start"))
    out = sum(answer.status == 200 for answer in answers[:-1]) + (3 if answers[-1].status == 200 else 0)
    for answer in answers:
        if answer.status != 200:
            answer.problem(429, "budget_spent")
    assert spent(tmp_path, client) == out <= BUDGET
    assert out >= BUDGET - 2  # only an audit of three can be refused with scores left


def test_a_key_that_is_revoked_while_its_image_comes(clients, key):
    """The key is good on the headers and ends before the last byte: nothing is made."""
    client, other = clients(ALL, ALL)
    data = png(7)
    line = client.server.connect()
    line.putrequest("POST", "/v1/scores?pair=resnet")
    for name, value in (("Content-Type", "image/png"), ("Content-Length", str(len(data))),
                        ("Authorization", f"Bearer {client.token}")):
        line.putheader(name, value)
    line.endheaders(data[:-1])
    assert other.get("/v1/scores").json["scores"] == []  # the first bytes are there by now, or soon
    assert key("revoke", client.id).returncode == 0
    line.send(data[-1:])
    answer = line.getresponse()
    body = json.loads(answer.read())
    assert (answer.status, body["code"]) == (401, "key_invalid")
    assert answer.headers["WWW-Authenticate"] == 'Bearer realm="sslmem", error="invalid_token"'
    assert other.get("/v1/scores").json["scores"] == []
