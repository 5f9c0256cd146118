"""A pair without g: what someone with f alone could learn, by command and by HTTP; m is null everywhere, and whatever needs m says so."""

import csv
import io
import json
import shutil
import subprocess

import jsonschema
import pytest

from conftest import PAIRS, PATIENCE_S, ROOT, Server, png
from test_audits import add_tar, await_state, create, move

REPORT = json.loads((ROOT / "deploy/report.schema.json").read_text())
FEW = {"views": 4, "seed": 7}
NULL = ("m", "m_se", "m_low", "m_high", "ratio", "g", "reference")
SIGNALS = ("alignment", "norm_1", "norm_2", "norm_max")


@pytest.fixture(scope="module")
def run(binary):
    def run(*arguments, code=0):
        done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True, timeout=2 * PATIENCE_S)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done
    return run


@pytest.fixture(scope="module")
def pairs(run, tmp_path_factory):
    """"alone" as the command makes it, and "resnet", which has a g, with the same f."""
    folder = tmp_path_factory.mktemp("pairs")
    shutil.copytree(PAIRS / "resnet", folder / "resnet", ignore=shutil.ignore_patterns("*.views.*"))
    made = run("pair", "create", folder / "alone", "--f", PAIRS / "resnet/f.pt", "--set", "input_px=16")
    assert "cannot show memorization" in made.stdout and "  guess" not in made.stderr
    assert "differs" not in made.stdout and "f, g" not in made.stdout
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for k, cohort in enumerate(("candidate", "external", "shared")):
        (folder / cohort).mkdir()
        for i in range(12):
            (folder / cohort / f"{i}.png").write_bytes(png(100 * k + i))
    return folder


def check_score(score):
    assert all(score[name] is None for name in NULL if name in score), score
    assert score["f"]["alignment"] is not None
    assert score["outsider"]["one_minus_alignment"] == pytest.approx(1 - score["f"]["alignment"])
    norm_1, norm_2, norm_max = (score["outsider"][name] for name in SIGNALS[1:])
    assert norm_1 > norm_2 > norm_max > 0
    assert [flag["code"] for flag in score["flags"]] == ["g_missing"]
    assert score["provenance"]["encoders"]["g"] == []


def check_report(report):
    jsonschema.validate(report, REPORT)
    summary = report["summary"]
    outsider = summary["outsider"]
    assert outsider["alone"] and outsider["missing"] is None and tuple(outsider["signals"]) == SIGNALS
    for test in outsider["signals"].values():
        assert (test["n_members"], test["n_others"], test["others"]) == (12, 12, "external")
        assert 0 <= test["auc"]["value"] <= 1 and test["roc"]["points"]
    used = outsider["used_share"]  # twelve images a cohort say nothing, and that is said
    assert used["suspects"] == 12 and used["members"] == used["others"] == 6 and used["interval"] == [None, None] and used["note"]
    assert summary["images"]["scored"] == len(report["items"]) and summary["images"]["failed"] == 0
    assert all(item["m"] is None and item["p_value"] is None and item["g"]["alignment"] is None for item in report["items"])
    assert all(item["outsider"]["norm_2"] > 0 for item in report["items"])
    for test in summary["membership"].values():
        assert test["auc"]["value"] is None and test["roc"] is None
    assert all(level["count"] is None for level in summary["fdr"]["levels"])
    assert summary["cohorts"]["candidate"]["n"] == 12 and summary["cohorts"]["candidate"]["mean"] is None
    gates = {gate["number"]: gate for gate in summary["gates"]}
    assert gates["failed_share"]["passed"] and not summary["passed"]
    for number in ("auc", "fdr5_share", "welch_p"):
        assert gates[number]["passed"] is False and "no g" in gates[number]["note"]
    # One half of the auc of a signal is checked against its definition.
    values = {c: [1 - i["f"]["alignment"] for i in report["items"] if i["cohort"] == c] for c in ("candidate", "external")}
    wins = sum((a > b) + .5 * (a == b) for a in values["candidate"] for b in values["external"])
    assert outsider["signals"]["alignment"]["auc"]["value"] == pytest.approx(wins / 144)


def check_page(page):
    assert "Audit of f alone" in page and "says nothing about memorization" in page
    assert "Memorization audit" not in page and "Most memorized" not in page and "listed as memorized" not in page
    assert page.index("says nothing about memorization") < page.index("Someone with f alone") < page.index("Limits of the method")


GATES = ("auc<=0.99", "fdr5_share<=1", "welch_p>=0", "failed_share<=0")


# --- by command ---


def test_a_score_by_command(run, pairs, images):
    image = images / "candidate/0.png"
    score = ["score", "--pair", pairs / "alone", "--recipe", json.dumps(FEW)]
    done = run(*score, image)
    check_score(json.loads(done.stdout))
    assert "g_missing" in done.stderr
    row, = csv.DictReader(io.StringIO(run(*score, "--format", "csv", image).stdout))
    assert row["m"] == row["m_se"] == row["ratio"] == row["g_alignment"] == row["p_value"] == ""
    assert float(row["f_alignment"]) and float(row["norm_1"]) > float(row["norm_2"]) > float(row["norm_max"])
    table = run(*score, "--format", "table", images / "candidate").stdout.splitlines()
    assert table[0].split()[:2] == ["1", "-"] and "mean 1 - A_f" in table[-1] and "mean m" not in table[-1]
    whole = json.loads(run("score", "--pair", pairs / "resnet", "--recipe", json.dumps(FEW), image).stdout)
    assert "outsider" not in whole and whole["m"] is not None
    head = run("score", "--pair", pairs / "resnet", "--format", "csv", image).stdout.splitlines()[0]
    assert head.endswith("error_detail")


def test_the_pair_is_checked(run, pairs):
    assert "pair alone is good" in run("pair", "check", pairs / "alone").stdout
    described = json.loads(run("pair", "check", "--json", pairs / "alone").stdout)["pair"]
    assert described["encoders"]["g"] == [] and described["flags"][0]["code"] == "g_missing"
    assert "g" not in json.loads((pairs / "alone/pair.json").read_text())


def test_wrong_uses_are_named(run, pairs, images, tmp_path):
    f = PAIRS / "resnet/f.pt"
    assert "--g-key needs --g FILE" in run("pair", "create", tmp_path / "a", "--f", f, "--g-key", "x", code=2).stderr
    assert "--allow-same needs --g FILE" in run("pair", "create", tmp_path / "a", "--f", f, "--allow-same", code=2).stderr
    assert "has no g: a reference holds scores m" in run("reference", "--pair", pairs / "alone", images / "external", code=1).stderr
    assert not (pairs / "alone/reference.json").exists()
    refused = run("score", "--pair", pairs / "alone", "--recipe", '{"target_se": 0.1}', images / "candidate/0.png", code=1)
    assert "target_se is the standard error of m, and the pair has no g" in refused.stderr
    lines = tmp_path / "scores.jsonl"
    lines.write_text(run("score", "--pair", pairs / "alone", images / "candidate").stdout)
    assert "its pair has no g" in run("compare", lines, lines, code=1).stderr
    shutil.copytree(pairs / "alone", tmp_path / "b")
    doc = json.loads((tmp_path / "b/pair.json").read_text()) | {"reference": "r.json", "allow_same": True}
    (tmp_path / "b/pair.json").write_text(json.dumps(doc))
    problems = run("pair", "check", tmp_path / "b", code=1).stderr
    assert "/reference: \"reference\" holds scores m of images, and the pair has no g" in problems
    assert "/allow_same: " in problems and "2 problems" in problems


@pytest.fixture(scope="module")
def audited(run, pairs, images, tmp_path_factory):
    out = tmp_path_factory.mktemp("audit") / "out"
    options = [f"--{cohort}={images / cohort}" for cohort in ("candidate", "external", "shared")]
    done = run("audit", "--pair", pairs / "alone", "--recipe", json.dumps(FEW), *options, *(f"--gate={gate}" for gate in GATES),
               "--out", out, code=3)
    return out, done, options


def test_an_audit_by_command(run, pairs, audited, tmp_path):
    out, done, options = audited
    check_report(json.loads((out / "report.json").read_text()))
    check_page((out / "report.html").read_text())
    rows = list(csv.DictReader((out / "report.csv").open()))
    assert len(rows) == 36 and all(row["m"] == "" and row["q_value"] == "" and float(row["norm_1"]) > 0 for row in rows)
    assert done.stdout.count("\nsomeone with f alone, who ranks") == 4 and "mean m" not in done.stdout and "memorized at FDR" not in done.stdout
    assert "gate auc<=0.99 FAILS (the pair has no g" in done.stdout and "gate failed_share<=0 holds" in done.stdout
    for how in (["--top", "3"], ["--share", ".5"], ["--fdr", ".1"], ["--random", "3"]):
        assert "has no g, so there is no score m" in run("audit", "select", out, *how, code=2).stderr
    assert "FAILS (the pair has no g" in run("audit", "judge", out, "--gate", "advantage<=1", code=3).stdout
    run("audit", "--pair", pairs / "resnet", "--recipe", json.dumps(FEW), *options, "--quiet", "--out", tmp_path / "whole")
    assert "has no g: there is no score m to compare" in run("audit", "compare", tmp_path / "whole", out, code=1).stderr


def test_the_signal_is_that_of_the_pair_with_g(run, pairs, images, audited, tmp_path):
    """The report of a pair shows the same outsider, without norms, and its CSV has no column more."""
    run("audit", "--pair", pairs / "resnet", "--recipe", json.dumps({**FEW, "augment": "simclr-cifar"}), *audited[2], "--quiet",
        "--out", tmp_path / "out")
    whole = json.loads((tmp_path / "out/report.json").read_text())
    jsonschema.validate(whole, REPORT)
    outsider = whole["summary"]["outsider"]
    assert not outsider["alone"] and list(outsider["signals"]) == ["alignment"]
    assert "norm_1" not in (tmp_path / "out/report.csv").read_text() and "outsider" not in whole["items"][0]
    page = (tmp_path / "out/report.html").read_text()
    assert "Memorization audit" in page and "What someone with f alone could learn" in page


def test_parts_merge(run, pairs, audited, tmp_path):
    """A null m goes from database to database."""
    out, _, options = audited
    for i in (1, 2):
        run("audit", "--pair", pairs / "alone", "--recipe", json.dumps(FEW), *options, "--shard", f"{i}/2", "--quiet", "--out", tmp_path / str(i))
    run("audit", "merge", tmp_path / "merged", tmp_path / "1", tmp_path / "2")
    merged, whole = (json.loads((folder / "report.json").read_text()) for folder in (tmp_path / "merged", out))
    assert [i["f"] for i in merged["items"]] == [i["f"] for i in whole["items"]]
    assert all(item["m"] is None for item in merged["items"])
    assert merged["summary"]["outsider"] == whole["summary"]["outsider"]


# --- by HTTP ---


@pytest.fixture(scope="module")
def server(binary, pairs, tmp_path_factory):
    running = Server(binary, tmp_path_factory.mktemp("server"), pairs)
    yield running
    assert running.stop() == 0


def test_the_pair_is_served(server):
    alone, = (pair for pair in server.get("/v1/pairs").json["pairs"] if pair["name"] == "alone")
    assert alone["state"] == "ready" and alone["encoders"]["g"] == [] and alone["flags"][0]["code"] == "g_missing"
    assert alone["reference"] is None
    assert server.get("/readyz").status == 200  # the canary sings without an m


def test_scores_by_http(server):
    answer = server.post_many([png(1), png(2)], FEW, pair="alone")
    assert answer.status == 200, answer.body
    for item in answer.json["items"]:
        check_score(item["score"])
    again = server.post_many([png(1)], FEW, pair="alone").json
    assert again["from_history"] and again["m"] is None
    refused = server.post_many([png(1)], FEW | {"target_se": .1}, pair="alone")
    refused.problem(422, "recipe_invalid")
    assert refused.json["errors"] == [{"pointer": "/target_se", "detail": "target_se is the standard error of m, and the pair has no g"}]
    with_g = server.post_many([png(1), png(2)], FEW, pair="resnet").json["items"]
    # The orders of m leave out what has none; the others list it.
    for order in ("highest", "lowest"):
        first = server.get(f"/v1/scores?order={order}&limit=1").json
        assert first["next"] and first["scores"][0]["m"] is not None
        second = server.get(first["next"]).json
        assert second["next"] is None and {s["id"] for p in (first, second) for s in p["scores"]} == {i["score"]["id"] for i in with_g}
    assert server.get("/v1/scores?pair=alone&order=highest").json["scores"] == []
    assert server.get("/v1/scores?pair=alone&min=-100").json["scores"] == []
    listed = server.get("/v1/scores?pair=alone").json["scores"]
    assert len(listed) == 2
    check_score(listed[0])
    check_score(server.get(f"/v1/scores/{listed[0]['id']}").json)


def test_an_audit_by_http(server, images):
    audit = create(server, pair="alone", recipe=FEW, gates=list(GATES))
    add_tar(server, audit, [(f"{path.parent.name}/{path.name}", path.read_bytes()) for path in sorted(images.glob("*/*.png"))])
    assert move(server, audit, "start").status == 200
    assert await_state(server, audit, "succeeded")["succeeded_count"] == 36
    check_report(server.get(f"{audit}/report.json").json)
    check_page(server.get(f"{audit}/report.html").body.decode())
    assert all(item["m"] is None and item["m_se"] is None for item in server.get(f"{audit}/items?limit=100").json["items"])
    judged = server.ask("POST", f"{audit}/gates", json.dumps({"gates": ["advantage<=1"]}), {"Content-Type": "application/json"}).json
    assert judged["passed"] is False and "no g" in judged["gates"][0]["note"]
    assert "no g" in server.get(f"{audit}/selection?kind=top&n=3").problem(400, "query_invalid")
    other = create(server, pair="resnet", recipe=FEW)
    add_tar(server, other, [(f"{path.parent.name}/{path.name}", path.read_bytes()) for path in sorted(images.glob("*/*.png"))])
    move(server, other, "start")
    await_state(server, other, "succeeded")
    ids = ",".join(path.rsplit("/", 1)[1] for path in (other, audit))
    answer = server.get(f"/v1/comparisons?audits={ids}")
    assert answer.status in (400, 409, 422) and "no g" in answer.json["detail"], answer.body


def test_a_key_that_rounds_gets_no_score(binary, run, pairs, tmp_path):
    """The step of figures is that of a reference, which a pair without g cannot have. Of a score that another key made it
    reads no figure."""
    token = run("key", "create", "--db", tmp_path / "test.db", "--create", "--tenant", "a", "--scopes", "score,read", "--round", "2").stdout.strip()
    server = Server(binary, tmp_path, pairs)
    answer = server.ask("POST", "/v1/scores?pair=alone", png(1), {"Content-Type": "image/png", "Prefer": f"wait={PATIENCE_S}",
                                                                  "Authorization": f"Bearer {token}"})
    assert "has none for its own recipe" in answer.problem(403, "figures_rounded")
    other = run("key", "create", "--db", tmp_path / "test.db", "--tenant", "a", "--scopes", "score").stdout.strip()
    made = server.ask("POST", "/v1/scores?pair=alone", png(1), {"Content-Type": "image/png", "Prefer": f"wait={PATIENCE_S}",
                                                                "Authorization": f"Bearer {other}"})
    assert made.status == 200 and all(made.json["outsider"].values()), made.body
    read = server.ask("GET", f"/v1/scores/{made.json['id']}", None, {"Authorization": f"Bearer {token}"}).json
    assert set(read["outsider"].values()) == {None} and read["f"]["alignment"] is None
    assert server.stop() == 0
