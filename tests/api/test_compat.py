"""The database of an earlier version opens, and a session of requests gets the answers that it got from that version: byte
by byte, but for the few things of compat/session.py that differ from run to run. compat/make.py made the database and
recorded the answers; its head says how to record them again after a change on purpose."""

import hashlib
import warnings

from compat.session import BLAS_CORE, ROWS, left, load, play, unpack
from conftest import ROOT, SPEC, operation_of

AROUND = 60  # bytes shown on each side of a difference


def difference(old, new):
    """Where two answers part, or None."""
    if old.get("status") != new.get("status"):
        return f"status was {old['status']}, is {new['status']}: {''.join(new['body'])}"
    was, now = ("".join(answer["body"]).encode(errors="surrogateescape") for answer in (old, new))
    if was != now:
        at = next((i for i, (a, b) in enumerate(zip(was, now)) if a != b), min(len(was), len(now)))
        show = lambda body: body[max(0, at - AROUND):at + AROUND]
        return f"body of {len(was)} bytes, now {len(now)}, differs at byte {at}:\n  was {show(was)}\n  is  {show(now)}"
    was, now = old.get("headers", {}), new.get("headers", {})
    return next((f"{name} was {was.get(name)}, is {now.get(name)}" for name in sorted(was | now)
                 if was.get(name) != now.get(name)), None)


def test_answers_of_an_earlier_version(binary, tmp_path, monkeypatch):
    monkeypatch.setenv(*BLAS_CORE)
    unpack(tmp_path)
    before = left(tmp_path, "SELECT * FROM migration ORDER BY version")
    recorded = {answer["request"]: answer for answer in load("answers.json")}
    assert len(recorded) == len(ROWS) + 1
    different, played = [], 0
    for number, request, answer in play(binary, tmp_path):
        found = difference(recorded[f"{number} {request}"], answer)
        different += [f"{number} {request}: {found}"] if found else []
        played += 1
    assert not different, f"{len(different)} answers differ\n" + "\n".join(different[:10])
    if played < len(recorded):
        warnings.warn(f"other versions of libraries: {len(recorded) - played} requests are left out")
    assert played >= 150

    after = left(tmp_path, "SELECT * FROM migration ORDER BY version")
    assert after[:len(before)] == before  # none is applied again
    files = sorted((ROOT / "migrations").glob("*.sql"))
    assert [row[:3] for row in after] == [
        (i, file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for i, file in enumerate(files, 1)]
    assert left(tmp_path, "PRAGMA integrity_check") == [("ok",)]
    assert left(tmp_path, "PRAGMA foreign_key_check") == []


def test_every_operation_has_a_request():
    """But the description of the service, whose text may change."""
    asked = [operation_of(method, path) for _, method, path, *_ in ROWS]
    assert [operation["operationId"] for item in SPEC["paths"].values() for operation in item.values()
            if operation not in asked] == ["getDescription"]
