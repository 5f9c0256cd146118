"""Little memory (ulimit -v): every command works or ends with a reason, and OpenBLAS never has threads."""

import os
import resource
import signal
import subprocess
import time

import pytest

from conftest import PAIRS, png
from test_sandbox import decoders_of, has_sanitizer

LIMIT_S = 10
MB = 1 << 20


@pytest.fixture
def limited(binary, tmp_path):
    """Runs the binary with so much address space; returns (exit code, output), or kills what still serves."""
    if has_sanitizer(binary):
        pytest.skip("a sanitizer reserves terabytes of address space")

    def run(memory_bytes, *arguments):
        with open(tmp_path / "output", "w+b") as output:
            process = subprocess.Popen([binary, *map(str, arguments)], stdout=output, stderr=subprocess.STDOUT,
                                       preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (memory_bytes,) * 2))
            until = time.monotonic() + LIMIT_S
            while process.poll() is None and time.monotonic() < until:
                output.seek(0)
                if b"listening on" in output.read():
                    process.send_signal(signal.SIGTERM)
                    break
                time.sleep(0.01)
            try:
                code = process.wait(LIMIT_S)
            finally:
                process.kill()
                process.wait()
            output.seek(0)
            return code, output.read().decode()
    return run


@pytest.mark.parametrize("memory_mb", [100, 150, 200, 250, 300])
def test_every_command_ends(limited, tmp_path, memory_mb):
    (tmp_path / "image.png").write_bytes(png(1))
    commands = {
        "--version": [], "--help": [],
        "inspect": [PAIRS / "resnet/f.pt"],
        "score": ["--pair", PAIRS / "resnet", tmp_path / "image.png"],
        "serve": ["--listen", "127.0.0.1:0", "--pairs", PAIRS, "--db", tmp_path / "memory.db"],
    }
    for name, arguments in commands.items():
        code, output = limited(memory_mb * MB, name, *arguments)
        if code == 0:
            assert output
        else:
            assert code == 1 and name not in ("--version", "--help"), (name, code, output)
            assert (f"sslmem {name}: " in output or '"error":' in output) and "emory" in output, output


def variables_of(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        return dict(entry.split("=", 1) for entry in file.read().decode().split("\0") if entry)


@pytest.mark.parametrize("given", [None, "4"])
def test_blas_has_no_threads_and_the_environment_stays(serve, monkeypatch, given):
    """OpenBLAS reads the variable before main; everything else in the environment is left alone."""
    monkeypatch.setenv("SSLMEM_WAIT_DEFAULT_MS", "1234")
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if given is not None:
        monkeypatch.setenv("OPENBLAS_NUM_THREADS", given)
    server = serve("--workers", "1")
    wanted = dict(os.environ, OPENBLAS_NUM_THREADS="1")
    assert variables_of(server.process.pid) == wanted
    assert server.get("/v1/limits").json["wait_default_ms"] == 1234
    with open(f"/proc/{server.process.pid}/comm") as file:
        assert file.read().strip() == "sslmem"
    for decoder in decoders_of(server):
        assert len(os.listdir(f"/proc/{decoder}/task")) == 1
