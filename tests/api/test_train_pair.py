"""deploy/recipes/train_pair.py: from index lists to a pair that sslmem scores. Tiny networks, one or two steps each."""

import gzip
import importlib.util
import json
import os
import pickle
import re
import struct
import subprocess

import pytest

from conftest import ROOT

np = pytest.importorskip("numpy")
torch = pytest.importorskip("torch")
pytest.importorskip("torchvision")
from PIL import Image  # noqa: E402

RECIPE = ROOT / "deploy/recipes/train_pair.py"
COUNT = 48  # images; twelve of each cohort


@pytest.fixture(scope="module")
def recipe():
    spec = importlib.util.spec_from_file_location("train_pair", RECIPE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.set_num_threads(1)
    yield module
    torch.use_deterministic_algorithms(False)


@pytest.fixture(scope="module")
def pixels():
    return np.random.RandomState(7).randint(0, 256, (COUNT, 32, 32, 3), np.uint8)


@pytest.fixture(scope="module")
def files(tmp_path_factory, pixels):
    """The same images in every layout: name -> path."""
    folder = tmp_path_factory.mktemp("layouts")
    found = {name: folder / name for name in ("npy.npy", "npz.npz", "folder", "cifar-python", "cifar-binary", "cifar100")}
    np.save(folder / "npy.npy", pixels)
    np.savez(folder / "npz.npz", train_images=pixels, test_images=pixels[:5], train_labels=np.zeros((COUNT, 1), np.uint8))
    rows = pixels.transpose(0, 3, 1, 2).reshape(COUNT, 3072)
    for name in ("folder", "cifar-python", "cifar-binary", "cifar100"):
        found[name].mkdir()
    for at, image in enumerate(pixels):
        (found["folder"] / f"class{at // 24}").mkdir(exist_ok=True)
        Image.fromarray(image).save(found["folder"] / f"class{at // 24}" / f"{at:03d}.png")
    for part in range(2):
        half = rows[24 * part:24 * part + 24]
        # Protocol 2 and bytes as keys: what CIFAR's files hold.
        (found["cifar-python"] / f"data_batch_{part + 1}").write_bytes(
            pickle.dumps({b"data": half, b"labels": [0] * 24, b"filenames": [b"x.png"] * 24}, 2))
        (found["cifar-binary"] / f"data_batch_{part + 1}.bin").write_bytes(b"".join(b"\3" + r.tobytes() for r in half))
    (found["cifar100"] / "train.bin").write_bytes(b"".join(b"\3\7" + r.tobytes() for r in rows))
    return found


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    folder = tmp_path_factory.mktemp("split")
    order = np.random.RandomState(3).permutation(COUNT).tolist()
    for at, cohort in enumerate(("shared", "candidate", "independent", "external")):
        (folder / f"{cohort}.txt").write_text("".join(f"{i}\n" for i in order[12 * at:12 * at + 12]))
    return folder


SMALL = {"simclr": ["--width", "8"], "dino": ["--width", "32", "--depth", "1", "--heads", "2", "--patch", "8"],
         "mae": ["--width", "32", "--depth", "1", "--heads", "2", "--patch", "8"]}


def run(recipe, method, data, split, out, *more):
    return recipe.main(["--method", method, "--data", str(data), "--split", str(split), "--out", str(out), "--epochs", "1",
                        "--batch", "12", "--device", "cpu", *SMALL[method], *more])


def score(binary, pair, image):
    done = subprocess.run([binary, "score", "--pair", pair, image], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("method", ["simclr", "dino", "mae"])
def test_a_pair_that_scores(binary, recipe, files, split, tmp_path, method):
    """Loads with no guess and no unused tensor, and f and g differ; the same seed gives the same files, another one others."""
    assert run(recipe, method, files["npy.npy"], split, tmp_path / "a") == 0
    document = score(binary, tmp_path / "a", files["folder"] / "class0/000.png")
    assert document["m"] != 0 and document["f"]["alignment"] > 0
    assert document["recipe"]["representation"] == ("mean" if method == "mae" else "pooled")
    told = subprocess.run([binary, "inspect", "--config", config_of(tmp_path), tmp_path / "a/f.pt"], capture_output=True, text=True)
    guesses = [line.split()[0] for line in told.stdout.splitlines() if "guess:" in line]
    assert told.returncode == 0 and guesses in ([], ["rope"]), told.stdout + told.stderr  # rope has no setting that says none
    for data, side in (("npy.npy", "f"), ("folder", "g")):  # whatever the layout
        assert run(recipe, method, files[data], split, tmp_path / "b", "--side", side) == 0
        assert (tmp_path / f"a/{side}.pt").read_bytes() == (tmp_path / f"b/{side}.pt").read_bytes(), side
    assert (tmp_path / "a/f.pt").read_bytes() != (tmp_path / "a/g.pt").read_bytes()
    assert run(recipe, method, files["npy.npy"], split, tmp_path / "c", "--side", "f", "--seed", "1") == 0
    assert (tmp_path / "a/f.pt").read_bytes() != (tmp_path / "c/f.pt").read_bytes()


def config_of(folder):
    pair = json.loads((folder / "a/pair.json").read_text())
    (folder / "config.json").write_text(json.dumps({**pair["encoder"], "mean": pair["mean"], "std": pair["std"]}))
    return folder / "config.json"


def test_each_side_sees_its_cohorts(recipe, files, split, tmp_path, monkeypatch):
    seen = []
    draw = recipe.Views.__getitem__
    monkeypatch.setattr(recipe.Views, "__getitem__", lambda self, key: seen.append(key) or draw(self, key))
    lists = {c: {int(i) for i in (split / f"{c}.txt").read_text().split()} for c in ("shared", "candidate", "independent")}
    for side, other in (("f", "candidate"), ("g", "independent")):
        seen.clear()
        assert run(recipe, "mae", files["npy.npy"], split, tmp_path, "--side", side, "--epochs", "2") == 0
        for epoch in (0, 1):
            assert sorted(i for e, i in seen if e == epoch) == sorted(lists["shared"] | lists[other])
        order = [i for _, i in seen]
        assert order[:24] != order[24:]  # another order in each epoch


def test_both_sides_begin_alike(recipe, files, split, tmp_path):
    """At a learning rate of 0 nothing of the data is left: f and g are equal, of another seed they are others."""
    for seed in ("0", "1"):
        assert run(recipe, "mae", files["npy.npy"], split, tmp_path / seed, "--lr", "0", "--seed", seed) == 0
        assert (tmp_path / seed / "f.pt").read_bytes() == (tmp_path / seed / "g.pt").read_bytes()
    assert (tmp_path / "0/f.pt").read_bytes() != (tmp_path / "1/f.pt").read_bytes()


def test_training_learns(recipe, files, split, tmp_path, capsys):
    """The losses fall: a network that does not train would score all the same."""
    for method, epochs in (("simclr", 6), ("mae", 10)):
        assert run(recipe, method, files["npy.npy"], split, tmp_path, "--side", "f", "--epochs", str(epochs), "--lr", "0.003") == 0
        losses = [float(line.split("loss ")[1].split()[0]) for line in capsys.readouterr().out.splitlines() if "loss" in line]
        assert len(losses) == epochs and losses[-1] < losses[0] - 0.02, (method, losses)


def test_the_teacher_follows_the_student(recipe):
    """DINO's loss has no minimum to fall to in a few steps: its parts are checked."""
    torch.manual_seed(0)
    model = recipe.DINO(recipe.ViT(32, 1, 2, 8, 32), None)
    views = [torch.randn(4, 3, px, px) for px in (32, 32, 16, 16)]
    loss = model.loss(views)
    loss.backward()
    assert all(p.grad is None for p in model.teacher.parameters())
    assert all(p.grad.abs().sum() > 0 for p in model.student.parameters())
    with torch.no_grad():
        taught = torch.stack(model.teacher(views[:2]))
        assert torch.allclose(model.center, 0.1 * taught.mean((0, 1)))
        for p in model.student.parameters():
            p.add_(1)
    before = [p.clone() for p in model.encoder.parameters()]
    model.stepped(0.0)
    for was, now, student in zip(before, model.encoder.parameters(), model.student.trunk.parameters()):
        assert torch.allclose(now, was + 0.004 * (student - was))
    now = [p.clone() for p in model.encoder.parameters()]
    model.stepped(1.0)  # at the end it stands still
    assert all(torch.equal(*both) for both in zip(now, model.encoder.parameters()))


def test_layouts(recipe, files, pixels, tmp_path):
    for name, path in files.items():
        images = recipe.open_images(path)
        assert len(images) == COUNT, name
        for at in (0, 30, 47):
            image = np.asarray(Image.open(images[at])) if name == "folder" else images[at]
            assert (image == pixels[at]).all(), (name, at)
    grey = pixels[..., 0]
    raw = struct.pack(">HBB3I", 0, 8, 3, *grey.shape) + grey.tobytes()
    (tmp_path / "idx").write_bytes(raw)
    (tmp_path / "idx.gz").write_bytes(gzip.compress(raw))
    for name in ("idx", "idx.gz"):
        assert (recipe.open_images(tmp_path / name) == grey).all()
    assert (recipe.open_images(files["cifar-python"] / "data_batch_2") == pixels[24:]).all()


def test_bytes_decide_the_order_of_files(recipe, tmp_path):
    """As the readers of sslmem: upper case before lower case, a folder's name as part of the path."""
    for name in ("b.png", "B.png", "a/z.png", "a-.png", "é.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [str(p.relative_to(tmp_path)) for p in recipe.open_images(tmp_path)] == ["B.png", "a-.png", "a/z.png", "b.png", "é.png"]


class Evil:
    def __reduce__(self):
        return os.system, ("touch /tmp/evil",)


@pytest.mark.parametrize("name,content,told", [
    ("data_batch_1", pickle.dumps({b"data": Evil()}), "system has no place in a batch of CIFAR"),
    ("a.npy", None, "float64 [2, 3], must be uint8"),
    ("a.npz", None, "one array must have images or be train_images; those with images: a, b"),
])
def test_data_that_is_refused(recipe, split, tmp_path, capsys, name, content, told):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    elif name == "a.npy":
        np.save(tmp_path / name, np.zeros((2, 3)))
    else:
        np.savez(tmp_path / name, a=np.zeros((2, 3, 3), np.uint8), b=np.zeros((2, 3, 3), np.uint8))
    assert run(recipe, "simclr", tmp_path / name, split, tmp_path / "out") == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("cohort,text,told", [
    ("candidate", "48\n", "candidate.txt:1: '48' is no index from 0 to 47"),
    ("independent", "0\nx\n", "independent.txt:2: 'x' is no index"),
    ("external", "5\n", "external.txt:1: image 5 is in candidate.txt already"),
    ("shared", "1\n1\n", "shared.txt:2: image 1 is in shared.txt already"),
    ("independent", None, "independent.txt"),
])
def test_lists_that_are_refused(recipe, files, tmp_path, capsys, cohort, text, told):
    for name, line in (("shared", "4\n"), ("candidate", "5\n"), ("independent", "6\n")):
        (tmp_path / f"{name}.txt").write_text(line)
    if text is None:
        (tmp_path / f"{cohort}.txt").unlink()
    else:
        (tmp_path / f"{cohort}.txt").write_text(text)
    assert run(recipe, "simclr", files["npy.npy"], tmp_path, tmp_path / "out") == 1
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("options,told", [
    (["--method", "mae", "--arch", "resnet18"], "mae needs --arch vit"),
    (["--method", "dino", "--size", "30"], "--size 30 is no multiple of --patch 4"),
    (["--method", "simclr", "--width", "48"], "--width 48 does not divide 64"),
])
def test_options_that_are_refused(recipe, tmp_path, capsys, options, told):
    with pytest.raises(SystemExit) as stopped:
        recipe.main(["--data", "x", "--split", "x", "--out", "x", *options])
    assert stopped.value.code == 2 and told in capsys.readouterr().err


def test_the_documented_command(recipe):
    for text in (recipe.__doc__, (ROOT / "deploy/clients/README.md").read_text()):
        command, = re.findall(r"train_pair\.py (--method .*)", text)
        assert recipe.parse(command.split()).method == "simclr"


def test_it_stays_a_file_to_read():
    assert len(RECIPE.read_text().splitlines()) <= 400
