"""Start, stop, crash, restart; failed pairs; limits that need a server of their own."""

import concurrent.futures
import os
import pathlib
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

from conftest import PATIENCE_S, images_and_recipe, png
from test_sandbox import decoders_held, decoders_of, log_of

pytestmark = pytest.mark.threads  # start, drain, reload and end touch every thread

SLOW = {"views": 64}  # enough work to be caught in the middle of it


def test_failed_pairs_are_listed_and_others_serve(server):
    pairs = {pair["name"]: pair for pair in server.get("/v1/pairs").json["pairs"]}
    assert {name: pair["state"] for name, pair in pairs.items()} == {
        "resnet": "ready", "vit": "ready", "missing": "failed", "corrupt": "failed", "mismatched": "failed",
        "empty": "failed", "unreadable": "failed"}
    assert "g.pt" in pairs["missing"]["reason"]
    assert "f.pt" in pairs["corrupt"]["reason"]
    assert "pair.json" in pairs["empty"]["reason"]
    assert "pair.json" in pairs["unreadable"]["reason"]
    assert re.search(r"g0\.safetensors.*blocks|blocks.*g0\.safetensors", pairs["mismatched"]["reason"])
    for name, pair in pairs.items():
        assert server.get("/v1/pairs/" + name).json == pair
    assert server.get("/readyz").json["pairs_failed"] == 5
    assert server.post(png(1)).status == 200


def test_requests_wait_for_a_tick_of_those_who_compute(server):
    """Threads of HTTP do not preempt, all others have the policy that the service was started with."""
    policies = {}
    for task in (pathlib.Path("/proc") / str(server.process.pid) / "task").iterdir():
        name = (task / "comm").read_text().strip()
        policies.setdefault(name.startswith("MHD-"), set()).add(os.sched_getscheduler(int(task.name)))
    assert policies == {True: {os.SCHED_BATCH}, False: {os.SCHED_OTHER}}


def test_a_worker_for_each_processor_that_it_may_use(serve):
    whole = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(whole)})
    try:
        server = serve()
    finally:
        os.sched_setaffinity(0, whole)
    assert [line["workers"] for line in log_of(server) if "workers" in line] == [1]


def test_no_pair_ready(serve, tmp_path):
    (tmp_path / "pairs/bad").mkdir(parents=True)
    server = serve(pairs=tmp_path / "pairs")
    assert server.get("/livez").status == 200
    server.get("/readyz").problem(503, "not_ready")


def test_restart_keeps_history(serve):
    first = serve()
    posted = first.post(png(1)).json
    assert first.stop() == 0
    second = serve()
    again = second.post(png(1)).json
    assert again["from_history"] is True and again["id"] == posted["id"]
    assert second.get("/v1/scores").json["scores"][0]["id"] == posted["id"]
    job = second.get("/v1/jobs/" + posted["job"]).json
    assert job["items"][0]["score"]["id"] == posted["id"]


def test_kill_in_the_middle_finishes_exactly_once(serve, tmp_path):
    """kill -9 with a queue: after the restart every item of every 202 is done, and no score is there twice."""
    first = serve("--workers", "2")
    locations = []
    for j in range(4):
        answer = first.post_many([png(10 * j + i) for i in range(6)], SLOW, prefer="respond-async")
        assert answer.status == 202
        locations.append(answer.headers["Location"])
    while first.get(locations[0]).json["succeeded_count"] == 0:
        time.sleep(0.005)
    first.process.kill()
    first.process.wait()
    second = serve("--workers", "2")
    jobs = [second.await_job(location) for location in locations]
    assert [job["state"] for job in jobs] == ["succeeded"] * 4
    assert [job["succeeded_count"] for job in jobs] == [6] * 4
    scores = [item["score"]["id"] for job in jobs for item in job["items"]]
    assert len(set(scores)) == 24
    assert len(second.get("/v1/scores?limit=200").json["scores"]) == 24
    assert second.get("/readyz").json["queued"] == 0
    assert second.stop() == 0
    with sqlite3.connect(tmp_path / "test.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_waits_with_202(serve, number):
    """A client that waits gets its 202 at once; what is queued is done by the next process."""
    first = serve("--workers", "1", "--wait-max-ms", "60000")
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(first.post_many, [png(i) for i in range(40)], SLOW)
        until = time.monotonic() + PATIENCE_S
        while first.get("/readyz").json["queued"] == 0:
            assert time.monotonic() < until
            time.sleep(0.005)
        began = time.monotonic()
        assert first.stop(number) == 0
        answer = waiting.result(PATIENCE_S)
    assert time.monotonic() - began < PATIENCE_S / 4
    assert answer.status == 202
    second = serve("--workers", "2")
    assert second.await_job(answer.headers["Location"])["succeeded_count"] == 40


def test_idle_connections_do_not_hold_up_a_stop(serve):
    server = serve()
    idle = server.connect()
    server.ask("GET", "/livez", connection=idle)
    half = socket.create_connection(("127.0.0.1", server.port))
    half.sendall(b"POST /v1/scores?pair=resnet HTTP/1.1\r\n")
    began = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - began < 10
    half.close()
    idle.close()


def test_client_that_leaves_while_it_waits(serve):
    server = serve("--workers", "1")
    content_type, body = images_and_recipe([png(i) for i in range(8)], SLOW)
    for _ in range(3):
        gone = server.connect()
        gone.request("POST", "/v1/scores?pair=vit", body, {"Content-Type": content_type, "Prefer": "wait=20"})
        time.sleep(0.05)
        gone.close()
    until = time.monotonic() + PATIENCE_S
    while server.get("/readyz").json["queued"] > 0 and time.monotonic() < until:
        time.sleep(0.02)
    assert len(server.get("/v1/scores").json["scores"]) == 8
    assert server.stop() == 0


def test_queue_full(serve):
    server = serve("--workers", "1", "--queue-max", "4")
    answer = server.post_many([png(i) for i in range(5)], prefer="respond-async")
    answer.problem(503, "queue_full")
    assert int(answer.headers["Retry-After"]) > 0
    held = server.post_many([png(i) for i in range(4)], SLOW, prefer="respond-async")
    assert held.status == 202
    refused = server.post(png(9))
    if server.get(held.headers["Location"]).json["succeeded_count"] == 0:
        assert "limit" in refused.problem(503, "queue_full") or "at most" in refused.json["detail"]
        assert int(refused.headers["Retry-After"]) > 0
    server.await_job(held.headers["Location"])
    assert server.post(png(9)).status == 200


def run(binary, *options):
    return subprocess.run([binary, "serve", *map(str, options)], capture_output=True, text=True,
                          timeout=PATIENCE_S)


def test_port_in_use(serve, binary, tmp_path, pairs_folder):
    server = serve()
    done = run(binary, "--listen", f"127.0.0.1:{server.port}", "--pairs", pairs_folder, "--db", tmp_path / "b.db")
    assert done.returncode == 1
    assert "Address already in use" in done.stderr


def test_database_in_use(serve, binary, tmp_path, pairs_folder):
    serve()
    done = run(binary, "--listen", "127.0.0.1:0", "--pairs", pairs_folder, "--db", tmp_path / "test.db")
    assert done.returncode == 1
    assert "test.db is in use" in done.stderr


@pytest.mark.parametrize("options", [
    ["--workers", "x"], ["--worker", "1"], ["--listen", "8080"], ["--listen", "localhost:0"], ["--kernels", "gpu"],
    ["stray"], ["--db"], ["--body-bytes-max=1"]])
def test_usage(binary, options, pairs_folder, tmp_path):
    done = run(binary, "--pairs", pairs_folder, "--db", tmp_path / "c.db", *options)
    assert done.returncode == 2, done.stderr
    assert done.stderr and done.stdout == ""


def test_missing_pairs_folder(binary, tmp_path):
    done = run(binary, "--listen", "127.0.0.1:0", "--pairs", tmp_path / "none", "--db", tmp_path / "d.db")
    assert done.returncode == 1
    assert "none" in done.stderr


# --- probes ------------------------------------------------------------------------------------------


def await_answer(server, path, status):
    until = time.monotonic() + PATIENCE_S
    while (answer := server.get(path)).status != status:
        assert time.monotonic() < until, answer.body
        time.sleep(0.05)
    return answer


def test_a_loop_that_stands_still_is_named(serve):
    """Stopped decoders hold their workers up; on its way again, the service is live again."""
    server = serve("--workers", "2", "--heartbeat-max-s", "1")
    time.sleep(2.5)
    live = await_answer(server, "/livez", 200).json  # idle loops turn
    assert live == {"status": "live", "loops": live["loops"]} and live["loops"] >= 13
    until, step = time.monotonic() + PATIENCE_S, ""
    with decoders_held(server):
        answer = server.post_many([png(1), png(2)], prefer="respond-async")
        while step != "decode":  # on a busy machine other loops are late now and then, and named
            detail = await_answer(server, "/livez", 503).problem(503, "not_live")
            loop, step = re.fullmatch(r"\d+ of \d+ loops stand still: (\w+)/\d+ has been at '(\w+)' for \d+ ms, "
                                      r"its bound is \d+ ms", detail).groups()
            assert time.monotonic() < until, detail
        assert loop == "worker"
    assert server.await_job(answer.headers["Location"])["succeeded_count"] == 2
    await_answer(server, "/livez", 200)


def not_ready(answer, check):
    """The reason of a service that is not ready for that check alone."""
    detail = answer.problem(503, "not_ready")
    checks = answer.json["checks"]
    assert [name for name, verdict in checks.items() if not verdict["ok"]] == [check]
    assert checks[check]["reason"] == detail
    return detail


def test_ready(server):
    ready = server.get("/readyz").json
    assert (ready["status"], ready["pairs_ready"], ready["pairs_failed"], ready["queued"]) == ("ready", 2, 5, 0)
    checks = {name: verdict["reason"] for name, verdict in ready["checks"].items()}
    assert all(verdict["ok"] for verdict in ready["checks"].values())
    assert re.fullmatch(r"0 of \d+ loops stand still", checks.pop("loops"))
    assert re.fullmatch(r"the database's disk has \d+ bytes of room, the mark is 268435456", checks.pop("disk"))
    assert checks == {
        "draining": "requests are taken",
        "pairs": "2 of 7 pairs are ready",
        "canary": "every pair scores its canary as after its load",
        "store": "the store's last commit succeeded",
        "queue": "0 images are queued, the mark is 90% of 10000",
        "decoders": "the last decoder could be started"}


def test_not_ready_without_pairs(serve, own_pairs):
    server = serve(pairs=own_pairs)
    assert delete(server, "vit").status == delete(server, "resnet").status == 204
    assert not_ready(server.get("/readyz"), "pairs") == "0 of 0 pairs are ready"
    put(server, "vit")
    assert server.get("/readyz").status == 200


def test_not_ready_without_room(serve):
    server = serve("--ready-disk-bytes", str(1 << 50))
    assert re.fullmatch(r"the database's disk has \d+ bytes of room, the mark is 1125899906842624",
                        not_ready(server.get("/readyz"), "disk"))
    assert server.get("/livez").status == 200
    assert server.post(png(1)).status == 200  # what comes is scored all the same


def test_not_ready_with_a_full_queue(serve):
    server = serve("--workers", "1", "--queue-max", "10")
    with decoders_held(server):
        answer = server.post_many([png(i) for i in range(8)], prefer="respond-async")
        assert server.get("/readyz").json["queued"] == 8
        other = server.post(png(8), prefer="respond-async")
        assert not_ready(server.get("/readyz"), "queue") == "9 images are queued, the mark is 90% of 10"
    server.await_job(answer.headers["Location"])
    server.await_job(other.headers["Location"])
    assert server.get("/readyz").status == 200


def test_images_wait_while_no_decoder_can_be_started(serve):
    """Shared memory of a decoder is a file over this limit; what the service itself writes is not."""
    server = serve("--workers", "1")
    usual = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (32 << 20, usual[1]))
    until = time.monotonic() + 1
    while time.monotonic() < until:  # one that is only about to be a decoder shows itself later
        for pid in decoders_of(server):
            os.kill(pid, signal.SIGKILL)
            until = time.monotonic() + 1
        time.sleep(.05)
    answer = server.post(png(1), prefer="respond-async")
    assert not_ready(await_answer(server, "/readyz", 503), "decoders") == "the last decoder could not be started"
    assert server.get("/livez").status == 200
    assert server.get(answer.headers["Location"]).json["state"] == "running"
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, usual)
    assert server.await_job(answer.headers["Location"])["state"] == "succeeded"
    assert server.get("/readyz").status == 200
    refused = [line for line in log_of(server) if line["event"] == "decoder_unavailable"]
    assert refused and refused[0]["detail"] == "decoder: shared memory: File too large"


# --- the end -----------------------------------------------------------------------------------------


def events_of(server, *names):
    return [line["event"] for line in log_of(server) if line["event"] in names]


def test_drain_order(serve):
    """SIGTERM: readiness off, for a while nothing else, then no more requests, and the end."""
    server = serve("--drain-delay-ms", "5000", "--drain-limit-ms", "50000")
    assert server.get("/readyz").status == 200
    server.process.send_signal(signal.SIGTERM)
    began = time.monotonic()
    assert not_ready(await_answer(server, "/readyz", 503), "draining") == "the service is stopping"
    assert server.post(png(1)).status == 200
    assert server.get("/livez").status == 200
    assert time.monotonic() - began < 5, "too slow a machine to tell"
    assert server.process.wait(PATIENCE_S) == 0
    assert 5 <= time.monotonic() - began < 30
    line, = (line for line in log_of(server) if line["event"] == "draining")
    assert (line["delay_ms"], line["limit_ms"]) == (5000, 50000)


def test_no_delay_at_a_terminal(serve):
    server = serve("--drain-delay-ms", "30000", "--drain-limit-ms", "40000")
    began = time.monotonic()
    assert server.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 15


def test_refused_while_draining_but_for_probes(serve):
    """A request that is held up keeps the drain open: others are refused, probes and metrics are not."""
    server = serve("--workers", "1", "--metrics", "on")
    body = b"x" * 50
    held = socket.create_connection(("127.0.0.1", server.port))
    held.sendall(b"POST /v1/scores?pair=resnet HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\n"
                 b"Content-Length: 100\r\n\r\n" + body)
    time.sleep(0.3)
    server.process.send_signal(signal.SIGTERM)
    until = time.monotonic() + PATIENCE_S
    while (refused := server.get("/v1/pairs")).status == 200:
        assert time.monotonic() < until
    assert refused.problem(503, "draining") == "the service is stopping"
    assert refused.headers["Connection"] == "close" and refused.headers["Retry-After"] == "5"
    assert not_ready(server.get("/readyz"), "draining") == "the service is stopping"
    assert server.get("/livez").status == 200
    assert 'sslmem_ready{check="draining"} 0' in server.get("/metrics").body.decode()
    held.sendall(body)
    assert b" 415 " in held.recv(4096)
    held.close()
    assert server.process.wait(PATIENCE_S) == 0


def test_second_signal_forces(serve, tmp_path):
    first = serve("--workers", "1", "--drain-delay-ms", "50000", "--drain-limit-ms", "59000")
    answer = first.post_many([png(i) for i in range(30)], SLOW, prefer="respond-async")
    first.process.send_signal(signal.SIGTERM)
    await_answer(first, "/readyz", 503)
    began = time.monotonic()
    first.process.send_signal(signal.SIGTERM)
    assert first.process.wait(PATIENCE_S) == -signal.SIGTERM
    assert time.monotonic() - began < 25  # it would have stayed for 50
    second = serve("--workers", "2")
    assert second.await_job(answer.headers["Location"])["succeeded_count"] == 30
    assert second.stop() == 0
    with sqlite3.connect(tmp_path / "test.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_the_bound_forces(serve):
    """A worker that waits for a stopped decoder does not come back in time."""
    first = serve("--workers", "1", "--drain-limit-ms", "2000")
    with decoders_held(first):
        answer = first.post(png(1), prefer="respond-async")
        until = time.monotonic() + PATIENCE_S
        while first.get(answer.headers["Location"]).json["state"] != "running":
            assert time.monotonic() < until
            time.sleep(0.01)
        began = time.monotonic()
        assert first.stop() == 1
        assert 1.9 < time.monotonic() - began < 30  # without the option it would be 60
    assert events_of(first, "drain_forced") == ["drain_forced"]
    second = serve("--workers", "1")
    assert second.await_job(answer.headers["Location"])["state"] == "succeeded"


def test_delay_below_the_limit(binary, tmp_path):
    done = run(binary, "--drain-delay-ms", "5000", "--drain-limit-ms", "5000", "--db", tmp_path / "x.db")
    assert (done.returncode, done.stderr) == (
        2, "sslmem serve: drain-delay-ms (--drain-delay-ms) is 5000, not less than "
           "drain-limit-ms (--drain-limit-ms), 5000\n")


# --- pairs at run time ---------------------------------------------------------------------------------


@pytest.fixture
def own_pairs(tmp_path, pairs_folder):
    for name in ("resnet", "vit"):
        shutil.copytree(pairs_folder / name, tmp_path / "pairs" / name)
    return tmp_path / "pairs"


def put(server, name):
    return server.ask("PUT", "/v1/pairs/" + name)


def delete(server, name):
    return server.ask("DELETE", "/v1/pairs/" + name)


def test_pair_loaded_again(serve, own_pairs):
    server = serve(pairs=own_pairs)
    before = server.get("/v1/pairs/resnet")
    assert server.get("/v1/pairs/resnet", **{"If-None-Match": before.headers["ETag"]}).status == 304
    m = server.post(png(1)).json["m"]
    again = put(server, "resnet")
    assert (again.status, again.json["digest"]) == (200, before.json["digest"])
    assert again.json["generation"] > before.json["generation"]
    assert again.headers["ETag"] != before.headers["ETag"]
    assert server.post(png(1)).json["from_history"] is True
    assert server.post(png(1), prefer="respond-async").status == 202

    (own_pairs / "resnet").rename(own_pairs / "old")
    shutil.copytree(own_pairs / "vit", own_pairs / "resnet")
    assert put(server, "resnet").json["digest"] == server.get("/v1/pairs/vit").json["digest"]
    other = server.post(png(1)).json
    assert other["from_history"] is False and other["m"] != m
    assert put(server, "old").status == 201
    assert server.post(png(1), pair="old").json["m"] == m


def test_failed_load_keeps_the_old(serve, own_pairs):
    server = serve(pairs=own_pairs)
    before = server.get("/v1/pairs/resnet").json
    (own_pairs / "resnet/g.pt").unlink()
    detail = put(server, "resnet").problem(422, "pair_invalid")
    assert detail.startswith("pair 'resnet': ") and "g.pt" in detail
    after = server.get("/v1/pairs/resnet").json
    assert after.pop("reload_reason") == detail.removeprefix("pair 'resnet': ")
    problem, = after.pop("reload_problems")
    assert (problem["file"], problem["pointer"]) == ("g.pt", "/g/0") and "No such file" in problem["detail"]
    assert after == before
    assert server.post(png(1)).status == 200
    (own_pairs / "new").mkdir()
    put(server, "new").problem(422, "pair_invalid")
    assert server.get("/v1/pairs/new").json["state"] == "failed"
    server.post(png(1), pair="new").problem(503, "pair_failed")
    assert delete(server, "new").status == 204
    server.get("/v1/pairs/new").problem(404, "pair_unknown")


@pytest.mark.parametrize("name", ["nowhere", "..", ".", ".hidden", "%2e%2e", "..%5cvit", "a-file", "x" * 100])
def test_pairs_come_from_the_pairs_folder_only(serve, own_pairs, name):
    (own_pairs / ".hidden").mkdir()
    (own_pairs / "a-file").write_text("")
    server = serve(pairs=own_pairs)
    detail = put(server, name).problem(404, "pair_unknown")
    assert detail.startswith("the pairs folder has no folder '")
    for path in ("../pairs/vit", "..%2fpairs%2fvit", "/etc", "%2fetc"):
        put(server, path).problem(404, "route_unknown")
    assert server.ask("PUT", "/v1/pairs/vit", body=b"{}").problem(400, "body_unexpected")


def test_unload(serve, own_pairs):
    server = serve("--workers", "1", pairs=own_pairs)
    assert delete(server, "vit").status == 204
    delete(server, "vit").problem(404, "pair_unknown")
    server.post(png(1), pair="vit").problem(404, "pair_unknown")
    assert [pair["name"] for pair in server.get("/v1/pairs").json["pairs"]] == ["resnet"]
    assert put(server, "vit").status == 201

    answer = server.post_many([png(10 + i) for i in range(40)], SLOW, prefer="respond-async")
    detail = delete(server, "resnet").problem(409, "pair_busy")
    assert re.fullmatch(r"\d+ images wait for pair 'resnet'; with force=true they fail", detail)
    assert delete(server, "resnet?force=maybe").problem(400, "query_invalid")
    assert delete(server, "resnet?force=true").status == 204
    job = server.await_job(answer.headers["Location"])
    assert job["succeeded_count"] + job["failed_count"] == 40 and job["failed_count"] > 0
    assert {item["error"]["detail"] for item in job["items"] if "error" in item} == {
        "pair resnet is not loaded: it is not there any more"}


def test_swaps_under_load(serve, own_pairs):
    """Pairs are loaded again and again while images are scored: none is lost, no number changes."""
    server = serve("--workers", "2", pairs=own_pairs)
    expected = {seed: server.post(png(seed), pair=pair).json["m"]
                for seed, pair in ((1, "resnet"), (2, "vit"))}
    recipe = lambda i: {"seed": i}
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        loads = pool.submit(lambda: [put(server, name).status for _ in range(15) for name in ("resnet", "vit")])
        posts = [pool.submit(server.post_many, [png(3), png(4)], recipe(i), pair=("resnet", "vit")[i % 2])
                 for i in range(40)]
        assert set(loads.result()) == {200}
        jobs = [post.result().json for post in posts]
    assert {job["state"] for job in jobs} == {"succeeded"} and sum(job["succeeded_count"] for job in jobs) == 80
    for seed, pair in ((1, "resnet"), (2, "vit")):
        assert server.get("/v1/pairs/" + pair).json["generation"] > 2
        assert server.post(png(seed), pair=pair).json["m"] == expected[seed]


# --- copies -------------------------------------------------------------------------------------------


def sslmem(binary, *words):
    """(exit code, standard output, standard error)"""
    done = subprocess.run([binary, *map(str, words)], capture_output=True, text=True, timeout=PATIENCE_S)
    return done.returncode, done.stdout, done.stderr


def test_backup_while_scoring_and_restore(serve, binary, tmp_path):
    """A copy of a running service goes on where it was made: every job of then is finished by the restored one."""
    first = serve("--workers", "2")
    posted = first.post(png(1)).json
    answer = first.post_many([png(10 + i) for i in range(30)], SLOW, prefer="respond-async")
    code, out, error = sslmem(binary, "backup", "--db", tmp_path / "test.db", "--out", tmp_path / "copy.db")
    assert (code, error) == (0, "")
    assert re.fullmatch(rf"{tmp_path}/copy\.db: \d+ bytes, schema \d+, verified\n", out)
    assert sorted(p.name for p in tmp_path.glob("copy.db*")) == ["copy.db"]
    assert sslmem(binary, "backup", "--db", tmp_path / "test.db", "--out", tmp_path / "copy.db") == (
        1, "", f"sslmem backup: {tmp_path}/copy.db is there already; nothing is overwritten\n")
    assert sslmem(binary, "restore", "--from", tmp_path / "copy.db", "--db", tmp_path / "test.db") == (
        1, "", f"sslmem restore: database {tmp_path}/test.db is in use: another process holds {tmp_path}/test.db.lock\n")
    assert first.await_job(answer.headers["Location"])["state"] == "succeeded"
    assert first.stop() == 0
    assert sslmem(binary, "restore", "--from", tmp_path / "copy.db", "--db", tmp_path / "test.db") == (
        1, "", f"sslmem restore: {tmp_path}/test.db is there already; nothing is overwritten\n")
    for path in tmp_path.glob("test.db*"):
        path.unlink()
    code, out, error = sslmem(binary, "restore", "--from", tmp_path / "copy.db", "--db", tmp_path / "test.db")
    assert (code, error) == (0, "")
    second = serve("--workers", "2")
    assert second.get("/v1/scores/" + posted["id"]).json["m"] == posted["m"]
    job = second.await_job(answer.headers["Location"])
    assert (job["state"], job["succeeded_count"]) == ("succeeded", 30)
    assert second.stop() == 0
    # Of a service that does not run, beside which nothing is left.
    assert sslmem(binary, "backup", "--db", tmp_path / "test.db", "--out", tmp_path / "again.db")[0] == 0


def test_newer_schema(serve, binary, tmp_path, pairs_folder):
    assert serve().stop() == 0
    with sqlite3.connect(tmp_path / "test.db") as db:
        schema, = db.execute("SELECT MAX(version) FROM migration").fetchone()
        db.execute("INSERT INTO migration VALUES (?, 'later', 'x', 0), (?, 'last', 'x', 0)", (schema + 1, schema + 2))
    db.close()
    refusal = (f"the database has schema {schema + 2}, this program's is {schema}: "
               "it was made by a newer version\n")
    done = run(binary, "--listen", "127.0.0.1:0", "--pairs", pairs_folder, "--db", tmp_path / "test.db")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("sslmem serve: " + refusal)
    assert sslmem(binary, "migrate", "--db", tmp_path / "test.db") == (1, "", "sslmem migrate: " + refusal)
    assert sslmem(binary, "backup", "--db", tmp_path / "test.db", "--out", tmp_path / "copy.db") == (
        1, "", f"sslmem backup: {tmp_path}/test.db: {refusal}")
    assert not list(tmp_path.glob("copy.db*"))


def test_help(binary):
    done = run(binary, "--help")
    assert done.returncode == 0
    assert "--body-bytes-max" in done.stdout


def test_version(server):
    version = server.get("/version").json
    assert all(version.values())
