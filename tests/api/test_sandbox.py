"""Decoders of the running service: locked in, replaced when they end, and never the service's own end."""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import pytest

from conftest import PATIENCE_S, image, images_and_recipe, png

pytestmark = pytest.mark.memory  # decoders crash and are replaced


def decoders_of(server):
    """Process ids of a server's decoders; not those that are only about to be one."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == server.process.pid and b"decode-helper" in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except (OSError, ValueError, IndexError):
            continue
    return found


@contextlib.contextmanager
def decoders_held(server):
    """They stand still, and go on however the test ends: a stop would wait for them to its bound."""
    pids = decoders_of(server)
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def log_of(server):
    return [json.loads(line) for line in (server.folder / "stderr").read_text().splitlines() if line[:1] == "{"]


def status_of(pid):
    return dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())


def has_sanitizer(binary):
    return binary.parent.name in ("asan", "tsan", "fuzz")


def test_one_locked_in_decoder_a_worker(serve, binary):
    server = serve("--workers", "3")
    pids = decoders_of(server)
    assert len(pids) == 3
    for pid in pids:
        status = status_of(pid)
        assert status["NoNewPrivs"].strip() == "1"
        assert status["Seccomp"].strip() == "2"
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        for name in ("Max file size", "Max open files", "Max processes", "Max core file size")[has_sanitizer(binary):]:
            assert re.search(rf"^{name} +0 +0 ", limits, re.MULTILINE), name
        assert not re.search(r"^Max address space +unlimited", limits, re.MULTILINE)
    entry, = (line for line in log_of(server) if line["event"] == "sandbox")
    assert (entry["decoders"], entry["seccomp"]) == (3, True)
    assert entry["landlock_abi"] >= 0
    assert server.post(png(1)).status == 200
    assert server.stop() == 0
    assert not any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids)


def test_a_crashing_image_is_422_and_the_next_is_scored(serve):
    """Decoders are stopped, so that the image waits in one when they are killed."""
    server = serve("--workers", "2")
    for i in range(10):
        with decoders_held(server):
            answers = []
            client = threading.Thread(target=lambda: answers.append(server.post(png(2 * i))))
            client.start()
            until = time.monotonic() + PATIENCE_S
            while sum(line["event"] == "job_submitted" for line in log_of(server)) < 1 + 3 * i:
                assert time.monotonic() < until
                time.sleep(0.01)
            time.sleep(0.3)  # from there into a decoder
            for pid in decoders_of(server):
                os.kill(pid, signal.SIGKILL)
        client.join(PATIENCE_S)
        detail = answers[0].problem(422, "image_corrupt")
        assert detail == "the decoder ended on this image, by signal 9"
        assert server.post(png(2 * i + 1)).status == 200
        assert server.post(png(2 * i)).status == 200  # it was not the image's fault, and a failure is not kept
        assert server.get("/livez").status == 200
    assert server.stop() == 0


def test_decoders_that_are_killed_while_idle_cost_nothing(serve):
    server = serve("--workers", "2")
    for i in range(5):
        for pid in decoders_of(server):
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
        many = server.post_many([png(10 * i + k) for k in range(4)])
        assert many.status == 200 and many.json["succeeded_count"] == 4


def test_decoders_end_with_the_server(serve):
    server = serve("--workers", "2")
    pids = decoders_of(server)
    assert server.stop(signal.SIGKILL) == -signal.SIGKILL
    until = time.monotonic() + PATIENCE_S
    while any(pathlib.Path(f"/proc/{pid}").exists() and status_of(pid)["State"].split()[0] != "Z" for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.02)


def test_signals_to_the_whole_group_let_images_end(serve, tmp_path):
    """An interrupt at a terminal reaches every process of the group; a service manager's SIGTERM, of the unit."""
    server = serve("--workers", "1")
    for pid in decoders_of(server):
        os.kill(pid, signal.SIGINT)
        os.kill(pid, signal.SIGTERM)
    media_type, body = images_and_recipe([png(k) for k in range(3)], {"views": 64})
    answer = server.post(body, media_type, prefer="respond-async")
    assert answer.status == 202
    job = server.await_job(answer.headers["Location"])
    assert job["succeeded_count"] == 3


def test_with_and_without_the_same_score(serve, tmp_path):
    with_sandbox = serve()
    names = ["rgb.png", "orientation6.jpg", "progressive.jpg"]
    scores = [with_sandbox.post(image(name), "image/jpeg" if name.endswith("jpg") else "image/png").json
              for name in names]
    assert with_sandbox.stop() == 0
    for path in tmp_path.glob("test.db*"):
        path.unlink()
    without = serve("--sandbox", "off")
    assert decoders_of(without) == []
    assert "sandbox_off" in [line["event"] for line in log_of(without)]
    for name, score in zip(names, scores):
        again = without.post(image(name), "image/jpeg" if name.endswith("jpg") else "image/png").json
        assert again["from_history"] is False
        for field in ("image", "m", "m_se", "m_low", "m_high", "f", "g", "recipe", "provenance"):
            assert again[field] == score[field]


def test_without_a_sandbox_no_start(binary, pairs_folder, tmp_path):
    """Too few descriptors, here."""
    code = ("import os, resource, sys; resource.setrlimit(resource.RLIMIT_NOFILE, (12, 12));"
            "os.execv(sys.argv[1], sys.argv[1:])")
    command = ["/usr/bin/python3", "-c", code, binary, "serve", "--listen", "127.0.0.1:0", "--workers", "8",
               "--pairs", pairs_folder, "--db", tmp_path / "test.db"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 1
    assert re.search(r"^sslmem serve: decoder: .*: Too many open files \(--sandbox off would do without\)$",
                     done.stderr, re.MULTILINE), done.stderr
    assert "listening" not in done.stdout
    wrong = subprocess.run([binary, "serve", "--sandbox", "maybe"], capture_output=True, text=True)
    assert wrong.returncode == 2
    assert "--sandbox is maybe, must be one of required|off" in wrong.stderr


@pytest.mark.parametrize("name", ["open", "create", "socket", "fork", "exec", "kill", "ptrace",
                                  "executable-memory", "descriptor", "limits"])
def test_what_a_decoder_cannot_do(binary, name):
    # One thread, as decoders are started with: BLAS makes others before main.
    done = subprocess.run([binary, "decode-helper", "--try", name], capture_output=True, text=True,
                          env={"OPENBLAS_NUM_THREADS": "1"})
    assert done.returncode == -signal.SIGSYS or (has_sanitizer(binary) and done.returncode == 4)
    assert done.stdout == ""


def test_the_command_is_not_for_people(binary):
    done = subprocess.run([binary, "decode-helper"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "decode-helper" not in subprocess.run([binary, "--help"], capture_output=True, text=True).stdout
