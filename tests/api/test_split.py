"""`sslmem split`: the lists, the manifest and the membership matrix that it writes, and what it refuses."""

import collections
import csv
import json
import os
import pty
import struct
import subprocess

import pytest

from conftest import PAIRS, PATIENCE_S, png

COHORTS = ["shared", "candidate", "independent", "external"]


@pytest.fixture
def run(binary):
    def run(*arguments, command="split", code=0):
        done = subprocess.run([binary, command, *map(str, arguments)], capture_output=True, text=True, timeout=2 * PATIENCE_S)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done
    return run


@pytest.fixture
def folder(tmp_path):
    """Class folders of 30, 12 and 8 images."""
    path, seed = tmp_path / "images", 0
    for name, count in (("cat", 30), ("dog", 12), ("emu", 8)):
        (path / name).mkdir(parents=True)
        for i in range(count):
            (path / name / f"{i:03}.png").write_bytes(png(seed))
            seed += 1
    return path


def sizes(shared, candidate, independent, external):
    return ["--shared", shared, "--candidate", candidate, "--independent", independent, "--external", external]


def read_list(out, cohort):
    return [int(line) for line in (out / f"{cohort}.txt").read_text().splitlines()]


def content(out):
    return {path.name: path.read_bytes() for path in out.iterdir()}


def test_progress_on_a_terminal(binary, folder, tmp_path):
    """A bar while images are read; what cannot be read is named on a line of its own. None in a pipe (test_lists_and_manifest)."""
    table = tmp_path / "table.csv"
    table.write_text("path\n" + "".join(f"images/cat/{i:03}.png\n" for i in range(30)) + "nowhere.png\n")
    reader, terminal = pty.openpty()
    done = subprocess.run([binary, "split", table, "--candidate", "30", "--out", tmp_path / "out"], stdout=subprocess.PIPE, stderr=terminal,
                          timeout=PATIENCE_S)
    os.close(terminal)
    lines = os.read(reader, 65536).decode().replace("\r\n", "\n").split("\n")
    os.close(reader)
    assert done.returncode == 0
    assert lines[0].startswith("\r[") and "] 1/31" in lines[0]
    assert lines[1].startswith("sslmem split: image 30, nowhere.png, is in no cohort: ")
    assert lines[2].startswith(f"\r[{'#' * 24}] 31/31, 1 failed")


def test_lists_and_manifest(run, folder, tmp_path):
    out = tmp_path / "split"
    done = run(folder, *sizes(20, 10, 10, 5), "--seed", 7, "--out", out)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "50 images in 3 classes", "shared              20 images", "candidate           10 images",
        "independent         10 images", "external             5 images", "in no cohort         5 images",
        f"{out}: shared.txt candidate.txt independent.txt external.txt manifest.jsonl",
        "train f with shared.txt and candidate.txt, g with shared.txt and independent.txt",
        f"then: sslmem audit --pair PAIR --manifest {out}/manifest.jsonl --root {folder} --out REPORT"]
    lists = {cohort: read_list(out, cohort) for cohort in COHORTS}
    assert [len(lists[cohort]) for cohort in COHORTS] == [20, 10, 10, 5]
    everything = sum(lists.values(), [])
    assert len(set(everything)) == 45 and set(everything) <= set(range(50))
    assert all(indices == sorted(indices) for indices in lists.values())
    files = sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert lines == [{"cohort": cohort, "path": files[i], "class": files[i].split("/")[0]} for cohort in COHORTS for i in lists[cohort]]
    for cohort in COHORTS:
        found = collections.Counter(files[i].split("/")[0] for i in lists[cohort])
        for name, count in (("cat", 30), ("dog", 12), ("emu", 8)):
            assert abs(found[name] - len(lists[cohort]) * count / 50) < 1


def test_the_seed_decides(run, folder, tmp_path):
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        run(folder, *sizes("rest", 10, 10, 10), "--seed", seed, "--out", tmp_path / out)
    a, b, c = (content(tmp_path / out) for out in "abc")
    assert a == b
    assert all(a[name] != c[name] for name in a)
    run(folder, *sizes("rest", 10, 10, 10), "--out", tmp_path / "d")
    run(folder, *sizes(20, 10, 10, 10), "--seed", 0, "--out", tmp_path / "d")  # the same files may be written again


def test_names_do_not_matter(run, folder, tmp_path):
    run(folder, *sizes(10, 10, 10, 10), "--out", tmp_path / "before")
    digests = {}
    for line in (tmp_path / "before/manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        digests[(folder / row["path"]).read_bytes()] = row["cohort"]
    for path in list(folder.glob("*/*")):
        path.rename(path.with_name(f"{999 - int(path.stem)}.png"))
    run(folder, *sizes(10, 10, 10, 10), "--out", tmp_path / "after")
    for line in (tmp_path / "after/manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert digests[(folder / row["path"]).read_bytes()] == row["cohort"]


def test_the_order_does_not_matter(run, folder, tmp_path):
    files = sorted(folder.glob("*/*"))
    found = []
    for name, order in (("forward", files), ("backward", files[::-1])):
        table, out = tmp_path / f"{name}.jsonl", tmp_path / name
        table.write_text("".join(json.dumps({"path": str(path), "class": path.parent.name}) + "\n" for path in order))
        run(table, *sizes(11, 10, 9, 7), "--out", out)
        found.append({cohort: {order[i] for i in read_list(out, cohort)} for cohort in COHORTS})
    assert found[0] == found[1]


def test_copies_go_with_their_image(run, folder, tmp_path):
    for i in range(12):
        (folder / f"dog/copy-{i}.png").write_bytes((folder / f"dog/{i:03}.png").read_bytes())
        (folder / f"emu/copy-{i}.png").write_bytes((folder / f"cat/{i:03}.png").read_bytes())
    done = run(folder, *sizes("rest", 10, 10, 10), "--out", tmp_path / "split")
    assert done.stdout.startswith("50 images in 3 classes; 24 files are copies and go with their image\n")
    of = {}
    for line in (tmp_path / "split/manifest.jsonl").read_text().splitlines():
        row = json.loads(line)
        assert of.setdefault((folder / row["path"]).read_bytes(), row["cohort"]) == row["cohort"]
    assert collections.Counter(of.values()) == {"shared": 20, "candidate": 10, "independent": 10, "external": 10}
    assert sum(len(read_list(tmp_path / "split", cohort)) for cohort in COHORTS) == 74


def test_the_audit_takes_the_manifest(run, folder, tmp_path):
    out = tmp_path / "split"
    run(folder, *sizes(0, 10, 0, 10), "--out", out)
    run("--pair", PAIRS / "resnet", "--manifest", out / "manifest.jsonl", "--root", folder, "--out", tmp_path / "audit", "--names",
        command="audit")
    rows = list(csv.DictReader((tmp_path / "audit/report.csv").open()))
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert len(lines) == 20
    assert [(row["cohort"], row["name"], row["class"]) for row in rows] == [(row["cohort"], row["path"], row["class"]) for row in lines]


def write_idx(path, count):
    pixels = bytes((i * 31 + p * 7) % 256 for i in range(count) for p in range(64))
    (path / "t-images-idx3-ubyte").write_bytes(struct.pack(">4B3I", 0, 0, 8, 3, count, 8, 8) + pixels)
    (path / "t-labels-idx1-ubyte").write_bytes(struct.pack(">4BI", 0, 0, 8, 1, count) + bytes(i % 4 for i in range(count)))
    return path / "t-images-idx3-ubyte"


def test_arrays(run, tmp_path):
    images, out = write_idx(tmp_path, 100), tmp_path / "split"
    done = run(images, *sizes(40, 20, 20, 20), "--out", out)
    assert done.stdout.startswith("100 images in 4 classes\n")
    lists = " ".join(f"--{cohort} {images}@{out}/{cohort}.txt" for cohort in COHORTS)
    assert done.stdout.endswith(f"\nthen: sslmem audit --pair PAIR {lists} --out REPORT\n")
    assert not (out / "manifest.jsonl").exists()
    for cohort, n in zip(COHORTS, (10, 5, 5, 5)):
        assert collections.Counter(i % 4 for i in read_list(out, cohort)) == {k: n for k in range(4)}
    # A list chooses a part of the dataset; the indexes stay those of the whole.
    done = run(f"{images}@{out}/candidate.txt", "--candidate", "rest", "--out", tmp_path / "again")
    assert done.stdout.startswith("20 images in 4 classes\n")
    assert read_list(tmp_path / "again", "candidate") == read_list(out, "candidate")


def read_membership(out):
    lines = (out / "membership.csv").read_text().splitlines()
    return lines[0], [[int(cell) for cell in line.split(",")] for line in lines[1:]]


def test_an_ensemble(run, folder, tmp_path):
    out = tmp_path / "split"
    done = run(folder, "--ensemble", 6, "--shared", 5, "--external", 10, "--out", out)
    assert "encoder e trains with the images whose line of membership.csv has 1 for it\n" in done.stdout
    head, rows = read_membership(out)
    assert head == "# index," + ",".join(f"encoder {e}" for e in range(6))
    assert [row[0] for row in rows] == list(range(50)) and all(len(row) == 7 for row in rows)
    members = {row[0]: row[1:] for row in rows}
    for cohort, count in (("shared", 6), ("candidate", 3), ("external", 0)):
        assert all(sum(members[i]) == count for i in read_list(out, cohort))
    candidates = read_list(out, "candidate")
    assert len(candidates) == 35 and not (out / "manifest.jsonl").exists()
    for first, last in ((0, 30), (30, 42), (42, 50), (0, 50)):
        part = [i for i in candidates if first <= i < last]
        for e in range(6):
            assert abs(sum(members[i][e] for i in part) - len(part) / 2) < 1
    run(folder, "--ensemble", 6, "--shared", 5, "--external", 10, "--seed", 1, "--out", tmp_path / "other")
    assert read_membership(tmp_path / "other") != (head, rows)


def test_torch_takes_the_lists(run, folder, tmp_path):
    torch_data, datasets = pytest.importorskip("torch.utils.data"), pytest.importorskip("torchvision.datasets")
    numpy = pytest.importorskip("numpy")
    (folder / "cat/notes.txt").write_text("no image")
    out = tmp_path / "split"
    (folder / "dog/link.png").symlink_to(folder / "dog/000.png")
    done = run(folder, *sizes(20, 10, 10, 5), "--out", out)
    (folder / "dog/link.png").unlink()  # ImageFolder follows links
    assert done.stderr == ("sslmem split: 2 files are links, or neither JPEG nor PNG, and have no index; a training that counts them as images has "
                           "other indexes\n")
    dataset = datasets.ImageFolder(folder)
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    for cohort in COHORTS:
        subset = torch_data.Subset(dataset, read_list(out, cohort))
        rows = [row for row in lines if row["cohort"] == cohort]
        assert len(subset) == len(rows) > 0
        assert [dataset.samples[i] for i in subset.indices] == [(str(folder / row["path"]), dataset.class_to_idx[row["class"]])
                                                                for row in rows]
        assert subset[0][1] == dataset.class_to_idx[rows[0]["class"]]
    run(folder, "--ensemble", 4, "--out", tmp_path / "ensemble")
    table = numpy.loadtxt(tmp_path / "ensemble/membership.csv", delimiter=",", dtype=int)
    assert table.shape == (50, 5)
    subset = torch_data.Subset(dataset, table[table[:, 1 + 3] == 1, 0].tolist())
    assert len(subset) == 25 and len(list(torch_data.DataLoader(subset, batch_size=5, collate_fn=len))) == 5


def test_unreadable_images_are_in_no_cohort(run, folder, tmp_path):
    with open(folder / "cat/005.png", "r+b") as file:
        file.truncate((16 << 20) + 1)
    done = run(folder, "--candidate", "rest", "--out", tmp_path / "split")
    assert done.stderr.startswith("sslmem split: image 5, cat/005.png, is in no cohort: ")
    assert done.stderr.endswith("sslmem split: 1 images cannot be read and are in no cohort\n")
    assert read_list(tmp_path / "split", "candidate") == [i for i in range(50) if i != 5]


@pytest.mark.parametrize("options, code, text", [
    (sizes(20, 20, 10, 1), 1, "the cohorts have 51 images together, the dataset has 50 (50 files); choose smaller cohorts"),
    (sizes("rest", "rest", 1, 1), 1, "the rest of the images can go to one cohort, not to both shared and candidate"),
    (["--ensemble", 4, "--independent", 1], 1, "an ensemble has no independent images"),
    (["--ensemble", 5], 2, "--ensemble is 5, must be an even number of encoders from 2 to 64"),
    (["--ensemble", 66], 2, "--ensemble is 66, must be an even number of encoders from 2 to 64"),
    (["--ensemble", 0], 2, "--ensemble is 0, must be an even number of encoders from 2 to 64"),
    (["--candidate", "-1"], 2, "--candidate is -1, must be rest or a number of images from 0 to 2000000"),
    (["--candidate", 2000001], 2, "--candidate is 2000001, must be rest or a number of images from 0 to 2000000"),
    (["--candidate", "10%"], 2, "--candidate is 10%, must be rest or a number of images from 0 to 2000000"),
    (["--candidate", 2000000], 1, "the cohorts have 2000000 images together, the dataset has 50"),
    (["--candidate", 1, "--seed", 1 << 64], 2, "--seed is 18446744073709551616, must be a number from 0 to 18446744073709551615"),
    ([], 2, "say how many images each cohort gets"),
], ids=str)
def test_what_is_refused(run, folder, tmp_path, options, code, text):
    done = run(folder, *options, "--out", tmp_path / "split", code=code)
    assert done.stderr.startswith("sslmem split: " + text) and done.stdout == ""
    assert not (tmp_path / "split").exists()


def test_sizes_at_their_limit(run, folder, tmp_path):
    run(folder, *sizes(20, 20, 9, 1), "--out", tmp_path / "split")
    run(folder, "--ensemble", 64, "--out", tmp_path / "ensemble")
    assert all(sum(row[1:]) == 32 for row in read_membership(tmp_path / "ensemble")[1])


def test_another_split_is_not_overwritten(run, folder, tmp_path):
    out = tmp_path / "split"
    run(folder, *sizes(20, 10, 10, 5), "--out", out)
    before = content(out)
    done = run(folder, *sizes(20, 10, 10, 5), "--seed", 1, "--out", out, code=1)
    assert done.stderr == (f"sslmem split: {out}/shared.txt is of another split; choose another --out, or remove the file if nothing "
                           "was trained with it\n")
    (out / "membership.csv").write_text("")
    assert "/membership.csv is of another split" in run(folder, *sizes(20, 10, 10, 5), "--out", out, code=1).stderr
    (out / "membership.csv").unlink()
    assert content(out) == before


def test_two_splits_at_once_do_not_mix(binary, folder, tmp_path):
    """Both would pass the check that OUT holds no other split, and write over each other."""
    for i in range(20):
        out = tmp_path / f"out-{i}"
        both = [subprocess.Popen([binary, "split", folder, *sizes("10", "10", "10", "rest"), "--seed", str(seed), "--out", out],
                                 stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for seed in (1, 2)]
        errors = [process.communicate(timeout=PATIENCE_S)[1] for process in both]
        assert sorted(process.returncode for process in both) == [0, 1], errors
        assert "is of another split" in "".join(errors)
        assert sorted(sum((read_list(out, cohort) for cohort in COHORTS), [])) == list(range(50))


def test_datasets_that_are_none(run, folder, tmp_path):
    done = run(tmp_path / "none", "--candidate", 1, "--out", tmp_path / "split", code=1)
    assert f"{tmp_path}/none: No such file or directory" in done.stderr
    done = run(folder, "--candidate", 1, "--out", tmp_path / "no/split", code=1)
    assert f"--out {tmp_path}/no/split: No such file or directory" in done.stderr
    os.rename(folder / "cat/000.png", os.fsencode(folder / "cat") + b"/\xff.png")
    done = run(folder, "--candidate", 1, "--out", tmp_path / "split", code=1)
    assert done.stderr == (r"sslmem split: cat/\xff.png: a manifest is JSON and cannot hold a name that is not UTF-8; rename the file"
                           "\n")
