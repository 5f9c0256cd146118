"""`sslmem audit`: the same audit here and at a server, stopped and killed in its middle, and every wrong way to ask."""

import http.server
import json
import os
import pty
import re
import resource
import shutil
import signal
import socket
import sqlite3
import subprocess
import threading
import time

import pytest

from conftest import PAIRS, PATIENCE_S, png

pytestmark = pytest.mark.threads  # a local audit scores on every core, and a remote one is cut off and taken up again

KEY = "00112233445566778899aabbccddeeff" * 2


@pytest.fixture
def cohorts(tmp_path):
    """make(n): folders of n distinct images for each cohort, and the options that name them."""
    def make(n, names=("candidate", "external"), first=0):
        options = []
        for k, name in enumerate(names):
            folder = tmp_path / f"images-{first}" / name
            folder.mkdir(parents=True)
            for i in range(n):
                (folder / f"{i:04}.png").write_bytes(png(first + k * n + i))
            options += [f"--{name}", folder]
        return options
    return make


@pytest.fixture
def audit(binary):
    def audit(*arguments, code=0):
        done = subprocess.run([binary, "audit", *map(str, arguments)], capture_output=True, text=True,
                              timeout=2 * PATIENCE_S)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done
    return audit


@pytest.fixture
def key(tmp_path):
    path = tmp_path / "key"
    path.write_text(KEY + "\n")
    path.chmod(0o600)
    return path


def here(out, *options, pair="resnet"):
    return ["--pair", PAIRS / pair, "--out", out, *options]


def report(out):
    return json.loads((out / "report.json").read_text())


def without_run(out):
    """The record but for what tells runs apart: it stands on a line of its own."""
    text = (out / "report.json").read_text()
    kept = re.sub(r'\n"run":[^\n]*', "", text)
    assert len(kept) < len(text)
    return kept


def scored(out):
    """(scored items, items) of a database that another process may be writing."""
    try:
        db = sqlite3.connect(f"file:{out}/audit.db?mode=ro", uri=True, timeout=10)
        with db:
            return db.execute("SELECT count(*) FILTER (WHERE state = 'succeeded'), count(*) FROM item").fetchone()
    except sqlite3.OperationalError:
        return 0, 0


def stop_midway(binary, arguments, out, number):
    """Starts an audit and sends it a signal once some images, and not all, are scored."""
    process = subprocess.Popen([binary, "audit", *map(str, arguments)], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + PATIENCE_S
    while scored(out)[0] < 3 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    process.send_signal(number)
    _, errors = process.communicate(timeout=PATIENCE_S)
    done, total = scored(out)
    assert 3 <= done < total, "the audit is over too soon to be stopped: give it more images"
    return process.returncode, errors


def check_scored_once(out, count):
    db = sqlite3.connect(out / "audit.db")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert db.execute("SELECT count(*), count(DISTINCT score_id) FROM item").fetchone() == (count, count)
    assert db.execute("SELECT count(*) FROM score").fetchone() == (count,)


def test_reports(audit, cohorts, tmp_path):
    out = tmp_path / "out"
    done = audit(*here(out, *cohorts(6, ("candidate", "external", "independent", "shared"))), "--name", "first",
                 "--gate", "failed_share<=0", "--gate", "auc<=1")
    document = report(out)
    assert document["spec"]["name"] == "first" and document["pair"]["name"] == "resnet"
    assert [item["cohort"] for item in document["items"]] == \
        ["shared"] * 6 + ["candidate"] * 6 + ["independent"] * 6 + ["external"] * 6
    assert all("name" not in item for item in document["items"])
    assert document["summary"]["passed"] is True
    for words in ("candidates", "externals", "gate failed_share<=0 holds: 0", f"report: {out}/report.html"):
        assert words in done.stdout
    assert "24 of 24 images" in done.stderr
    assert len((out / "report.csv").read_text().splitlines()) == 25
    assert (out / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert not list(out.glob("*.part"))


def test_progress_on_a_terminal(binary, cohorts, tmp_path):
    """A bar that is drawn over itself, whole at the end, with a line end before what follows."""
    terminal, other_side = pty.openpty()
    process = subprocess.Popen([binary, "audit", *map(str, here(tmp_path / "out", *cohorts(20)))], stdout=subprocess.DEVNULL,
                               stderr=other_side)
    assert process.wait(PATIENCE_S) == 0
    os.close(other_side)
    text = b""
    try:
        while more := os.read(terminal, 65536):
            text += more
    except OSError:  # how the end of a terminal looks
        pass
    os.close(terminal)
    assert text.count(b"\r[") >= 2 and b"[" + 24 * b"#" + b"] 40/40" in text
    assert text.endswith(b"\r\n")


def test_decoders_of_both_formats(audit, cohorts, tmp_path):
    options = cohorts(3)
    shutil.copy("tests/golden/image/files/damaged_segment.jpg", options[1] / "0003.jpg")
    audit(*here(tmp_path / "out", *options))
    record = report(tmp_path / "out")
    assert record["provenance"]["decoders"] == ["libjpeg-turbo-2.1.5", "stb_image-2.27"]
    assert not {"decoder", "variants"} & set(record["provenance"])
    flags = {flag["code"]: flag["text"] for flag in record["summary"]["flags"]}
    assert flags["images_damaged"].startswith("The data of 1 of 7 images is broken"), flags
    assert "libjpeg-turbo-2.1.5" in (tmp_path / "out/report.html").read_text()


def test_same_bits_as_score(binary, audit, cohorts, tmp_path):
    options = cohorts(3)
    audit(*here(tmp_path / "out", *options, "--names", pair="vit"))
    for item in report(tmp_path / "out")["items"]:
        file = dict(zip(options[::2], options[1::2]))["--" + item["cohort"]] / item["name"]
        line = subprocess.run([binary, "score", "--pair", PAIRS / "vit", file], capture_output=True, check=True).stdout
        assert json.loads(line)["m"] == item["m"]


def test_here_as_at_a_server(audit, cohorts, key, serve, tmp_path):
    options = cohorts(5, ("candidate", "external", "shared"))
    folder = options[1]
    (folder / "deep").mkdir()
    (folder / "deep/ü.png").write_bytes(png(900))
    (folder / "notes.txt").write_text("no image")
    (folder / "broken.png").write_bytes(png(901)[:60])
    (folder / "link.png").symlink_to(folder / "0000.png")
    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"views": 4}')
    options += ["--names", "--thumbnails", "--recipe", recipe, "--gate", "auc<=0.99", "--inserted-at-random"]
    server = serve("--digest-key", str(key))
    audit(*here(tmp_path / "here", *options, "--digest-key", key), code=0)
    audit("--pair", "resnet", "--server", f"http://127.0.0.1:{server.port}", "--out", tmp_path / "there", *options)
    assert without_run(tmp_path / "here") == without_run(tmp_path / "there")
    assert (tmp_path / "here/report.csv").read_bytes() == (tmp_path / "there/report.csv").read_bytes()
    names = [item["name"] for item in report(tmp_path / "there")["items"] if item["cohort"] == "candidate"]
    assert names == ["0000.png", "0001.png", "0002.png", "0003.png", "0004.png", "broken.png", "deep/ü.png"]
    failed = [item for item in report(tmp_path / "there")["items"] if "error" in item]
    assert [item["name"] for item in failed] == ["broken.png"]

    # Once more, and by other ways: nothing is computed or sent again.
    before = report(tmp_path / "there")["run"]
    audit("--pair", "resnet", "--server", f"http://127.0.0.1:{server.port}/", "--out", tmp_path / "there", *options)
    assert report(tmp_path / "there")["run"] == before
    for more in (["--top", 3], ["--share", ".5", "--names"], ["--random", 2, "--seed", 5, "--format", "csv"],
                 ["--fdr", ".9", "--format", "jsonl"], ["--top", 4, "--by", "raw", "--format", "csv"]):
        own = ["--digest-key", key]
        assert audit("select", tmp_path / "here", *more, *own).stdout == audit("select", tmp_path / "there", *more).stdout


def test_another_key_names_images_otherwise(audit, cohorts, key, tmp_path):
    options = cohorts(2)
    audit(*here(tmp_path / "a", *options))
    audit(*here(tmp_path / "b", *options))
    audit(*here(tmp_path / "c", *options, "--digest-key", key))
    images = [[item["image"] for item in report(tmp_path / name)["items"]] for name in "abc"]
    assert len({image for row in images for image in row}) == 12
    key.write_text(KEY[:-1])
    done = audit(*here(tmp_path / "c", *options, "--digest-key", key), code=1)
    assert "63 characters, must be 64 hexadecimal digits" in done.stderr and KEY[:8] not in done.stderr


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)])
def test_stopped_and_taken_up(binary, audit, cohorts, key, tmp_path, number, code):
    options = [*cohorts(100), "--workers", 1, "--digest-key", key]
    out = tmp_path / "out"
    result, errors = stop_midway(binary, here(out, *options), out, number)
    assert result == code
    if number != signal.SIGKILL:
        assert errors.endswith("sslmem audit: stopped; the same command goes on from here\n")
    assert not (out / "report.json").exists()
    early = scored(out)[0]
    audit(*here(out, *options))
    check_scored_once(out, 200)
    assert early < 200
    audit(*here(tmp_path / "undisturbed", *options))
    assert without_run(out) == without_run(tmp_path / "undisturbed")


def test_killed_while_images_come(binary, audit, cohorts, tmp_path):
    """Before audit.json there is nothing to lose: the next command begins anew, also with other inputs."""
    options, out = cohorts(500), tmp_path / "out"
    for _ in range(20):
        process = subprocess.Popen([binary, "audit", *map(str, here(out, *options, "--quiet", "--name", "killed"))])
        while scored(out)[1] == 0 and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        process.wait()
        if not (out / "audit.json").exists():
            break
        shutil.rmtree(out)
    assert 0 < scored(out)[1] < 1000 and not (out / "audit.json").exists()
    few = cohorts(3, first=5000)
    audit(*here(out, *few))
    check_scored_once(out, 6)
    assert report(out)["spec"]["name"] == "resnet"


def test_another_choice_under_the_same_name(audit, cohorts, tmp_path):
    """A list or manifest that was written again chooses other images: the old report would answer for them."""
    (_, images, *external), out = cohorts(4), tmp_path / "out"
    chosen, manifest = tmp_path / "chosen.txt", tmp_path / "manifest.jsonl"
    chosen.write_text("0\n1\n")
    options = ["--candidate", f"{images}@{chosen}", *external]
    audit(*here(out, *options))
    again = audit(*here(out, *options))
    assert f"{out} holds this audit: its images are not read again" in again.stderr
    chosen.write_text("0\n1\n2\n")
    done = audit(*here(out, *options), code=1)
    assert 'holds an audit with candidate_file_digest "' in done.stderr and "give another --out" in done.stderr
    audit(*here(tmp_path / "other", *options))
    lines = [json.dumps({"cohort": ("candidate", "external")[i % 2], "path": f"{i:04}.png"}) + "\n" for i in range(4)]
    manifest.write_text("".join(lines))
    options, out = ["--manifest", manifest, "--root", images], tmp_path / "listed"
    audit(*here(out, *options))
    state = json.loads((out / "audit.json").read_text())
    manifest.write_text("".join(lines[:3]))
    done = audit(*here(out, *options), code=1)
    assert 'holds an audit with manifest_file_digest "' in done.stderr
    del state["inputs"]["manifest_file_digest"]  # as an earlier version wrote it
    (out / "audit.json").write_text(json.dumps(state))
    audit(*here(out, *options))


def test_another_audit_in_out(audit, cohorts, tmp_path):
    options, out = cohorts(2), tmp_path / "out"
    audit(*here(out, *options))
    before = (out / "report.json").read_bytes()
    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"views": 3}')
    for more, what in ((["--gate", "auc<=0.6"], "gates [], not [\"auc<=0.6\"]"), (["--recipe", recipe], "recipe \""),
                       (["--name", "x"], "name \"resnet\", not \"x\""), (["--candidate", options[3]], "candidate \""),
                       (["--shared", options[3]], "shared \"\", not \"")):
        done = audit(*here(out, *options, *more), code=1)
        assert f"holds an audit with {what}" in done.stderr and "give another --out" in done.stderr
    done = audit(*here(out, *options, pair="vit"), code=1)
    assert "holds an audit with " in done.stderr
    assert (out / "report.json").read_bytes() == before
    (out / "audit.json").unlink()
    assert "and its audit.json is not there" in audit(*here(out, *options), code=1).stderr


def test_two_at_once(binary, cohorts, audit, tmp_path):
    options, out = cohorts(60), tmp_path / "out"
    first = subprocess.Popen([binary, "audit", *map(str, here(out, *options, "--workers", 1, "--quiet"))])
    while scored(out)[0] < 1 and first.poll() is None:
        time.sleep(0.002)
    done = audit(*here(out, *options), code=1)
    assert done.stderr == f"sslmem audit: out folder {out}: another audit is at work in it\n"
    assert first.wait(PATIENCE_S) == 0


@pytest.mark.parametrize("room", [40, 150])
def test_disk_full(binary, audit, cohorts, key, tmp_path, room):
    """A database that may not grow by more than `room` KiB: a clear end, and nothing lost once there is room."""
    options, out = [*cohorts(300), "--digest-key", key, "--workers", 1], tmp_path / "out"
    process = subprocess.Popen([binary, "audit", *map(str, here(out, *options, "--quiet"))], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + PATIENCE_S
    while scored(out)[0] < 1 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    largest = max(path.stat().st_size for path in out.glob("audit.db*"))
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (largest + room * 1024, resource.RLIM_INFINITY))
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert re.search("cannot be written", errors), errors
    assert scored(out)[0] < 600
    audit(*here(out, *options))
    check_scored_once(out, 600)


def test_gates(audit, cohorts, tmp_path):
    done = audit(*here(tmp_path / "out", *cohorts(4), "--gate", "auc<0", "--gate", "auc>=0", "--quiet"), code=3)
    lines = done.stdout.splitlines()
    assert lines[0].startswith("gate auc<0 FAILS: 0.")
    assert lines[1:] and all(line.startswith("flag ") for line in lines[1:])
    assert done.stderr == ""
    assert report(tmp_path / "out")["summary"]["passed"] is False


def test_manifest(audit, cohorts, serve, tmp_path, key):
    cohorts(4, first=50)
    root = tmp_path / "images-50"
    lines = [{"cohort": c, "path": f"{c}/{i:04}.png", "class": f"c{i % 2}", "group": "g"}
             for c in ("candidate", "external") for i in range(4)]
    lines += [{"cohort": "stranger", "path": "candidate/0000.png"}, {"cohort": "external", "path": "../key"},
              {"cohort": "external", "path": "none.png"}]
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = audit(*here(tmp_path / "here", "--manifest", manifest, "--root", root, "--digest-key", key))
    assert f"{manifest}: 8 images, 3 skipped" in done.stderr
    for text in ("line 9: ", "line 10: ", "line 11: "):
        assert text in done.stderr
    assert [item["class"] for item in report(tmp_path / "here")["items"]] == ["c0", "c1"] * 4
    server = serve("--data-root", str(root), "--digest-key", str(key))
    audit("--pair", "resnet", "--server", f"http://127.0.0.1:{server.port}", "--out", tmp_path / "there", "--manifest",
          manifest)
    assert without_run(tmp_path / "here") == without_run(tmp_path / "there")


def test_nothing_of_a_manifest(audit, serve, tmp_path):
    """Here and at a server a manifest of which every line is skipped is a mistake, told with the reasons."""
    root, manifest = tmp_path / "root", tmp_path / "manifest.jsonl"
    root.mkdir()
    (root / "a.png").write_text("no image")
    manifest.write_text('{"cohort": "candidate", "path": "a.png"}\n{"cohort": "external", "path": "none.png"}\nno line\n')
    server = serve("--data-root", root)
    reasons = {"1 not_an_image", "1 file_missing", "1 line_invalid"}
    for options in (here(tmp_path / "here", "--root", root),
                    ["--pair", "resnet", "--server", f"http://127.0.0.1:{server.port}", "--out", tmp_path / "there"]):
        done = audit(*options, "--manifest", manifest, code=1)
        told = done.stderr.splitlines()[-1].partition("0 images (JPEG, PNG), 3 skipped: ")[2]
        assert set(told.split(", ")) == reasons, done.stderr
    assert server.get("/v1/audits").json["audits"] == []


def test_compare(audit, cohorts, tmp_path):
    options = cohorts(8)
    audit(*here(tmp_path / "a", *options))
    audit(*here(tmp_path / "b", *options, pair="vit"))
    document = json.loads(audit("compare", tmp_path / "a", tmp_path / "b").stdout)
    assert [row["pair"] for row in document["audits"]] == ["resnet", "vit"]
    assert document["pairs"][0]["joint"] == 16
    audit(*here(tmp_path / "c", *cohorts(3, first=500)))
    assert audit("compare", tmp_path / "a", tmp_path / "c", code=1).stderr.startswith("sslmem audit compare: ")
    assert "no audit.json" in audit("compare", tmp_path / "a", tmp_path, code=1).stderr


def test_compare_at_a_server(audit, cohorts, serve, tmp_path):
    options, server = cohorts(4), serve()
    url = f"http://127.0.0.1:{server.port}"
    for pair in ("resnet", "vit"):
        audit("--pair", pair, "--server", url, "--out", tmp_path / pair, *options)
    document = json.loads(audit("compare", tmp_path / "resnet", tmp_path / "vit").stdout)
    assert [row["pair"] for row in document["audits"]] == ["resnet", "vit"] and document["pairs"][0]["joint"] == 8
    audit(*here(tmp_path / "here", *options))
    said = audit("compare", tmp_path / "resnet", tmp_path / "here", code=1).stderr
    assert "were not made in the same place: run one again where the other was;" in said and "both databases have the same --digest-key\n" in said


def test_select(audit, cohorts, tmp_path):
    out = tmp_path / "out"
    audit(*here(out, *cohorts(6)))
    candidates = [item for item in report(out)["items"] if item["cohort"] == "candidate"]
    by_m = sorted(candidates, key=lambda item: -item["m"])
    ranked = sorted(candidates, key=lambda item: -item["shrunken"])
    assert audit("select", out, "--top", 2, "--by", "raw").stdout == "".join(f"{item['index']}\n" for item in by_m[:2])
    for by in ([], ["--by", "shrunken"]):
        assert audit("select", out, "--top", 2, *by).stdout == "".join(f"{item['index']}\n" for item in ranked[:2])
    names = audit("select", out, "--share", ".5", "--names").stdout.splitlines()
    assert names == [f"{item['index']:04}.png" for item in ranked[:3]]
    control = audit("select", out, "--random", 3, "--seed", 1).stdout
    assert control == audit("select", out, "--random", 3, "--seed", 1).stdout and len(control.splitlines()) == 3
    assert len({audit("select", out, "--random", 3, "--seed", seed).stdout for seed in range(6)}) > 1
    rows = [json.loads(row) for row in audit("select", out, "--top", 6, "--format", "jsonl").stdout.splitlines()]
    assert [row["rank"] for row in rows] == [1, 2, 3, 4, 5, 6]
    for wrong in ([], ["--top", 1, "--share", ".5"], ["--top", 0], ["--top", "x"], ["--share", 0], ["--share", 2],
                  ["--fdr", "nan"], ["--top", 1, "--format", "xml"], ["--top", 1, "--seed", -1], ["--top", 1, "--by", "m"],
                  ["--random", 1, "--by", "raw"]):
        assert audit("select", out, *wrong, code=2).stderr.startswith("sslmem audit select: ")


def test_images_that_fail(audit, cohorts, tmp_path):
    options = cohorts(3)
    for folder in options[1::2]:
        for file in folder.iterdir():
            file.write_bytes(file.read_bytes()[:60])
    done = audit(*here(tmp_path / "out", *options), code=1)
    assert "no image could be scored" in done.stderr
    assert report(tmp_path / "out")["summary"]["images"]["failed"] == 6


def test_wrong_usage(audit, cohorts, tmp_path):
    candidate, external = cohorts(1)[1::2]
    for arguments, text in (
            ([], "missing option --pair"), (["--pair", "x"], "missing option --out"),
            (here("o"), "say where the images are"), (here("o", "--candidate", candidate), "say where the images are"),
            (here("o", "--candidate", candidate, "--external", external, "--reference", "independent"),
             "say where the images are"),
            (here("o", "--candidate", candidate, "--external", external, "--frob"), "unknown option --frob"),
            (here("o", "--candidate", candidate, "--external", external, "more"), "too many operands"),
            (here("o", "--candidate", candidate, "--external", external, "--gate", "auc"), "/gates/0: "),
            (here("o", "--candidate", candidate, "--external", external, "--reference", "shared"), "/reference: "),
            (here("o", "--candidate", candidate, "--external", external, "--workers", "x"), "--workers is x"),
            (here("o", "--candidate", candidate, "--external", external, *["--gate", "auc<1"] * 17), "too many: --gate"),
            (here("o", "--manifest", "m"), "--manifest and --root go together"),
            (here("o", "--candidate", candidate, "--external", external, "--root", "."), "--manifest and --root go"),
            (here("o", "--manifest", "m", "--root", ".", "--server", "http://x"), "--root is for audits without --server"),
            (here("o", "--manifest", "m", "--kernels", "ref", "--server", "http://x"), "the server's own")):
        done = audit(*arguments, code=2)
        assert text in done.stderr and done.stdout == "", (arguments, done.stderr)


def test_wrong_inputs(audit, cohorts, tmp_path):
    options, out = cohorts(2), tmp_path / "out"
    candidate, external = options[1::2]
    empty, other = tmp_path / "empty", tmp_path / "other"
    empty.mkdir()
    other.mkdir()
    (other / "notes.txt").write_text("x")
    for folder, text in ((empty, f"{empty}: 0 images (JPEG, PNG), 0 skipped"),
                         (other, f"{other}: 0 images (JPEG, PNG), 1 skipped: 1 not_an_image"),
                         (tmp_path / "none", f"--external {tmp_path}/none: No such file or directory"),
                         (other / "notes.txt", f"{other}/notes.txt: not a dataset: give a folder, JPEG, PNG, tar, zip, .npy, .npz, "
                          "IDX, CIFAR batch, JSON Lines or .csv"),
                         (f"{candidate}@{tmp_path}/none", f"--external: the list {tmp_path}/none: No such file or directory")):
        done = audit(*here(out, "--candidate", candidate, "--external", folder), code=1)
        assert done.stderr.splitlines()[-1] == f"sslmem audit: {text}"
    assert "pair" in audit(*here(out, *options, pair="none"), code=1).stderr
    assert "/no: No such file or directory" in audit(*here(tmp_path / "no/no", *options), code=1).stderr.replace(
        f"{tmp_path}/no", "")
    audit(*here(out, *options))  # nothing of all this is in the way


def test_no_server(audit, cohorts, tmp_path, binary):
    """It waits for a server that is not there, and can be stopped meanwhile."""
    arguments = ["--pair", "resnet", "--server", "http://127.0.0.1:9", "--out", tmp_path / "out", *cohorts(1)]
    process = subprocess.Popen([binary, "audit", *map(str, arguments)], stderr=subprocess.PIPE, text=True)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE_S) == 130
    assert "127.0.0.1:9" in (said := process.stderr.read()) and "trying again" in said
    process.stderr.close()
    done = audit("--pair", "resnet", "--server", "gopher://x", "--out", tmp_path / "out", *cohorts(1, first=9), code=1)
    assert "gopher://x" in done.stderr


def test_server_says_no(audit, cohorts, serve, tmp_path):
    server = serve()
    url = f"http://127.0.0.1:{server.port}"
    options = cohorts(1)
    at = lambda pair, *more, code: audit("--pair", pair, "--server", url, "--out", tmp_path / "out", *more, code=code)
    assert "there is no pair 'none'; GET /v1/pairs lists them" in at("none", *options, code=1).stderr
    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"views": 257}')
    assert "views is 257" in at("resnet", *options, "--recipe", recipe, code=1).stderr
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "0 images" in at("resnet", "--candidate", options[1], "--external", empty, code=1).stderr
    assert server.get("/v1/audits").json["audits"] == []  # the one that lacked images is not left there
    at("resnet", *options, code=0)
    audits = server.get("/v1/audits").json["audits"]
    assert len(audits) == 1
    server.ask("DELETE", f"/v1/audits/{audits[0]['id']}")
    assert "give another --out" in at("resnet", *options, code=1).stderr


class Moody(http.server.BaseHTTPRequestHandler):
    """Has no room twice, then says what is wrong."""
    seen = []

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.seen.append((time.monotonic(), self.command, self.path, body))
        if len(self.seen) <= 2:
            self.send_response(503)
            self.send_header("Retry-After", "1")
            self.end_headers()
        else:
            text = json.dumps({"detail": "not today"}).encode()
            self.send_response(422)
            self.send_header("Content-Type", "application/problem+json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


def test_asked_again(audit, cohorts, tmp_path):
    """503 is waited out as long as Retry-After says, with the same body each time."""
    Moody.seen.clear()
    with http.server.HTTPServer(("127.0.0.1", 0), Moody) as moody:
        threading.Thread(target=moody.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{moody.server_port}"
        done = audit("--pair", "x", "--server", url, "--out", tmp_path / "out", *cohorts(1), code=1)
        moody.shutdown()
    assert done.stderr == f"sslmem audit: {url}: 422: not today\n"
    assert [row[1:3] for row in Moody.seen] == [("POST", "/v1/audits")] * 3
    assert len({row[3] for row in Moody.seen}) == 1 and json.loads(Moody.seen[0][3])["pair"] == "x"
    assert all(later[0] - earlier[0] >= 1 for earlier, later in zip(Moody.seen, Moody.seen[1:]))


class Hasty(http.server.BaseHTTPRequestHandler):
    """Hangs up on the first, is still at it on the second, and then says what is wrong."""
    keys = []

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.keys.append(self.headers["Idempotency-Key"])
        if len(self.keys) == 1:
            return
        self.send_response(409 if len(self.keys) == 2 else 422)
        if len(self.keys) == 2:
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_post_that_broke_off(audit, cohorts, tmp_path):
    """Is sent again under the same key, which the server knows whether it has done."""
    Hasty.keys.clear()
    with http.server.HTTPServer(("127.0.0.1", 0), Hasty) as hasty:
        threading.Thread(target=hasty.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{hasty.server_port}"
        done = audit("--pair", "x", "--server", url, "--out", tmp_path / "out", *cohorts(1), code=1)
        hasty.shutdown()
    assert done.stderr == f"sslmem audit: {url}: 422: no problem document\n"
    assert len(Hasty.keys) == 3 and len(set(Hasty.keys)) == 1 and len(Hasty.keys[0].strip('"')) == 36


def test_server_restarts_meanwhile(binary, cohorts, key, pairs_folder, tmp_path):
    """kill -9 of the service in the middle: the command waits for it and gets the whole audit."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [binary, "serve", "--listen", address, "--pairs", pairs_folder, "--db", tmp_path / "test.db", "--workers", "1"]
    spawn = lambda: subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    server, out = spawn(), tmp_path / "out"
    process = subprocess.Popen([binary, "audit", "--pair", "resnet", "--server", f"http://{address}", "--out", out, "--quiet",
                                *cohorts(100)])
    until = time.monotonic() + PATIENCE_S
    while not (out / "audit.json").exists() and time.monotonic() < until:
        time.sleep(0.005)
    for _ in range(3):
        time.sleep(0.3)
        server.kill()
        server.wait()
        server = spawn()
    try:
        assert process.wait(2 * PATIENCE_S) == 0
        assert report(out)["summary"]["images"]["scored"] == 200
    finally:
        process.kill()
        server.kill()
        server.wait()


def test_server_gone_meanwhile(audit, cohorts, serve, binary, tmp_path):
    """Stopped while the server works: the server goes on, and the same command finds it done."""
    server = serve("--workers", "1")
    url = f"http://127.0.0.1:{server.port}"
    arguments = ["--pair", "resnet", "--server", url, "--out", tmp_path / "out", *cohorts(100), "--quiet"]
    process = subprocess.Popen([binary, "audit", *map(str, arguments)], stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + PATIENCE_S
    while not (tmp_path / "out/audit.json").exists() and time.monotonic() < until:
        time.sleep(0.005)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143 and errors.endswith("and the server does meanwhile\n")
    audit(*arguments)
    assert report(tmp_path / "out")["summary"]["images"]["scored"] == 200
    assert len(server.get("/v1/audits").json["audits"]) == 1
