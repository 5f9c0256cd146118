"""`sslmem pair`: every public layout becomes a scored pair; what is missing is asked for or named; all problems of a pair at once."""

import fcntl
import io
import json
import os
import pickletools
import pty
import re
import select
import shutil
import socket
import subprocess
import time
import zipfile

import pytest

from conftest import PATIENCE_S, PAIRS, ROOT, png

ENCODERS = ROOT / "tests/golden/encoders"
DEMO = ROOT / "deploy/demo/pairs"
# Files that stand beside the checkpoint in real repositories. encoder.json and case.json are of the tests.
SIDECARS = ("config.json", "open_clip_config.json", "args.json", "preprocessor_config.json")

# The options of a layout that core/names/README.md names in its row; other layouts need none. Widths of the cases are not
# those of published encoders, so no preset fits and a ViT needs its number of heads.
KEYS = {"dino-full": "teacher", "dinov2-train": "teacher", "ibot-layerscale": "teacher", "ijepa": "target_encoder", "mocov3-conv": "base_encoder",
        "mocov3-vit": "base_encoder", "resnet-mocov3": "base_encoder", "resnet-sololearn-cifar": "state_dict.backbone"}


def layouts():
    """name -> (folder, checkpoint's name)"""
    return {folder.name: (folder, json.loads((folder / "case.json").read_text())["checkpoint"]["file"])
            for folder in sorted(ENCODERS.iterdir()) if (folder / "case.json").exists()}


LAYOUTS = layouts()


def moved(data):
    """Other weights in the same layout: one high bit of the mantissa of float32, and of every second half, is another."""
    changed = bytearray(data)
    changed[2::4] = bytes(byte ^ 0x10 for byte in changed[2::4])
    return bytes(changed)


def storages(data, at, count):
    """[(begin, end)] of the storages of PyTorch's old format: a count of elements, then the elements, of 2, 4 or 8 bytes."""
    if count == 0:
        return [] if at == len(data) else None
    elements, begin = int.from_bytes(data[at:at + 8], "little"), at + 8
    for size in (4, 8, 2):
        rest = storages(data, begin + size * elements, count - 1) if begin + size * elements <= len(data) else None
        if rest is not None:
            return [(begin, begin + size * elements), *rest]
    return None


def moved_legacy(data):
    """Five pickles (the last lists the storages), then the storages."""
    file = io.BytesIO(data)
    for _ in range(5):
        last = file.tell()
        for _ in pickletools.genops(file):
            pass
    keys = sum(operation.name.endswith("UNICODE") for operation, *_ in pickletools.genops(data[last:]))
    changed = bytearray(data)
    for begin, end in storages(data, file.tell(), keys):
        if end - begin >= 16:
            changed[begin:end] = moved(data[begin:end])
    return bytes(changed)


def write_other(source, target):
    """Writes a checkpoint of the same layout with other weights."""
    if zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as new:
            for entry in old.infolist():
                tensors = re.search(r"/(data|constants)/\d+$", entry.filename)
                new.writestr(entry.filename, moved(old.read(entry)) if tensors and entry.file_size >= 16 else old.read(entry))
    elif source.read_bytes()[:4] == b"\x80\x02\x8a\x0a":
        target.write_bytes(moved_legacy(source.read_bytes()))
    else:
        data = source.read_bytes()
        header = 8 + int.from_bytes(data[:8], "little")
        target.write_bytes(data[:header] + moved(data[header:]))


def copy_layout(folder, file, target, other):
    target.mkdir()
    for name in SIDECARS:
        if (folder / name).exists():
            shutil.copy(folder / name, target)
    if other:
        write_other(folder / file, target / file)
    else:
        shutil.copy(folder / file, target)
    return target / file


@pytest.fixture
def run(binary):
    def run(*arguments, code=0):
        done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done
    return run


# --- every public layout ----------------------------------------------------------------------------


def options_of(name, folder):
    options = ["--key", KEYS[name]] if name in KEYS else []
    said = json.loads((folder / "encoder.json").read_text()) if (folder / "encoder.json").exists() else {}
    return options + (["--set", f"heads={said['heads']}"] if "heads" in said else [])


def test_all_layouts_are_here():
    assert len(LAYOUTS) == 68 and set(KEYS) <= set(LAYOUTS)


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout_becomes_a_pair(run, tmp_path, name):
    folder, file = LAYOUTS[name]
    f, g = (copy_layout(folder, file, tmp_path / side, side == "g") for side in "fg")
    options = options_of(name, folder)
    made = run("pair", "create", tmp_path / "pair", "--f", f, "--g", g, *options)
    m = re.search(r"scores m ([+-][\d.e-]+)", made.stdout)
    assert m and (float(m[1]) != 0 or name == "clip-resnet"), made.stdout  # whose random weights give a map of zeros
    shutil.rmtree(tmp_path / "f")
    shutil.rmtree(tmp_path / "g")  # the pair needs nothing but its folder
    run("pair", "check", tmp_path / "pair")
    (tmp_path / "a.png").write_bytes(png(1, 64))
    score = json.loads(run("score", "--pair", tmp_path / "pair", tmp_path / "a.png").stdout)
    assert abs(score["m"]) < 1 and "flags" not in score


def test_a_layout_without_its_options_names_them(run, tmp_path):
    """The message holds the option; giving it succeeds."""
    for name in ("dino-full", "timm-vit"):
        folder, file = LAYOUTS[name]
        f, g = (copy_layout(folder, file, tmp_path / f"{name}-{side}", side == "g") for side in "fg")
        options = []
        for _ in range(3):
            done = subprocess.run([run.__closure__[0].cell_contents, "pair", "create", tmp_path / name, "--f", f, "--g", g, *options],
                                  capture_output=True, text=True, stdin=subprocess.DEVNULL)
            if done.returncode == 0:
                break
            assert not (tmp_path / name).exists()
            if "give --key" in done.stderr:
                assert done.stderr.count("    give --key student.module.backbone or --key teacher.backbone\n") == 2
                options += ["--key", "teacher.backbone"]
            else:
                assert "give --set heads=VALUE" in done.stderr
                options += ["--set", f"heads={json.loads((folder / 'encoder.json').read_text())['heads']}"]
        assert done.returncode == 0, done.stderr


# --- a terminal -------------------------------------------------------------------------------------


def talk(command, answers):
    """Runs a command on a terminal and answers its questions: (exit code, what it printed)."""
    child, terminal = pty.fork()
    if child == 0:
        os.execv(command[0], [str(word) for word in command])
    printed, answers = b"", list(answers)
    while select.select([terminal], [], [], PATIENCE_S)[0]:
        try:
            got = os.read(terminal, 65536)
        except OSError:  # Linux: the other end is closed
            break
        if not got:
            break
        printed += got
        while answers and re.search(answers[0][0].encode(), printed[-400:]):
            os.write(terminal, answers.pop(0)[1].encode() + b"\n")
            printed += b"\n"
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), printed.decode()


def test_a_terminal_is_asked(binary, tmp_path):
    folder, file = LAYOUTS["dino-full"]
    f, g = (copy_layout(folder, file, tmp_path / side, side == "g") for side in "fg")
    answers = [("key of f: $", "teacher"), ("heads of f: $", "2"), ("key of g: $", "student"),
               (r"\[simclr-cifar\]: $", "mae")]
    code, printed = talk([binary, "pair", "create", tmp_path / "pair", "--f", f, "--g", g], answers)
    assert code == 0 and "g: heads as of f" in printed and "heads of g" not in printed, printed
    made = json.loads((tmp_path / "pair/pair.json").read_text())
    assert made["encoder"] == {"f": {"key": "teacher", "heads": 2}, "g": {"key": "student", "heads": 2}}
    assert made["recipe"]["augment"] == "mae"
    readme = (tmp_path / "pair/README.md").read_text()
    assert all(f"`{field}`" in readme for field in (*made, "reference", "allow_same", *(f"recipe.{name}" for name in made["recipe"]))
               if field not in ("recipe", "mean", "std"))
    assert "`pool` is cls (" in readme


def test_no_answer_makes_nothing(binary, tmp_path):
    folder, file = LAYOUTS["dino-full"]
    f, g = (copy_layout(folder, file, tmp_path / side, side == "g") for side in "fg")
    code, printed = talk([binary, "pair", "create", tmp_path / "pair", "--f", f, "--g", g], [("key of f: $", ""), ("key of g: $", "")])
    assert code == 1 and printed.count("give --key student.module.backbone or --key teacher.backbone") == 2
    assert not (tmp_path / "pair").exists()


# --- what is refused --------------------------------------------------------------------------------


def test_sides_may_have_settings_of_their_own(run, tmp_path):
    """A training file with teacher beside a bare backbone; a key for both sides counts where there is one."""
    folder, file = LAYOUTS["dino-full"]
    f = copy_layout(folder, file, tmp_path / "f", False)
    bare = DEMO / "fashion-vit/g.safetensors"
    done = run("pair", "create", tmp_path / "pair", "--f", f, "--g", bare, "--key", "teacher", "--set", "heads=2", code=1)
    assert 'g: no encoder "teacher" in its file: taken without --key' in done.stderr
    differing = set(re.findall(r"^  (\w+) .* differs: must agree$", done.stdout, re.M))
    assert differing == {"dim", "blocks"} == {word for word in re.findall(r"has (\w+) \d+, ", done.stderr)}


def test_wrong_preset_names_both_widths(run, tmp_path):
    folder, file = LAYOUTS["dino-backbone"]
    done = run("pair", "create", tmp_path / "pair", "--f", folder / file, "--g", folder / file, "--preset", "mae-vitb16", code=1)
    assert done.stderr.count("preset mae-vitb16 is of width 768, the file of width 24") == 2


def test_same_weights_need_a_word(run, tmp_path):
    f = DEMO / "fashion-vit/f.safetensors"
    done = run("pair", "create", tmp_path / "pair", "--f", f, "--g", f, code=1)
    assert "hold the same weights" in done.stderr and not (tmp_path / "pair").exists()
    done = run("pair", "create", tmp_path / "pair", "--f", f, "--g", f, "--allow-same", "--link")
    assert "sides_same" in done.stderr and json.loads((tmp_path / "pair/pair.json").read_text())["allow_same"] is True
    assert (tmp_path / "pair/f.safetensors").readlink() == f


def test_folders_for_files_and_the_reverse(run, tmp_path, binary):
    f, g = (DEMO / f"fashion-vit/{side}.safetensors" for side in "fg")
    (tmp_path / "file").write_text("")
    for words, text in (
            (("pair", "create", tmp_path / "new", "--f", f, "--g", DEMO / "fashion-vit"), "is a folder, not a checkpoint: name a file; the folder holds f.safe"),
            (("pair", "create", DEMO, "--f", f, "--g", g), "is a folder of pairs; name a new folder in it"),
            (("pair", "create", DEMO / "fashion-vit", "--f", f, "--g", g), "is a pair already"),
            (("pair", "create", tmp_path / "file", "--f", f, "--g", g), "is a file; a pair is a folder"),
            (("score", "--pair", DEMO, "x.png"), "the folder holds 3 pairs, name one: fashion-simclr, fashion-strong, fashion-vit"),
            (("pair", "check", DEMO / "fashion-vit/pair.json"), f"pair.json is a file of a pair: give the folder: {DEMO}/fashion-vit\n"),
            (("score", "--pair", DEMO / "fashion-vit/pair.json", "x.png"), f"give the folder: {DEMO}/fashion-vit\n"),
            (("score", "--pair", f, "x.png"), "is a file; a pair is a folder with a pair.json"),
            (("serve", "--pairs", DEMO / "fashion-vit", "--db", tmp_path / "db", "--listen", "127.0.0.1:0"), "is a pair itself"),
            (("serve", "--check-config", "--pairs", DEMO / "fashion-vit", "--db", tmp_path / "db"), "is a pair itself")):
        assert text in run(*words, code=2 if words[:2] == ("serve", "--pairs") else 1).stderr, words
    assert not (tmp_path / "new").exists()
    check = subprocess.run([binary, "pair", "check", "pair.json"], cwd=DEMO / "fashion-vit", capture_output=True, text=True)
    assert check.stderr.startswith("pair.json is a file of a pair: give the folder: .\n    give that folder as the pair\n")


def test_serve_says_what_it_lacks_before_it_loads_pairs(binary, tmp_path):
    serve = lambda *words: subprocess.run([binary, "serve", *map(str, words)], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_S)
    done = serve("--listen", "127.0.0.1:0")
    assert done.returncode == 1 and done.stderr == "sslmem serve: --pairs pairs: No such file or directory: name the folder that holds the folders of pairs\n"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        for option in ("--listen", "--admin-listen"):
            done = serve("--pairs", DEMO, "--db", "db", *(() if option == "--listen" else ("--listen", "127.0.0.1:0")), option, address)
            assert done.returncode == 1 and "pair_" not in done.stderr and not (tmp_path / "db").exists()
            assert done.stderr == f"sslmem serve: cannot listen on {address}: Address already in use ({option} takes another address)\n"


def test_files_that_lie_in_the_folder_stay(run, tmp_path):
    for side in "fg":
        shutil.copy(DEMO / f"fashion-vit/{side}.safetensors", tmp_path / f"my-{side}.safetensors")
    assert "the folder holds my-f.safetensors, my-g.safetensors" in run("pair", "check", tmp_path, code=1).stderr
    run("pair", "create", tmp_path, "--f", tmp_path / "my-f.safetensors", "--g", tmp_path / "my-g.safetensors", "--set", "heads=4")
    assert sorted(os.listdir(tmp_path)) == ["README.md", "my-f.safetensors", "my-g.safetensors", "pair.json"]
    assert json.loads((tmp_path / "pair.json").read_text())["g"] == ["my-g.safetensors"]


BAD = {"f": ["gone.pt", "../f.pt"], "g": "g.pt", "views": 3, "std": [0.5, 0, 0.5], "reference": "a/b",
       "encoder": {"head": 3, "pool": "sum"}, "recipe": {"augment": "simclr", "views": 0, "speed": 1}}
PLACES = {"/views", "/f/1", "/std/1", "/reference", "/encoder/head", "/encoder/pool", "/recipe/augment", "/recipe/views", "/recipe/speed"}


def test_all_problems_at_once(run, serve, tmp_path):
    pair = tmp_path / "pairs/bad"
    pair.mkdir(parents=True)
    (pair / "g.pt").write_bytes((PAIRS / "resnet/g.pt").read_bytes()[:1000])
    (pair / "pair.json").write_text(json.dumps(BAD))
    found = json.loads(run("pair", "check", "--json", pair, code=1).stdout)
    found = found["problems"]
    assert {p["pointer"] for p in found if p["file"] == "pair.json"} == PLACES
    assert {(p["file"], p["pointer"]) for p in found if p["file"] != "pair.json"} == {("gone.pt", "/f/0"), ("g.pt", "/g/0")}
    assert all(p["detail"] and p["action"] for p in found)

    text = run("pair", "check", pair, code=1).stderr
    assert all(f"{p['file']} {p['pointer']}: {p['detail']}\n    {p['action']}\n" in text for p in found)
    server = serve(pairs=tmp_path / "pairs")
    shown = server.get("/v1/pairs/bad").json
    assert shown["problems"] == found and shown["reason"] == f"pair.json: {found[0]['detail']}"
    logged, = (event for line in (server.folder / "stderr").read_text().splitlines()
               if (event := json.loads(line))["event"] == "pair_failed")
    assert logged["problems"] == found


def test_problems_are_limited(run, tmp_path):
    shutil.copytree(PAIRS / "resnet", tmp_path / "pair", ignore=shutil.ignore_patterns("*.views.*"))
    good = json.loads((tmp_path / "pair/pair.json").read_text())
    for count in (31, 32, 33):
        (tmp_path / "pair/pair.json").write_text(json.dumps(good | {f"odd-{i}": 1 for i in range(count)}))
        assert len(json.loads(run("pair", "check", "--json", tmp_path / "pair", code=1).stdout)["problems"]) == min(count, 32)


def test_settings_are_limited(run, tmp_path):
    f, g = (DEMO / f"fashion-vit/{side}.safetensors" for side in "fg")
    create = lambda *sets, code=2: run("pair", "create", tmp_path / "pair", "--f", f, "--g", g, *(word for s in sets for word in ("--set", s)),
                                       code=code)
    assert "too many: --set" in create(*["heads=4"] * 25).stderr
    assert "--set heads: must be NAME=VALUE" in create("heads").stderr
    assert "--set head=4: no such setting, the nearest is heads" in create("head=4").stderr
    assert "--set xyzzy=4: no such setting; core/names/README.md" in create("xyzzy=4").stderr
    assert "--set heads=4 and --set heads=2: give each setting once" in create("heads=4", "pool=cls", "heads=2").stderr
    assert "--set key=teacher: give --key teacher" in create("key=teacher").stderr
    assert "--set preset=mae-vitb16: give --preset mae-vitb16" in create("preset=mae-vitb16").stderr
    assert create("mean=0.5,0.5,0.5", code=1).stderr.count("    give --set std=R,G,B\n") == 2
    assert create("mean=0.5,0.5", "std=1,1,1", code=1).stderr.count("    give --set mean=R,G,B\n") == 2
    assert create("mean=0.5,x,0.5", "std=1,1,1", code=1).stderr.count("    give --set mean=R,G,B\n") == 2
    assert not (tmp_path / "pair").exists()
    create("mean=0.5,0.25,0.5", "std=[0.5,0.5,1]", "heads=4", code=0)
    made = json.loads((tmp_path / "pair/pair.json").read_text())
    assert (made["encoder"], made["mean"], made["std"]) == ({"heads": 4}, [0.5, 0.25, 0.5], [0.5, 0.5, 1])


def test_key_that_chooses_nothing(run, tmp_path):
    """It is an error on standard error that names the nearest key and all that exist; one side may lack the key of the other."""
    folder, file = LAYOUTS["dino-full"]
    f, g = (copy_layout(folder, file, tmp_path / side, side == "g") for side in "fg")
    bare = DEMO / "fashion-vit/g.safetensors"
    for other in (g, bare):
        done = run("pair", "create", tmp_path / "pair", "--f", f, "--g", other, "--key", "teachr", code=1)
        assert done.stdout == "" and not (tmp_path / "pair").exists()
        assert f'f: {f}: "key" is "teachr" (nearest: "teacher"), which chooses none of: "student.module.backbone.", "teacher.backbone."\n' in done.stderr
    done = run("pair", "create", tmp_path / "pair", "--f", DEMO / "fashion-vit/f.safetensors", "--g", bare, "--key", "teachr", code=1)
    assert done.stdout == "" and done.stderr.count('chooses none of: "" (top level)') == 2
    # The bare side takes the key of the other for none; a file with several encoders does not.
    other = copy_layout(*LAYOUTS["mae-pretrain"], tmp_path / "mae", False)
    done = run("pair", "create", tmp_path / "pair", "--f", other, "--g", f, "--key", "encoder", "--set", "heads=2", code=1)
    assert f'g: {f}: "key" is "encoder", which chooses none of: "student' in done.stderr
    assert "give --g-key student.module.backbone or --g-key teacher.backbone\n" in done.stderr


def test_encoders_of_a_side_have_the_same_settings(run, tmp_path):
    """pair.json holds one configuration a side: a second file whose neighbours say otherwise would be read by the first's."""
    folder, file = LAYOUTS["timm-vit"]
    one, two, g = (copy_layout(folder, file, tmp_path / name, name == "g") for name in ("one", "two", "g"))
    said = {"heads": 2, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}
    (tmp_path / "one/encoder.json").write_text(json.dumps(said))
    (tmp_path / "g/encoder.json").write_text(json.dumps(said))
    for change, option in (({"heads": 4}, "--set heads=VALUE"), ({"norm_eps": 1e-5}, "--set norm_eps=VALUE"),
                           ({"std": [0.5, 0.5, 0.50001]}, "--set std=R,G,B")):
        (name, value), = change.items()
        (tmp_path / "two/encoder.json").write_text(json.dumps(said | change))
        for options in (("--f", one, "--f", two, "--g", g), ("--f", g, "--g", one, "--g", two)):
            done = run("pair", "create", tmp_path / "pair", *options, code=1)
            assert re.search(rf"^{'f' if options[2] == '--f' else 'g'}: {one} has {name} .*, {two} has ", done.stderr, re.M), done.stderr
            assert f"    give {option}, or files that agree\n" in done.stderr and not (tmp_path / "pair").exists()
    (tmp_path / "two/encoder.json").write_text(json.dumps(said))
    run("pair", "create", tmp_path / "pair", "--f", one, "--f", two, "--g", g)


def test_weights_that_are_not_finite_are_named(run, tmp_path):
    """The side and the file, in plain words and not in the service's log."""
    data = bytearray((DEMO / "fashion-vit/g.safetensors").read_bytes())
    head = int.from_bytes(data[:8], "little")
    tensors = json.loads(data[8:8 + head])
    at = 8 + head + tensors["blocks.0.attn.proj.weight"]["data_offsets"][0]
    data[at:at + 4] = b"\0\0\xc0\x7f"
    bad, good = tmp_path / "bad.safetensors", DEMO / "fashion-vit/f.safetensors"
    bad.write_bytes(data)
    for side, sides in (("g", ("--f", good, "--g", bad)), ("f", ("--f", bad, "--g", good)), ("f", ("--f", bad))):
        done = run("pair", "create", tmp_path / "pair", *sides, "--set", "mean=0.5,0.5,0.5", "--set", "std=0.5,0.5,0.5", code=1)
        assert f"{side}: {bad}: 1 of the weights is NaN or infinite\n    give another checkpoint: " in done.stderr, done.stderr
        assert done.stderr.endswith("sslmem pair create: nothing was made\n") and "pair_without_canary" not in done.stderr
        assert str(good) not in done.stderr and not (tmp_path / "pair").exists()


def test_check_prints_equal_guesses_once(run, tmp_path):
    pair = tmp_path / "pair"
    shutil.copytree(PAIRS / "resnet", pair)
    guesses = lambda: [line.strip() for line in run("pair", "check", pair).stdout.splitlines() if "guess of" in line]
    shared = guesses()
    assert len(shared) > 4 and all(line.startswith("guess of f and g: ") for line in shared) and len(set(shared)) == len(shared)
    document = json.loads((pair / "pair.json").read_text())
    assert any(line.startswith("guess of f and g: norm_eps is ") for line in shared)
    document["encoder"] = {"f": document["encoder"] | {"norm_eps": 1e-5}, "g": document["encoder"]}
    (pair / "pair.json").write_text(json.dumps(document))
    assert [line for line in guesses() if not line.startswith("guess of f and g: ")] == [
        next(line for line in shared if "norm_eps" in line).replace("f and g", "g")]


def test_advice_names_options(run, tmp_path):
    folder, file = LAYOUTS["dino-backbone"]
    f = copy_layout(folder, file, tmp_path / "f", False)
    done = run("pair", "create", tmp_path / "pair", "--f", f, "--g", DEMO / "fashion-vit/g.safetensors", "--set", "heads=2", code=1)
    assert "--f-key and --g-key choose an encoder" in done.stderr and '"encoder"' not in done.stderr
    done = run("pair", "create", tmp_path / "pair", "--f", f, "--g", f, "--set", "heads=2", code=1)
    assert "    give another file to --g, or --allow-same\n" in done.stderr
    g = copy_layout(folder, file, tmp_path / "g", True)
    for side, mean in (("f", 0.5), ("g", 0.25)):
        (tmp_path / side / "encoder.json").write_text(json.dumps({"heads": 2, "mean": [mean] * 3, "std": [0.5] * 3}))
    done = run("pair", "create", tmp_path / "pair", "--f", f, "--g", g, code=1)
    assert "    give --set mean=R,G,B --set std=R,G,B, for both sides\n" in done.stderr


def test_what_a_killed_run_left_is_removed(run, binary, tmp_path):
    f, g = (DEMO / f"fashion-vit/{side}.safetensors" for side in "fg")
    create = [binary, "pair", "create", tmp_path / "pair", "--f", f, "--g", g, "--set", "heads=4"]
    stages = lambda: sorted(path.name for path in tmp_path.glob("pair/.create-*"))
    process = subprocess.Popen(create, stdout=subprocess.DEVNULL)
    while process.poll() is None and not list(tmp_path.glob("pair/.create-*/README.md")):
        time.sleep(0.0005)
    process.kill()
    process.wait()
    if not stages():
        pytest.skip("the process ended before it was killed")
    live = tmp_path / "pair/.create-1"
    live.mkdir()
    held = os.open(live, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    (tmp_path / "pair/.create-x").mkdir()  # not of this program
    stale, = set(stages()) - {".create-1", ".create-x"}
    done = run(*create[1:])
    assert f"removed {tmp_path}/pair/{stale}, which a killed run left\n" in done.stderr
    assert stages() == [".create-1", ".create-x"]
    os.close(held)
