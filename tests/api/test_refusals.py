"""First mistakes of a new user: each refusal names what was given and says what to do, or the thing is accepted.

Checkpoints: tests/unit/core/nn/test_refusals.c. The files are of tests/golden/make_refusals.py.
"""
import bz2
import io
import json
import lzma
import subprocess
import tarfile

import pytest

from conftest import PAIRS, ROOT, multipart, png

pytestmark = pytest.mark.memory  # bytes of forty formats, sniffed by the service, the decoder and the reader of archives

GIVEN = ROOT / "tests/golden/refusals"
KINDS = ROOT / "tests/fuzz/corpus/kind"
CONVERT = "convert it to PNG or JPEG"
PAIR = PAIRS / "resnet"
COHORTS = ["--candidate", GIVEN, "--external", GIVEN]
IMAGES = {"webp": "a WebP image", "gif": "a GIF image", "tiff": "a TIFF image", "tiff-be": "a TIFF image", "bmp": "a BMP image",
          "avif": "an AVIF image", "heic": "a HEIC image", "jxl": "a JPEG XL image", "jxl-box": "a JPEG XL image",
          "jp2": "a JPEG 2000 image", "svg": "an SVG drawing"}
ARCHIVES = {"bzip2": "a bzip2 file", "xz": "an xz file", "7z": "a 7z archive", "rar": "a rar archive", "lz4": "an lz4 file"}


@pytest.fixture
def run(binary, tmp_path):
    def run(*arguments, code=0):
        done = subprocess.run([binary, *map(str, arguments)], capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == code, (done.returncode, done.stderr)
        return done
    return run


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(png(1))
    return path


WORDS = [
    (["nonsense"], 'sslmem: unknown command "nonsense"; see sslmem --help'),
    (["scor"], 'sslmem: unknown command "scor"; the nearest is score; see sslmem --help'),
    (["audit", "--candidates", "x"], "sslmem audit: unknown option --candidates; the nearest is --candidate; see sslmem audit --help"),
    (["audit", "--gates=auc<1"], "sslmem audit: unknown option --gates=auc<1; the nearest is --gate; see sslmem audit --help"),
    (["audit", "compair", "a", "b"], "sslmem audit: unknown subcommand compair; the nearest is compare; see sslmem audit --help"),
    (["score", "--pari", "x", "y"], "sslmem score: unknown option --pari; the nearest is --pair; see sslmem score --help"),
    (["score", "-pair", "x", "y"], "sslmem score: unknown option -pair; the nearest is --pair; see sslmem score --help"),
    (["score", "--colour", "x", "y"], "sslmem score: unknown option --colour; see sslmem score --help"),
]


@pytest.mark.parametrize("arguments,text", WORDS, ids=range(len(WORDS)))
def test_the_nearest_word_is_named(run, arguments, text):
    done = run(*arguments, code=2)
    assert (done.stdout, done.stderr) == ("", text + "\n")


def test_the_nearest_verb_is_named(run):
    assert run("key", "creat", code=2).stderr.startswith('sslmem key: unknown verb "creat"; the nearest is create\n')


def test_a_file_may_begin_with_a_dash(run, tmp_path):
    (tmp_path / "-pair").write_bytes(png(1))
    (tmp_path / "-a.png").write_bytes(png(1))
    assert json.loads(run("score", "--pair", PAIR, "-a.png").stdout)["file"] == "-a.png"
    assert json.loads(run("score", "--pair", PAIR, "--", "-pair").stdout)["file"] == "-pair"


@pytest.mark.parametrize("gate", ["auc=0.6", "auc", "auc=<0.6"])
def test_a_gate_without_a_sign_is_told_the_signs(run, gate):
    done = run("audit", "--pair", PAIR, *COHORTS, "--out", "o", "--gate", gate, code=2)
    assert done.stderr == (f'sslmem audit: /gates/0: gate "{gate}" has none of <, <=, >, >=; write it like "auc<=0.6", '
                           "for a shell in quotes\n")


def test_json_is_taken_in_place_of_its_file(run, tmp_path, image):
    (tmp_path / "r.json").write_text('{"views": 4}')
    wanted = run("score", "--pair", PAIR, "--recipe", "r.json", image).stdout
    assert json.loads(wanted)["recipe"]["views"] == 4
    for text in ('{"views": 4}', ' \n{ "views":4 }'):
        assert run("score", "--pair", PAIR, "--recipe", text, image).stdout == wanted
    assert run("score", "--pair", PAIR, "--recipe", '{"viewz": 4}', image, code=1).stderr == (
        'sslmem score: /viewz: field "viewz" is unknown\n')
    assert run("score", "--pair", PAIR, "--recipe", '{"views": 4', image, code=1).stderr == (
        "sslmem score: JSON at line 1 column 11: '}' expected near end of file\n")
    vit = ROOT / "tests/golden/encoders/dino-backbone/pretrain.pth"
    heads = [c for c in json.loads(run("inspect", vit, "--json", "--config", '{"heads": 3}').stdout)["encoder"]["choices"]
             if c["name"] == "heads"]
    assert (heads[0]["value"], heads[0]["source"]) == ("3", "configuration")
    printed = json.loads(run("serve", "--config", '{"workers": 3}', "--print-config").stdout)
    assert printed["workers"] == 3
    assert "the nearest is workers" in run("serve", "--config", '{"worker": 3}', "--print-config", code=2).stderr


def test_a_byte_order_mark_is_passed_over(run, server, tmp_path, image):
    assert json.loads(run("score", "--pair", PAIR, "--recipe", GIVEN / "mark.json", image).stdout)["recipe"]["views"] == 4
    media_type, body = multipart([("image", png(1), None, "a.png"), ("recipe", (GIVEN / "mark.json").read_bytes(), None, None)])
    assert server.post(body, media_type).json["recipe"]["views"] == 4
    (tmp_path / "wide.json").write_bytes((GIVEN / "wide.json").read_bytes())
    assert run("score", "--pair", PAIR, "--recipe", "wide.json", image, code=1).stderr == (
        "sslmem score: wide.json: JSON is UTF-16, must be UTF-8: save it again (in PowerShell with -Encoding utf8)\n")


def test_the_file_is_named(run):
    for name, text in (("page.pth", "an HTML page, not the file: "), ("cut.pt", "zip file of 7284 bytes without"),
                       ("hub", "a folder, give model.safetensors in it"), ("none.pt", "No such file")):
        assert run("inspect", GIVEN / name, code=1).stderr.startswith(f"sslmem inspect: {GIVEN}/{name}: {text}")


@pytest.mark.parametrize("kind", IMAGES)
def test_image_formats_are_named(run, server, kind):
    data = (KINDS / kind).read_bytes()
    line = json.loads(run("score", "--pair", PAIR, KINDS / kind, code=1).stdout)
    assert line["error"] == {"code": "unsupported", "detail": f"{KINDS / kind}: {IMAGES[kind]}: {CONVERT}"}
    assert server.post(data).problem(415, "image_unrecognised") == f"{IMAGES[kind]}: {CONVERT}"
    media_type, body = multipart([("image", png(1), None, "a.png"), ("image", data, None, "b")])
    items = server.post(body, media_type).json["items"]
    assert [i["state"] for i in items] == ["succeeded", "failed"]
    assert items[1]["error"]["detail"] == f"{IMAGES[kind]}: {CONVERT}"


def test_a_page_is_named(server):
    assert server.post((KINDS / "html").read_bytes()).problem(415, "image_unrecognised") == (
        "an HTML page, not the file: download it again, from the link of the file itself")


@pytest.fixture(scope="module")
def audit(server):
    answer = server.ask("POST", "/v1/audits", json.dumps({"name": "a", "pair": "resnet", "recipe": {"views": 4}}),
                        {"Content-Type": "application/json"})
    assert answer.status == 201, answer.body
    return answer.headers["Location"]


@pytest.mark.parametrize("kind", ARCHIVES)
@pytest.mark.parametrize("media_type", ["application/octet-stream", "application/x-tar"])
def test_archives_are_named(server, audit, kind, media_type):
    answer = server.ask("POST", f"{audit}/images?cohort=shared", (KINDS / kind).read_bytes(), {"Content-Type": media_type})
    assert answer.problem(422, "archive_invalid") == (
        f"{ARCHIVES[kind]}: pack it again; taken are tar, zip, tar.gz and tar.zst; 0 images were added before")


def test_an_archive_says_what_its_entries_are(server, audit):
    out = io.BytesIO()
    given = {"a.webp": KINDS / "webp", "b.tar.xz": KINDS / "xz", "c.png": KINDS / "lfs", "d.txt": KINDS / "unknown"}
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, path in given.items():
            tar.add(path, name)
    answer = server.ask("POST", f"{audit}/images?cohort=shared", out.getvalue(), {"Content-Type": "application/x-tar"})
    answer.problem(422, "nothing_added")
    assert {row["name"]: row["detail"] for row in answer.json["report"]["skipped"]} == {
        "a.webp": f"a WebP image: {CONVERT}",
        "b.tar.xz": "an xz file: unpack it and give the images in it, JPEG or PNG",
        "c.png": "a git-lfs pointer, not the file: fetch it with `git lfs pull`",
        "d.txt": "the first bytes are those of no JPEG, PNG or raw image"}


def test_what_is_packed_is_what_its_name_says():
    """The corpus has real archives: the test would otherwise be about four bytes."""
    assert bz2.decompress((KINDS / "bzip2").read_bytes()) == lzma.decompress((KINDS / "xz").read_bytes())
