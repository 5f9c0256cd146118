#!/usr/bin/python3
"""Runs one large audit of small pictures and measures memory, database size, pages of scores, and reports.

Memory is the private memory of the daemon (RssAnon), without mapped files and page cache. It is measured when the workers
have made their scorers, and repeatedly until the audit ends. The memory of a report, which holds all items at once, is
measured separately. The pair is the smallest of the tests, so that 50,000 pictures take minutes."""

import pathlib
import re
import statistics
import time

import daemon

LIMIT_GROWTH_MB, LIMIT_DB_BYTES, LIMIT_PAGE_MS, LIMIT_REPORT_S = 32, 1024, 10, 5


def own_mb(pid):
    return int(re.search(r"RssAnon:\s*(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def pages(service, first, key):
    """Follows the links from the page `first` on; returns the milliseconds of each page."""
    times, path = [], first
    while path:
        start = time.perf_counter()
        page = service.get(path)
        times.append(1000 * (time.perf_counter() - start))
        path = page["next"] if page[key] else None
    return times


def check_pages(verdicts, service, audit):
    for what, path, key in (("items, 200 a page", f"/v1/audits/{audit}/items?limit=200", "items"),
                            ("scores, highest first, 200 a page", "/v1/scores?order=highest&limit=200", "scores")):
        times = pages(service, path, key)
        # Other programs may disturb a page, so all pages are read three times, and the shortest time of each counts.
        for _ in range(2):
            times = [min(pair) for pair in zip(times, pages(service, path, key))]
        verdicts.check(max(times) < LIMIT_PAGE_MS, f"{what}: {len(times)} pages, median "
                       f"{statistics.median(times):.1f} ms, slowest {max(times):.1f} ms, limit {LIMIT_PAGE_MS} ms")


def check_reports(verdicts, service, audit):
    before = own_mb(service.process.pid)
    for kind in ("json", "csv", "html"):
        start = time.monotonic()
        size = len(service.ask("GET", f"/v1/audits/{audit}/report.{kind}"))
        took = time.monotonic() - start
        verdicts.check(took < LIMIT_REPORT_S, f"report.{kind}: {took:.2f} s, {size:,} bytes, limit {LIMIT_REPORT_S} s"
                       + (", evaluation with it" if kind == "json" else ""))
    print(f"       memory with the evaluated audit: {own_mb(service.process.pid) - before:+.1f} MB")


def main():
    options = daemon.options(__doc__, images=50000, pair="resnet")
    verdicts = daemon.Verdicts()
    half = options.images // 2
    with daemon.folder(options, "growth") as folder, \
            daemon.Daemon(options, folder, daemon.ROOT / "tests/golden/score") as service:
        pid, memory = service.process.pid, []
        audit = service.new_audit(options.pair)
        for first, cohort in ((0, "candidate"), (half, "external")):
            service.add(audit, cohort, ((f"{i:06}.png", daemon.drawn_image(i)) for i in range(first, first + half)))
        print(f"{2 * half:,} pictures sent, {own_mb(pid):.1f} MB", flush=True)

        def look(document):
            if document["succeeded_count"] >= 500:
                memory.append(own_mb(pid))

        service.start(audit)
        begun = time.monotonic()
        document = service.await_end(audit, look)
        seconds = time.monotonic() - begun
        print(f"{document['succeeded_count']:,} scored in {seconds:.0f} s, {document['succeeded_count'] / seconds:.0f} a second")
        verdicts.check(document["succeeded_count"] == 2 * half, f"{2 * half} pictures scored")
        verdicts.check(max(memory) - memory[0] < LIMIT_GROWTH_MB,
                       f"memory of the daemon: {memory[0]:.1f} MB, at most {max(memory):.1f} MB, at the end {memory[-1]:.1f} MB; "
                       f"limit of the growth {LIMIT_GROWTH_MB} MB")
        check_pages(verdicts, service, audit)
        check_reports(verdicts, service, audit)
        time.sleep(5)  # the idle writer returns freed pages to the file system
        files = sum(path.stat().st_size for path in pathlib.Path(folder).glob("stress.db*"))
        verdicts.check(files / (2 * half) < LIMIT_DB_BYTES,
                       f"database: {files:,} bytes, {files / (2 * half):.0f} per scored picture, limit {LIMIT_DB_BYTES}")
    verdicts.end()


if __name__ == "__main__":
    main()
