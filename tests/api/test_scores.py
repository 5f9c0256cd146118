"""POST /v1/scores and everything that reads what it made."""

import concurrent.futures
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess

import pytest

from conftest import PAIRS, image, multipart, png

pytestmark = [pytest.mark.threads, pytest.mark.memory]  # several workers share one image

GOOD = ["baseline.jpg", "progressive.jpg", "grey.jpg", "pixel.jpg", "rgb.png", "rgba.png", "rgb16.png",
        "s2x2_arith.jpg", "ycck_420.jpg", "no_tables.jpg", "rst_before_eoi.jpg", "empty_idat_first.png",
        "palette.png", "bilevel.png", "interlaced.png", "pixel.png"]


def type_of(name):
    return "image/jpeg" if name.endswith(".jpg") else "image/png"


def numbers(score):
    """A score without what the store and the request add."""
    return {k: v for k, v in score.items() if k not in ("id", "created", "from_history", "job", "file")}


@pytest.mark.parametrize("name", GOOD)
def test_one_image(server, name):
    answer = server.post(image(name), type_of(name))
    assert answer.status == 200
    assert answer.json["image"]["media_type"] == type_of(name)
    assert answer.json["from_history"] is False
    job = server.get("/v1/jobs/" + answer.json["job"]).json
    assert (job["state"], job["succeeded_count"]) == ("succeeded", 1)


def test_a_score_names_its_decoder(server):
    """And its key holds that name alone, so scores of PNG outlive a change of the JPEG decoder."""
    decoders = server.get("/version").json["decoders"]
    assert decoders == {"image/jpeg": "libjpeg-turbo-2.1.5", "image/png": "stb_image-2.27"}
    for name in ("baseline.jpg", "rgb.png"):
        score = server.post(image(name), type_of(name)).json
        provenance = score["provenance"]
        assert provenance["decoder"] == decoders[type_of(name)]
        named = {k: provenance[k] for k in ("decoder", "kernels", "blas")}
        named |= {"method": score["method"], "pair": provenance["pair_digest"], "recipe": provenance["recipe_digest"],
                  "image": score["image"]["digest"]}
        text = json.dumps(named, sort_keys=True, separators=(",", ":"))
        assert provenance["key"] == hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("name,said", [
    ("damaged_segment.jpg", {"decoder_warnings": 1}), ("exif_cut.jpg", {"exif_unreadable": True, "orientation": 1}),
    ("baseline.jpg", {})])
def test_what_the_decoder_guessed_is_said(server, name, said):
    found = server.post(image(name), "image/jpeg").json["image"]
    kept = server.post(image(name), "image/jpeg").json["image"]
    assert found == kept
    assert {k: found[k] for k in found if k in ("decoder_warnings", "exif_unreadable")} \
        == {k: v for k, v in said.items() if k != "orientation"}
    assert found["orientation"] == 1


def test_repeated_request_is_answered_from_history(server):
    first, second = server.post(png(1)), server.post(png(1))
    assert (first.status, second.status) == (200, 200)
    assert (first.json["from_history"], second.json["from_history"]) == (False, True)
    assert "job" not in second.json
    assert first.json["id"] == second.json["id"]
    assert numbers(first.json) == numbers(second.json)
    # Another recipe is another score; the pair's own recipe, spelled out, is the same one.
    other = server.post_many([png(1)], {"seed": 8})
    assert other.json["from_history"] is False and other.json["m"] != first.json["m"]
    same = server.post_many([png(1)], {"views": 5, "augment": "simclr-cifar"})
    assert same.json["from_history"] is True and same.json["id"] == first.json["id"]


def test_a_score_has_an_interval(server):
    fixed = server.post_many([png(2)], {"views": 10}).json
    assert fixed["m_low"] < fixed["m"] < fixed["m_high"]
    assert abs((fixed["m_low"] + fixed["m_high"]) / 2 - fixed["m"]) < 1e-12
    # One distance tells nothing of its error, three nothing of the bias of theirs.
    for views in (2, 3):
        few = server.post_many([png(2)], {"views": views}).json
        assert (few["m_se"], few["m_low"], few["m_high"], few["f"]["se"]) == (None,) * 4
    two = server.post_many([png(2)], {"views": 2, "compare": "anchor"}).json
    assert abs(two["m_high"] - two["m"] - 12.706204736174698 * two["m_se"]) < 1e-9  # Student's t, one degree of freedom


def test_images_of_the_reference_stand_among_the_others(serve, pairs_folder, binary, tmp_path):
    pair = tmp_path / "pairs/resnet"
    shutil.copytree(pairs_folder / "resnet", pair)
    for i in range(5):
        (tmp_path / f"{i}.png").write_bytes(png(i))
    subprocess.run([binary, "reference", "--pair", pair, *(tmp_path / f"{i}.png" for i in range(5))], check=True)
    document = json.loads((pair / "pair.json").read_text())
    (pair / "pair.json").write_text(json.dumps(document | {"reference": "reference.json"}))
    cohort = json.loads((pair / "reference.json").read_text())
    server = serve(pairs=tmp_path / "pairs")
    assert server.get("/v1/pairs/resnet").json["reference"]["lists_images"] is True
    m = cohort["scores"]
    for i in range(5):
        place = server.post(png(i)).json["reference"]
        assert (place["in_reference"], place["n"]) == (True, 4)
        assert place["p_value"] == sum(other >= m[i] for other in m) / 5  # itself, and the others as high
    again = server.post(png(0)).json  # from history
    assert again["from_history"] and again["reference"]["in_reference"] is True
    assert server.get("/v1/scores/" + again["id"]).json["reference"] == again["reference"]
    stranger = server.post(png(9)).json["reference"]
    assert (stranger["in_reference"], stranger["n"]) == (False, 5)
    assert server.stop() == 0
    # As an earlier version wrote it.
    del cohort["images"]
    (pair / "reference.json").write_text(json.dumps(cohort))
    server = serve(pairs=tmp_path / "pairs")
    assert server.get("/v1/pairs/resnet").json["reference"]["lists_images"] is False
    unknown = server.post(png(0)).json
    assert unknown["from_history"] is False  # the reference is part of the pair's digest
    assert (unknown["reference"]["in_reference"], unknown["reference"]["n"]) == (None, 5)
    assert "lists no images" in unknown["reference_note"]


def test_a_score_of_an_earlier_method_stays_readable_and_is_not_given_as_new(serve, tmp_path):
    server = serve()
    first = server.post(png(3)).json
    assert first["method"] == "sslmem/2" and server.stop() == 0
    db = sqlite3.connect(tmp_path / "test.db")
    body = db.execute("SELECT body FROM shape").fetchone()[0]
    own = db.execute("SELECT own FROM score").fetchone()[0].splitlines(True)
    for name in ("m_low", "m_high"):
        hole = f'"{name}":\x01,'
        del own[body[:body.index(hole)].count("\x01")]
        body = body.replace(hole, "")
    body = body.replace("sslmem/2", "sslmem/1")
    db.execute("UPDATE shape SET body = ?, digest = ?", (body, hashlib.sha256(body.encode()).digest()))
    db.execute("UPDATE score SET own = ?, key = ?", ("".join(own), os.urandom(32)))
    db.commit()
    db.close()
    server = serve()
    old = server.get("/v1/scores/" + first["id"]).json
    assert old["method"] == "sslmem/1" and "m_low" not in old
    assert all(old[name] == first[name] for name in ("m", "m_se", "ratio", "f", "g", "image", "recipe"))
    new = server.post(png(3)).json
    assert new["from_history"] is False and new["id"] != first["id"] and new["method"] == "sslmem/2"
    assert new["m_low"] == first["m_low"]
    assert {s["method"] for s in server.get("/v1/scores").json["scores"]} == {"sslmem/1", "sslmem/2"}


def test_a_target_of_the_standard_error(server, binary, pairs_folder, tmp_path):
    recipe = {"views": 64, "target_se": 0.02}
    first = server.post_many([png(20)], recipe)
    assert first.status == 200 and first.json["from_history"] is False
    score = first.json
    assert score["recipe"]["target_se"] == 0.02 and score["recipe"]["views"] == 64
    assert score["m_se"] <= 0.02 or score["views_used"] == 64
    again = server.post_many([png(20)], recipe)
    assert again.json["from_history"] is True and again.json["id"] == score["id"]
    # As many views, fixed: the same numbers, and a recipe and a score of their own.
    fixed = server.post_many([png(20)], {"views": score["views_used"]}).json
    assert fixed["from_history"] is False and "views_used" not in fixed and "target_se" not in fixed["recipe"]
    assert all(fixed[name] == score[name] for name in ("m", "m_se", "m_low", "m_high", "ratio", "f", "g"))
    assert fixed["provenance"]["recipe_digest"] != score["provenance"]["recipe_digest"]
    off = server.post_many([png(20)], {"views": score["views_used"], "target_se": 0}).json
    assert off["from_history"] is True and off["id"] == fixed["id"]
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    (tmp_path / "20.png").write_bytes(png(20))
    done = subprocess.run([binary, "score", "--pair", pairs_folder / "resnet", "--recipe", tmp_path / "recipe.json",
                           tmp_path / "20.png"], check=True, capture_output=True, text=True)
    assert numbers(json.loads(done.stdout)) == numbers(score)
    refused = server.post_many([png(20)], {"target_se": -1})
    assert "target_se is -1" in refused.problem(422, "recipe_invalid")


def test_a_request_turns_the_pairs_target_off(serve, pairs_folder, tmp_path):
    shutil.copytree(pairs_folder / "resnet", tmp_path / "pairs/resnet")
    file = tmp_path / "pairs/resnet/pair.json"
    document = json.loads(file.read_text())
    document["recipe"].update(views=20, target_se=1e6)
    file.write_text(json.dumps(document))
    server = serve(pairs=tmp_path / "pairs")
    assert server.post(png(1)).json["views_used"] == 10
    fixed = server.post_many([png(1)], {"target_se": 0})
    assert fixed.status == 200 and "views_used" not in fixed.json and fixed.json["recipe"]["views"] == 20


@pytest.mark.parametrize("compare", ["pairs", "anchor"])
def test_stratified_draws(server, binary, pairs_folder, tmp_path, compare):
    recipe = {"draws": "stratified", "compare": compare, "views": 20}
    plain = server.post_many([png(21)], {"compare": compare, "views": 20}).json
    same = server.post_many([png(21)], {"compare": compare, "views": 20, "draws": "independent"}).json
    assert same["from_history"] and same["id"] == plain["id"] and "draws" not in plain["recipe"] and "m_se_note" not in plain
    score = server.post_many([png(21)], recipe).json
    assert score["from_history"] is False and score["m"] != plain["m"]
    assert score["recipe"]["draws"] == "stratified" and "upper bounds" in score["m_se_note"]
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    (tmp_path / "21.png").write_bytes(png(21))
    command = [binary, "score", "--pair", pairs_folder / "resnet", "--recipe", tmp_path / "recipe.json"]
    done = subprocess.run([*command, tmp_path / "21.png"], check=True, capture_output=True, text=True)
    line = json.loads(done.stdout)
    assert numbers(line) == numbers(score) and line["m_se_note"] == score["m_se_note"] and done.stderr == ""
    for form in ("csv", "table"):
        done = subprocess.run([*command, "--format", form, tmp_path / "21.png"], check=True, capture_output=True, text=True)
        assert "upper bounds" in done.stderr


def test_views_are_stratified(binary, pairs_folder, tmp_path):
    """With p = .5, exactly half of the views are flipped; independent draws do that for one seed in four."""
    (tmp_path / "22.png").write_bytes(png(22))
    for seed in range(6):
        recipe = {"draws": "stratified", "views": 10, "seed": seed, "augment": [{"op": "flip", "p": 0.5}, {"op": "resize"},
                                                                                {"op": "center_crop"}]}
        subprocess.run([binary, "views", "--pair", pairs_folder / "resnet", "--recipe", json.dumps(recipe),
                        "--out", tmp_path / "out", tmp_path / "22.png"], check=True)
        written = json.loads((tmp_path / "out/views.json").read_text())
        assert written["recipe"]["draws"] == "stratified"
        assert sum(view[0]["applied"] for view in written["views"]) == 5


def test_a_reference_of_other_draws_does_not_match(binary, pairs_folder, tmp_path):
    pair = tmp_path / "resnet"
    shutil.copytree(pairs_folder / "resnet", pair)
    for i in range(3):
        (tmp_path / f"{i}.png").write_bytes(png(i))
    images = [tmp_path / f"{i}.png" for i in range(3)]

    def reference_of(recipe):
        done = subprocess.run([binary, "score", "--pair", pair, "--recipe", json.dumps(recipe), images[0]], check=True,
                              capture_output=True, text=True)
        return json.loads(done.stdout)
    subprocess.run([binary, "reference", "--pair", pair, "--quiet", *images], check=True)
    assert reference_of({})["reference"]["n"] == 2
    other = reference_of({"draws": "stratified"})
    assert other["reference"] is None and "reference was measured with recipe" in other["reference_note"]
    document = json.loads((pair / "pair.json").read_text())
    document["recipe"]["draws"] = "stratified"
    (pair / "pair.json").write_text(json.dumps(document))
    subprocess.run([binary, "reference", "--pair", pair, "--quiet", *images], check=True)
    assert reference_of({})["reference"]["n"] == 2
    assert reference_of({"draws": "independent"})["reference"] is None


def test_wait_zero_and_poll(server):
    for seed in range(2000, 2050):  # one that is done before its answer is written is 200
        answer = server.post(png(seed), prefer="wait=0")
        if answer.status == 202:
            break
        assert answer.status == 200
    assert answer.status == 202
    assert answer.headers["Preference-Applied"] == "wait=0"
    assert answer.headers["Location"] == "/v1/jobs/" + answer.json["id"]
    job = server.await_job(answer.headers["Location"])
    assert job["state"] == "succeeded" and job["started"] and job["finished"]
    again = server.post(png(seed), prefer="wait=0")
    assert again.status == 200 and again.json["from_history"] is True
    assert again.json["id"] == job["items"][0]["score"]["id"]


def test_respond_async_is_always_202(server):
    server.post(png(3))
    answer = server.post(png(3), prefer="respond-async")
    assert answer.status == 202
    assert answer.headers["Preference-Applied"] == "respond-async"
    job = server.await_job(answer.headers["Location"])
    assert job["items"][0]["from_history"] is True


def test_respond_async_after_a_wait(server):
    """RFC 7240, 4.3: with a wait beside it, 202 is for what takes longer."""
    answer = server.post(png(8), prefer="respond-async, wait=60")
    assert (answer.status, answer.headers["Preference-Applied"]) == (200, "wait=60")
    again = server.post(png(8), prefer="respond-async, wait=0")
    assert (again.status, again.json["from_history"]) == (200, True)
    answer = server.post_many([png(i) for i in range(60, 64)], {"views": 64}, prefer="wait=0, respond-async")
    assert (answer.status, answer.headers["Preference-Applied"]) == (202, "respond-async, wait=0")
    assert server.await_job(answer.headers["Location"])["succeeded_count"] == 4


def test_preferences_over_two_lines(server):
    connection = server.connect()
    connection.putrequest("POST", "/v1/scores?pair=resnet")
    for name, value in (("Content-Type", "image/png"), ("Content-Length", str(len(png(3)))),
                        ("Prefer", "return=minimal, x=\"wait=1\""), ("Prefer", "wait=7, wait=8")):
        connection.putheader(name, value)
    connection.endheaders(png(3))
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Preference-Applied"]) == (200, "wait=7")


@pytest.mark.parametrize("prefer,applied", [
    ("wait=5", "wait=5"), ("wait=-1, wait=5", None), ("return=minimal; x=wait", None), ("wait=999999999", "wait=60"), ("wait=x", None), (None, None),
    ("handling=strict, WAIT=\"7\"", "wait=7")])
def test_preference_applied(server, prefer, applied):
    answer = server.post(png(4), prefer=prefer)
    assert answer.status == 200
    assert answer.headers["Preference-Applied"] == applied


def test_several_images_with_a_bad_one(server):
    files = [png(5), image("cut_scan.jpg"), b"not an image", png(6)]
    answer = server.post_many(files)
    assert answer.status == 200
    job = answer.json
    assert (job["state"], job["succeeded_count"], job["failed_count"]) == ("succeeded", 2, 2)
    assert [item["state"] for item in job["items"]] == ["succeeded", "failed", "failed", "succeeded"]
    assert [item["name"] for item in job["items"]] == ["0.bin", "1.bin", "2.bin", "3.bin"]
    assert job["items"][1]["error"]["code"] == "corrupt"
    assert job["items"][2]["error"]["code"] == "unsupported"
    for index, file in ((0, png(5)), (3, png(6))):
        alone = server.post(file)
        assert alone.json["from_history"] is True
        assert numbers(alone.json) == numbers(job["items"][index]["score"])


def test_all_images_bad(server):
    job = server.post_many([b"no", b"none"]).json
    assert (job["state"], job["failed_count"]) == ("failed", 2)


def test_file_names_are_kept(server):
    content_type, body = multipart([("image", png(7), "image/png", "caf\u00e9 \u732b.png"),
                                    ("image", png(8), "image/png", None)])
    job = server.post(body, content_type).json
    assert [item["name"] for item in job["items"]] == ["caf\u00e9 \u732b.png", ""]
    body = body.replace("caf\u00e9".encode(), b"caf\xe9")
    job = server.post(body, content_type).json
    assert job["items"][0]["name"] == "caf? ???.png"


def test_same_score_from_command_line(server, binary, pairs_folder, tmp_path):
    for pair in ("resnet", "vit"):
        for name in ("tall.png", "wide.png"):
            data = (PAIRS / name).read_bytes()
            done = subprocess.run([binary, "score", "--pair", pairs_folder / pair, PAIRS / name],
                                  check=True, capture_output=True, text=True)
            answer = server.post(data, pair=pair)
            assert answer.status == 200
            assert numbers(json.loads(done.stdout)) == numbers(answer.json)


def test_one_score(server):
    posted = server.post(png(9)).json
    path = "/v1/scores/" + posted["id"]
    answer = server.get(path)
    assert numbers(answer.json) == numbers(posted)
    etag = answer.headers["ETag"]
    assert etag[0] == etag[-1] == '"'
    for tags in (etag, f'"x", W/{etag}', "*"):
        again = server.ask("GET", path, headers={"If-None-Match": tags})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", etag)
    assert server.ask("GET", path, headers={"If-None-Match": '"x"'}).status == 200


@pytest.mark.parametrize("path,code", [("scores", "score_unknown"), ("jobs", "job_unknown"),
                                       ("pairs", "pair_unknown")])
@pytest.mark.parametrize("name", ["019abd9e-74f6-7d55-9b6a-0f6f0c3d1c55", "1", "..", "x%00", "%ff", "a" * 127])
def test_unknown_things(server, path, code, name):
    server.get(f"/v1/{path}/{name}").problem(404, code)


def forget(server):
    """Stops it and drops its history."""
    assert server.stop() == 0
    for name in ("test.db", "test.db-wal", "test.db-shm"):
        (server.folder / name).unlink(missing_ok=True)


def test_same_bits_under_load(serve):
    """With one worker; one after the other with four, which help each other; all at once: the same numbers."""
    files = [png(100 + i) for i in range(24)]
    alone = serve("--workers", "1")
    expected = [alone.post(file).json for file in files]
    forget(alone)
    helped = serve("--workers", "4")
    assert [numbers(helped.post(file).json) for file in files] == [numbers(e) for e in expected]
    forget(helped)
    busy = serve("--workers", "4", "--http-threads", "3")
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        got = [answer.json for answer in pool.map(busy.post, reversed(files))]
    assert [numbers(g) for g in reversed(got)] == [numbers(e) for e in expected]
    assert not any(g["from_history"] for g in got)
