"""The configuration of the real binary: what it prints reads back, what it refuses and how it says so."""

import itertools
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
    done = serve(binary, "--check-config", "--config", ROOT / "deploy/sslmem.json", "--pairs", ROOT / "deploy/demo/pairs")
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


@pytest.fixture
def good(tmp_path):
    """Everything that a configuration can name, and the options that name it."""
    for folder in ("pairs", "data", "run", "db"):
        (tmp_path / folder).mkdir()
    (tmp_path / "digest.key").write_text("0" * 64 + "\n")
    (tmp_path / "digest.key").chmod(0o600)
    certificate(tmp_path / "tls")
    return {"--db": tmp_path / "db/a.db", "--pairs": tmp_path / "pairs", "--data-root": tmp_path / "data",
            "--admin-listen": f"unix:{tmp_path}/run/admin", "--digest-key": tmp_path / "digest.key",
            "--tls-cert": tmp_path / "tls.pem", "--tls-key": tmp_path / "tls.key"}


def certificate(path, days=30):
    for command in (["req", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", f"{path}.key",
                     "-out", f"{path}.csr", "-subj", "/CN=x"],
                    ["x509", "-req", "-in", f"{path}.csr", "-signkey", f"{path}.key", "-days", str(days), "-out", f"{path}.pem"]):
        subprocess.run(["openssl", *command], check=True, capture_output=True)
    os.chmod(f"{path}.key", 0o600)


def check(binary, options):
    return serve(binary, "--check-config", *itertools.chain(*options.items()))


def test_check_starts_nothing(binary, good, tmp_path):
    before = sorted(tmp_path.rglob("*"))
    done = check(binary, good)
    assert (done.returncode, done.stdout, done.stderr) == (0, "the configuration is good\n", "")
    assert sorted(tmp_path.rglob("*")) == before


def bad_files(tmp_path):
    """(option, value or None, how it is made bad, what is said)"""
    none, text, other = tmp_path / "none", tmp_path / "text", tmp_path / "other"
    missing = "No such file or directory"
    return [
        ("--pairs", none, None, f"--pairs {none}: {missing}: name the folder"), ("--pairs", text, None, f"--pairs {text} is not a folder"),
        ("--db", none / "a.db", None, f"db: {none}: {missing}"), ("--db", text, None, f"{text} is no SQLite database"),
        ("--db", tmp_path / "db", None, f"database {tmp_path}/db is not a file"),
        ("--data-root", none, None, f"data-root: {none}: {missing}"),
        ("--admin-listen", f"unix:{none}/admin", None, f"admin-listen: {none}: {missing}"),
        ("--admin-listen", f"unix:{text}", None, f"admin-listen: {text} is there and is no socket"),
        ("--digest-key", none, None, f"{none}: {missing}"),
        ("--digest-key", None, lambda: (tmp_path / "digest.key").chmod(0o640), "has mode 640"),
        ("--digest-key", None, lambda: (tmp_path / "digest.key").write_text("0" * 63), "63 characters, must be 64"),
        ("--tls-cert", none, None, f"{none}: {missing}"), ("--tls-key", none, None, f"{none}: {missing}"),
        ("--tls-cert", text, None, f"{text} is no certificate"), ("--tls-key", text, lambda: text.chmod(0o600), f"{text} is no key"),
        ("--tls-key", None, lambda: (tmp_path / "tls.key").chmod(0o644), "tls.key has mode 644"),
        ("--tls-key", tmp_path / "other.key", lambda: certificate(other), "other.key is not the key of the certificate"),
        ("--tls-cert", None, lambda: certificate(tmp_path / "tls", days=-1), "tls.pem has expired"),
    ]


@pytest.mark.parametrize("i", range(18))
def test_check_looks_at_what_is_named(binary, good, tmp_path, i):
    (tmp_path / "text").write_text("no database, no key, and no folder")
    option, value, spoil, text = bad_files(tmp_path)[i]
    if spoil is not None:
        spoil()
    done = check(binary, good | ({option: value} if value else {}))
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1 and text in done.stderr, done.stderr


def test_check_says_all_that_is_wrong(binary, good, tmp_path):
    none = tmp_path / "none"
    done = check(binary, good | {"--pairs": none, "--data-root": none, "--digest-key": none})
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_check_of_a_folder_that_is_not_writable(binary, good, tmp_path):
    (tmp_path / "db").chmod(0o500)
    done = check(binary, good)
    assert done.returncode == 1 and f"db: {tmp_path}/db: Permission denied" in done.stderr


def test_help_has_every_setting(binary):
    text = serve(binary, "--help").stdout
    printed = json.loads(serve(binary, "--print-config").stdout)
    keys = [key for key, value in printed.items() if not isinstance(value, dict)]
    keys += [f"{section}/{key}" for section, values in printed.items() if isinstance(values, dict)
             for key in values]
    for key in keys:
        assert f"in the file {key}\n" in text
        assert f"--{key.split('/')[-1].replace('_', '-')} VALUE\n" in text
