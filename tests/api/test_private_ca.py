"""`sslmem audit --server https://…` where the operator is his own certificate authority."""

import os
import subprocess

import pytest

from conftest import PATIENCE_S, png


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


NEW_KEY = ["-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]


def authority(folder, name):
    folder = folder / name
    folder.mkdir()
    openssl("req", "-x509", *NEW_KEY, "-keyout", folder / "ca.key", "-out", folder / "ca.pem", "-days", "30", "-subj",
            f"/CN={name}", "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign")
    return folder


def certificate(folder, ca, name, names, days=30):
    """Signed by `ca` for `names`."""
    extensions = folder / f"{name}.ext"
    extensions.write_text(f"subjectAltName={names}\nbasicConstraints=CA:FALSE\n")
    openssl("req", *NEW_KEY, "-keyout", folder / f"{name}.key", "-out", folder / f"{name}.csr", "-subj", f"/CN={name}")
    openssl("x509", "-req", "-in", folder / f"{name}.csr", "-CA", ca / "ca.pem", "-CAkey", ca / "ca.key", "-CAcreateserial",
            "-days", days, "-extfile", extensions, "-out", folder / f"{name}.pem")
    (folder / f"{name}.key").chmod(0o600)
    return ["--tls-cert", folder / f"{name}.pem", "--tls-key", folder / f"{name}.key"]


@pytest.fixture
def cas(tmp_path):
    return authority(tmp_path, "own"), authority(tmp_path, "other")


@pytest.fixture
def images(tmp_path):
    options = []
    for k, cohort in enumerate(("candidate", "external")):
        (tmp_path / cohort).mkdir()
        (tmp_path / cohort / "a.png").write_bytes(png(k))
        options += [f"--{cohort}", tmp_path / cohort]
    return options


@pytest.fixture
def audit(binary):
    def audit(*arguments, code, **variables):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("SSL")}
        done = subprocess.run([binary, "audit", *map(str, arguments)], capture_output=True, text=True, timeout=PATIENCE_S,
                              env=clean | {name: str(value) for name, value in variables.items()})
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done
    return audit


def requests_of(server):
    return (server.folder / "stderr").read_text().count('"event":"request"')


def test_private_ca(audit, cas, images, serve, tmp_path):
    own, other = cas
    server = serve(*certificate(tmp_path, own, "here", "DNS:localhost,IP:127.0.0.1"))

    def ask(out, *more, code=0, host="127.0.0.1", **variables):
        return audit("--pair", "resnet", "--server", f"https://{host}:{server.port}", "--out", tmp_path / out, *images, *more,
                     code=code, **variables).stderr.splitlines()[-1:]

    for i, (more, variables) in enumerate([
            ((), {}), (("--ca-file", other / "ca.pem"), {}), ((), {"SSL_CERT_FILE": other / "ca.pem"}),
            (("--ca-file", other / "ca.pem"), {"SSL_CERT_FILE": own / "ca.pem"})]):
        line, = ask(f"refused-{i}", *more, code=1, **variables)
        assert "issuer is unknown" in line and "--ca-file" in line
    assert requests_of(server) == 0
    ask("option", "--ca-file", own / "ca.pem", SSL_CERT_FILE=other / "ca.pem")
    ask("name", "--ca-file", own / "ca.pem", host="localhost")
    ask("variable", SSL_CERT_FILE=own / "ca.pem")
    both = tmp_path / "both.pem"
    both.write_text((other / "ca.pem").read_text() + (own / "ca.pem").read_text())
    ask("both", "--ca-file", both)
    for command in (["select", tmp_path / "option", "--top", "1"], ["compare", tmp_path / "option", tmp_path / "variable"]):
        assert "issuer is unknown" in audit(*command, code=1).stderr
        audit(*command, "--ca-file", own / "ca.pem", code=0)
        audit(*command, code=0, SSL_CERT_FILE=own / "ca.pem")


@pytest.mark.parametrize("names,days,text", [
    ("DNS:elsewhere.example", 30, "does not match"), ("IP:127.0.0.2", 30, "does not match"),
    ("DNS:localhost,IP:127.0.0.1", -1, "expired")])
def test_certificates_that_are_not_good(audit, cas, images, serve, tmp_path, names, days, text):
    own, _ = cas
    server = serve(*certificate(tmp_path, own, "bad", names, days))
    done = audit("--pair", "resnet", "--server", f"https://127.0.0.1:{server.port}", "--out", tmp_path / "out", *images,
                 "--ca-file", own / "ca.pem", code=1)
    assert text in done.stderr, done.stderr
    assert requests_of(server) == 0


def test_files_that_vouch_for_nobody(audit, images, tmp_path):
    text = tmp_path / "text.pem"
    text.write_text("no certificate")

    def ask(url, *more, code=1, **variables):
        return audit("--pair", "resnet", "--server", url, "--out", tmp_path / "out", *images, *more, code=code,
                     **variables).stderr

    url = "https://127.0.0.1:9"
    assert f"--ca-file: {tmp_path}/none: No such file" in ask(url, "--ca-file", tmp_path / "none")
    assert f"--ca-file: {text} has no certificate in PEM" in ask(url, "--ca-file", text)
    assert f"SSL_CERT_FILE: {text} has no certificate in PEM" in ask(url, SSL_CERT_FILE=text)
    assert "http://127.0.0.1:9 is not https" in ask("http://127.0.0.1:9", "--ca-file", text)
    assert "--ca-file is for --server" in audit("--pair", "x", "--out", tmp_path / "out", *images, "--ca-file", text, code=2).stderr
