"""Work in total: what a recipe may cost, and that costly work holds nobody else up.

The heavy recipe asks for 13 blurs of a picture of 16x64 pixels that it makes 2048x8192 before: every field is within its
limit, 64 views are some twenty minutes. Smaller sizes of it are enough to hold the workers for a test."""

import json
import os
import re
import signal
import sqlite3
import statistics
import struct
import time
import zlib

import pytest

from conftest import PATIENCE_S, ROOT, images_and_recipe, multipart, png
from test_audits import JSON, create, move
from test_life import not_ready

SIDE = 32
DEMO = ROOT / "deploy/demo/pairs"
PAIR = "fashion-vit"
# What a client may wait beyond its usual time; a sanitizer build is slower.
BESIDE_S = 2
RAISED = ("--item-cost-ms-max", "10000000", "--request-cost-ms-max", "20000000")


def heavy(size=2048, views=64):
    blur = {"op": "gaussian_blur", "sigma": [64, 64], "p": 1}
    return {"augment": [{"op": "resize", "size": size}] + 13 * [blur]
            + [{"op": "resize", "size": SIDE}, {"op": "center_crop", "size": SIDE}], "views": views}


def tall(seed):
    """A PNG of 16x64 pixels, in a few bytes."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = b"".join(b"\0" + bytes([seed % 256]) * 16 for _ in range(64))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 64, 8, 0, 0, 0, 0))
            + chunk(b"tEXt", b"seed\0%d" % seed) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


@pytest.fixture
def demo(serve):
    """The demo's pairs; a stop gives unfinished images back after a little while."""
    return lambda *options: serve("--drain-limit-ms", "3000", *map(str, options), pairs=DEMO)


def await_running(server, location):
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if "running" in [item["state"] for item in server.get(location).json["items"]]:
            return
        time.sleep(0.02)
    raise AssertionError("it does not run")


# --- admission --------------------------------------------------------------------------------------


def numbers_of(detail):
    cost, limit = re.search(r"costs (\d+) ms with this recipe, \w+ is (\d+): ", detail).groups()
    return int(cost), int(limit)


def test_a_recipe_that_costs_too_much(demo):
    server = demo()
    limits = server.get("/v1/limits").json
    detail = server.post_many([tall(1)], heavy(), pair=PAIR).problem(422, "recipe_too_costly")
    cost, limit = numbers_of(detail)
    assert cost > 2 * limit == 2 * limits["item_cost_ms_max"]
    assert "image 0 of 16x64 pixels" in detail and "fewer views" in detail
    # Half of the views cost half. A square picture is not made 8192 high.
    half, _ = numbers_of(server.post_many([tall(1)], heavy(views=32), pair=PAIR).problem(422, "recipe_too_costly"))
    assert half == pytest.approx(cost / 2, rel=0.01)
    # One costly image among others is named.
    detail = server.post_many([png(1), tall(1)], heavy(), pair=PAIR).problem(422, "recipe_too_costly")
    assert "image 1 of 16x64 pixels" in detail
    assert server.get("/readyz").json["queued"] == 0


def test_all_images_of_a_request(demo):
    server = demo("--request-cost-ms-max", "500")
    assert server.post(png(1), pair=PAIR).status == 200
    one = server.post_many([png(i) for i in range(60)], {"views": 64}, pair=PAIR)
    detail = one.problem(422, "recipe_too_costly")
    cost, limit = numbers_of(detail)
    assert cost > limit == 500 and "all 60 images together" in detail and "send fewer images at once" in detail


def test_audits(demo):
    """Refused when no image can pass, and else image by image."""
    server = demo()
    body = {"name": "n", "pair": PAIR, "recipe": heavy(), "resamples": 100}
    audit = create(server, PAIR, heavy())  # a square picture passes
    where = f"{audit}/images?cohort=candidate"
    detail = server.ask("POST", where, tall(1), {"Content-Type": "image/png"}).problem(422, "recipe_too_costly")
    assert re.search(r"16x64 pixels costs \d{6} ms .* item_cost_ms_max is 300000.* 0 images were added", detail)
    media_type, parts = images_and_recipe([tall(1), png(2), tall(3)])
    answer = server.ask("POST", where, parts, {"Content-Type": media_type})
    assert (answer.json["added_count"], answer.json["failed_count"]) == (1, 2)
    items = server.get(f"{audit}/items?state=failed").json["items"]
    assert {item["error"]["code"] for item in items} == {"limit"}
    document = server.get(audit).json
    assert document["cost_ms"] > 100000 and document["done_cost_ms"] == 0
    server.stop()
    server = demo("--item-cost-ms-max", "1000")
    answer = server.ask("POST", "/v1/audits", json.dumps(body), JSON)
    cost, limit = numbers_of(answer.problem(422, "recipe_too_costly"))
    assert cost > limit == 1000
    assert server.ask("POST", "/v1/audits", json.dumps(body | {"recipe": {"views": 4}}), JSON).status == 201


def test_the_queue_is_full_of_work(demo):
    server = demo("--workers", "1", *RAISED, "--queue-cost-ms-max", "800000")
    held = server.post_many([tall(1)], heavy(), pair=PAIR, prefer="respond-async")
    assert held.status == 202 and 1 < int(held.headers["Retry-After"]) <= 60
    refused = server.post_many([tall(2)], heavy(), pair=PAIR)
    assert re.search(r"work of \d+ ms of at most 800000, no room for \d+", refused.problem(503, "queue_full"))
    assert 1 < int(refused.headers["Retry-After"]) <= 600
    assert server.post(png(9), pair=PAIR).status == 200
    assert re.fullmatch(r"work of \d+ ms is queued, the mark is 90% of 800000", not_ready(server.get("/readyz"), "queue"))


# --- beside others ----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_another_client_is_served_beside_costly_work(demo, workers):
    """Two requests of two images hold all workers for minutes; cheap images are scored in between all the same."""
    server = demo("--workers", workers, *RAISED)

    def score(seed):
        begun = time.monotonic()
        answer = server.post(png(seed, 28), pair=PAIR)
        assert answer.status == 200
        return time.monotonic() - begun, answer.json["m"]

    usual = statistics.median(score(seed)[0] for seed in range(5))
    jobs = [server.post_many([tall(2 * i), tall(2 * i + 1)], heavy(), pair=PAIR, prefer="respond-async")
            for i in range(2)]
    locations = [job.headers["Location"] for job in jobs]
    await_running(server, locations[0])
    beside = [score(seed) for seed in range(10, 18)]
    assert server.get("/livez").status == 200
    assert max(s for s, _ in beside) < usual + BESIDE_S, (usual, beside)
    states = [server.get(location).json for location in locations]
    assert sum(state["succeeded_count"] for state in states) == 0, "the work was too small for this test"

    begun = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - begun < 3
    # What was given back goes on, and the bits do not depend on what ran around them.
    server = demo("--workers", workers, *RAISED)
    with sqlite3.connect(server.folder / "test.db") as db:
        assert db.execute("SELECT max(attempt) FROM item WHERE state IN ('queued', 'running')").fetchone()[0] <= 1
    assert [server.get(location).json["state"] for location in locations] != ["failed", "failed"]
    assert server.stop() == 0
    os.rename(server.folder / "test.db", server.folder / "old.db")
    server = demo("--workers", "1")
    assert [score(seed)[1] for seed in range(10, 18)] == [m for _, m in beside]


def test_a_lent_worker_finishes_both(demo):
    """A costly image that lends its worker ends, with the score that it has alone."""
    server = demo("--workers", "1")
    recipe = heavy(size=256, views=4)
    job = server.post_many([tall(1)], recipe, pair=PAIR, prefer="respond-async").headers["Location"]
    await_running(server, job)
    beside = 0
    while server.get(job).json["state"] == "running":
        assert server.post(png(100 + beside, 28), pair=PAIR).status == 200
        beside += 1
    lent = server.await_job(job)["items"][0]["score"]["m"]
    assert beside > 0
    server.stop()
    os.rename(server.folder / "test.db", server.folder / "old.db")
    server = demo("--workers", "1")
    answer = server.post_many([tall(1)], recipe, pair=PAIR)
    assert answer.json["m"] == lent


def test_a_cancelled_audit_lets_go_of_its_image(demo):
    server = demo("--workers", "1", *RAISED)
    audit = create(server, PAIR, heavy())
    where = f"{audit}/images?cohort=candidate"
    assert server.ask("POST", where, tall(1), {"Content-Type": "image/png"}).status == 200
    assert move(server, audit, "start").status == 200
    until = time.monotonic() + PATIENCE_S
    while not server.get(f"{audit}/items?state=running").json["items"] and time.monotonic() < until:
        time.sleep(0.02)
    assert move(server, audit, "cancel").status == 200
    begun = time.monotonic()
    while server.get(f"{audit}/items?state=running").json["items"] and time.monotonic() < until:
        time.sleep(0.02)
    assert time.monotonic() - begun < PATIENCE_S / 4
    assert server.get(f"{audit}/items?state=cancelled").json["items"]


# --- an image that ends the service -----------------------------------------------------------------


def test_three_ends_alone_fail_an_image(demo):
    """kill -9 with one image in hand, again and again: it fails, and those that wait are not touched by it."""
    for end in range(4):
        server = demo("--workers", "1", *RAISED)
        if end == 0:
            job = server.post_many([tall(1)], heavy(), pair=PAIR, prefer="respond-async").headers["Location"]
        if end < 3:
            await_running(server, job)
            server.stop(signal.SIGKILL)
    document = server.await_job(job)
    error = document["items"][0]["error"]
    assert (document["state"], error["code"]) == ("failed", "internal")
    assert re.search(r"12 tries of at most 10, an end with nothing else in hand counts 4", error["detail"])
    assert server.post(png(1), pair=PAIR).status == 200


def test_ends_with_several_in_hand_fail_none(demo):
    """Two workers, two images in hand: nobody knows whose work the end was."""
    for end in range(5):
        server = demo("--workers", "2", *RAISED)
        if end == 0:
            jobs = [server.post_many([tall(i)], heavy(), pair=PAIR, prefer="respond-async").headers["Location"]
                    for i in range(2)]
        for job in jobs:
            await_running(server, job)
        server.stop(signal.SIGKILL)
    with sqlite3.connect(server.folder / "test.db") as db:
        assert db.execute("SELECT state, attempt FROM item").fetchall() == 2 * [("running", 5)]
