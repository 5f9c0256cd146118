"""`sslmem audit --shard` and `sslmem audit merge`: parts of an audit joined into the report of one run, and every part that is wrong."""

import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import time

import pytest
import yaml

from conftest import PAIRS, PATIENCE_S, png
from test_audit_cli import KEY, here, report, scored, without_run

pytestmark = pytest.mark.threads  # a shard scores on every core, and one of them is killed at work

BATCH = pathlib.Path(__file__).parents[2] / "deploy/batch"
EACH = 30


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Folders of candidates with two subfolders, and of externals; one image is a candidate twice, one is broken."""
    root = tmp_path_factory.mktemp("images")
    for k, cohort in enumerate(("candidate", "external")):
        for i in range(EACH):
            path = root / cohort / f"{i % 2}/{i:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(1000 * k + i))
    shutil.copy(root / "candidate/0/0000.png", root / "candidate/1/again.png")
    (root / "external/0/broken.png").write_bytes(png(7)[:60])
    return root


@pytest.fixture(scope="module")
def key(tmp_path_factory):
    path = tmp_path_factory.mktemp("key") / "key"
    path.write_text(KEY + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture(scope="module")
def run(binary):
    def run(*arguments, code=0):
        done = subprocess.run([binary, "audit", *map(str, arguments)], capture_output=True, text=True,
                              timeout=2 * PATIENCE_S)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done
    return run


@pytest.fixture(scope="module")
def inputs(images, key):
    return ["--candidate", images / "candidate", "--external", images / "external", "--gate", "auc<=1", "--seed", 3,
            "--thumbnails", "--digest-key", key]


@pytest.fixture(scope="module")
def whole(run, inputs, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "out"
    run(*here(out, *inputs))
    return out


@pytest.fixture(scope="module")
def parts(run, inputs, tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    for i in (1, 2, 3):
        done = run(*here(folder / str(i), *inputs, "--shard", f"{i}/3"))
        assert f"shard {i}/3: " in done.stdout and f"of the audit's {2 * EACH + 1} images scored" in done.stdout
        assert not list((folder / str(i)).glob("report.*")), "a part has no report"
    return [folder / "1", folder / "2", folder / "3"]


def owned(part):
    """Indexes that the part has a result for."""
    with sqlite3.connect(f"file:{part}/audit.db?mode=ro", uri=True) as db:
        return [row[0] for row in db.execute("SELECT idx FROM item WHERE state IN ('succeeded', 'failed') ORDER BY idx")]


def last(done):
    return done.stderr.splitlines()[-1]


def test_every_image_once(parts):
    assert sorted(index for part in parts for index in owned(part)) == list(range(2 * EACH + 1))
    for i, part in enumerate(parts):
        assert {index % 3 for index in owned(part)} == {i}


def test_report_of_one_run(run, whole, parts, key, tmp_path):
    out = tmp_path / "out"
    done = run("merge", "--digest-key", key, out, parts[2], parts[0], parts[1])
    assert "gate auc<=1 holds" in done.stdout and f"report: {out}/report.html" in done.stdout
    assert without_run(out) == without_run(whole)
    for name in ("report.csv", "recipe.json", "manifest.jsonl"):
        assert (out / name).read_bytes() == (whole / name).read_bytes(), name
    assert report(out)["summary"]["images"]["failed"] == 1
    db = sqlite3.connect(out / "audit.db")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert db.execute("PRAGMA foreign_key_check").fetchone() is None
    assert db.execute("SELECT count(*) FROM thumbnail").fetchone() == (2 * EACH,)


def test_merged_is_an_audit_as_any(run, whole, parts, key, inputs, tmp_path):
    out = tmp_path / "out"
    run("merge", "--quiet", "--digest-key", key, out, *parts)
    for words in (["judge", "--gate", "auc<=0"], ["select", "--top", 3, "--names"]):
        code = 3 if words[0] == "judge" else 0
        assert run(words[0], out, *words[1:], code=code).stdout == run(words[0], whole, *words[1:], code=code).stdout
    assert "already" not in run(*here(out, *inputs)).stderr  # the command without --shard finds it finished
    assert without_run(out) == without_run(whole)
    done = run("merge", out, *parts, code=1)
    assert f"{out} holds audit " in last(done) and last(done).endswith("give another OUT")


def test_killed_and_run_again(binary, run, whole, inputs, key, parts, tmp_path):
    part = tmp_path / "1"
    command = list(map(str, here(part, *inputs, "--shard", "1/3", "--workers", 1)))
    process = subprocess.Popen([binary, "audit", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + PATIENCE_S
    while scored(part)[0] < 2 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert 2 <= scored(part)[0] < 20, "the shard is over too soon to be killed"

    refused = run("merge", tmp_path / "early", part, *parts[1:], code=1)
    assert f"{part}: shard 1/3 is incomplete: " in refused.stderr and " of its 21 images; " in refused.stderr
    assert last(refused).startswith("sslmem audit merge: nothing is merged: 1 problem; --partial ")
    partial = run("merge", "--partial", "--digest-key", key, tmp_path / "there", part, *parts[1:], code=4)
    assert "partial: " in partial.stdout and "gates are not judged" in partial.stdout
    assert report(tmp_path / "there")["summary"]["passed"] is None

    run(*command)
    run("merge", "--digest-key", key, tmp_path / "out", part, *parts[1:])
    assert without_run(tmp_path / "out") == without_run(whole)


def test_lost(run, parts, key, tmp_path):
    done = run("merge", tmp_path / "no", parts[1], code=1)
    assert "lost: shards 1, 3 of 3; compute them with --shard" in done.stderr
    assert not (tmp_path / "no/report.json").exists()
    done = run("merge", "--partial", "--digest-key", key, tmp_path / "out", parts[1], parts[0], code=4)
    assert "lost: shard 3 of 3; compute it" in done.stderr
    there = len(owned(parts[0])) + len(owned(parts[1]))
    failed = report(tmp_path / "out")["summary"]["images"]["failed"]
    assert report(tmp_path / "out")["summary"]["completeness"] == \
        {"state": "partial", "scored": there - failed, "total": 2 * EACH + 1}


def test_doubled(run, parts, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(parts[0], copy)
    for option in ([], ["--partial"]):
        done = run("merge", *option, tmp_path / "out", *parts, copy, code=1)
        assert f"shard 1 is doubled: {parts[0]} and {copy}; leave one of them out" in done.stderr


@pytest.mark.parametrize("pair, more, text", [
    ("vit", [], "/pair/name is"), ("resnet", ["--seed", 4], "/spec/seed is 4, there 3"),
    ("resnet", ["--kernels", "ref"], "/kernels is "), ("resnet", ["--gate", "auc<=0.5"], '/spec/gates/1 is "auc<=0.5", there nothing'),
    ("resnet", ["--name", "b"], '/spec/name is "b", there "resnet"')])
def test_foreign(run, inputs, parts, tmp_path, pair, more, text):
    options = inputs if "--seed" not in more else [o for o in inputs if o not in ("--seed", 3)]
    part = tmp_path / "2"
    run(*here(part, *options, *more, "--shard", "2/3", pair=pair))
    for option in ([], ["--partial"]):
        done = run("merge", *option, tmp_path / "out", parts[0], part, parts[2], code=1)
        assert f"{part}: foreign, it differs from {parts[0]}: " in done.stderr and text in done.stderr, done.stderr
        assert last(done) == "sslmem audit merge: nothing is merged: 1 problem"
    if "--kernels" in more:
        assert "run the shard again with the same version, --kernels" in done.stderr


def test_foreign_recipe_and_number_of_shards(run, inputs, parts, tmp_path):
    recipe = tmp_path / "recipe.json"
    recipe.write_text('{"seed": 9}')
    run(*here(tmp_path / "r", *inputs, "--recipe", recipe, "--shard", "2/3"))
    run(*here(tmp_path / "n", *inputs, "--shard", "2/4"))
    done = run("merge", tmp_path / "out", parts[0], tmp_path / "r", parts[2], code=1)
    assert f"{tmp_path}/r: foreign" in done.stderr and "/recipe" in done.stderr
    done = run("merge", tmp_path / "out", parts[0], tmp_path / "n", parts[2], code=1)
    assert "/shards is 4, there 3" in done.stderr


@pytest.mark.parametrize("was, now, pointer", [
    ('"method":"sslmem/2"', '"method":"sslmem/1"', '/provenance/method is "sslmem/1", there "sslmem/2"'),
    ('"blas":"', '"blas":"Other', '/provenance/blas is "Other'), ('"library":"', '"library":"9.', '/provenance/library is "9.')])
def test_foreign_program(run, parts, tmp_path, was, now, pointer):
    """Scores of another method, BLAS or version, although pair and recipe are the same."""
    part = tmp_path / "2"
    shutil.copytree(parts[1], part)
    with sqlite3.connect(part / "audit.db") as db:
        db.execute("UPDATE shape SET body = replace(body, ?, ?)", (was, now))
    done = run("merge", tmp_path / "out", parts[0], part, parts[2], code=1)
    assert f"{part}: foreign" in done.stderr and pointer in done.stderr


def test_foreign_images(run, images, inputs, parts, tmp_path):
    """Another image, another name and a missing one, each named."""
    other = tmp_path / "images"
    shutil.copytree(images, other)
    options = [str(o).replace(str(images), str(other)) for o in inputs]
    (other / "candidate/0/0004.png").write_bytes(png(4242))
    run(*here(tmp_path / "a", *options, "--shard", "2/3"))
    done = run("merge", tmp_path / "out", parts[0], tmp_path / "a", parts[2], code=1)
    assert f"{tmp_path}/a: the images differ from those of {parts[0]}: image 2 is 0/0004.png, there 0/0004.png (or its bytes" \
        in done.stderr
    (other / "external/1/0029.png").unlink()
    shutil.copy(images / "candidate/0/0004.png", other / "candidate/0/0004.png")
    run(*here(tmp_path / "b", *options, "--shard", "2/3"))
    done = run("merge", tmp_path / "out", parts[0], tmp_path / "b", parts[2], code=1)
    assert f"image {2 * EACH} is nothing, there 1/0029.png" in done.stderr


def test_other_folders_of_the_same_images(run, images, inputs, whole, parts, key, tmp_path):
    """Another machine has the images elsewhere."""
    other = tmp_path / "elsewhere"
    shutil.copytree(images, other)
    run(*here(tmp_path / "2", *[str(o).replace(str(images), str(other)) for o in inputs], "--shard", "2/3"))
    run("merge", "--quiet", "--digest-key", key, tmp_path / "out", parts[0], tmp_path / "2", parts[2])
    assert without_run(tmp_path / "out") == without_run(whole)


def test_manifest(run, images, key, tmp_path):
    lines = [{"cohort": cohort, "path": f"{cohort}/{i % 2}/{i:04}.png", "class": str(i % 2), "group": f"g{i % 5}"}
             for cohort in ("external", "candidate") for i in range(12)]
    manifest = tmp_path / "m.jsonl"
    manifest.write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = ["--manifest", manifest, "--root", images, "--digest-key", key]
    run(*here(tmp_path / "one", *options))
    for i in (1, 2):
        run(*here(tmp_path / f"p{i}", *options, "--shard", f"{i}/2"))
    manifest.unlink()
    run("merge", "--quiet", "--digest-key", key, tmp_path / "out", tmp_path / "p1", tmp_path / "p2")
    assert without_run(tmp_path / "out") == without_run(tmp_path / "one")
    assert (tmp_path / "out/manifest.jsonl").read_bytes() == (tmp_path / "one/manifest.jsonl").read_bytes()


def test_more_shards_than_images(run, images, tmp_path):
    """A shard without images is done at once, and merges."""
    few = tmp_path / "few"
    for cohort in ("candidate", "external"):
        (few / cohort).mkdir(parents=True)
        shutil.copy(images / cohort / "0/0002.png", few / cohort)
    options = ["--candidate", few / "candidate", "--external", few / "external"]
    parts = [tmp_path / f"p{i}" for i in (1, 2, 3)]
    for i, part in enumerate(parts):
        run(*here(part, *options, "--shard", f"{i + 1}/3"))
    assert [len(owned(part)) for part in parts] == [1, 1, 0]
    run(*here(parts[2], *options, "--shard", "3/3"))
    run("merge", tmp_path / "out", *parts)


def test_no_part(run, binary, parts, whole, inputs, tmp_path):
    (tmp_path / "empty").mkdir()
    shutil.copytree(parts[0], tmp_path / "lame")
    (tmp_path / "lame/audit.db").write_bytes(b"no database, but long enough to be read as one" * 100)
    for part, text in ((tmp_path / "none", "no audit.json: no shard was started there"),
                       (tmp_path / "empty", "no audit.json: no shard was started there"),
                       (whole, "it is a whole audit and no shard"), (tmp_path / "lame", "audit.db")):
        done = run("merge", "--partial", tmp_path / "out", parts[1], part, code=1)
        assert f"merge: {part}" in done.stderr and text in done.stderr
    done = run(*here(parts[0], *inputs, "--shard", "2/3"), code=1)
    assert f'{parts[0]} holds an audit with shard "1/3", not "2/3": give another --out' in last(done)
    done = run(*here(parts[0], *inputs), code=1)
    assert 'with shard "1/3", not ""' in last(done)


def test_hostile_part(run, parts, tmp_path):
    """Items that no audit stores are refused before anybody reads them."""
    for i, sql in enumerate(("UPDATE item SET cohort = 77 WHERE idx = 5", "UPDATE item SET class_label = NULL WHERE idx = 5",
                             "DELETE FROM item WHERE idx = 5", "UPDATE job SET items_count = 1 << 60",
                             "UPDATE item SET error_code = 'x' WHERE idx = 5", "UPDATE shape SET body = '{'")):
        part = tmp_path / str(i)
        shutil.copytree(parts[2], part)
        with sqlite3.connect(part / "audit.db") as db:
            db.execute("PRAGMA foreign_keys = OFF")
            db.execute(sql)
        done = run("merge", tmp_path / "out", parts[0], parts[1], part, code=1)
        assert f"merge: {part}" in done.stderr, (sql, done.stderr)


def test_scores_that_are_not_those_of_their_images(run, parts, tmp_path):
    """Two scores that changed places, and numbers that a report and a list of scores would show differently."""
    swap = """CREATE TEMP TABLE two AS SELECT idx, score_id FROM item WHERE idx IN (2, 5);
              UPDATE item SET score_id = (SELECT score_id FROM two WHERE two.idx = 7 - item.idx) WHERE idx IN (2, 5)"""
    own = "(SELECT score_id FROM item WHERE idx = 5)"
    for i, (sql, text) in enumerate(((swap, r"item 2 is image [0-9a-f]{16} and has the score of image [0-9a-f]{16}\n"),
                                     (f"UPDATE score SET m = 0.75 WHERE id = {own}", r"item 5: m is 0\.75 in its row and -?0\.0\d+ in the document"),
                                     (f"UPDATE score SET m = 9e999 WHERE id = {own}", "item 5: m is inf in its row"))):
        part = tmp_path / str(i)
        shutil.copytree(parts[2], part)
        with sqlite3.connect(part / "audit.db") as db:
            db.executescript(sql)
        done = run("merge", tmp_path / "out", parts[0], parts[1], part, code=1)
        assert re.search(f"merge: {part}: {text}", done.stderr), (sql, done.stderr)


def test_one_image_has_one_score(run, key, tmp_path):
    """An image in two shards has one score key: its scores must agree."""
    for name, seed in (("candidate/a", 1), ("candidate/b", 2), ("external/b", 2), ("external/c", 3)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.png").write_bytes(png(seed))
    inputs = ["--candidate", tmp_path / "candidate", "--external", tmp_path / "external", "--digest-key", key]
    for i in (1, 2):
        run(*here(tmp_path / str(i), *inputs, "--shard", f"{i}/2"))
    with sqlite3.connect(tmp_path / "2/audit.db") as db:
        own, m = db.execute("SELECT own, m FROM item JOIN score ON score.id = score_id WHERE idx = 1").fetchone()
        assert repr(m) in own.split("\n")
        db.execute("UPDATE score SET m = 0.75, own = ? WHERE id = (SELECT score_id FROM item WHERE idx = 1)",
                   ("\n".join("0.75" if n == repr(m) else n for n in own.split("\n")),))
    done = run("merge", tmp_path / "out", tmp_path / "1", tmp_path / "2", code=1)
    assert re.search(rf"{tmp_path}/2: item 1: m is 0\.75, and -?0\.\d+ in another score of the same key", done.stderr), done.stderr


def test_running_part(binary, run, inputs, parts, tmp_path):
    part = tmp_path / "1"
    process = subprocess.Popen([binary, "audit", *map(str, here(part, *inputs, "--shard", "1/3", "--workers", 1))],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + PATIENCE_S
    while scored(part)[0] < 1 and time.monotonic() < until:
        time.sleep(0.002)
    process.send_signal(signal.SIGSTOP)
    done = run("merge", tmp_path / "out", part, *parts[1:], code=1)
    assert "is in use: another process holds" in done.stderr
    process.send_signal(signal.SIGCONT)
    assert process.wait(PATIENCE_S) == 0


def test_usage(run, parts, tmp_path):
    asked = ["--pair", "p", "--out", tmp_path / "o", "--candidate", "c", "--external", "e"]
    for shard, text in (("0/3", "shards are numbered from 1, here to 3"), ("4/3", "numbered from 1, here to 3"),
                        ("3", "must be I/N such as 3/7"), ("a/b", "must be I/N"), ("1/2/3", "must be I/N"),
                        ("-1/3", "must be I/N"), ("1/0", "numbered from 1"), ("1/1001", "1001 shards, the limit is 1000"),
                        ("99999999999999999999/3", "must be I/N")):
        assert text in run(*asked, "--shard", shard, code=2).stderr, shard
    assert "p: No such file" in run(*asked, "--shard", "1000/1000", code=1).stderr  # goes on to the pair, which is missing
    assert "--shard is for audits without --server" in run(*asked, "--shard", "1/3", "--server", "http://x", code=2).stderr
    assert "missing OUT PART..." in run("merge", tmp_path / "o", code=2).stderr
    assert "too many operands" in run("merge", tmp_path / "o", *[parts[0]] * 1001, code=2).stderr
    assert "--partial" in run("merge", "--help").stdout


# --- the examples of deploy/batch ---

@pytest.fixture
def path(binary, tmp_path):
    """An environment whose PATH has the program, and a log of how it was called."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/sslmem"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$*" >>"{tmp_path}/calls"\nexec "{os.path.abspath(binary)}" "$@"\n')
    program.chmod(0o755)
    return os.environ | {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}


def example(command, env, code=0, **more):
    done = subprocess.run(list(map(str, command)), env=env, capture_output=True, text=True, timeout=2 * PATIENCE_S, **more)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def given(inputs):
    return ["--pair", PAIRS / "resnet", *inputs]


def needs(program):
    return pytest.mark.skipif(not shutil.which(program), reason=f"{program} is not installed")


@needs("parallel")
def test_parallel(path, inputs, whole, tmp_path):
    out = tmp_path / "a folder"
    assert "gate auc<=1 holds" in example([BATCH / "parallel.sh", 3, out, *given(inputs)], path).stdout
    assert without_run(out / "report") == without_run(whole)
    calls = (tmp_path / "calls").read_text().splitlines()
    assert sorted(c.split("--shard ")[1][:3] for c in calls if "--shard" in c) == ["1/3", "2/3", "3/3"] and len(calls) == 4


@needs("parallel")
def test_parallel_with_a_killed_shard(path, binary, inputs, whole, tmp_path):
    """The first try of shard 2 is killed at its start; it is tried again, and the report is that of one run."""
    program = tmp_path / "bin/sslmem"
    program.write_text(f'#!/bin/sh\ncase " $* " in *" 2/3 "*) [ -e "{tmp_path}/tried" ] || {{ : >"{tmp_path}/tried"; kill -9 $$; }};; esac\n'
                       f'exec "{os.path.abspath(binary)}" "$@"\n')
    example([BATCH / "parallel.sh", 3, tmp_path / "out", *given(inputs)], path)
    assert (tmp_path / "tried").exists() and without_run(tmp_path / "out/report") == without_run(whole)
    program.write_text("#!/bin/sh\nexit 1\n")
    example([BATCH / "parallel.sh", 2, tmp_path / "no", *given(inputs)], path, code=2)  # both shards fail: nothing is merged


def test_slurm(path, run, inputs, whole, tmp_path):
    """Tasks as slurmd starts them: the script with SLURM_ARRAY_TASK_ID, copied elsewhere."""
    script = tmp_path / "slurm_script"
    shutil.copy(BATCH / "slurm.sh", script)
    options = [line.split()[1].split("=")[0] for line in script.read_text().splitlines() if line.startswith("#SBATCH")]
    assert set(options) <= {"--job-name", "--cpus-per-task", "--mem", "--time", "--requeue", "--open-mode"} and len(options) == 6
    for task in (1, 2, 3):
        example(["bash", script, 3, tmp_path / "out", *given(inputs)],
                path | {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_CPUS_PER_TASK": "1"})
    run("merge", "--quiet", tmp_path / "out/report", *sorted((tmp_path / "out").glob("shard-*")))
    assert without_run(tmp_path / "out/report") == without_run(whole)  # under the digest key of the first part
    assert "usage: sbatch --array=1-SHARDS" in example(["bash", script, 3, tmp_path / "out", "--pair", "p"], path, code=2).stderr


def test_kubernetes(path, run, images, tmp_path):
    """The job's fields that matter, and its container's command with the index of each pod."""
    job, = yaml.safe_load_all((BATCH / "kubernetes.yaml").read_text())
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert spec["completionMode"] == "Indexed" and spec["parallelism"] <= spec["completions"]
    assert pod["restartPolicy"] in ("Never", "OnFailure")
    container, = pod["containers"]
    env = {row["name"]: row["value"] for row in container["env"]}
    assert all(isinstance(value, str) for value in env.values()) and env["SHARDS"] == str(spec["completions"])
    mounts = {m["name"]: m["mountPath"] for m in container["volumeMounts"]}
    assert set(mounts) == {v["name"] for v in pod["volumes"]}
    assert all(env[name].startswith(tuple(mounts.values())) for name in ("PAIR", "IMAGES", "OUT"))
    here = env | {"SHARDS": "3", "PAIR": str(PAIRS / "resnet"), "IMAGES": str(images), "OUT": str(tmp_path), "WORKERS": "1"}
    for index in range(3):
        example(container["command"] + container["args"], path | here | {"JOB_COMPLETION_INDEX": str(index)})
    run("merge", tmp_path / "report", *sorted(tmp_path.glob("shard-*")))


def test_ray(path, inputs, whole, tmp_path):
    """Against a stand-in for Ray's decorator and get: the calls and the options are those of Ray."""
    (tmp_path / "ray.py").write_text('''
class Task:
    def __init__(self, run): self.run = run
    def __call__(self, *arguments): raise TypeError("a remote function is called by .remote()")
    def remote(self, *arguments): return (self.run, arguments)
def remote(*, num_cpus, max_retries, retry_exceptions): return Task
def init(): pass
def get(tasks): return [run(*arguments) for run, arguments in tasks]
''')
    env = path | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    example(["/usr/bin/python3", BATCH / "ray_shards.py", 3, tmp_path / "out", *given(inputs)], env)
    assert without_run(tmp_path / "out/report") == without_run(whole)
    done = example(["/usr/bin/python3", BATCH / "ray_shards.py", 3, tmp_path / "no", "--pair", "none"], env, code=1)
    assert "shard 1 of 3: exit code 2" in done.stderr and "say where the images are" in done.stderr


@pytest.mark.parametrize("linter, files", [pytest.param("shellcheck", ("slurm.sh", "parallel.sh"), marks=needs("shellcheck")),
                                           pytest.param("pyflakes3", ("ray_shards.py",), marks=needs("pyflakes3"))])
def test_linters(linter, files):
    example([linter, *(BATCH / file for file in files)], os.environ)
