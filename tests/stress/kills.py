#!/usr/bin/python3
"""Kills the daemon with kill -9 at random moments during an audit.

The daemon is killed again and again while it audits Fashion-MNIST pictures with a demo pair, sometimes before it
listens. Afterwards every picture has been scored exactly once, the database is intact, and the JSON report equals that
of an undisturbed run byte for byte, except "run"."""

import random
import sqlite3
import time

import daemon


def fill(service, options):
    """Makes an audit with the same number of pictures in each of the four cohorts; returns its id."""
    audit = service.new_audit(options.pair)
    each = options.images // 4
    for cohort in ("shared", "candidate", "independent", "external"):
        service.add(audit, cohort, daemon.dataset_images(daemon.cohort_indexes(cohort)[:each]))
    return audit


def undisturbed(options):
    """Runs the audit without kills; returns its report and the pictures scored in a second."""
    with daemon.folder(options, "undisturbed") as folder, \
            daemon.Daemon(options, folder, daemon.DEMO / "pairs") as service:
        audit = fill(service, options)
        service.start(audit)
        begun = time.monotonic()
        document = service.await_end(audit, every_s=0.1)
        rate = document["succeeded_count"] / (time.monotonic() - begun)
        return service.ask("GET", f"/v1/audits/{audit}/report.json"), rate


def kill_all_along(service, audit, options, rate):
    """Spreads the kills over the remaining work; returns how many there were."""
    draw = random.Random(options.seed)
    for kills in range(options.kills):
        document = service.get(f"/v1/audits/{audit}")
        left = document["waiting_count"]
        if document["finished"] is not None:
            return kills
        # Uniform from 0 to twice the mean wait after which 90 % of the work is done at the last kill.
        time.sleep(draw.uniform(0, 2 * 0.9 * left / rate / (options.kills - kills)))
        service.kill()
        service.spawn()
        if draw.random() < 0.1:  # kill this process while it starts
            time.sleep(draw.uniform(0, 0.1))
            service.kill()
            service.spawn()
        service.await_port()
    return options.kills


def main():
    options = daemon.options(__doc__, kills=200, images=2000, pair="fashion-vit", seed=1)
    verdicts = daemon.Verdicts()
    expected, rate = undisturbed(options)
    print(f"undisturbed: {rate:.0f} pictures a second", flush=True)
    with daemon.folder(options, "kills") as folder:
        with daemon.Daemon(options, folder, daemon.DEMO / "pairs") as service:
            audit = fill(service, options)
            service.start(audit)
            kills = kill_all_along(service, audit, options, rate)
            at_last_kill = service.get(f"/v1/audits/{audit}")
            document = service.await_end(audit, every_s=0.1)
            report = service.ask("GET", f"/v1/audits/{audit}/report.json")
        print(f"{kills} kills, {at_last_kill['waiting_count']} pictures were left after the last")
        db = sqlite3.connect(f"{folder}/stress.db")
        one = lambda sql: db.execute(sql).fetchone()[0]
        verdicts.check(kills == options.kills, f"{options.kills} kills while the audit ran")
        verdicts.check(one("PRAGMA integrity_check") == "ok", "integrity_check of the database")
        verdicts.check(document["succeeded_count"] == options.images, f"{options.images} pictures scored")
        verdicts.check(one("SELECT count(*) FROM score") == options.images
                       == one("SELECT count(DISTINCT score_id) FROM item WHERE state = 'succeeded'"),
                       "every picture scored exactly once")
        print(f"       most tries that a picture took: {one('SELECT max(attempt) FROM item')}")
        verdicts.check(daemon.without_run(report) == daemon.without_run(expected),
                       f"the report is that of an undisturbed run ({len(report):,} bytes)")
    verdicts.end()


if __name__ == "__main__":
    main()
