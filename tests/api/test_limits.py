"""GET /v1/limits against the description, the configuration, and requests at a limit and one past it."""

import concurrent.futures
import time

import pytest

from conftest import PATIENCE_S, SPEC, png

pytestmark = pytest.mark.threads  # requests wait, queue and are refused at once

LIMITS = SPEC["components"]["schemas"]["Limits"]


def test_described_and_served_are_the_same(server):
    served = server.get("/v1/limits").json
    assert set(served) == set(LIMITS["properties"]) == set(LIMITS["required"])
    assert all(isinstance(value, int) and value > 0 for value in served.values())


def test_configured(serve):
    limits = serve("--queue-max", "77", "--images-max", "3", "--idle-timeout-s", "44").get("/v1/limits").json
    assert (limits["queue_max"], limits["images_max"], limits["idle_timeout_s"]) == (77, 3, 44)


def test_they_hold(server):
    limits = server.get("/v1/limits").json
    images = [png(i) for i in range(limits["images_max"] + 1)]
    assert server.post_many(images[:-1]).status == 200
    assert f"{limits['images_max']}" in server.post_many(images).problem(422, "images_limit")
    too_long = server.post(bytes(limits["body_bytes_max"] + 1))
    assert f"the limit is {limits['body_bytes_max']} bytes" in too_long.problem(413, "body_too_large")
    assert server.post(bytes(limits["body_bytes_max"])).status == 415
    views = limits["views_max"]
    assert server.post_many([png(1)], {"views": views}).status == 200
    assert f"to {views}" in server.post_many([png(1)], {"views": views + 1}).problem(422, "recipe_invalid")
    assert server.get(f"/v1/scores?limit={limits['page_scores_max']}").status == 200
    server.get(f"/v1/scores?limit={limits['page_scores_max'] + 1}").problem(400, "query_invalid")
    longest = "x" * limits["request_id_bytes_max"]
    assert server.get("/livez", **{"X-Request-Id": longest}).headers["X-Request-Id"] == longest
    assert server.get("/livez", **{"X-Request-Id": longest + "x"}).headers["X-Request-Id"] != longest + "x"


def test_waiting_takes_no_more_than_half_of_the_connections(serve):
    """The third that would wait is told at once where to look; the wait of the others goes on."""
    server = serve("--workers", "1", "--http-threads", "1", "--connections-max", "4", "--wait-max-ms", "60000")
    assert server.get("/v1/limits").json["requests_waiting_max"] == 2
    # Work for the time that this takes, and not for more than a wait: a sanitizer is slow.
    jobs = [[png(100 * k + i) for i in range(count)] for k, count in enumerate((64, 32))]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(server.post_many, images, {"views": 40}) for images in jobs]
        until = time.monotonic() + PATIENCE_S
        while server.get("/readyz").json["queued"] <= 64:
            assert time.monotonic() < until
            time.sleep(0.005)
        time.sleep(0.1)  # from the commit of a job to its wait
        third = server.post(png(999), prefer=f"wait={PATIENCE_S}")
        assert not any(answer.done() for answer in waiting)
        assert third.status == 202
        assert [answer.result(PATIENCE_S).status for answer in waiting] == [200, 200]
    assert server.await_job(third.headers["Location"])["state"] == "succeeded"
