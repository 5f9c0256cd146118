"""Text of strangers on a terminal, in a log and on a page: names of tensors, files, labels, groups and pairs, recipes and
requests may carry what moves a cursor, forges a line or turns the direction of writing. None of it is shown raw, and lists for
machines keep every byte."""

import json
import os
import pathlib
import pty
import shutil
import struct
import subprocess
import urllib.parse

import pytest

from conftest import PAIRS, PATIENCE_S, multipart, png

# Escape and a title, bell, C1's CSI, right-to-left override, isolates, marks of direction, DEL, line breaks.
NASTY = "a\x1b[2J\x1b]0;pwn\x07\u009b1mb\u202egnp\u2066\u2069\u200e\u200f\u061c\x7f\r\nc"
NASTY_NAME = NASTY.replace("\r\n", "")
RAW = b"\xff\x9b\xc3"  # no UTF-8
ESCAPES = ["\\x1b[2J", "\\x07", "\\u009b", "\\u202e", "\\u2066", "\\u2069", "\\u200e", "\\u200f", "\\u061c", "\\x7f"]


def is_unsafe(c):
    n = ord(c)
    return (n < 0x20 or 0x7f <= n < 0xa0 or n in (0x61c, 0x200e, 0x200f, 0x2028, 0x2029) or 0x202a <= n <= 0x202e or
            0x2066 <= n <= 0x2069 or 0xe0000 <= n < 0xe0080)


def shown(output, breaks="\n"):
    """The text of what was printed, which must be safe but for line breaks."""
    text = output.decode()  # valid UTF-8
    found = sorted({hex(ord(c)) for c in text if is_unsafe(c) and c not in breaks})
    assert not found, (found, text)
    return text


@pytest.fixture
def run(binary):
    def run(*arguments, code=0, **options):
        done = subprocess.run([binary, *[a if isinstance(a, bytes) else str(a) for a in arguments]], capture_output=True,
                              timeout=2 * PATIENCE_S, **options)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return shown(done.stdout), shown(done.stderr)
    return run


def safetensors(path, names):
    header = {name: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for name in names}
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)


def test_names_of_tensors(run, tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors(path, [NASTY, "plain"])
    text, _ = run("inspect", path, code=1)
    assert all(escape in text for escape in ESCAPES) and "\\x0d\\x0ac" in text
    line, = run("inspect", "--json", path, code=1)[0].splitlines()
    names = [t["name"] for t in json.loads(line)["tensors"]]
    assert NASTY in names and "\\u202e" in line and "\\u009b" in line


@pytest.mark.parametrize("name", [os.fsencode(NASTY), b"no text \xff\x9b\xe2\x80.x"])
def test_names_of_files(run, tmp_path, name):
    folder = os.fsencode(tmp_path)
    path = os.path.join(folder, name)
    escape = "\\x1b[2J" if b"\x1b" in name else "\\xff\\x9b\\xe2\\x80.x"
    safetensors(pathlib.Path(os.fsdecode(path)), ["w"])
    assert escape in run("inspect", path, code=1)[0]
    json.loads(run("inspect", "--json", path, code=1)[0])
    for arguments, code in ((("inspect", path + b".none"), 1), (("views", "--pair", path, "--out", "x", "y"), 1),
                            (("encode", "--encoder", path, "--input", path, "--out", path), 1),
                            (("reference", "--pair", PAIRS / "resnet", path, path), 1), (("compare", path, path), 1),
                            (("migrate", "--db", path), 1), (("audit", "select", path, "--top", "1"), 1),
                            (("audit", "compare", path, path), 2), (("score", "--recipe", path, "--pair", PAIRS / "resnet", path), 1),
                            (("serve", "--config", path), 1), ((b"--" + name,), 2), ((name,), 2), (("score", b"--" + name), 2)):
        done = subprocess.run([run_binary(run), *map(lambda a: a if isinstance(a, bytes) else str(a), arguments)],
                              capture_output=True, timeout=2 * PATIENCE_S, cwd=tmp_path)
        assert done.returncode != 0
        shown(done.stdout), shown(done.stderr)
    out, _ = run("score", "--pair", PAIRS / "resnet", path, code=1)
    assert json.loads(out)["error"]


def run_binary(run):
    return run.__closure__[0].cell_contents


def test_recipes(run, tmp_path):
    image, recipe = tmp_path / "i.png", tmp_path / "recipe.json"
    image.write_bytes(png(1))
    for document in ({NASTY: 1}, {"distance": NASTY}, {"augment": [{"op": NASTY}]}, {"augment": [{"op": "flip", NASTY: 1}]}):
        recipe.write_text(json.dumps(document))
        _, err = run("score", "--pair", PAIRS / "resnet", "--recipe", recipe, image, code=1)
        assert "\\x1b[2J" in err or document.get("augment") == [{"op": NASTY}]


def cohort(tmp_path):
    folder = tmp_path / "candidate"
    folder.mkdir()
    names = [os.fsencode(f"{i}{NASTY_NAME}.png") for i in range(6)] + [RAW + b".png"]
    for i, name in enumerate(names):
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(png(i))
    with open(os.path.join(os.fsencode(folder), os.fsencode(NASTY_NAME) + b".txt"), "wb") as file:
        file.write(b"no image")
    return folder, names


def label(name):
    """As items keep names of files: what is a control character or no UTF-8 is a question mark."""
    text = name.decode(errors="surrogateescape")
    return "".join("?" if ord(c) < 0x20 or 0x7f <= ord(c) < 0xa0 or 0xdc80 <= ord(c) < 0xdd00 else c for c in text).encode()


def test_an_audit(run, binary, tmp_path):
    folder, names = cohort(tmp_path)
    other = tmp_path / "external"
    other.mkdir()
    for i in range(20, 24):
        (other / f"{i}.png").write_bytes(png(i))
    pair = tmp_path / f"pair{NASTY_NAME}"
    shutil.copytree(PAIRS / "resnet", pair)
    out = tmp_path / f"out{NASTY_NAME}"
    stdout, stderr = run("audit", "--pair", pair, "--out", out, "--candidate", folder, "--external", other, "--names",
                         "--name", NASTY_NAME[:40])
    assert "\\x1b[2J" in stdout and "\\u202e" in stderr
    page = (out / "report.html").read_text()
    shown(page.encode())
    assert "\\u202e" in page and "unicode-bidi:isolate" in page

    select = [binary, "audit", "select", str(out), "--top", "4", "--names"]
    exact = subprocess.run(select, capture_output=True, timeout=PATIENCE_S)
    assert exact.returncode == 0, exact.stderr
    kept = [line for line in exact.stdout.split(b"\n") if line]
    assert len(kept) == 4 and all(name.split(b"/")[-1] in names + [label(n) for n in names] for name in kept)
    assert "\u202e".encode() in exact.stdout

    parent, child = pty.openpty()
    done = subprocess.Popen(select, stdout=child, stderr=subprocess.PIPE)
    os.close(child)
    seen = b""
    try:
        while chunk := os.read(parent, 65536):
            seen += chunk
    except OSError:
        pass
    os.close(parent)
    assert done.wait(PATIENCE_S) == 0
    text = shown(seen, "\r\n")
    assert len(text.splitlines()) == 4 and "\\u202e" in text


def test_labels_and_groups(run, tmp_path):
    lines = []
    for i in range(8):
        (tmp_path / f"{i}.png").write_bytes(png(i))
        lines.append(json.dumps({"path": f"{i}.png", "cohort": "candidate" if i < 4 else "external",
                                 "class": NASTY_NAME[:30] + str(i % 2), "group": NASTY_NAME[:30]}))
    lines.append(json.dumps({"path": NASTY_NAME, "cohort": "candidate"}))
    manifest = tmp_path / "manifest.jsonl"
    manifest.write_text("\n".join(lines) + "\n")
    out = tmp_path / "out"
    _, stderr = run("audit", "--pair", PAIRS / "resnet", "--out", out, "--manifest", manifest, "--root", tmp_path)
    assert "\\u202e" in stderr  # the file that is not there
    shown((out / "report.html").read_bytes())


def test_a_service(serve, tmp_path):
    """Names of pairs and files that do not load, and what requests carry, in its log."""
    pairs = tmp_path / "pairs-nasty"
    shutil.copytree(PAIRS / "resnet", pairs / f"good{NASTY_NAME}")
    broken = pairs / "broken"
    broken.mkdir()
    (broken / "pair.json").write_text(json.dumps({"f": [NASTY_NAME[:40]], "g": ["g"], "recipe": {}}))
    os.mkdir(os.path.join(os.fsencode(pairs), b"raw\xff\x9b"))
    server = serve(pairs=pairs)
    query = urllib.parse.quote(NASTY)
    server.ask("GET", f"/v1/scores?pair={query}", headers={"X-Request-Id": "nasty"})
    kind, body = multipart([("image", png(1), "image/png", NASTY_NAME), ("recipe", json.dumps({NASTY: 1}).encode(),
                                                                       "application/json", None)])
    server.ask("POST", f"/v1/scores?pair={query}", body, {"Content-Type": kind})
    assert server.ask("GET", "/livez").status == 200
    log = (server.folder / "stderr").read_bytes()
    text = shown(log)
    events = [json.loads(line) for line in text.splitlines()]
    failed = {e.get("pair"): e for e in events if e["event"] == "pair_failed"}
    assert "broken" in failed and "\\x1b[2J" in failed["broken"]["reason"]
    assert any(e["event"] == "pair_ready" and e["pair"] == f"good{NASTY_NAME}" for e in events)
    ignored, = (e for e in events if e["event"] == "pair_ignored")
    assert ignored["folder"] == "raw\\xff\\x9b"
    assert len(server.get("/v1/pairs").json["pairs"]) == 2
