"""Names of images are bytes: whatever an archive calls an image, no program's locale changes it or loses the image."""

import io
import json
import os
import struct
import subprocess
import tarfile
import zipfile
import zlib

import pytest

from conftest import PAIRS, PATIENCE_S, png

JSON = {"Content-Type": "application/json"}
# NFD stays NFD: `audit select` lists names of files, which are compared as bytes.
TEXTS = ["plain", "stra\u00dfe", "\u65e5\u672c", "e\u0301", "\u00e9", "\U0001f600", "\u05d0\u05d1", "long" + "\u65e5" * 60]
NAMES = [text.encode() for text in TEXTS]
INVALID = [b"a\xff\xfe", b"\xc3", b"stra\xe1e", b"\xed\xa0\x80"]  # the third is cp437's and latin-1's
COHORT = b"candidate/"


def shown(name):
    """As labels show it: bytes that are no UTF-8, and what a terminal would obey, as '?'."""
    out = ""
    while name:
        for n in (1, 2, 3, 4):
            try:
                out += name[:n].decode()
                break
            except UnicodeDecodeError:
                pass
        else:
            n, out = 1, out + "?"
        name = name[n:]
    return out


def tar_of(names, form):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as tar:
        for i, name in enumerate(names):
            info = tarfile.TarInfo((COHORT + name + b".png").decode("utf-8", "surrogateescape"))
            info.size = len(png(i))
            tar.addfile(info, io.BytesIO(png(i)))
    return out.getvalue()


def v7_of(names):
    """The format before ustar: no magic, names of up to 99 bytes."""
    out = b""
    for i, name in enumerate(names):
        data = png(i)
        head = ((COHORT + name + b".png").ljust(100, b"\0") + b"0000644\0" + b"0000000\0" * 2
                + b"%011o\0" % len(data) + b"0" * 11 + b"\0" + b" " * 8).ljust(512, b"\0")
        head = head[:148] + b"%06o\0 " % sum(head) + head[156:]
        out += head + data + b"\0" * (-len(data) % 512)
    return out + b"\0" * 1024


def zip_entry(name, data, flag=0, extra=b"", described=False):
    """(local header and bytes, what the directory repeats of it)."""
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packed.compress(data) + packed.flush()
    flag |= 8 if described else 0
    sums = struct.pack("<III", zlib.crc32(data), len(packed), len(data))
    common = struct.pack("<HHHHH", 20, flag, 8, 0, 0x21) + (bytes(12) if described else sums)
    common += struct.pack("<HH", len(name), len(extra))
    local = b"PK\3\4" + common + name + extra + packed + (b"PK\7\10" + sums if described else b"")
    directory = b"PK\1\2\x14\3" + common[:10] + sums + common[22:]
    return local, directory, name + extra


def zip_of(entries):
    out = directory = b""
    for local, head, tail in entries:
        directory += head + struct.pack("<HHHII", 0, 0, 0, 0o100644 << 16, len(out)) + tail
        out += local
    end = struct.pack("<HHHHIIH", 0, 0, len(entries), len(entries), len(directory), len(out), 0)
    return out + directory + b"PK\5\6" + end


def unicode_path(own, name, version=1):
    value = struct.pack("<BI", version, zlib.crc32(own)) + name
    return struct.pack("<HH", 0x7075, len(value)) + value


def python_zip():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for i, text in enumerate(TEXTS):
            archive.writestr(f"candidate/{text}.png", png(i))
    return out.getvalue()


def marked(names, **more):
    return zip_of([zip_entry(COHORT + name + b".png", png(i), **more) for i, name in enumerate(names)])


def with_unicode_path(names, own=b"candidate/_.png", **more):
    """As Info-ZIP writes them: an ASCII or cp437 name, the true one beside it, after another field."""
    other = struct.pack("<HH", 0x5455, 5) + b"\3" + bytes(4)
    return zip_of([zip_entry(own, png(i), extra=other + unicode_path(own, COHORT + name + b".png"), **more)
                   for i, name in enumerate(names)])


SHORT = [name for name in NAMES if len(name) < 80]
KINDS = {
    "ustar": (tar_of(SHORT + INVALID, tarfile.USTAR_FORMAT), SHORT + INVALID),
    "gnu": (tar_of(NAMES + INVALID, tarfile.GNU_FORMAT), NAMES + INVALID),
    "pax": (tar_of(NAMES + INVALID, tarfile.PAX_FORMAT), NAMES + INVALID),
    "v7": (v7_of(SHORT + INVALID), SHORT + INVALID),
    "zip of Python": (python_zip(), NAMES),
    "zip with flag": (marked(NAMES + INVALID, flag=0x800), NAMES + INVALID),
    "zip with flag and descriptors": (marked(NAMES + INVALID, flag=0x800, described=True), NAMES + INVALID),
    "zip without flag": (marked(NAMES + INVALID), NAMES + INVALID),
    "zip with Unicode path": (with_unicode_path(NAMES + INVALID), NAMES + INVALID),
    "zip with Unicode path beside cp437": (with_unicode_path(NAMES, b"candidate/stra\xe1e.png", described=True), NAMES),
}


@pytest.fixture(scope="module")
def open_audit(server):
    def make():
        body = {"name": "names", "pair": "resnet", "recipe": {"views": 2}}
        return server.ask("POST", "/v1/audits", json.dumps(body), JSON).headers["Location"]
    return make


def send(server, audit, body, media_type="application/zip", query=""):
    return server.ask("POST", f"{audit}/images{query}", body, {"Content-Type": media_type})


def items(server, audit):
    return server.get(f"{audit}/items?limit=200").json["items"]


@pytest.mark.parametrize("kind", KINDS)
def test_archives(server, open_audit, kind):
    body, names = KINDS[kind]
    audit = open_audit()
    report = send(server, audit, body, "application/zip" if kind.startswith("zip") else "application/x-tar").json
    assert (report["added_count"], report["skipped"]) == (len(names), [])
    wanted = [("candidate", shown(COHORT + name + b".png")) for name in names]
    assert [(item["cohort"], item["name"]) for item in items(server, audit)] == wanted


def test_a_unicode_path_of_another_name(server, open_audit):
    """Who renames an entry and leaves the field there means the new name."""
    audit, own = open_audit(), b"candidate/new.png"
    entries = [zip_entry(own, png(1), extra=unicode_path(b"candidate/old.png", "candidate/\u65e5.png".encode())),
               zip_entry(own, png(2), extra=unicode_path(b"candidate/old.png", b"candidate/a.png"), flag=0x800)]
    assert send(server, audit, zip_of(entries)).json["added_count"] == 2
    assert [item["name"] for item in items(server, audit)] == [own.decode()] * 2


def test_a_name_that_cannot_be_read_is_told(server, open_audit):
    packed = zlib.compressobj(9, zlib.DEFLATED, 31)
    body = packed.compress(marked([b"plain", "\u65e5".encode()], flag=0x800)) + packed.flush()
    report = send(server, open_audit(), body, query="?cohort=shared").json
    assert (report["added_count"], report["skipped_by_reason"]) == (1, {"unreadable": 1})
    assert "entry 2" in report["skipped"][0]["detail"] and "gzip" in report["skipped"][0]["detail"]


@pytest.fixture
def folder(tmp_path):
    root = os.fsencode(tmp_path / "\u00fcber")
    os.makedirs(root + b"/candidate")
    os.makedirs(root + b"/external")
    for i, name in enumerate(NAMES + INVALID):
        for k, cohort in enumerate((b"/candidate/", b"/external/")):
            with open(root + cohort + name + b".png", "wb") as file:
                file.write(png(2 * i + k))
    return root


def reported(out):
    return sorted(row["name"] for row in json.loads((out / "report.json").read_text())["items"])


@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_command_line(binary, serve, folder, tmp_path, locale):
    """Folders here and at a server, and a manifest, whose names are JSON and so UTF-8."""
    def audit(out, *more):
        done = subprocess.run([binary, "audit", "--names", "--out", tmp_path / out, *more], capture_output=True,
                              timeout=PATIENCE_S, env=os.environ | {"LC_ALL": locale})
        assert done.returncode == 0, done.stderr
        return reported(tmp_path / out)

    pair = ["--pair", PAIRS / "resnet"]
    cohorts = ["--candidate", folder + b"/candidate", "--external", folder + b"/external"]
    wanted = sorted(2 * [shown(name + b".png") for name in NAMES + INVALID])
    assert audit("here-\u65e5", *pair, *cohorts) == wanted
    assert audit("there", "--pair", "resnet", "--server", f"http://127.0.0.1:{serve().port}", *cohorts) == wanted
    manifest = tmp_path / "m\u00e4nifest.jsonl"
    paths = [f"{cohort}/{text}.png" for text in TEXTS for cohort in ("candidate", "external")]
    manifest.write_text("".join(json.dumps({"cohort": path.split("/")[0], "path": path}, ensure_ascii=False) + "\n"
                                for path in paths))
    assert audit("listed", *pair, "--manifest", manifest, "--root", folder) == sorted(paths)
