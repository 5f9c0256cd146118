#!/usr/bin/python3
"""Audits pictures of 32 pixels in shards, kills some of them with kill -9 at work, runs these again and merges.

The merged report equals that of one run byte for byte, except "run", whatever moment the kills came at."""

import pathlib
import random
import sqlite3
import subprocess
import time

import daemon


def options_of(folder, options):
    """Draws the pictures and a digest key; returns the options of the audit."""
    cohorts = ("candidate", "external", "independent", "shared")
    for i in range(options.images):
        path = folder / cohorts[i % 4] / f"{i:05}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(daemon.drawn_image(i))
    key = folder / "key"
    key.touch(0o600)
    key.write_text("5e" * 32)
    found = ["--pair", options.pair, "--digest-key", key, "--workers", "1", "--gate", "auc<=1", "--quiet"]
    for cohort in cohorts:
        found += [f"--{cohort}", folder / cohort]
    return found


def scored(part):
    try:
        with sqlite3.connect(f"file:{part}/audit.db?mode=ro", uri=True, timeout=10) as db:
            return db.execute("SELECT count(*) FROM item WHERE state = 'succeeded'").fetchone()[0]
    except sqlite3.OperationalError:
        return 0


def kill_at_work(command, part, draw, own):
    """Starts a shard and kills it once a random part of its pictures is scored; returns how many were."""
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wanted = draw.randrange(1, own * 3 // 4)
    while scored(part) < wanted and process.poll() is None:
        time.sleep(0.01)
    process.kill()
    process.wait()
    return scored(part)


def main():
    options = daemon.options(__doc__, images=2000, shards=7, killed=2, seed=1,
                             pair=str(daemon.DEMO / "pairs/fashion-simclr"))
    verdicts, draw = daemon.Verdicts(), random.Random(options.seed)
    with daemon.folder(options, "shards") as name:
        folder = pathlib.Path(name)
        audit = [options.binary, "audit"]
        given = options_of(folder, options)
        run = lambda *words: subprocess.run(list(map(str, words)), stdout=subprocess.DEVNULL).returncode
        began = time.monotonic()
        verdicts.check(run(*audit, *given, "--out", folder / "one") == 0, "one run ends")
        print(f"       {time.monotonic() - began:.0f} s", flush=True)
        parts = [folder / f"part-{i}" for i in range(1, options.shards + 1)]
        commands = [[*audit, *given, "--shard", f"{i}/{options.shards}", "--out", part] for i, part in enumerate(parts, 1)]
        killed = draw.sample(range(options.shards), options.killed)
        for i in killed:
            own = options.images // options.shards
            done = kill_at_work(commands[i], parts[i], draw, own)
            verdicts.check(0 < done < own, f"shard {i + 1} of {options.shards} killed with {done} of its pictures scored")
        codes = [run(*commands[i]) for i in range(options.shards) if i not in killed]
        verdicts.check(codes == [0] * len(codes), "the other shards end")
        verdicts.check(run(*audit, "merge", folder / "early", *parts) == 1, "a merge before the killed ones ran again is refused")
        verdicts.check([run(*commands[i]) for i in killed] == [0] * len(killed), "the killed shards end when run again")
        began = time.monotonic()
        verdicts.check(run(*audit, "merge", "--quiet", folder / "merged", *reversed(parts)) == 0, "merge")
        print(f"       {time.monotonic() - began:.1f} s", flush=True)
        one, merged = ((folder / out / "report.json").read_bytes() for out in ("one", "merged"))
        verdicts.check(daemon.without_run(merged) == daemon.without_run(one), f"the report is that of one run ({len(merged):,} bytes)")
        verdicts.check((folder / "one/report.csv").read_bytes() == (folder / "merged/report.csv").read_bytes(),
                       "the table is that of one run")
    verdicts.end()


if __name__ == "__main__":
    main()
