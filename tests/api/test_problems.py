"""Every problem code is brought about by a test: problems.txt names it, and `produces` in conftest.py holds it to its word."""

import contextlib
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

from conftest import Answer, PATIENCE_S, PRODUCERS, ROOT, Server, asserted, name_of, png

pytestmark = pytest.mark.memory  # every refusal has its own path through the code


def test_every_code_has_its_test(binary, request):
    """Those of the binary's table, no more and no fewer; and every test that is named is there."""
    table = subprocess.run([binary, "serve", "--problems"], check=True, capture_output=True, text=True).stdout
    assert set(PRODUCERS) == {line.split("\t")[1] for line in table.splitlines()}
    collected = {name_of(item) for item in request.session.items}
    whole_files = {pathlib.Path(argument).name for argument in request.config.args if "::" not in argument}
    for code, test in PRODUCERS.items():
        file, name = test.split("::")
        assert f"\ndef {name.split('[')[0]}(" in (ROOT / "tests/api" / file).read_text(), (code, test)
        if {file, "api"} & whole_files and not (
                request.config.option.keyword or request.config.option.markexpr):
            assert test in collected, code


def test_draining(serve):
    """A request that is under way when the service is told to stop keeps it, for a while, from stopping."""
    server = serve("--metrics", "on")
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S) as slow:
        slow.sendall(b"POST /v1/scores?pair=resnet HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 9\r\n\r\n1234")
        until = time.monotonic() + PATIENCE_S
        while not re.search(rb"^sslmem_http_requests_in_progress 2$", server.get("/metrics").body, re.MULTILINE):
            assert time.monotonic() < until
            time.sleep(0.005)
        server.process.send_signal(signal.SIGTERM)
        answer = server.get("/v1/pairs")
        while answer.status == 200:
            assert time.monotonic() < until
            answer = server.get("/v1/pairs")
        answer.problem(503, "draining")
        assert int(answer.headers["Retry-After"]) > 0
    assert server.process.wait(PATIENCE_S) == 0


def test_a_store_that_another_holds(serve, tmp_path):
    """A program that locks the database: reads go on, writes are refused after a while, and all goes on when it lets go."""
    server = serve()
    assert server.post(png(1)).status == 200
    document = '{"name": "n", "pair": "resnet"}'
    with contextlib.closing(sqlite3.connect(tmp_path / "test.db")) as db:
        db.execute("BEGIN IMMEDIATE")
        answer = server.ask("POST", "/v1/audits", document, {"Content-Type": "application/json"})
        answer.problem(503, "store_unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        server.post(png(2)).problem(503, "store_unavailable")
        assert len(server.get("/v1/scores").json["scores"]) == 1
    assert server.ask("POST", "/v1/audits", document, {"Content-Type": "application/json"}).status == 201
    assert server.post(png(2)).status == 200


def test_a_disk_that_is_full(serve, binary, pairs_folder, tmp_path):
    """An archive whose place cannot be reserved, on a file system of 4 MB that only this service sees."""
    alone = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--mount"]
    small, wrapper = tmp_path / "small", tmp_path / "wrapper"
    small.mkdir()
    mount = f"mount -t tmpfs -o size=4m tmpfs {small}"
    probe = subprocess.run([*alone, "sh", "-c", mount], capture_output=True, text=True)
    if probe.returncode != 0:  # a container or chroot, most likely
        asserted.add("disk_full")  # what is skipped owes nothing to the table
        pytest.skip(f"this process may mount nothing of its own: {probe.stderr.strip()}")
    first = serve()
    audit = first.ask("POST", "/v1/audits", '{"name": "n", "pair": "resnet"}', {"Content-Type": "application/json"}).headers["Location"]
    assert first.stop() == 0
    wrapper.write_text(f"""#!/bin/sh
exec {" ".join(alone)} sh -c \
    '{mount} && cp {tmp_path}/test.db {small} && exec {binary} "$@"' sh "$@"
""")
    wrapper.chmod(0o755)
    server = Server(wrapper, small, pairs_folder)
    try:
        connection = server.connect()
        connection.putrequest("POST", f"{audit}/images?cohort=shared")
        connection.putheader("Content-Type", "application/x-tar")
        connection.putheader("Content-Length", str(8 << 20))
        connection.endheaders()  # and no byte of it
        got = connection.getresponse()
        answer = Answer(got.status, got.headers, got.read())
        answer.problem(507, "disk_full")
        assert int(answer.headers["Retry-After"]) > 0
        assert server.get(audit).status == 200
    finally:
        assert server.stop() == 0


def test_a_score_that_was_damaged(serve, tmp_path):
    """What our own database should never hold: an internal error, without a word of what it is."""
    server = serve()
    score = server.post(png(1)).json["id"]
    with contextlib.closing(sqlite3.connect(tmp_path / "test.db")) as db:
        assert db.execute("UPDATE score SET own = '['").rowcount == 1
        db.commit()
    detail = server.get(f"/v1/scores/{score}").problem(500, "internal")
    assert "see the log of the service" in detail
    assert server.post(png(2)).status == 200
