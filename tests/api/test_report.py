"""The report as a reader gets it: what a part says of itself everywhere, the command that repeats an audit, and the page on
a phone and on paper."""

import csv
import html
import html.parser
import io
import json
import pathlib
import re
import shutil
import signal
import subprocess
import time

import jsonschema
import pytest

from conftest import PAIRS as TEST_PAIRS, PATIENCE_S, ROOT, png
from test_audit_cli import audit, cohorts, here, key, report, stop_midway, without_run  # noqa: F401 (fixtures)
from test_audits import COHORTS, JSON, PAIRS, REPORT, add, add_cohorts, add_tar, await_state, create, move, pictures
from test_erasure import digest

DEMO = ROOT / "deploy/demo"


class Blocks(html.parser.HTMLParser):
    """The text of every <pre>, and of the page."""

    def __init__(self, page):
        super().__init__()
        self.commands, self.text, self.depth = [], "", 0
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "pre":
            self.depth += 1
            self.commands.append("")

    def handle_endtag(self, tag):
        if tag == "pre":
            self.depth -= 1

    def handle_data(self, data):
        self.text += data
        if self.depth:
            self.commands[-1] += data


# --- a part -----------------------------------------------------------------------------------------


def check_part(server, audit, words, state, scored, total):
    """Every way to look at an audit that is not whole says so, and judges nothing."""
    want = {"state": state, "scored": scored, "total": total}
    name = f"-{state}-{scored}-of-{total}"
    assert server.get(audit).json["completeness"] == want
    answers = {kind: server.get(f"{audit}/report.{kind}?partial=true") for kind in ("json", "csv", "html")}
    answers |= {form: server.get(f"{audit}/selection?partial=true&kind=top&n=1&format={form}") for form in ("text", "jsonl")}
    answers["list.csv"] = server.get(f"{audit}/selection?partial=true&kind=top&n=1&format=csv")
    for kind, answer in answers.items():
        assert answer.status == 200, answer.body
        assert answer.headers["Audit-Completeness"] == f"{state};scored={scored};total={total}"
        assert name in answer.headers["Content-Disposition"], kind
    document = answers["json"].json
    jsonschema.validate(document, REPORT)
    assert document["summary"]["completeness"] == want
    assert document["summary"]["passed"] is None
    assert [gate["passed"] for gate in document["summary"]["gates"]] == [None]
    for kind in ("csv", "list.csv"):
        rows = list(csv.DictReader(io.StringIO(answers[kind].body.decode())))
        assert rows and {row["completeness"] for row in rows} == {words}
    assert json.loads(answers["jsonl"].body)["completeness"] == words
    page = answers["html"].body.decode()
    assert f"<title>{words.capitalize()} " in page and f"<strong>{words.capitalize()} images scored</strong>" in page
    text = Blocks(re.sub("<style>.*?</style>", "", page, flags=re.S)).text
    assert "not judged" in text and not re.search(r"\bpassed\b", text, re.I)
    assert f'"{words.capitalize()} · ' in page  # in the head of every printed page


def test_an_audit_that_has_not_ended(server):
    audit = create(server, "vit", {"views": 2}, gates=["auc<=1"])
    add_cohorts(server, audit, 2)
    assert server.get(audit).json["completeness"] == {"state": "partial", "scored": 0, "total": 8}
    document = server.get(f"{audit}/report.json?partial=true").json
    jsonschema.validate(document, REPORT)
    assert document["summary"]["passed"] is None
    assert "partial-0-of-8" in server.get(f"{audit}/report.csv?partial=true").headers["Content-Disposition"]
    move(server, audit, "start")
    await_state(server, audit, "succeeded")
    whole = server.get(f"{audit}/report.json")
    assert whole.headers["Audit-Completeness"] == "complete;scored=8;total=8"
    assert whole.headers["Content-Disposition"] == 'inline; filename="report.json"'
    assert whole.json["summary"]["passed"] is True


def test_a_cancelled_audit(serve, binary, tmp_path):
    """At the service, in a comparison, in a selection, and from the command line that had it made."""
    server, out = serve("--workers", "1"), tmp_path / "out"
    url = f"http://127.0.0.1:{server.port}"
    for cohort in ("candidate", "external"):
        (tmp_path / cohort).mkdir()
        for i in range(150):
            (tmp_path / cohort / f"{i}.png").write_bytes(png(i + 1000 * (cohort == "external")))
    arguments = [binary, "audit", "--pair", "resnet", "--server", url, "--out", out, "--candidate", tmp_path / "candidate",
                 "--external", tmp_path / "external", "--gate", "auc<=1", "--resamples", "0"]
    process = subprocess.Popen([str(a) for a in arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + PATIENCE_S
    cancelled = None
    while time.monotonic() < until and cancelled is None:
        audits = server.get("/v1/audits").json["audits"]
        if audits and audits[0]["state"] == "running" and audits[0]["cohorts"]["candidate"]["succeeded_count"] > 2:
            cancelled = "/v1/audits/" + audits[0]["id"]
            assert move(server, cancelled, "cancel").json["state"] == "cancelled"
    output, errors = process.communicate(timeout=PATIENCE_S)
    while any(item["state"] == "running" for item in server.get(f"{cancelled}/items?limit=200").json["items"]):
        time.sleep(0.02)
    scored = server.get(cancelled).json["completeness"]["scored"]
    assert 2 < scored < 300
    assert process.returncode == 4, (output, errors)
    assert re.search(r"^cancelled: \d+ of 300 images scored: no final result, gates are not judged$", output, re.M)
    assert re.search(r"^gate auc<=1 NOT JUDGED", output, re.M) and "holds" not in output
    assert report(out)["summary"]["completeness"]["state"] == "cancelled"
    check_part(server, cancelled, f"cancelled: {scored} of 300", "cancelled", scored, 300)
    chosen = subprocess.run([binary, "audit", "select", out, "--top", "1"], capture_output=True, text=True)
    assert chosen.returncode == 0 and f"cancelled: {scored} of 300 images scored" in chosen.stderr

    whole = create(server, "resnet", {}, resamples=0)
    add_tar(server, whole, [(f"candidate/{i}.png", png(i)) for i in range(5)])
    move(server, whole, "start")
    await_state(server, whole, "succeeded")
    ids = [path.split("/")[-1] for path in (whole, cancelled)]
    compared = server.get(f"/v1/comparisons?audits={','.join(ids)}").json
    assert [row["completeness"]["state"] for row in compared["audits"]] == ["complete", "cancelled"]


def test_an_audit_that_images_were_erased_from(serve):
    server = serve()
    audit = create(server, "vit", {"views": 2}, gates=["auc<=1"], resamples=0)
    images = [png(i) for i in range(8)] + [png(900)[:60]]
    add_tar(server, audit, [(f"{('candidate', 'external')[i % 2]}/{i}.png", data) for i, data in enumerate(images)])
    move(server, audit, "start")
    await_state(server, audit, "succeeded")
    assert server.get(audit).json["completeness"] == {"state": "complete", "scored": 8, "total": 9}
    for gone, scored in ((images[8], 8), (images[2], 7)):  # one that had failed takes no score along
        assert server.ask("DELETE", f"/v1/images/{digest(gone)}").status == 200
        check_part(server, audit, f"partial: {scored} of 9", "partial", scored, 9)
    assert "images were erased from the audit" in server.get(f"{audit}/report.html").body.decode()


def test_images_that_fail_are_no_part(server):
    """They were tried: the audit is whole, and its gates are judged."""
    audit = create(server, "vit", {"views": 2}, gates=["failed_share<=0.2"], resamples=0)
    add_cohorts(server, audit, 2)
    add(server, audit, png(901)[:60], "image/png", "?cohort=candidate")
    move(server, audit, "start")
    await_state(server, audit, "succeeded")
    answer = server.get(f"{audit}/report.json")
    assert answer.json["summary"]["completeness"] == {"state": "complete", "scored": 8, "total": 9}
    assert answer.json["summary"]["passed"] is True


def test_stopped_here(binary, audit, cohorts, tmp_path):
    out = tmp_path / "out"
    arguments = here(out, *cohorts(100), "--workers", 1, "--gate", "auc<=1")
    code, errors = stop_midway(binary, arguments, out, signal.SIGINT)
    assert code == 130
    assert re.search(r"^sslmem audit: partial: \d+ of 200 images scored: no final result, gates are not judged$", errors, re.M)
    assert "holds" in audit(*arguments).stdout


def test_erased_here(binary, audit, cohorts, tmp_path):
    """From OUT's database: the same command reports what is left, as a part; lists and comparisons say so too."""
    options = cohorts(4)
    arguments = here(tmp_path / "out", *options, "--gate", "auc<=1")
    assert "holds" in audit(*arguments).stdout
    audit(*here(tmp_path / "other", *options))
    gone = digest((options[1] / "0001.png").read_bytes())
    subprocess.run([binary, "erase", "--db", tmp_path / "out/audit.db", gone], check=True, capture_output=True)
    done = audit(*arguments, "--quiet", code=4)
    assert done.stdout.splitlines()[0] == "partial: 7 of 8 images scored: no final result, gates are not judged"
    assert "gate auc<=1 NOT JUDGED" in done.stdout
    assert report(tmp_path / "out")["summary"]["passed"] is None
    assert "out: partial: 7 of 8" in audit("select", tmp_path / "out", "--top", 1).stderr
    compared = audit("compare", tmp_path / "out", tmp_path / "other")
    assert "out: partial: 7 of 8" in compared.stderr and "other: " not in compared.stderr


# --- once more --------------------------------------------------------------------------------------


def run_printed(binary, command, folder):
    """In a shell, as a reader would run it."""
    (folder / "bin").mkdir(exist_ok=True)
    if not (folder / "bin/sslmem").exists():
        (folder / "bin/sslmem").symlink_to(pathlib.Path(binary).resolve())
    done = subprocess.run(["bash", "-c", f'PATH="{folder}/bin:$PATH"\n{command}'], cwd=folder, capture_output=True, text=True,
                          timeout=2 * PATIENCE_S)
    assert done.returncode in (0, 3), (command, done.stdout, done.stderr)


def commands(out):
    return Blocks((out / "report.html").read_text()).commands


@pytest.mark.parametrize("labels", ["folders", "manifest"])
def test_the_printed_command_repeats_the_audit(audit, binary, cohorts, key, tmp_path, labels):
    options = cohorts(5)
    odd = tmp_path / "it's <b>&amp; a\n\u202e$(dir) ü"
    odd.mkdir()
    recipe = odd / "my recipe.json"
    recipe.write_text('{"views": 3, "seed": "18446744073709551615"}')
    if labels == "manifest":
        lines = [{"cohort": c, "path": f"{c}/{i:04}.png", "class": f"c{i % 2}", "group": "g"}
                 for c in ("candidate", "external") for i in range(5)]
        (odd / "list").write_text("".join(json.dumps(line) + "\n" for line in lines))
        options = ["--manifest", odd / "list", "--root", options[1].parent]
    else:
        shutil.move(options[1], odd / "members")
        options[1] = odd / "members"
    out = tmp_path / "first"
    audit(*here(out, *options, "--recipe", recipe, "--digest-key", key, "--gate", "auc<=0.99", "--gate", "mean_difference>=-9",
                "--seed", 2**64 - 1, "--resamples", 50, "--name", "it's \"mine\" \u202e <&>", "--inserted-at-random",
                "--thumbnails", "--names", "--signed-by", "A. Auditor, Ex & Co", "--kernels", "ref"))
    if labels == "manifest":
        (odd / "list").unlink()  # its copy is what counts
    recipe.unlink()
    command, = commands(out)
    run_printed(binary, command, tmp_path)
    again = tmp_path / "first-again"
    assert without_run(again) == without_run(out)
    assert (again / "report.csv").read_bytes() == (out / "report.csv").read_bytes()
    assert report(again)["run"]["id"] != report(out)["run"]["id"]
    listed = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    assert [row["cohort"] for row in listed] == ["candidate"] * 5 + ["external"] * 5


def test_the_list_of_a_folders_images_is_a_manifest(audit, cohorts, key, tmp_path):
    audit(*here(tmp_path / "a", *cohorts(4), "--digest-key", key))
    audit(*here(tmp_path / "b", "--manifest", tmp_path / "a/manifest.jsonl", "--root", "/", "--digest-key", key))
    assert without_run(tmp_path / "a") == without_run(tmp_path / "b")


def test_the_printed_commands_of_a_service(binary, serve, key, tmp_path):
    server = serve("--digest-key", str(key))
    made = create(server, "vit", {"views": 3}, gates=["auc<=1"], seed=7, resamples=50, name="it's <one>")
    for cohort in ("candidate", "external"):
        (tmp_path / cohort).mkdir()
        for i in range(4):
            data = png(i + 50 * (cohort == "external"))
            (tmp_path / cohort / f"{i}.png").write_bytes(data)
            assert add(server, made, data, "image/png", f"?cohort={cohort}").status == 200
    move(server, made, "start")
    await_state(server, made, "succeeded")
    first, second = Blocks(server.get(f"{made}/report.html").body.decode()).commands
    path = re.match("# GET (\\S+)\n", first)[1]
    assert path == f"{made}/report.json"
    (tmp_path / "report.json").write_bytes(server.get(path).body)
    run_printed(binary, first, tmp_path)
    assert json.loads((tmp_path / "recipe.json").read_text()) == server.get(path).json["recipe"]
    places = {"--pair PAIR": f"--pair {TEST_PAIRS}/vit", "--candidate CANDIDATE": f"--candidate {tmp_path}/candidate",
              "--external EXTERNAL": f"--external {tmp_path}/external", "--out OUT": f"--out {tmp_path}/out"}
    for words, place in places.items():
        assert words in second, second
        second = second.replace(words, place)
    run_printed(binary, f"{second.rstrip()} --digest-key {key}", tmp_path)
    assert re.sub(r'\n"run":[^\n]*', "", (tmp_path / "report.json").read_text()) == without_run(tmp_path / "out")


def test_seed_and_resamples(audit, binary, cohorts, tmp_path):
    options = cohorts(2)
    audit(*here(tmp_path / "out", *options, "--seed", 2**64 - 1, "--resamples", 0))
    spec = report(tmp_path / "out")["spec"]
    assert (spec["seed"], spec["resamples"]) == (str(2**64 - 1), 0)
    for option, value in (("seed", "x"), ("seed", "-1"), ("seed", str(2**64)), ("seed", ""), ("seed", b"\xff"),
                          ("resamples", "100001"), ("resamples", "1e3"), ("resamples", "-1")):
        done = subprocess.run([binary, "audit", *map(str, here(tmp_path / "no", *options)), f"--{option}", value],
                              capture_output=True, text=True)
        assert done.returncode == 2 and f"/{option}: " in done.stderr, (option, value, done.stderr)
    assert not (tmp_path / "no").exists()


# --- signed -----------------------------------------------------------------------------------------


def test_signed_by(server):
    audit = create(server, "vit", {"views": 2}, signed_by="A. <b>Auditor</b>, \"Org\" \u202e & Co", resamples=0)
    add_cohorts(server, audit, 1)
    move(server, audit, "start")
    await_state(server, audit, "succeeded")
    assert server.get(audit).json["spec"]["signed_by"].startswith("A. <b>")
    page = server.get(f"{audit}/report.html").body.decode()
    assert page.count("A. &#60;b&#62;Auditor&#60;/b&#62;, &#34;Org&#34; \\u202e &#38; Co") >= 2
    assert "<b>Auditor" not in page and 'class="signature"' in page
    body = {"name": "a", "pair": "vit", "signed_by": "x" * 201}
    answer = server.ask("POST", "/v1/audits", json.dumps(body), JSON)
    answer.problem(422, "audit_invalid")
    assert answer.json["errors"][0]["pointer"] == "/signed_by" and "200" in answer.json["detail"]


# --- on a phone, on paper ---------------------------------------------------------------------------

CHROMIUM = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
TOOLS = [name for name in ("pdftotext", "pdftoppm") if not shutil.which(name)]
MEASURE = """<script>
const measured = {};
window.onload = () => [...document.querySelectorAll("iframe")].forEach(frame => {
    const page = frame.contentDocument, main = page.querySelector("main");
    const inner = main.getBoundingClientRect().right - parseFloat(frame.contentWindow.getComputedStyle(main).paddingRight);
    // Titles of columns are hidden on a phone: every cell carries its own.
    const boxes = [...page.querySelectorAll("main :not(thead, thead *)")].map(e => e.getBoundingClientRect());
    const scales = [...page.querySelectorAll("svg")].map(s => s.getBoundingClientRect().width / s.viewBox.baseVal.width);
    measured[frame.width] = {width: page.scrollingElement.scrollWidth, over: Math.max(...boxes.map(b => b.right)) - inner,
                             scale: Math.min(...scales), charts: scales.length};
    document.body.dataset.measured = JSON.stringify(measured);
});
</script>"""
WIDTHS = 360, 390, 500, 720, 721, 768, 820, 900, 1280


def chromium(tmp_path, *arguments):
    return subprocess.run([CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
                           "--disable-component-update", "--disable-sync", "--no-first-run", "--hide-scrollbars",
                           f"--user-data-dir={tmp_path}/profile", *map(str, arguments)], capture_output=True, text=True,
                          timeout=2 * PATIENCE_S, check=True).stdout


@pytest.fixture(scope="module")
def demo_report(binary, tmp_path_factory):
    """Of all four cohorts of the demo pair, with pictures, a signature and a gate that fails."""
    out = tmp_path_factory.mktemp("demo")
    folders = [word for cohort in COHORTS for word in (f"--{cohort}", DEMO / "images" / cohort)]
    subprocess.run([str(word) for word in (
        binary, "audit", "--pair", DEMO / "pairs/fashion-simclr", "--out", out, *folders, "--names", "--thumbnails", "--gate",
        "auc<=0.6", "--gate", "fdr5_share<=0.01", "--signed-by", "A. Auditor, Example Org")], capture_output=True)
    return out / "report.html"


def measured_frames(page, tmp_path):
    """In frames, for a window of Chromium's is never as narrow as a phone."""
    page = html.escape(page.read_text(), quote=True)
    frames = [f'<iframe width="{width}" height="800" style="border:0" srcdoc="{page}"></iframe>' for width in WIDTHS]
    (tmp_path / "frames.html").write_text(f"<body>{''.join(frames)}{MEASURE}</body>")
    shown = chromium(tmp_path, "--virtual-time-budget=20000", "--dump-dom", f"file://{tmp_path}/frames.html")
    measured = json.loads(html.unescape(re.search('data-measured="([^"]*)"', shown)[1]))
    assert set(measured) == {str(width) for width in WIDTHS}
    for width, found in measured.items():  # nothing runs over the right margin
        assert found["width"] <= int(width) and found["over"] <= 0.5, (width, found)
    return measured


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_page_fits_every_screen(demo_report, tmp_path):
    measured = measured_frames(demo_report, tmp_path)
    for width, found in measured.items():
        assert found["charts"] == 5 and found["scale"] >= 0.79, (width, found)  # of texts of 12 pixels
    assert measured["390"]["scale"] >= 0.95


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_long_names_fit_every_screen(binary, tmp_path):
    """Labels, names and a signature as long as may be, without a space to break at."""
    labels = "W" * 255, "\u05e9" * 127, "\U0001f600" * 63
    lines = []
    for cohort in "candidate", "external":
        for i, picture in enumerate(sorted((DEMO / "images" / cohort).glob("*.png"))[:6]):
            path = tmp_path / f"{cohort}-{i}-{'n' * 230}.png"
            path.write_bytes(picture.read_bytes())
            lines.append({"cohort": cohort, "path": path.name, "class": labels[i % 3], "group": labels[i // 2]})
    (tmp_path / "manifest").write_text("".join(json.dumps(line) + "\n" for line in lines))
    subprocess.run([str(word) for word in (
        binary, "audit", "--pair", DEMO / "pairs/fashion-simclr", "--out", tmp_path / "out", "--manifest", tmp_path / "manifest",
        "--root", tmp_path, "--names", "--thumbnails", "--name", "N" * 200, "--signed-by", "S" * 200)], check=True, capture_output=True)
    page = (tmp_path / "out/report.html").read_text()
    assert all(page.count(label) >= 3 for label in labels)
    measured_frames(tmp_path / "out/report.html", tmp_path)


def test_a_figure_stands_on_its_side_of_the_limit(demo_report, binary, tmp_path):
    """Three digits would show a limit that is missed by little as the limit itself."""
    out = shutil.copytree(demo_report.parent, tmp_path / "out")
    auc = report(out)["summary"]["membership"]["candidate_external"]["auc"]["value"]
    limit = f"{auc - 1e-7:.9f}"
    subprocess.run([str(binary), "audit", "judge", str(out), "--gate", f"auc<={limit}", "--gate", "auc<=1", "--report"],
                   capture_output=True)
    rows = dict(re.findall(r'<tr><td class="id"[^>]*>auc&#60;=([^<]*)</td>.*?data-title="Measured">([^<]*)<', (out / "report.html").read_text()))
    assert float(rows[limit]) > float(limit) and rows["1"] == f"{auc:.3f}", rows


def test_a_per_cent_sign_stays_with_its_number(demo_report):
    """Outside of charts, settings and names, which are given as they are."""
    page = re.sub(r"<(style|svg|pre|figure class=.image.)\b.*?</(style|svg|pre|figure)>", "", demo_report.read_text(), flags=re.S)
    assert re.findall(r".{0,30}\d %.{0,10}", page) == []
    assert "95\u00a0%" in page and "95&nbsp;%" in page


def ink(page):
    """How far down the page (0 to 1) its last dark row is, the foot left out."""
    header = re.match(rb"P5\s+(\d+)\s+(\d+)\s+255\s", page)
    width, height = int(header[1]), int(header[2])
    pixels = page[header.end():]
    rows = [y for y in range(int(height * 0.94)) if min(pixels[y * width:(y + 1) * width]) < 160]
    return max(rows, default=0) / height


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.skipif(TOOLS != [], reason=f"not installed: {', '.join(TOOLS)} (poppler-utils)")
def test_the_page_on_paper(demo_report, tmp_path):
    pdf = tmp_path / "report.pdf"
    chromium(tmp_path, f"--print-to-pdf={pdf}", "--no-pdf-header-footer", f"file://{demo_report}")
    pages = subprocess.run(["pdftotext", "-layout", pdf, "-"], capture_output=True, text=True, check=True).stdout.split("\f")[:-1]
    assert 4 <= len(pages) <= 8
    summary = report(demo_report.parent)
    for number, page in enumerate(pages, 1):
        lines = [line for line in page.splitlines() if line.strip()]
        assert re.match(r"\s*fashion-simclr\s+\d{4}-\d\d-\d\d \d\d:\d\d UTC$", lines[0]), lines[0]
        assert re.search(rf"pair {summary['pair']['digest'][:16]}… · recipe [0-9a-f]{{16}}…\s+page {number} of {len(pages)}$",
                         lines[-1]), lines[-1]
        assert len(page) > 800
    subprocess.run(["pdftoppm", "-r", "30", "-gray", pdf, tmp_path / "page"], check=True)
    reached = [ink(path.read_bytes()) for path in sorted(tmp_path.glob("page-*.pgm"))]
    assert len(reached) == len(pages) and min(reached[:-1]) > 0.7 and reached[-1] > 0.2, reached
