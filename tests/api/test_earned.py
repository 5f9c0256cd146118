"""No green light where nothing was measured: equal sides, candidates in the reference, and gates that are judged again.
On the demo pairs."""

import hashlib
import json
import os
import shutil
import struct
import subprocess
import zipfile

import jsonschema
import pytest

from conftest import PATIENCE_S, Server
from test_audits import JSON, NO_ID, PAIRS, PICTURES, REPORT, add_tar, await_state, create, move, pictures
from test_keys import ALL, key, rounding  # noqa: F401

SAME = "f and g of this pair hold the same weights, so the gate does not hold"
OVERLAP = "candidates stand in the reference cohort, so the gate does not hold; the flag names them"


# --- pairs whose sides are equal --------------------------------------------------------------------


def read_f16(path):
    """(name, shape, bytes) of each tensor; those of the demo are all float16."""
    data = path.read_bytes()
    header_bytes, = struct.unpack("<Q", data[:8])
    for name, tensor in json.loads(data[8:8 + header_bytes]).items():
        if name != "__metadata__":
            assert tensor["dtype"] == "F16"
            begin, end = (8 + header_bytes + at for at in tensor["data_offsets"])
            yield name, tensor["shape"], data[begin:end]


def save_npz(path, source):
    """The same tensors as numpy.savez would write them."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, shape, values in read_f16(source):
            head = repr({"descr": "<f2", "fortran_order": False, "shape": tuple(shape)}) + "\n"
            archive.writestr(name + ".npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head.encode() + values)


def save_f32(path, source):
    """The same numbers in float32, tensors in another order and wrapped."""
    header, data = {}, b""
    for name, shape, values in reversed(list(read_f16(source))):
        count = len(values) // 2
        wide = struct.pack(f"<{count}f", *struct.unpack(f"<{count}e", values))
        header["module." + name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(wide)]}
        data += wide
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def change(pair, **fields):
    document = json.loads((pair / "pair.json").read_text()) | fields
    (pair / "pair.json").write_text(json.dumps({name: value for name, value in document.items() if value is not None}))


def copy(pair):
    shutil.copyfile(pair / "f.pt", pair / "again.pt")


def link(pair):
    (pair / "again.pt").symlink_to("f.pt")


def npz(pair):
    save_npz(pair / "again.npz", pair / "f.safetensors")


def f32(pair):
    save_f32(pair / "again.safetensors", pair / "f.safetensors")


EQUAL = {"copy": ("fashion-simclr", copy, "again.pt"), "link": ("fashion-simclr", link, "again.pt"),
         "one-file": ("fashion-simclr", lambda pair: None, "f.pt"), "container": ("fashion-vit", npz, "again.npz"),
         "float32": ("fashion-vit", f32, "again.safetensors")}


@pytest.fixture(scope="module")
def equal(tmp_path_factory):
    """A pair for each way to have one encoder on both sides, refused as it is; "allowed" allows it; "twice" has its f
    twice and a g of its own; "fashion-vit" is good."""
    folder = tmp_path_factory.mktemp("equal")
    for name, (pair, make, file) in EQUAL.items():
        shutil.copytree(PAIRS / pair, folder / name)
        make(folder / name)
        change(folder / name, g=["g" + os.path.splitext(file)[1], file] if name == "float32" else [file], reference=None)
    shutil.copytree(folder / "container", folder / "allowed")
    change(folder / "allowed", allow_same=True)
    shutil.copytree(PAIRS / "fashion-vit", folder / "twice")
    npz(folder / "twice")
    change(folder / "twice", f=["f.safetensors", "again.npz"], reference=None)
    shutil.copytree(PAIRS / "fashion-vit", folder / "fashion-vit")
    return folder


@pytest.fixture(scope="module")
def server(binary, tmp_path_factory, equal):
    running = Server(binary, tmp_path_factory.mktemp("server"), equal)
    yield running
    assert running.stop() == 0


def first(name):
    return "f.safetensors" if EQUAL[name][0] == "fashion-vit" else "f.pt"


@pytest.mark.parametrize("name", EQUAL)
def test_equal_sides_are_refused(binary, server, equal, name):
    text = (f"pair.json: {first(name)} of f and {EQUAL[name][2]} of g hold the same weights, which cancel out: name in g "
            'what was trained without the candidates, or set "allow_same": true')
    picture = pictures("candidate", 1)[0]
    done = subprocess.run([binary, "score", "--pair", equal / name, picture], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"sslmem score: /g/{int(name == 'float32')}: {text}\n"
    state = server.get(f"/v1/pairs/{name}").json
    assert (state["state"], state["reason"]) == ("failed", text)
    answer = server.ask("POST", f"/v1/scores?pair={name}", picture.read_bytes(), {"Content-Type": "image/png"})
    assert text in answer.problem(503, "pair_failed")
    assert server.ask("PUT", f"/v1/pairs/{name}").problem(422, "pair_invalid") == f"pair '{name}': {text}"


def flags_of(document):
    return [flag["code"] for flag in document["flags"]]


def test_every_answer_says_that_sides_are_equal(binary, server, equal):
    """Pair and score, from the service, from its history and from the command line."""
    pair = server.get("/v1/pairs/allowed").json
    assert flags_of(pair) == ["sides_same"] and pair["flags"][0]["files"] == [["f.safetensors", "again.npz"]]
    listed = {each["name"]: each for each in server.get("/v1/pairs").json["pairs"]}
    assert listed["allowed"]["flags"] == pair["flags"] and listed["fashion-vit"]["flags"] == []
    picture = pictures("candidate", 1)[0]
    for _ in range(2):
        score = server.post(picture.read_bytes(), pair="allowed").json
        assert score["flags"] == pair["flags"] and score["m"] == 0
    assert server.get(f"/v1/scores/{score['id']}").json["flags"] == pair["flags"]
    assert server.get("/v1/scores?pair=allowed").json["scores"][0]["flags"] == pair["flags"]
    assert "flags" not in server.post(picture.read_bytes(), pair="fashion-vit").json
    done = subprocess.run([binary, "score", "--pair", equal / "allowed", picture], capture_output=True, text=True)
    assert done.returncode == 0 and json.loads(done.stdout)["flags"] == pair["flags"]
    assert done.stderr == f"sslmem: pair allowed: sides_same: {pair['flags'][0]['text']}\n"
    assert '"pair_flag"' in (server.folder / "stderr").read_text()


def test_an_encoder_twice_on_one_side_is_said(binary, server, equal):
    assert flags_of(server.get("/v1/pairs/twice").json) == ["encoders_repeated"]
    score = server.post(pictures("candidate", 1)[0].read_bytes(), pair="twice").json
    assert flags_of(score) == ["encoders_repeated"] and score["m"] != 0
    assert score["f"]["encoders"][0] == score["f"]["encoders"][1]


@pytest.fixture
def audit(binary):
    def audit(*arguments, code=0):
        done = subprocess.run([binary, "audit", *map(str, arguments)], capture_output=True, text=True,
                              timeout=2 * PATIENCE_S)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done
    return audit


GATES = ("auc<=0.6", "auc_high<=1", "fdr10_share<=0.5", "advantage<=1", "mean_difference<=1", "failed_share<=0")


def with_gates(gates=GATES):
    return [word for gate in gates for word in ("--gate", gate)]


def report(out):
    document = json.loads((out / "report.json").read_text())
    jsonschema.Draft202012Validator(REPORT).validate(document)
    return document


def notes(summary):
    return {gate["gate"]: gate["note"] for gate in summary["gates"] if not gate["passed"]}


def test_gates_fail_on_equal_sides(audit, server, equal, tmp_path):
    cohorts = ["--candidate", PICTURES / "candidate", "--external", PICTURES / "external"]
    done = audit("--pair", equal / "allowed", *cohorts, *with_gates(), "--out", tmp_path / "here", code=3)
    summary = report(tmp_path / "here")["summary"]
    assert notes(summary) == dict.fromkeys(GATES, SAME)
    assert "flag sides_same: f.safetensors and again.npz hold the same weights" in done.stdout
    # At a server, too, whose answers have the flags as well.
    done = audit("--pair", "allowed", "--server", f"http://127.0.0.1:{server.port}", *cohorts, *with_gates(),
                 "--out", tmp_path / "there", "--quiet", code=3)
    assert report(tmp_path / "there")["summary"]["gates"] == summary["gates"]
    run = report(tmp_path / "there")["run"]
    assert "sides_same" in flags_of(server.get(f"/v1/audits/{run['id']}").json)
    assert "sides_same" in flags_of(server.get("/v1/audits").json["audits"][0])
    assert len([line for line in done.stdout.splitlines() if line.startswith("gate ")]) == len(GATES)
    items = server.get(f"/v1/audits/{run['id']}/items?limit=1").json
    assert flags_of(items) == ["sides_same"] and items["items"][0]["m"] == 0
    out = tmp_path / "good"
    audit("--pair", "fashion-vit", "--server", f"http://127.0.0.1:{server.port}", *cohorts, "--out", out)
    good = report(out)["run"]["id"]
    assert "flags" not in server.get(f"/v1/audits/{good}/items?limit=1").json
    compared = server.get(f"/v1/comparisons?audits={good},{run['id']}").json["audits"]
    assert "flags" not in compared[0] and flags_of(compared[1]) == ["sides_same"]


# --- candidates in the reference --------------------------------------------------------------------


def images(tmp_path, candidates, externals):
    """Folders of the demo's pictures: names of cohorts, or single pictures."""
    options = []
    for option, sources in (("candidate", candidates), ("external", externals)):
        folder = tmp_path / option
        folder.mkdir()
        for source in sources:
            for path in pictures(source) if isinstance(source, str) else [source]:
                shutil.copyfile(path, folder / f"{path.parent.name}-{path.name}")
        options += [f"--{option}", folder]
    return options


@pytest.mark.parametrize("shared", [20, 1])
def test_gates_fail_when_candidates_are_in_the_reference(audit, tmp_path, shared):
    """All of them, and a single one."""
    folders = images(tmp_path, ["candidate"], ["candidate"] if shared == 20 else ["external", pictures("candidate")[5]])
    out = tmp_path / "out"
    done = audit("--pair", PAIRS / "fashion-simclr", *folders, *with_gates(), "--out", out, "--quiet", code=3)
    document = report(out)
    assert notes(document["summary"]) == dict.fromkeys(GATES[:-1], OVERLAP)
    flag, = (flag for flag in document["summary"]["flags"] if flag["code"] == "candidates_in_reference")
    cohorts = {item["index"]: (item["cohort"], item["image"]) for item in document["items"]}
    assert len(flag["images"]) == shared
    for a, b in flag["images"]:
        assert (cohorts[a][0], cohorts[b][0], cohorts[a][1]) == ("candidate", "external", cohorts[b][1])
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("gate ")] == [
        line for line in lines if line.endswith(f"({OVERLAP})")]
    assert f"flag candidates_in_reference: {shared} candidate" in done.stdout
    page = (out / "report.html").read_text()
    assert OVERLAP in page and "that candidates are compared with: items" in page


def test_quiet_says_what_is_wrong(audit, tmp_path):
    """Every flag in text; with --quiet gates that hold are the one thing left out, and progress."""
    arguments = ["--pair", PAIRS / "fashion-simclr", "--candidate", PICTURES / "candidate", "--external",
                 PICTURES / "external", "--gate", "auc<=0.6", "--gate", "auc<=0.7"]
    loud = audit(*arguments, "--out", tmp_path / "loud", code=3).stdout.splitlines()
    quiet = audit(*arguments, "--out", tmp_path / "quiet", "--quiet", code=3)
    flags = [f"flag {flag['code']}: {flag['text']}" for flag in report(tmp_path / "loud")["summary"]["flags"]]
    assert len(flags) >= 4 and loud[-1 - len(flags):-1] == flags and "gate auc<=0.7 holds: 0.6375" in loud
    assert quiet.stdout.splitlines() == ["gate auc<=0.6 FAILS: 0.6375", *flags] and quiet.stderr == ""


# --- gates that are judged again --------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(server):
    made = create(server, gates=["auc<=1"])
    add_tar(server, made, [(f"{cohort}/{path.name}", path.read_bytes())
                           for cohort in ("candidate", "external") for path in pictures(cohort)])
    move(server, made, "start")
    await_state(server, made, "succeeded")
    return made


def judge(server, made, *gates):
    return server.ask("POST", f"{made}/gates", json.dumps({"gates": gates}), JSON)


def test_judged_at_a_server(server, finished):
    before = server.get(f"{finished}/report.json")
    summary = before.json["summary"]
    auc = summary["membership"]["candidate_external"]["auc"]["value"]
    answer = judge(server, finished, f"auc<={auc - .01:.3f}", f"auc>={auc - .01:.3f}", "welch_p>0")
    assert answer.status == 200
    assert [gate["passed"] for gate in answer.json["gates"]] == [False, True, False]
    assert answer.json["gates"][0]["value"] == auc and answer.json["passed"] is False
    assert answer.json["gates"][2]["note"] == "the cohorts are too small for this number, so the gate does not hold"
    assert answer.json["flags"] == summary["flags"] == server.get(finished).json["flags"]
    assert judge(server, finished, "failed_share<=0").json["passed"] is True
    # The audit's own gates and verdict are as before.
    assert server.get(f"{finished}/report.json").body == before.body
    assert server.get(finished).json["spec"]["gates"] == ["auc<=1"]


def test_a_verdict_does_not_outlive_its_images(server):
    """A key repeats no judgement of what was erased since."""
    made = create(server, recipe={"views": 4, "seed": 71})
    add_tar(server, made, [(f"{cohort}/{path.name}", path.read_bytes())
                           for cohort in ("candidate", "external") for path in pictures(cohort)])
    move(server, made, "start")
    await_state(server, made, "succeeded")
    ask = lambda: server.ask("POST", f"{made}/gates", '{"gates": ["auc<=1", "failed_share<=0"]}',
                             JSON | {"Idempotency-Key": '"verdict"'})
    for _ in range(2):
        assert ask().json["passed"] is True
    image = hashlib.sha256(pictures("candidate")[0].read_bytes()).hexdigest()
    assert server.ask("DELETE", f"/v1/images/{image}").status == 200
    answer = ask()
    assert answer.status == 200 and answer.json["passed"] is None
    assert [gate["passed"] for gate in answer.json["gates"]] == [None, None]
    assert "images_erased" in flags_of(answer.json)


def test_judged_too_early_or_wrongly(server, finished):
    for body, pointer in (({"gates": []}, "/gates"), ({}, "/gates"), ({"gates": "auc<=1"}, "/gates"),
                          ({"gates": ["auc=1"]}, "/gates/0"), ({"gates": ["auc<1"] * 17}, "/gates"),
                          ({"gates": ["auc<1", 7]}, "/gates/1"), ({"gates": ["auc<1"], "name": "b"}, "/name")):
        answer = server.ask("POST", f"{finished}/gates", json.dumps(body), JSON)
        answer.problem(422, "audit_invalid")
        assert answer.json["errors"][0]["pointer"] == pointer
    server.ask("POST", f"{finished}/gates", "[1]", JSON).problem(400, "json_invalid")
    server.ask("POST", f"{finished}/gates?names=true", "{}", JSON).problem(400, "query_unknown")
    judge(server, f"/v1/audits/{NO_ID}", "auc<=1").problem(404, "audit_unknown")
    made = create(server)
    assert "is open, it must have ended to be judged" in judge(server, made, "auc<=1").problem(409, "audit_state")
    assert server.get(made).json["flags"] == []
    assert server.ask("DELETE", made).status == 204


def test_gates_tell_no_figures_to_keys_that_round(rounding):  # noqa: F811
    """A gate would give a figure bit by bit, and texts of flags quote some."""
    a, exact, other, score = rounding((*ALL, "--round", "3"), ("--scopes", "read"), (*ALL, "--tenant", "b"),
                                     ("--scopes", "score"))
    path = a.audit()
    a.finish(path)
    ask = lambda who: who.ask("POST", f"{path}/gates", json.dumps({"gates": ["auc<=0.5"]}), Content_Type="application/json")
    ask(a).problem(403, "figures_rounded")
    assert ask(exact).status == 200
    ask(other).problem(404, "audit_unknown")
    ask(score).problem(403, "scope_missing")
    assert a.get(path).json["flags"] == [] and "cohort_small" in flags_of(exact.get(path).json)


def test_judged_on_the_command_line(audit, tmp_path):
    out = tmp_path / "out"
    arguments = ["--pair", PAIRS / "fashion-simclr", "--candidate", PICTURES / "candidate", "--external",
                 PICTURES / "external", "--gate", "auc<=0.6", "--names", "--thumbnails", "--out", out]
    first_time = audit(*arguments, code=3).stdout
    before = report(out)
    again = (out / "report.html").read_text().split('id="again"')[1]
    assert audit("judge", out, "--gate", "auc<=0.7").stdout == first_time.replace(
        "gate auc<=0.6 FAILS", "gate auc<=0.7 holds").replace(f"report: {out}/report.html, report.json, report.csv\n", "")
    done = audit("judge", out, "--gate", "auc<=0.7", "--gate", "auc<=0.5", "--quiet", code=3)
    assert [line for line in done.stdout.splitlines() if line.startswith("gate ")] == ["gate auc<=0.5 FAILS: 0.6375"]
    assert report(out) == before
    # With --report both are in it, each under its name.
    assert audit("judge", out, "--gate", "auc<=0.7", "--report").stdout.endswith(
        f"report: {out}/report.html, report.json, report.csv\n")
    after = report(out)
    judged = after["summary"].pop("judged")
    assert judged["passed"] is True and [gate["gate"] for gate in judged["gates"]] == ["auc<=0.7"]
    assert after["run"].pop("judged") >= after["run"]["finished"]
    assert after == before and before["summary"]["passed"] is False
    page = (out / "report.html").read_text()
    assert "Not passed" in page and "<h3>Judged afterwards</h3>" in page and "data:image/png;base64" in page
    # It says how to run the audit again as before, the paths of this machine included.
    assert f"--pair {PAIRS}/fashion-simclr" in page and page.split('id="again"')[1] == again
    # The same command as before ends as before, and takes the judged gates out again.
    assert audit(*arguments, code=3).stdout == first_time
    assert report(out) == before


def run_again(out):
    """The command under "Run it again"."""
    return (out / "report.html").read_text().split('id="again"', 1)[1].split("</pre>", 1)[0]


@pytest.mark.parametrize("by", ["folders", "manifest"])
def test_judged_reports_still_say_how_to_run_it_again(audit, tmp_path, by):
    out = tmp_path / "out"
    rows = [{"cohort": cohort, "path": f"{cohort}/{path.name}"} for cohort in ("candidate", "external")
            for path in pictures(cohort)]
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    inputs = {"folders": ["--candidate", PICTURES / "candidate", "--external", PICTURES / "external"],
              "manifest": ["--manifest", tmp_path / "list.jsonl", "--root", PICTURES]}[by]
    audit("--pair", PAIRS / "fashion-simclr", *inputs, "--gate", "auc<=1", "--seed", "3", "--names", "--out", out)
    before = run_again(out)
    assert f"--out {out}-again" in before and "/recipe.json" in before
    for gate in ("auc<=0.999", "auc<=0.998"):
        audit("judge", out, "--gate", gate, "--report")
        assert run_again(out) == before
    # A folder of an earlier version does not know its command; then the report says what has to be given.
    state = json.loads((out / "audit.json").read_text())
    del state["again"]
    (out / "audit.json").write_text(json.dumps(state))
    audit("judge", out, "--gate", "auc<=0.999", "--report")
    assert "PAIR" in (out / "report.html").read_text().split('id="again"', 1)[1]


def test_without_a_gate_there_is_no_verdict(audit, server, tmp_path):
    cohorts = ["--candidate", PICTURES / "candidate", "--external", PICTURES / "external"]
    audit("--pair", PAIRS / "fashion-simclr", *cohorts, "--out", tmp_path / "here")
    audit("--pair", "fashion-vit", "--server", f"http://127.0.0.1:{server.port}", *cohorts, "--out", tmp_path / "there")
    for out in (tmp_path / "here", tmp_path / "there"):
        assert report(out)["summary"]["passed"] is None and "No verdict" in (out / "report.html").read_text()


def test_judged_reports_name_images_as_before(audit, tmp_path):
    out, key = tmp_path / "out", tmp_path / "digest.key"  # noqa: F811
    key.write_text("0123456789abcdef" * 4)
    key.chmod(0o600)
    audit("--pair", PAIRS / "fashion-simclr", "--candidate", PICTURES / "candidate", "--external", PICTURES / "external",
          "--digest-key", key, "--out", out)
    before = report(out)
    assert "give the --digest-key of the audit" in audit("judge", out, "--gate", "auc<=0.7", "--report", code=1).stderr
    assert report(out) == before
    audit("judge", out, "--gate", "auc<=0.7", "--report", "--digest-key", key)
    assert report(out)["items"] == before["items"] and "judged" in report(out)["summary"]


def test_judged_by_a_server_from_the_command_line(audit, server, tmp_path):
    url, out = f"http://127.0.0.1:{server.port}", tmp_path / "out"
    options = ["--candidate", PICTURES / "candidate", "--external", PICTURES / "external", "--gate", "auc<=0.99"]
    audit("--pair", "fashion-vit", "--server", url, *options, "--out", out)
    audit("--pair", PAIRS / "fashion-vit", *options, "--out", tmp_path / "here")
    gates = with_gates(("auc<=0.5", "failed_share<=0"))
    assert audit("judge", out, *gates, code=3).stdout == audit("judge", tmp_path / "here", *gates, code=3).stdout
    done = audit("judge", out, *gates, "--report", code=1)
    assert "--report and --digest-key are for audits of this machine" in done.stderr


@pytest.mark.parametrize("arguments, text", [
    (["--gate", "auc=1"], "/gates/0: "), ([], "missing option --gate"), (["--gate", "auc<1", "--top", "3"], "unknown option")])
def test_judged_with_wrong_usage(audit, tmp_path, arguments, text):
    assert text in audit("judge", tmp_path, *arguments, code=2).stderr


def test_judged_where_nothing_is(audit, tmp_path):
    assert "no audit.json: no audit was started there" in audit("judge", tmp_path, "--gate", "auc<1", code=1).stderr


# --- an audit beside itself -------------------------------------------------------------------------


def test_an_audit_is_not_compared_with_itself(audit, server, finished, tmp_path):
    out = tmp_path / "out"
    audit("--pair", PAIRS / "fashion-simclr", "--candidate", PICTURES / "candidate", "--external", PICTURES / "external",
          "--out", out)
    (tmp_path / "link").symlink_to("out")
    shutil.copytree(out, tmp_path / "copy")
    id = report(out)["run"]["id"]
    for other in (out, f"{out}/", tmp_path / "link", tmp_path / "link/.", tmp_path / "copy"):
        assert audit("compare", out, other, code=1).stderr == (
            f"sslmem audit compare: {str(out)[:70]} and {str(other)[:70]} are the same audit ({id}): give two that differ\n")
    id = finished.rsplit("/", 1)[1]
    for ids in ([id, id], [id, NO_ID, id]):
        detail = server.get(f"/v1/comparisons?audits={','.join(ids)}").problem(400, "query_invalid")
        assert detail == f"audits names {id} twice: an audit is compared with another one"
    at = f"http://127.0.0.1:{server.port}"
    audit("--pair", "fashion-vit", "--server", at, "--candidate", PICTURES / "candidate", "--external",
          PICTURES / "external", "--out", tmp_path / "there")
    shutil.copytree(tmp_path / "there", tmp_path / "there2")
    assert "are the same audit" in audit("compare", tmp_path / "there", tmp_path / "there2", code=1).stderr
