"""GET /v1/scores: filters, orders, pages, cursors."""

import urllib.parse

import pytest

from conftest import png

COUNT = 11


@pytest.fixture(scope="module")
def scores(server):
    """Posted one after the other: eleven of one pair, one of the other."""
    made = [server.post(png(i)).json for i in range(COUNT)]
    return made + [server.post(png(0), pair="vit").json]


def pages(server, query):
    """Follows `next`; each page's Link is the same."""
    path, found = "/v1/scores?" + query, []
    while path:
        answer = server.get(path)
        path = answer.json["next"]
        assert answer.headers["Link"] == (f'<{path}>; rel="next"' if path else None)
        found.append(answer.json["scores"])
    return found


def ids(page):
    return [score["id"] for score in page]


@pytest.mark.parametrize("order,key,reverse", [
    ("newest", lambda s: (s["created"], s["id"]), True), ("oldest", lambda s: (s["created"], s["id"]), False),
    ("highest", lambda s: (s["m"], s["id"]), True), ("lowest", lambda s: (s["m"], s["id"]), False)])
@pytest.mark.parametrize("limit", [1, 3, 4, 11, 200])
def test_orders_and_pages(server, scores, order, key, reverse, limit):
    found = pages(server, f"pair=resnet&order={order}&limit={limit}")
    expected = ids(sorted(scores[:COUNT], key=key, reverse=reverse))
    assert [i for page in found for i in ids(page)] == expected
    assert [len(page) for page in found[:-1]] == [limit] * (len(found) - 1)
    assert len(found) == -(-COUNT // limit)


def test_filters(server, scores):
    get = lambda query: ids(server.get("/v1/scores?" + query).json["scores"])
    assert len(get("")) == COUNT + 1
    assert get("pair=vit") == [scores[-1]["id"]]
    assert get("pair=gone") == []
    assert set(get("image=" + scores[0]["image"]["digest"])) == {scores[0]["id"], scores[-1]["id"]}
    ordered = sorted(s["m"] for s in scores)
    assert len(get(f"min={ordered[3]!r}")) == COUNT + 1 - 3
    assert len(get(f"max={ordered[3]!r}")) == 4
    assert len(get(f"min={ordered[3]!r}&max={ordered[3]!r}")) == 1
    at = scores[4]["created"]
    assert len(get(f"since={at}")) + len(get(f"until={at}")) == COUNT + 1
    assert scores[4]["id"] in get(f"since={at}") and scores[4]["id"] not in get(f"until={at}")
    # The same moment as an offset, encoded and not.
    offset = at.replace("Z", "+00:00")
    assert get("since=" + urllib.parse.quote(offset)) == get("since=" + offset) == get(f"since={at}")


def test_default_limit(server, scores):
    assert server.get("/v1/scores").json["next"] is None


def cursor_of(server, query):
    path = server.get("/v1/scores?" + query).json["next"]
    return urllib.parse.parse_qs(urllib.parse.urlsplit(path).query)["cursor"][0]


def test_cursor_belongs_to_its_filter(server, scores):
    query = "pair=resnet&limit=2&min=-9"
    cursor = cursor_of(server, query)
    assert server.get(f"/v1/scores?{query}&cursor={cursor}").status == 200
    assert server.get(f"/v1/scores?pair=resnet&limit=5&min=-9.0&cursor={cursor}").status == 200
    for other in ("pair=vit&min=-9", "min=-9", "pair=resnet", "pair=resnet&min=-8",
                  "pair=resnet&min=-9&order=oldest", "pair=resnet&min=-9&max=5",
                  "pair=resnet&min=-9&since=2020-01-01T00:00:00Z"):
        server.get(f"/v1/scores?{other}&cursor={cursor}").problem(400, "cursor_invalid")


def test_damaged_cursors(server, scores):
    cursor = cursor_of(server, "limit=2")
    for i in range(len(cursor)):
        bad = cursor[:i] + ("A" if cursor[i] != "A" else "B") + cursor[i + 1:]
        server.get("/v1/scores?limit=2&cursor=" + bad).problem(400, "cursor_invalid")
    for bad in ("", "x", cursor[:-1], cursor + "A", "=" * 55, "%20" * 55, "A" * 55, cursor[:44] + "%ff" + cursor[45:]):
        server.get("/v1/scores?limit=2&cursor=" + bad).problem(400, "cursor_invalid")


@pytest.mark.parametrize("query", [
    "limit=0", "limit=201", "limit=-1", "limit=1.5", "limit=", "order=best", "order=", "min=nan", "min=inf",
    "min=0x10", "max=", "max=1e999", "max=1,5", "since=yesterday", "since=2026-01-01", "until=", "image=abc",
    "image=" + "A" * 64, "pair=", "pair=" + "x" * 64, "limit=1&limit=2", "pair", "since=2026-13-01T00:00:00Z"])
def test_bad_values(server, query):
    detail = server.get("/v1/scores?" + query).problem(400, "query_invalid")
    assert query.split("=")[0] in detail


def test_unknown_parameter_is_named(server):
    assert "'page'" in server.get("/v1/scores?page=2").problem(400, "query_unknown")
    assert "'x'" in server.get("/livez?x=1").problem(400, "query_unknown")
