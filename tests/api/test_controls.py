"""Controls of an audit: what they find, where their features come from, and what is said where they were not measured."""

import hashlib
import json
import sqlite3
import struct
import subprocess
import zlib

import pytest

from conftest import PATIENCE_S
from test_audit_cli import KEY, here, report, without_run

pytestmark = pytest.mark.threads  # a local audit scores on every core

GATES = ["--gate", "blind_auc<=1", "--gate", "control_auc_dev<=1", "--gate", "duplicates_share<=1"]


def grey_png(level_at, side=16, text=b""):
    """A grey picture; `text` gives the file another digest and length."""
    rows = b"".join(b"\0" + bytes(min(255, max(0, int(level_at(x, y)))) for x in range(side)) for y in range(side))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
            + (chunk(b"tEXt", b"t\0" + text) if text else b"") + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


def noise(seed, x, y):
    return hashlib.sha256(b"%d %d %d" % (seed, x, y)).digest()[0]


@pytest.fixture
def audit(binary, tmp_path):
    key = tmp_path / "key"
    key.write_text(KEY + "\n")
    key.chmod(0o600)

    def audit(*arguments, code=0):
        done = subprocess.run([binary, "audit", *map(str, arguments)], capture_output=True, text=True,
                              timeout=2 * PATIENCE_S)
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return done
    audit.key = ["--digest-key", key]
    return audit


@pytest.fixture
def cohorts(tmp_path):
    """make({cohort: [bytes …]}): the folders and the options that name them."""
    def make(images):
        options = []
        for name, files in images.items():
            folder = tmp_path / "images" / name
            folder.mkdir(parents=True, exist_ok=True)
            for i, data in enumerate(files):
                (folder / f"{i:04}.png").write_bytes(data)
            options += [f"--{name}", folder]
        return options
    return make


def noises(first, count, **more):
    return [grey_png(lambda x, y, k=k: noise(k, x, y), **more) for k in range(first, first + count)]


def controls(out):
    return report(out)["summary"]["controls"]


def flags(out):
    return [flag["code"] for flag in report(out)["summary"]["flags"]]


def test_cohorts_of_one_kind_are_left_alone(audit, cohorts, tmp_path):
    options = cohorts({"candidate": noises(0, 20), "external": noises(100, 20), "independent": noises(200, 20)})
    audit(*here(tmp_path / "out", *options, *GATES))
    found = controls(tmp_path / "out")
    assert found["note"] is None and found["duplicates"]["images"] == 0
    assert not {"blind_separates", "duplicates"} & set(flags(tmp_path / "out"))
    assert found["blind"]["candidate_external"]["n_a"] == 20
    page = (tmp_path / "out/report.html").read_text()
    assert page.index("Are the cohorts alike but for membership?") < page.index("Result in short")
    assert "No two of the 60 images are near-duplicates." in page
    db = sqlite3.connect(tmp_path / "out/audit.db")
    assert db.execute("SELECT count(*), max(length(pixels)) FROM item WHERE length(pixels) <= 200").fetchone() == (60, 94 + 32)


def test_externals_made_otherwise_are_seen_without_a_model(audit, cohorts, tmp_path):
    """The same kind of picture, but the files of externals are longer: a text stands in them."""
    options = cohorts({"candidate": noises(0, 60), "external": noises(100, 60, text=b"x" * 200)})
    audit(*here(tmp_path / "out", *options, "--gate", "blind_auc<=0.6"), code=3)
    found = controls(tmp_path / "out")["blind"]
    assert found["candidate_external"]["auc"] > .9 and found["candidate_external"]["separates"]
    assert found["candidate_independent"]["auc"] is None and "not compared" in found["candidate_independent"]["words"]
    assert "blind_separates" in flags(tmp_path / "out")


def test_copies_are_found_and_left_out(audit, cohorts, tmp_path):
    """Of each copied candidate another file is an external: levels differ by one, as after encoding again."""
    copies = [grey_png(lambda x, y, k=k: noise(k, x, y) + (x + y) % 2, text=b"%d" % k) for k in range(5)]
    options = cohorts({"candidate": noises(0, 15), "external": noises(100, 15) + copies})
    audit(*here(tmp_path / "out", *options, "--gate", "duplicates_share<=0.1"), code=3)
    found = controls(tmp_path / "out")["duplicates"]
    assert (found["images"], found["groups"], found["groups_across"]) == (10, 5, 5)
    assert found["listed"] == [[k, 30 + k] for k in range(5)] and found["share"] == 10 / 35
    assert (found["without"]["n_candidates"], found["without"]["n_reference"]) == (10, 15)
    assert "duplicates" in flags(tmp_path / "out")
    items = report(tmp_path / "out")["items"]
    assert [i["index"] for i in items if "near_duplicate" in i] == [*range(5), *range(30, 35)]
    lines = (tmp_path / "out/report.csv").read_text().splitlines()
    assert lines[0].endswith(",near_duplicate,completeness") and lines[1].endswith(",1,complete") and lines[10].endswith(",,complete")


def test_controls_off(audit, cohorts, tmp_path):
    options = cohorts({"candidate": noises(0, 12), "external": noises(100, 12)})
    done = audit(*here(tmp_path / "out", *options, "--controls", "off", *GATES), code=3)
    found = controls(tmp_path / "out")
    assert found["control"] is None and found["blind"] is None and found["duplicates"] is None
    assert "controls off" in found["note"] and done.stdout.count("undefined") >= 3
    assert [g["passed"] for g in report(tmp_path / "out")["summary"]["gates"]] == [False] * 3
    db = sqlite3.connect(tmp_path / "out/audit.db")
    assert db.execute("SELECT count(pixels) FROM item").fetchone() == (0,)
    page = (tmp_path / "out/report.html").read_text()
    assert "made with controls off" in page and "--controls off" in page
    assert "--controls is on or off" in audit(*here(tmp_path / "two", *options, "--controls", "no"), code=2).stderr


def test_an_audit_made_before_controls_opens(audit, cohorts, tmp_path):
    """As the schema before left it: no features, no field in its specification or in audit.json."""
    out = tmp_path / "out"
    options = cohorts({"candidate": noises(0, 12), "external": noises(100, 12)})
    audit(*here(out, *options, "--gate", "auc<=1", "--gate", "blind_auc<=1"))
    before = report(out)
    db = sqlite3.connect(out / "audit.db")
    db.executescript("ALTER TABLE item DROP COLUMN pixels; ALTER TABLE audit DROP COLUMN keep_pixels;"
                     "UPDATE audit SET spec = json_remove(spec, '$.controls'); DELETE FROM migration WHERE version >= 8;")
    db.close()
    state = json.loads((out / "audit.json").read_text())
    del state["inputs"]["controls"]
    (out / "audit.json").write_text(json.dumps(state))
    for path in out.glob("report.*"):
        path.unlink()
    audit(*here(out, *options, "--gate", "auc<=1", "--gate", "blind_auc<=1"), code=3)
    after = report(out)
    assert after["summary"]["controls"]["control"] == before["summary"]["controls"]["control"]
    assert after["summary"]["controls"]["blind"] is None and "made before controls" in after["summary"]["controls"]["note"]
    assert after["summary"]["membership"] == before["summary"]["membership"]
    assert [g["passed"] for g in after["summary"]["gates"]] == [True, False]
    assert "Audits made before controls have none" in (out / "report.html").read_text()


def test_shards_carry_the_features(audit, cohorts, tmp_path):
    copies = noises(0, 2, text=b"again")
    options = cohorts({"candidate": noises(0, 12), "external": noises(100, 12) + copies}) + audit.key
    audit(*here(tmp_path / "whole", *options))
    for i in (1, 2):
        audit(*here(tmp_path / str(i), *options, "--shard", f"{i}/2"))
    audit("merge", tmp_path / "merged", tmp_path / "1", tmp_path / "2")
    assert controls(tmp_path / "merged") == controls(tmp_path / "whole")
    assert controls(tmp_path / "merged")["duplicates"]["groups"] == 2
    assert without_run(tmp_path / "merged") == without_run(tmp_path / "whole")


def test_history_gives_the_same_controls(audit, cohorts, server, tmp_path):
    """The scores of the second audit come from history; so do those of a third, whose first had controls off."""
    options = cohorts({"candidate": noises(500, 12), "external": noises(600, 12)})
    common = ["--server", f"http://127.0.0.1:{server.port}", "--pair", "resnet", *options]
    for name in ("one", "two"):
        audit(*common, "--out", tmp_path / name)
    assert controls(tmp_path / "two") == controls(tmp_path / "one")
    assert controls(tmp_path / "two")["blind"]["candidate_external"]["n_a"] == 12
    options = cohorts({"candidate": noises(700, 12), "external": noises(800, 12)})
    common = ["--server", f"http://127.0.0.1:{server.port}", "--pair", "resnet", *options]
    audit(*common, "--controls", "off", "--out", tmp_path / "three")
    audit(*common, "--out", tmp_path / "four")
    assert controls(tmp_path / "three")["blind"] is None
    assert controls(tmp_path / "four")["blind"]["candidate_external"]["n_a"] == 12


@pytest.mark.parametrize("kind", ["equal", "one", "tiny", "no externals"])
def test_degenerate_cohorts(audit, cohorts, tmp_path, kind):
    flat = [grey_png(lambda x, y: 90, text=b"%02d" % i) for i in range(24)]
    images = {"equal": {"candidate": flat[:12], "external": flat[12:]},
              "one": {"candidate": noises(0, 1), "external": noises(1, 1)},
              "tiny": {"candidate": noises(0, 11, side=3), "external": noises(50, 11, side=2)},
              "no externals": {"candidate": noises(0, 12), "independent": noises(100, 12)}}[kind]
    reference = ["--reference", "independent"] if kind == "no externals" else []
    audit(*here(tmp_path / "out", *cohorts(images), *reference, *GATES), code=3 if kind in ("one", "no externals") else 0)
    found = controls(tmp_path / "out")
    if kind == "equal":
        assert found["duplicates"]["share"] == 1 and found["duplicates"]["groups"] == 1
        assert not found["blind"]["candidate_external"]["separates"]
        assert found["duplicates"]["without"]["auc"] is None
    elif kind == "one":
        assert found["blind_auc"] is None and found["duplicates_share"] == 0
    elif kind == "tiny":
        assert found["blind"]["candidate_external"]["separates"]  # their sizes differ
    else:
        assert found["control_auc_dev"] is None and found["blind"]["candidate_external"]["auc"] is None
        assert found["blind"]["candidate_independent"]["auc"] is not None


def test_images_of_arrays_have_features(audit, tmp_path):
    np = pytest.importorskip("numpy")
    for k, cohort in enumerate(("candidate", "external")):
        np.save(tmp_path / f"{cohort}.npy", np.random.RandomState(k).randint(0, 256, (12, 16, 16, 3)).astype(np.uint8))
    audit(*here(tmp_path / "out", "--candidate", tmp_path / "candidate.npy", "--external", tmp_path / "external.npy"))
    assert controls(tmp_path / "out")["blind"]["candidate_external"]["n_a"] == 12
    db = sqlite3.connect(tmp_path / "out/audit.db")
    assert {row[0][1] for row in db.execute("SELECT pixels FROM item")} == {0}  # SM_PIXELS_RAW
