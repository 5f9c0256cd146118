"""The configuration of the real binary: what it prints reads back, what it refuses and how it says so."""

import json
import os
import subprocess

import pytest

from conftest import ROOT


def serve(binary, *options, **variables):
    return subprocess.run([binary, "serve", *options], env=variables, capture_output=True, text=True, timeout=60)


def test_example_is_what_the_binary_prints(binary):
    assert serve(binary, "--print-config").stdout == (ROOT / "deploy/sslmem.json").read_text()


def test_example_is_good(binary):
    done = serve(binary, "--check-config", "--config", ROOT / "deploy/sslmem.json")
    assert (done.returncode, done.stdout, done.stderr) == (0, "the configuration is good\n", "")


def test_printed_reads_back(binary, tmp_path):
    """Values from all sources, printed, are the same values from the file alone."""
    (tmp_path / "a.json").write_text(json.dumps({"db": "file.db", "limits": {"images_max": 7, "queue_max": 8}}))
    first = serve(binary, "--print-config", "--config", tmp_path / "a.json", "--http-threads", "3",
                  SSLMEM_QUEUE_MAX="9")
    printed = json.loads(first.stdout)
    assert (printed["db"], printed["http_threads"]) == ("file.db", 3)
    assert (printed["limits"]["images_max"], printed["limits"]["queue_max"]) == (7, 9)
    (tmp_path / "b.json").write_text(first.stdout)
    assert serve(binary, "--print-config", SSLMEM_CONFIG=str(tmp_path / "b.json")).stdout == first.stdout


@pytest.mark.parametrize("option", ["--check-config", "--print-config", None])
def test_refusals(binary, tmp_path, option):
    options = [option] if option else []
    path = tmp_path / "bad.json"
    path.write_text('{"limits": {"queue_max": 0}}')
    done = serve(binary, "--config", path, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"sslmem serve: {path}: limits/queue_max is 0, must be a whole number from 1 to 10000000\n"
    path.write_text('{"limit": {}}')
    done = serve(binary, "--config", path, *options)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"sslmem serve: {path}: key limit is unknown; ")
    done = serve(binary, "--config", tmp_path / "none.json", *options)
    assert (done.returncode, done.stdout) == (1, "")
    assert str(tmp_path / "none.json") in done.stderr


def test_check_starts_nothing(binary, tmp_path):
    done = serve(binary, "--check-config", "--db", tmp_path / "a.db", "--pairs", tmp_path / "none")
    assert done.returncode == 0
    assert os.listdir(tmp_path) == []


def test_help_has_every_setting(binary):
    text = serve(binary, "--help").stdout
    printed = json.loads(serve(binary, "--print-config").stdout)
    keys = [key for key, value in printed.items() if not isinstance(value, dict)]
    keys += [f"{section}/{key}" for section, values in printed.items() if isinstance(values, dict)
             for key in values]
    for key in keys:
        assert f"in the file {key}\n" in text
        assert f"--{key.split('/')[-1].replace('_', '-')} VALUE\n" in text
