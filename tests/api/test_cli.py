"""The command line: help, exit codes, and every subcommand that needs no server on files with known answers."""

import array
import csv
import fcntl
import io
import json
import math
import re
import shutil
import sqlite3
import statistics
import struct
import subprocess
import tarfile
import time

import pytest

from conftest import PAIRS, ROOT, png

COMMANDS = ["serve", "score", "reference", "split", "compare", "views", "encode", "inspect", "audit", "migrate"]
GOLDEN = ROOT / "tests/golden"


@pytest.fixture
def run(binary):
    def run(*arguments, code=0):
        done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == code, (done.returncode, done.stderr)
        return done
    return run


def read_safetensors(path):
    """name -> (shape, floats)"""
    raw = path.read_bytes()
    length = struct.unpack("<Q", raw[:8])[0]
    tensors = {}
    for name, entry in json.loads(raw[8:8 + length]).items():
        if name == "__metadata__":
            continue
        assert entry["dtype"] == "F32"
        begin, end = (8 + length + at for at in entry["data_offsets"])
        tensors[name] = (entry["shape"], array.array("f", raw[begin:end]))
    return tensors


def test_help(run):
    everything = run("--help").stdout
    for command in COMMANDS:
        assert f"\n  {command} " in everything
        text = run(command, "--help").stdout
        assert text.startswith(f"usage: sslmem {command}") and "exit codes: 0 " in text
    assert run("--version").stdout == "sslmem 0.1.0\n"


DATABASE = [["key", "create", "--scopes", "read"], ["key", "list"], ["key", "revoke", "ID"], ["key", "rotate", "ID"],
            ["erase", "0" * 64], ["migrate"], ["backup", "--out", "copy.db"]]


@pytest.mark.parametrize("command", DATABASE, ids=lambda command: "-".join(command[:2]))
def test_no_database_is_made_by_the_way(run, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    words = 2 if command[0] == "key" else 1
    for name, content, text in (("none.db", None, "none.db: No such file or directory"),
                                ("none/a.db", None, "none/a.db: No such file or directory"),
                                ("empty.db", b"", "empty.db is an empty file"), (".", None, ". is not a file"),
                                ("text.db", b"text" * 99, "text.db is no SQLite database")):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        before = sorted(tmp_path.iterdir())
        done = run(*command[:words], "--db", name, *command[words:], code=1)
        assert done.stdout == "" and done.stderr.startswith(f"sslmem {' '.join(command[:words])}: ") and text in done.stderr
        assert sorted(tmp_path.iterdir()) == before


def test_restore_of_no_database(run, tmp_path):
    done = run("restore", "--from", tmp_path / "none.db", "--db", tmp_path / "a.db", code=1)
    assert f"{tmp_path}/none.db: No such file" in done.stderr
    run("key", "create", "--db", tmp_path / "b.db", "--scopes", "read", "--create")
    done = run("restore", "--from", tmp_path / "b.db", "--db", tmp_path / "none/a.db", code=1)
    assert f"{tmp_path}/none/a.db" in done.stderr
    assert not (tmp_path / "a.db").exists()


def test_key_create_makes_a_database_when_told(run, tmp_path):
    db = tmp_path / "a.db"
    done = run("key", "create", "--db", db, "--scopes", "read", code=1)
    assert done.stderr == f"sslmem key create: database {db}: No such file or directory; key create --create makes one\n"
    run("key", "create", "--db", db, "--scopes", "read", "--create")
    run("key", "create", "--db", db, "--scopes", "read", "--create")  # as it is
    run("key", "create", "--db", db, "--scopes", "read")
    assert len(run("key", "list", "--db", db).stdout.splitlines()) == 3


def test_wrong_usage(run):
    for arguments in ([], ["dance"], ["score"], ["score", "--pair"], ["score", "--pair", "x"], ["score", "--pear", "x", "y"],
                      ["inspect"], ["inspect", "a", "b"], ["inspect", "--json=1", "a"], ["compare", "a"], ["serve", "--port", "1"],
                      ["serve", "--workers", "-1"], ["serve", "operand"], ["score", "--pair", "x", "--workers", "-1", "y"],
                      ["score", "--pair", "x", "--workers", "1x", "y"], ["score", "--pair", "x", "--workers", "1025", "y"]):
        done = run(*arguments, code=2)
        assert done.stdout == "" and "sslmem" in done.stderr


def test_score_goes_on_after_a_bad_image(run, tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    good.write_bytes(png(1))
    bad.write_bytes(png(1)[:-20])
    done = run("score", "--pair", PAIRS / "resnet", bad, tmp_path / "none.png", good, code=1)
    assert done.stderr == 'sslmem score: 2 of 3 images could not be scored; "error" in their lines says why\n'
    lines = done.stdout.splitlines()
    documents = [json.loads(line) for line in lines]
    assert [d["error"]["code"] for d in documents[:2]] == ["corrupt", "not_found"]
    assert documents[2]["file"] == str(good) and math.isfinite(documents[2]["m"])


@pytest.mark.parametrize("pair", ["resnet", "vit"])
def test_same_text_with_any_workers(run, tmp_path, pair):
    images = []
    for i in range(12):
        images.append(tmp_path / f"{i}.png")
        images[-1].write_bytes(png(i) if i % 5 != 3 else png(i)[:-20])
    images.insert(4, tmp_path / "none.png")
    text = lambda workers, *paths, code=1: run("score", "--pair", PAIRS / pair, "--workers", workers, *paths, code=code).stdout
    one = text(1, *images)
    documents = [json.loads(line) for line in one.splitlines()]
    assert [d["file"] for d in documents] == [str(path) for path in images]
    assert [("error" in d) for d in documents] == [i in (3, 4, 9) for i in range(13)]
    for workers in (0, 2, 5, 20):
        assert text(workers, *images) == one
    # One image and many workers: they help with it.
    assert text(4, images[0], code=0) == one.splitlines(keepends=True)[0]


def test_score_refuses_a_bad_recipe(run, tmp_path):
    recipe, image = tmp_path / "recipe.json", tmp_path / "image.png"
    image.write_bytes(png(1))
    recipe.write_text('{"views": 257}')
    done = run("score", "--pair", PAIRS / "resnet", "--recipe", recipe, image, code=1)
    assert done.stderr == "sslmem score: /views: views is 257, must be from 2 to 256\n"


def test_views_are_the_committed_ones(run, tmp_path):
    for name in ("wide", "tall"):
        run("views", "--pair", PAIRS / "resnet", "--out", tmp_path / name, PAIRS / f"{name}.png")
        written = read_safetensors(tmp_path / name / "views.safetensors")["views"]
        expected = read_safetensors(PAIRS / f"resnet/{name}.views.safetensors")["views"]
        assert written == expected and written[0] == [5, 3, 16, 16]
        document = json.loads((tmp_path / name / "views.json").read_text())
        assert len(document["views"]) == 5 and document["recipe"]["seed"] == 7
        assert all([op["op"] for op in view] == [op["op"] for op in document["recipe"]["augment"]]
                   for view in document["views"])


def test_encode_agrees_with_the_official_code(run, tmp_path):
    case = GOLDEN / "encoders/timm-vit"
    config, out = tmp_path / "config.json", tmp_path / "out.safetensors"
    config.write_text('{"heads": 4}')
    run("encode", "--encoder", case / "model.safetensors", "--config", config, "--input", case / "input.safetensors",
        "--out", out, "--tap", "tokens,block.0,block.1")
    expected, written = read_safetensors(case / "expected.safetensors"), read_safetensors(out)
    for tap in ("tokens", "block.0", "block.1"):
        (shape, want), (got_shape, got) = expected[tap], written[tap]
        assert got_shape == shape
        assert all(abs(a - b) <= 2e-5 * (1 + abs(b)) for a, b in zip(got, want))
    done = run("encode", "--encoder", case / "model.safetensors", "--config", config, "--input", case / "input.safetensors",
               "--out", out, "--tap", "block.2", code=1)
    assert "block.2" in done.stderr


def test_inspect(run, binary, tmp_path):
    bare = tmp_path / "canary_MAE.pt"
    shutil.copy(GOLDEN / "encoders/memssl-mae/canary_MAE.pt", bare)
    done = run("inspect", "--json", bare, code=1)
    vit = json.loads(done.stdout)
    assert done.stderr == f"sslmem inspect: {bare}: {vit['reason']}\n    give --config '{{\"heads\": VALUE}}'\n"
    text = subprocess.run([binary, "inspect", bare], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True).stdout
    assert text.startswith(done.stderr) and "encoder.transformer.0.norm1.weight" in text  # the verdict before the tensors
    assert vit["encoder"] is None and "heads" in vit["reason"] and vit["format"] == "torch-zip"
    assert not any(t["used"] for t in vit["tensors"])
    resnet = json.loads(run("inspect", "--json", PAIRS / "resnet/f.pt").stdout)["encoder"]
    assert (resnet["family"], resnet["dialect"], resnet["prefix"]) == ("resnet18", "sequential", "f.")
    assert resnet["multiply_adds"] == sum(op["multiply_adds"] for op in resnet["graph"])
    text = run("inspect", PAIRS / "resnet/f.pt").stdout
    assert "encoder: resnet18, sequential names under f." in text and "layer4.1.conv2" in text
    broken = tmp_path / "broken.pt"
    broken.write_bytes((PAIRS / "resnet/f.pt").read_bytes()[:-1000])
    assert "broken" not in run("inspect", broken, code=1).stdout


@pytest.mark.parametrize("case", sorted(p.parent for p in GOLDEN.glob("encoders/*/case.json")), ids=lambda p: p.name)
def test_inspect_says_who_decided(run, case):
    config = json.loads((case / "case.json").read_text())
    document = json.loads(run("inspect", "--json", case / config["checkpoint"]["file"]).stdout)
    encoder, used = document["encoder"], {t["name"] for t in document["tensors"] if t["used"]}
    assert encoder, document["reason"]
    wrapper = config["checkpoint"]["wrapper_key"]
    assert encoder["prefix"] == (f"{wrapper}." if wrapper else "") + config["checkpoint"]["prefix"]
    outside = ("optimizer", "student", "momentum", "decoder", "text_model", "predictor", "projector", "mask_token")
    assert used and not any(part in name for name in used for part in outside)
    sources = {c["name"]: c["source"] for c in encoder["choices"]}
    heads = json.loads((case / "encoder.json").read_text()).get("heads") if (case / "encoder.json").exists() else None
    if heads:
        assert sources["heads"] == "encoder.json" and encoder["heads"] == heads
    if (case / "config.json").exists() or (case / "open_clip_config.json").exists():
        assert sources["heads"] == "sidecar"


def test_inspect_counts_weights_that_are_no_numbers(run, tmp_path):
    raw = bytearray((GOLDEN / "nn/timm-vit-64/model.safetensors").read_bytes())
    raw[-4:] = struct.pack("<f", math.nan)
    (tmp_path / "nan.safetensors").write_bytes(raw)
    assert json.loads(run("inspect", "--json", tmp_path / "nan.safetensors").stdout)["encoder"]["nonfinite"] == 1
    assert "warning: 1 of the weights are NaN or infinite" in run("inspect", tmp_path / "nan.safetensors").stdout


def test_inspect_takes_keys_and_presets(run, tmp_path):
    both = tmp_path / "checkpoint.pth"
    shutil.copy(GOLDEN / "encoders/dino-full/checkpoint.pth", both)
    done = run("inspect", "--json", both, code=1)
    assert '"key" must choose' in json.loads(done.stdout)["reason"] and done.stderr.endswith("\n    give --key NAME\n")
    (tmp_path / "heads.json").write_text('{"heads": 2}')
    for key in ("teacher", "student"):
        document = json.loads(run("inspect", "--json", "--config", tmp_path / "heads.json", "--key", key, both).stdout)
        assert document["encoder"]["prefix"].startswith(key)
    listed = run("inspect", "--presets").stdout.split()
    assert len(listed) >= 25 and {"dino-vits16", "mae-vitb16", "dinov2-vits14-reg", "clip-vitb32"} <= set(listed)
    document = json.loads(run("inspect", "--json", "--preset", "dino-vits16", "--key", "teacher", both, code=1).stdout)
    assert document["encoder"] is None and "6" in document["reason"]
    assert "no preset" in run("inspect", "--preset", "dino-vits17", both, code=1).stderr
    assert run("inspect", code=2).stderr.startswith("sslmem inspect: FILE is missing")


def test_reference_and_what_it_gives(run, tmp_path):
    pair = tmp_path / "resnet"
    shutil.copytree(PAIRS / "resnet", pair)
    images = []
    for i in range(9):
        images.append(tmp_path / f"{i}.png")
        images[-1].write_bytes(png(i))
    score = lambda *paths: [json.loads(line) for line in run("score", "--pair", pair, *paths).stdout.splitlines()]
    assert score(images[0])[0]["reference_note"] == "pair has no reference cohort"
    twice = tmp_path / "twice.png"
    twice.write_bytes(images[3].read_bytes())
    done = run("reference", "--pair", pair, "--cohort", "independent", "--quiet", *images, twice)
    assert done.stderr == f"sslmem reference: {twice} is the image {images[3]} again: it counts once\n"
    assert done.stdout.startswith("independent 9 images, mean m ") and ", reliability 0." in done.stdout
    assert done.stdout.endswith(f"left out   0 failed, 1 repeated\nwritten    {pair}/reference.json\nregistered {pair}/pair.json\n")
    stranger = tmp_path / "stranger.png"
    stranger.write_bytes(png(99))
    *scores, other = score(*images, stranger)
    m = [s["m"] for s in scores]
    for i, s in enumerate(scores):
        reference, others = s["reference"], m[:i] + m[i + 1:]
        assert (reference["cohort"], reference["n"], reference["in_reference"]) == ("independent", 8, True)
        assert abs(reference["centered"] - (s["m"] - sum(m) / 9)) < 1e-12
        assert reference["p_value"] == (1 + sum(o >= s["m"] for o in others)) / 9
        assert abs(reference["percentile"] - 100 * sum(o < s["m"] for o in others) / 8) < 1e-12
        assert "reference_note" not in s
    reliability = 1 - statistics.fmean(s["m_se"] ** 2 for s in scores) / statistics.variance(m)
    assert {round(s["reliability_of_reference"], 12) for s in (*scores, other)} == {round(max(0, min(1, reliability)), 12)}
    assert (other["reference"]["n"], other["reference"]["in_reference"]) == (9, False)
    assert other["reference"]["p_value"] == (1 + sum(o >= other["m"] for o in m)) / 10


@pytest.fixture
def measured(run, tmp_path):
    """A pair without a reference, a folder of 24 images, and a function that measures and reads the reference."""
    pair, folder = tmp_path / "resnet", tmp_path / "cohort"
    shutil.copytree(PAIRS / "resnet", pair)
    for i in range(24):
        path = folder / f"class{i % 2}" / f"{i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(i))

    def measure(*operands, code=0, options=("--quiet",)):
        done = run("reference", "--pair", pair, *options, *(operands or [folder]), code=code)
        return done, json.loads((pair / "reference.json").read_text()) if code == 0 else None
    return pair, folder, measure


def test_reference_of_a_folder_counts_what_fails(measured, tmp_path):
    pair, folder, measure = measured
    files = sorted(folder.rglob("*.png"))
    for path in files[:7]:
        path.write_bytes(path.read_bytes()[:-20])
    done, reference = measure(folder)
    assert len(reference["scores"]) == len(reference["images"]) == 17
    said = done.stderr.splitlines()
    assert len(said) == 5 and all(line.startswith(f"sslmem reference: {path}: ") for line, path in zip(said, files))
    assert "\nleft out   7 failed, 0 repeated\n" in done.stdout
    # Too few remain: nothing is written, and pair.json is as before.
    before = (pair / "reference.json").read_bytes(), (pair / "pair.json").read_bytes()
    done, _ = measure(*files[:8], code=1)
    assert "1 image could be scored and 7 failed: a reference needs at least 2 images" in done.stderr
    (pair / "reference.partial.jsonl").unlink()
    measure(*files[:3], code=1)
    assert not (pair / "reference.partial.jsonl").exists()  # nothing to go on from
    assert before == ((pair / "reference.json").read_bytes(), (pair / "pair.json").read_bytes())


def test_reference_needs_every_operand(measured, tmp_path):
    """An operand that cannot be opened, or not read on, ends the command: the cohort is not the one that was meant."""
    pair, folder, measure = measured
    empty, cut, text = tmp_path / "empty", tmp_path / "cut.tar", tmp_path / "text.txt"
    empty.mkdir()
    text.write_text("no dataset")
    cut.write_bytes((GOLDEN / "data/bad/between.tar").read_bytes())
    before = (pair / "pair.json").read_bytes()
    array = GOLDEN / "data/numpy/deflated.npz"
    for operand, why in ((tmp_path / "none", "none: "), (cut, "cut.tar: after entry 4: a tar's end mark is missing"), (text, "not a dataset"),
                         (empty, "holds no image (JPEG, PNG), 0 other files"), (f"{array}:tarin", '"tarin" is none of its arrays')):
        for operands in ((folder, operand), (operand, folder)):
            done, _ = measure(*operands, code=1)
            assert why in done.stderr and done.stderr.endswith("; nothing was written\n"), done.stderr
            assert not (pair / "reference.json").exists() and (pair / "pair.json").read_bytes() == before
    done, reference = measure()
    assert len(reference["scores"]) == 24 and "\nresumed    24 scores of an earlier run\n" in done.stdout


def test_links_are_counted(run, measured, tmp_path):
    """What a folder or archive holds beside its images and their labels is passed over, with its number."""
    pair, folder, measure = measured
    _, plain = measure()
    (folder / "class0/link.png").symlink_to("00.png")
    done, reference = measure()
    assert done.stderr == "sslmem reference: 1 file that is a link or no image was passed over\n" and reference == plain
    (folder / "notes.txt").write_text("no image")
    archive = tmp_path / "shard.tar"
    with tarfile.open(archive, "w") as out:
        out.add(folder / "class0", "class0", filter=lambda entry: entry if entry.isdir() or "00" in entry.name or "link" in entry.name else None)
        hard = tarfile.TarInfo("class0/hard.png")
        hard.type, hard.linkname = tarfile.LNKTYPE, "class0/00.png"
        out.addfile(hard)
        for name, data in (("1.png", png(90)), ("1.cls", b"7"), ("1.json", b"{}"), ("2.json", b"{}")):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            out.addfile(entry, io.BytesIO(data))
    for operand, passed, count in ((folder, 2, 24), (archive, 3, 2)):
        done = run("score", "--pair", pair, operand)
        assert done.stderr.splitlines() == [f"sslmem score: {passed} files that are links or no images were passed over"]
        assert len(done.stdout.splitlines()) == count
    done = run("score", "--pair", pair, folder / "class1")
    assert done.stderr == ""


def test_reference_goes_on_after_a_kill(binary, measured):
    pair, folder, measure = measured
    _, wanted = measure()
    partial = pair / "reference.partial.jsonl"
    (pair / "pair.json").write_bytes((PAIRS / "resnet/pair.json").read_bytes())
    command = [binary, "reference", "--pair", pair, "--workers", "1", "--quiet", *[folder] * 3]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None and (not partial.exists() or partial.read_bytes().count(b"\n") < 5):
        time.sleep(0.001)
    process.kill()
    process.wait()
    kept = partial.read_bytes().rsplit(b"\n", 1)[0].splitlines()
    assert len(kept) >= 5, "the process ended before it was killed"
    # What an earlier run measured is taken as it is; a line that was cut is not.
    kept = kept[:5]
    changed = json.loads(kept[4])
    changed["m"] = 0.4
    assert changed.pop("m_se") in wanted["errors"]  # an earlier version wrote no standard errors
    partial.write_bytes(b"\n".join([*kept[:4], json.dumps(changed, separators=(",", ":")).encode(), kept[1][:-9]]))
    done, reference = measure()
    assert "\nresumed    4 scores of an earlier run\n" in done.stdout and not partial.exists()
    at = wanted["images"].index(changed["image"])
    assert reference["images"] == wanted["images"] and reference["scores"][at] == 0.4
    reference["scores"][at] = wanted["scores"][at]
    assert reference["scores"] == wanted["scores"]
    assert reference["errors"] == [None if i == at else error for i, error in enumerate(wanted["errors"])]
    # Scores that were measured with another pair or recipe are not taken.
    document = json.loads((pair / "pair.json").read_text())
    document["recipe"]["views"] = 4
    (pair / "pair.json").write_text(json.dumps(document))
    partial.write_bytes(b"\n".join(kept) + b"\n")
    done, reference = measure()
    assert "resumed" not in done.stdout and "was of another pair, recipe or kernels" not in done.stderr
    assert reference["scores"] != wanted["scores"] and not partial.exists()


def test_two_references_at_once_are_refused(measured):
    pair, _, measure = measured
    with open(pair / "reference.partial.jsonl", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done, _ = measure(code=1)
        assert (pair / "reference.partial.jsonl").exists()
    assert "another sslmem reference measures this pair" in done.stderr


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <sys/file.h>
#include <unistd.h>
int flock(int fd, int operation)
{
    static int calls;
    char link[64], path[4096] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (calls++ == 0 && readlink(link, path, sizeof path - 1) > 0)
        unlink(path);
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(fd, operation);
}
"""


def test_reference_that_ends_before_the_lock_takes_no_scores_along(measured, tmp_path, monkeypatch):
    """The process that had the partial file deletes it between another's open and lock."""
    pair, folder, measure = measured
    (tmp_path / "shim.c").write_text(SHIM)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "shim.so", tmp_path / "shim.c", "-ldl"], check=True)
    monkeypatch.setenv("LD_PRELOAD", str(tmp_path / "shim.so"))
    measure(folder / "class0/00.png", tmp_path / "none", tmp_path / "none2", code=1)  # too few: the score is kept for the next run
    assert (pair / "reference.partial.jsonl").read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("name", ["candidate", "shared", "foo", ""])
def test_reference_of_another_cohort_is_refused(measured, name):
    pair, _, measure = measured
    _, before = measure()
    done, _ = measure(code=2, options=("--quiet", "--cohort", name))
    assert f"--cohort is {name}, must be one of external, independent" in done.stderr
    assert json.loads((pair / "reference.json").read_text()) == before


@pytest.mark.parametrize("named", [None, "old.json"])
def test_reference_leaves_mode_link_and_line_ends(measured, tmp_path, named):
    pair, _, measure = measured
    path, target = pair / "pair.json", tmp_path / "kept.json"
    document = json.loads(path.read_text())
    if named:
        measure()
        (pair / "reference.json").rename(pair / named)
        document = {"reference": named, **document}
    path.unlink()
    target.write_bytes(json.dumps(document, indent=2).replace("\n", "\r\n").encode())
    target.chmod(0o640)
    path.symlink_to(target)
    measure()
    after = target.read_bytes()
    assert path.readlink() == target and target.stat().st_mode & 0o777 == 0o640
    assert json.loads(after) == document | {"reference": "reference.json"}
    assert after.count(b"\r\n") == after.count(b"\n") > 5
    (pair / "reference.json").chmod(0o600)
    measure()
    assert (pair / "reference.json").stat().st_mode & 0o777 == 0o600


def test_a_folder_without_images_is_no_image(run, measured, tmp_path):
    _, folder, _ = measured
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run("score", "--pair", PAIRS / "resnet", "--format", "table", empty, folder / "class0/00.png", code=1)
    assert done.stdout.splitlines()[-1].startswith("1 image, mean m ")
    assert done.stderr.endswith('sslmem score: 1 of IMAGES held no image; "error" in its line says why\n')


def test_score_names_an_image_by_its_file(run, tmp_path):
    """PART and LIST choose images; neither is part of a name."""
    archive, member, index = GOLDEN / "data/archives/shard.tar.gz", GOLDEN / "data/numpy/deflated.npz", tmp_path / "0.txt"
    index.write_text("0\n")
    table = lambda place: run("score", "--pair", PAIRS / "resnet", "--format", "table", place).stdout.splitlines()[1]
    for place, name in ((f"{archive}@{index}", f"{archive}:"), (f"{member}:train@{index}", f"{member}:train_images#00000")):
        shown = table(place).split("  ")
        assert any(part.startswith(name) for part in shown) and str(index) not in table(place), shown


@pytest.mark.parametrize("layout", ["lines", "one line", "named", "other"])
def test_reference_registers_itself(measured, layout):
    pair, _, measure = measured
    path = pair / "pair.json"
    before = json.loads(path.read_text())
    before["description"] = "} \\ {"
    if layout == "named":
        before["reference"] = "reference.json"
        measure()
    text = json.dumps(before, indent=None if layout == "one line" else 1) + "\n\n"
    path.write_text(text)
    done, _ = measure(options=("--quiet", "--no-register"))
    assert path.read_text() == text and "not registered" in done.stdout
    if layout == "other":
        (pair / "reference.json").rename(pair / "old.json")
        before = {"reference": "old.json", **before}
        path.write_text(json.dumps(before))
    done, _ = measure()
    after = json.loads(path.read_text())
    assert after == before | {"reference": "reference.json"}
    assert list(after) == list(before) + ["reference"] * ("reference" not in before)
    if layout in ("lines", "one line"):
        assert path.read_text().startswith(text.rstrip()[:-1].rstrip())
    if layout == "named":
        assert path.read_text() == text and "names the file already" in done.stdout


def test_reference_says_how_far_it_is(measured):
    _, _, measure = measured
    done, _ = measure(options=())
    assert done.stderr.splitlines()[-1] == "24 of 24 images" and len(done.stderr.splitlines()) <= 3


def test_score_formats(run, binary, measured):
    _, folder, _ = measured
    (folder / "class0/=1+1,\"x\".png").write_bytes(png(77))
    (folder / "class1/99.png").write_bytes(png(78)[:-20])
    score = lambda form: run("score", "--pair", PAIRS / "resnet", "--format", form, folder, code=1).stdout
    lines = [json.loads(line) for line in score("jsonl").splitlines()]
    command = [binary, "score", "--pair", PAIRS / "resnet", "--format", "csv", folder]
    with io.StringIO(subprocess.run(command, capture_output=True).stdout.decode(), newline="") as text:
        assert text.getvalue().count("\r\n") == text.getvalue().count("\n") == 27
        rows = list(csv.DictReader(text, strict=True))
    assert len(lines) == len(rows) == 26 and sum("error" in line for line in lines) == 1
    for line, row in zip(lines, rows):
        assert row["file"] == line["file"] and row["class"] == line["class"]
        if "error" in line:
            assert (row["error_code"], row["error_detail"], row["m"]) == (line["error"]["code"], line["error"]["detail"], "")
        else:
            wanted = [line["m"], line["m_se"], line["ratio"], line["f"]["alignment"], line["g"]["se"]]
            assert [float(row[k]) for k in ("m", "m_se", "ratio", "f_alignment", "g_se")] == wanted
            assert row["views_used"] == str(line.get("views_used", line["recipe"]["views"]))
            assert (row["image"], row["key"]) == (line["image"]["digest"], line["provenance"]["key"])
    head, *table, end = score("table").splitlines()
    assert head.split() == ["m", "se(m)", "centered", "percentile", "p", "image"] and len(table) == 26
    column = head.index("image")
    for line, shown in zip(lines, table):
        assert shown[column:].startswith(line["file"])
        assert shown.split()[0] == (f"{line['m']:+.5f}" if "m" in line else "-")
    assert end.startswith("25 images, mean m ")


def test_a_formula_is_no_formula_in_csv(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "=1+1.png").write_bytes(png(1))
    line = run("score", "--pair", PAIRS / "resnet", "--format", "csv", "=1+1.png").stdout.splitlines()[1]
    assert line.startswith("'=1+1.png,,")


def test_numbers_are_as_short_as_they_can_be(run, measured):
    pair, folder, measure = measured
    measure()
    number = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
    for text in (run("score", "--pair", pair, folder).stdout, (pair / "reference.json").read_text()):
        found = number.findall(text)
        assert len(found) >= 24
        for shown in found:  # powers of two may have a digit more
            assert float(repr(float(shown))) == float(shown) and len(shown) <= len(repr(float(shown))) + 1


def test_scores_and_audits_place_images_of_the_reference_alike(run, tmp_path):
    # The audit's externals are the pair's reference, so an image's place among the others is the same in both.
    pair, folder = tmp_path / "resnet", tmp_path / "external"
    shutil.copytree(PAIRS / "resnet", pair)
    candidates = tmp_path / "candidate"
    folder.mkdir()
    candidates.mkdir()
    for i in range(12):
        (folder / f"{i:02}.png").write_bytes(png(i))
        (candidates / f"c{i}.png").write_bytes(png(100 + i))
    images = sorted(folder.iterdir())
    run("reference", "--pair", pair, folder)
    scores = [json.loads(line) for line in run("score", "--pair", pair, *images).stdout.splitlines()]
    run("audit", "--pair", pair, "--candidate", candidates, "--external", folder, "--out", tmp_path / "audit", "--names")
    report = json.loads((tmp_path / "audit/report.json").read_text())
    audited = {item["name"]: item for item in report["items"] if item["cohort"] == "external"}
    assert len(audited) == 12
    for path, score in zip(images, scores):
        item = audited[path.name]
        assert (item["m"], item["m_se"]) == (score["m"], score["m_se"])
        assert item["p_value"] == score["reference"]["p_value"]
        assert abs(item["percentile"] - score["reference"]["percentile"]) < 1e-12


def test_compare(run, tmp_path):
    a, b = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    a.write_text("".join(f'{{"m": {m}}}\n' for m in (1.0, 2.0, 3.0, 4.0)))
    b.write_text("".join(f'{{"m": {m}}}\n' for m in (0.0, 1.0, 1.5)))
    document = json.loads(run("compare", a, b).stdout)
    # scipy.stats.ttest_ind, 1.10.1, with equal_var True and False
    assert abs(document["student"]["t"] - 1.964943729729648) < 1e-12
    assert abs(document["student"]["p_two_sided"] - 0.10661138869546223) < 1e-12
    assert abs(document["welch"]["t"] - 2.1320071635561044) < 1e-12
    assert abs(document["welch"]["p_two_sided"] - 0.08772486932934496) < 1e-12
    # What the lines say of themselves is heard.
    line = lambda m, image, pair="11", recipe="22": json.dumps(
        {"m": m, "image": {"digest": image}, "provenance": {"pair_digest": pair, "recipe_digest": recipe}}) + "\n"
    a.write_text(line(1.0, "01") + line(2.0, "02"))
    b.write_text(line(0.0, "03") + line(1.0, "04"))
    assert run("compare", a, b).stderr == ""
    b.write_text(line(0.0, "02") + line(1.0, "04", pair="12"))
    assert run("compare", a, b).stderr == (
        "sslmem compare: the scores are of more than one pair: raw scores of two cannot be compared\n"
        "sslmem compare: 1 image is in both files: the tests take the images as independent\n")
    b.write_text(line(0.0, "03") + line(1.0, "04", recipe="23"))
    assert "more than one recipe" in run("compare", a, b).stderr
    b.write_text('{"file": "x", "error": {"code": "corrupt"}}\n')
    assert 'line 1 has no number "m"' in run("compare", a, b, code=1).stderr


def test_migrate_twice(run, tmp_path):
    db = tmp_path / "new.db"
    with sqlite3.connect(db) as empty:  # as one whose first start was cut short
        empty.execute("PRAGMA application_id = 1397967949")
    count = len(list((ROOT / "migrations").glob("*.sql")))
    assert run("migrate", "--db", db).stdout == f"{db}: {count} migrations applied\n"
    assert run("migrate", "--db", db).stdout == f"{db}: 0 migrations applied\n"


def test_a_full_disk_under_standard_output_is_no_success(binary, tmp_path):
    """The numbers of `compare` are on standard output only, as is what `pair check` finds."""
    scores = tmp_path / "scores.jsonl"
    scores.write_text('{"m": 1}\n{"m": 2}\n')
    for arguments in (["compare", scores, scores], ["pair", "check", PAIRS / "resnet"], ["inspect", "--presets"]):
        with open("/dev/full", "w") as full:
            done = subprocess.run([binary, *map(str, arguments)], stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (1, f"sslmem {arguments[0]}: standard output cannot be written\n")
