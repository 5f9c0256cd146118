"""Datasets as they lie on disk: the same audit here and at a server, cohorts by index lists, raw images over HTTP."""

import io
import json
import os
import re
import struct
import subprocess
import tarfile

import pytest

from conftest import PAIRS, PATIENCE_S, png

pytestmark = pytest.mark.memory  # readers of foreign files run in the command line's own process

GOLDEN = "tests/golden/data"
FOUND = json.load(open(f"{GOLDEN}/expected.json"))["good"]
KEY = "00112233445566778899aabbccddeeff" * 2


@pytest.fixture
def audit(binary):
    def audit(*arguments, code=0):
        done = subprocess.run([binary, "audit", *map(str, arguments)], capture_output=True, text=True, timeout=2 * PATIENCE_S)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done
    return audit


def report(out):
    return json.loads((out / "report.json").read_text())


def without_run(out):
    return re.sub(r'\n"run":[^\n]*', "", (out / "report.json").read_text())


def raw(height, width, channels, pixels):
    return b"\x93SMRAW\r\n" + struct.pack("<III", height, width, channels) + pixels


def test_here_as_at_a_server(audit, serve, tmp_path):
    """Every kind of dataset as a cohort: names and classes are those that Python's readers found."""
    key, recipe = tmp_path / "key", tmp_path / "recipe.json"
    key.write_text(KEY + "\n")
    key.chmod(0o600)
    recipe.write_text('{"views": 2}')
    chosen = f"{GOLDEN}/cifar-10-batches-py:train@{GOLDEN}/lists/train.txt"
    cohorts = {"candidate": chosen, "external": f"{GOLDEN}/numpy/deflated.npz:train",
               "shared": f"{GOLDEN}/archives/shard.tar.gz", "independent": f"{GOLDEN}/folder"}
    found = {**cohorts, "candidate": "cifar-10-batches-py:train@{}/lists/train.txt"}
    options = [x for cohort, data in cohorts.items() for x in (f"--{cohort}", data)] + ["--names", "--recipe", recipe]
    server = serve("--digest-key", str(key))
    audit("--pair", PAIRS / "resnet", "--out", tmp_path / "here", *options, "--digest-key", key)
    audit("--pair", "resnet", "--server", f"http://127.0.0.1:{server.port}", "--out", tmp_path / "there", *options)
    assert without_run(tmp_path / "here") == without_run(tmp_path / "there")
    for cohort, argument in found.items():
        items = [i for i in report(tmp_path / "here")["items"] if i["cohort"] == cohort]
        expected = FOUND[argument.replace(f"{GOLDEN}/", "")]["items"]
        assert [(i["name"], i.get("class") or "", i.get("group") or "") for i in items] == [tuple(e[:3]) for e in expected]
    state = json.loads((tmp_path / "here/audit.json").read_text())
    again = state["again"]
    place, index = again[again.index("--candidate") + 1].split("@")
    assert place.startswith("/") and index.startswith("/")  # so that the command runs from any folder
    listed = [json.loads(line) for line in (tmp_path / "here/manifest.jsonl").read_text().splitlines()]
    assert [row.get("class") for row in listed] == ["cat", "cat", "dog", "dog", None]


def test_too_large_here_as_at_a_server(audit, serve, tmp_path):
    """An image over 16 MiB is a failed item of the audit, counted and named, from whatever it comes."""
    key, recipe, folder = tmp_path / "key", tmp_path / "recipe.json", tmp_path / "folder"
    key.write_text(KEY + "\n")
    key.chmod(0o600)
    recipe.write_text('{"views": 2}')
    folder.mkdir()
    (folder / "a.png").write_bytes(png(1))
    (folder / "large.png").write_bytes(png(2).ljust((16 << 20) + 1, b"\0"))
    (tmp_path / "table.csv").write_text("path,class\nfolder/a.png,x\nfolder/large.png,y\n")
    with tarfile.open(tmp_path / "packed.tar", "w") as archive:
        for name in ("large.png", "a.png"):
            archive.add(folder / name, name)
    cohorts = {"candidate": tmp_path / "table.csv", "external": folder, "shared": tmp_path / "packed.tar"}
    options = [x for cohort, data in cohorts.items() for x in (f"--{cohort}", data)] + ["--names", "--recipe", recipe]
    server = serve("--digest-key", str(key))
    here = audit("--pair", PAIRS / "resnet", "--out", tmp_path / "here", *options, "--digest-key", key)
    there = audit("--pair", "resnet", "--server", f"http://127.0.0.1:{server.port}", "--out", tmp_path / "there", *options)
    for out, done in (("here", here), ("there", there)):
        items = report(tmp_path / out)["items"]
        failed = {(i["cohort"], i["name"], i.get("class")) for i in items if "error" in i}
        assert failed == {("candidate", "folder/large.png", "y"), ("external", "large.png", None), ("shared", "large.png", None)}
        assert len(items) == 6 and done.stderr.count(": 1 images, 1 not readable") == 3, done.stderr
    assert without_run(tmp_path / "here") == without_run(tmp_path / "there")


def test_index_lists_choose_cohorts(audit, tmp_path):
    """One file in two cohorts; the report has each image once, and says where it stood."""
    data = f"{GOLDEN}/cifar-10-batches-py:train"
    (tmp_path / "in.txt").write_text("0 1 2\n")
    (tmp_path / "out.txt").write_text("12\n13\n14\n")
    audit("--pair", PAIRS / "resnet", "--out", tmp_path / "out", "--candidate", f"{data}@{tmp_path}/in.txt", "--external",
          f"{data}@{tmp_path}/out.txt", "--names")
    names = {(i["cohort"], i["name"]) for i in report(tmp_path / "out")["items"]}
    assert names == {("candidate", f"train#0000{i}") for i in (0, 1, 2)} | {("external", f"train#000{i}") for i in (12, 13, 14)}
    for text, problem in (("15\n", "line 1: index 15, the dataset has 15 images, so the last is 14"),
                          ("3\n4\n3\n", "index 3 stands twice, on lines 1 and 3"),
                          ("[1]\n", "line 1: byte 0x5b at 0 is not of a list of indices")):
        (tmp_path / "bad.txt").write_text(text)
        done = audit("--pair", PAIRS / "resnet", "--out", tmp_path / "bad", "--candidate", f"{data}@{tmp_path}/bad.txt",
                     "--external", f"{data}@{tmp_path}/out.txt", code=1)
        assert f"sslmem audit: {GOLDEN}/cifar-10-batches-py: bad.txt: {problem}" in done.stderr


def test_a_table_of_another_cohort(audit, tmp_path):
    (tmp_path / "a.png").write_bytes(png(1, 16))
    (tmp_path / "x.jsonl").write_text('{"path": "a.png", "cohort": "shared"}\n')
    done = audit("--pair", PAIRS / "resnet", "--out", tmp_path / "out", "--candidate", tmp_path / "x.jsonl", "--external",
                 f"{GOLDEN}/folder", code=1)
    assert "image 0, a.png, is of cohort shared and given as candidate: name the table with --manifest" in done.stderr


def test_webdataset_archive_over_http(serve):
    server = serve()
    where = server.ask("POST", "/v1/audits", json.dumps({"name": "n", "pair": "resnet"}),
                       {"Content-Type": "application/json"}).headers["Location"]
    out = io.BytesIO()
    entries = [("a.png", png(1, 16)), ("a.cls", b"5\n"), ("b.json", b'{"label": "cat", "group": "g"}'), ("b.png", png(2, 16)),
               ("dog/c.png", png(3, 16)), ("d.png", png(4, 16)), ("d.json", b"no json"), ("lone.cls", b"1"),
               ("e.json", b'{"label": 7.0, "group": 3}'), ("e.png", png(5, 16)), ("f.json", b'{"label": 0.5}'), ("f.png", png(6, 16))]
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    tar = {"Content-Type": "application/x-tar"}
    answer = server.ask("POST", f"{where}/images?cohort=candidate", out.getvalue(), tar).json
    assert answer["added_count"] == 6
    assert {(row["name"], row["reason"]) for row in answer["skipped"]} == {("d.json", "unreadable"), ("lone.cls", "not_an_image"),
                                                                          ("f.json", "unreadable")}
    detail = next(row["detail"] for row in answer["skipped"] if row["name"] == "f.json")
    assert detail.startswith('"label" is the real 0.5, must be a text or a whole number')
    items = server.get(f"{where}/items").json["items"]
    assert [(i["name"], i["class"], i["group"]) for i in items] == [("a.png", "5", ""), ("b.png", "cat", "g"),
                                                                     ("dog/c.png", "dog", ""), ("d.png", "", ""), ("e.png", "7", "3"), ("f.png", "", "")]
    # with the cohort as first folder, the class is the second; what the client says goes before both
    for query, name, cls in (("", "shared/bird/e.png", "bird"), ("?cohort=shared&class=7", "x/f.png", "7")):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as archive:
            data = png(len(name), 16)
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        server.ask("POST", f"{where}/images{query}", out.getvalue(), tar)
        assert server.get(f"{where}/items").json["items"][-1]["class"] == cls


def test_a_raw_image_over_http(serve):
    """It is decoded in the sandbox like any other; its score is stored under the digest of the raw form."""
    server = serve()
    pixels = bytes(range(256)) * 3
    answer = server.post(raw(16, 16, 3, pixels))
    assert answer.status == 200, answer.body
    assert answer.json["image"]["media_type"] == "image/x-sslmem-raw" and answer.json["provenance"]["decoder"] == "raw-1"
    assert server.post(raw(16, 16, 3, pixels)).json["from_history"] is True
    for body, text in ((raw(16, 16, 3, pixels[:-1]), "raw image has 767 bytes of pixels, its size needs 768"),
                       (raw(16, 16, 2, pixels), "raw image has 2 channels, must be 1 or 3"),
                       (raw(2**31, 2**31, 3, b""), "the limit is 8192 per side")):
        assert text in server.post(body).json["detail"]


def test_labels_that_are_a_fifo_are_refused(binary, tmp_path):
    """Opening a FIFO waits for its writer; the command must end and name the file."""
    images, labels = tmp_path / "train-images-idx3-ubyte", tmp_path / "train-labels-idx1-ubyte"
    images.write_bytes(struct.pack(">IIII", 0x803, 1, 32, 32) + bytes(32 * 32))
    os.mkfifo(labels)
    done = subprocess.run([binary, "score", "--pair", str(PAIRS / "resnet"), str(images)], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 1 and labels.name in done.stdout + done.stderr, done
