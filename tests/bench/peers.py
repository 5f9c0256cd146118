#!/usr/bin/python3
"""`make bench-peers`: ours against ONNX Runtime, PyTorch and the published script, on the same weights and both cores.

    tests/bench/peers.py --engine build/release/bench/engine --ort build/bench/node_modules/onnxruntime-node
                         [--networks NAME,NAME] [--kernels ROW] [--rounds N]

Everything is one process each that waits for its turn. A round lets all of them work once; rounds go through the list
forwards and backwards in turn, and a ratio is theirs over ours of the same round. Printed: the median over the rounds, with the
range. A turn during which other programs had more than a twentieth of the processors is repeated, a dozen times at most;
the largest share that remained is recorded and printed.

Work of a turn, until f and g have both seen ten views: ours gives f to one core and g to the other; ONNX Runtime runs f,
then g, with 2 threads ("ORT f|g": both at once with one thread each, which the targets do not ask for); PyTorch the same at
its best of 1 or 2 threads of its own and 1 or 2 of OpenBLAS. The published script's procedure scores one image with
20 forwards of one image each, at the best of the same settings; ours scores two images, one a core, in anchor mode with
5 views: 12 forwards each, decoding and views included.

On a machine that is never quiet `--by cpu` compares processor time instead, with one thread for every session of the
others, so that nobody waits or spins: ratios of the work, which say nothing about how well it spreads over cores.

Outputs of all are compared: the largest difference to ours, over the largest value. Writes build/bench-peers.json."""

import argparse
import itertools
import json
import pathlib
import statistics
import sys

import networks
from networks import NETWORKS, VIEWS
import numpy
from turns import ROOT, Program, ask_timed, machine, table, undisturbed

HERE = pathlib.Path(__file__).resolve().parent
TOLERANCE = 1e-4
TARGETS = {  # against ONNX Runtime, PyTorch batched, the published procedure
    "resnet18-32": (2.0, 2.5, 10),
    "resnet50-32": (1.35, 2.2, 6),
    "resnet50-224": (1.25, 2, 4),
    "vit-tiny2-32": (1.25, 1.5, 2.5),
    "vit-s16-224": (1.2, 1.2, 2),
    "vit-b16-224": (1.15, 1.1, 2),
}


def torch_program(folder, threads, blas):
    return Program([sys.executable, HERE / "peer_torch.py", folder, threads], OMP_NUM_THREADS=str(threads),
                   OPENBLAS_NUM_THREADS=str(blas))


def best_torch(folder):
    """(threads, OpenBLAS's threads) that is fastest for each kind of work, and all times."""
    times = {}
    for threads, blas in itertools.product((1, 2), (1, 2)):
        with torch_program(folder, threads, blas) as torch:
            for work in ("forward", "published"):
                torch.ask(work, 1)
                times[work, threads, blas] = min(undisturbed(torch, (work, 1), tries=3)["ms"] for _ in range(2))
    best = {work: min((key for key in times if key[0] == work), key=times.get)[1:] for work in ("forward", "published")}
    return best, {" ".join(map(str, key)): ms for key, ms in times.items()}


def compare_outputs(programs, folder):
    """Largest difference to ours over the largest value, for each of the others."""
    outputs = {}
    for name, program in programs.items():
        path = folder / "outputs.f32"
        program.ask("outputs", path)
        outputs[name] = numpy.fromfile(path, dtype="<f4")
        path.unlink()
    ours = outputs.pop("ours")
    return {name: float(numpy.abs(theirs - ours).max() / numpy.abs(ours).max()) for name, theirs in outputs.items()}


def take_turns(options, turns):
    """turns: name to (program, words before the number of rounds). Returns name to ms of each round, and the largest share
    of the processors that went to other programs during a turn."""
    times, count, disturbed = {name: [] for name in turns}, {}, 0
    for name, (program, words) in turns.items():
        program.ask(*words, 1)
        count[name] = max(1, round(options.turn_ms / program.ask(*words, 1)["ms"]))
    for i in range(options.rounds):
        for name in list(turns) if i % 2 == 0 else list(turns)[::-1]:
            program, words = turns[name]
            if options.by == "clock":
                answer = undisturbed(program, (*words, count[name]))
                times[name].append(answer["ms"])
            else:
                answer = ask_timed(program, (*words, count[name]))
                # Ours touches every page first, one round more than asked for.
                times[name].append(1000 * answer["turn_cpu_s"] / (count[name] + (words[-1:] == (2,))))
            disturbed = max(disturbed, answer["disturbed"])
    return times, disturbed


def ratio(theirs, ours):
    each = [a / b for a, b in zip(theirs, ours)]
    return {"median": statistics.median(each), "from": min(each), "to": max(each)}


def compare(options, name):
    folder, best, settings = networks.make(options.out, name), {"forward": (1, 1), "published": (1, 1)}, None
    if options.by == "clock":
        best, settings = best_torch(folder)
    if not (folder / "g.onnx").exists():
        with torch_program(folder, 1, 1) as torch:
            torch.ask("export")
    programs = {
        "ours": Program([options.engine, "--kernels", options.kernels, "--views", VIEWS, folder]),
        "ort f|g": Program(["node", HERE / "peer_ort.js", options.ort, folder, 1]),
        "torch": torch_program(folder, *best["forward"]),
        "published": torch_program(folder, *best["published"]),
    }
    if options.by == "clock":
        programs["ort"] = Program(["node", HERE / "peer_ort.js", options.ort, folder, 2])
    error = compare_outputs(programs, folder)
    turns = {"ours": (programs["ours"], ("forward", 2)), "score": (programs["ours"], ("score", 2)),
             **{key: (program, ("published",) if key == "published" else ("forward",))
                for key, program in programs.items() if key != "ours"}}
    times, disturbed = take_turns(options, turns)
    facts = {key: program.facts for key, program in programs.items()}
    for program in programs.values():
        program.stop()
    times["score"] = [ms / 2 for ms in times["score"]]  # two images a turn
    times.setdefault("ort", times["ort f|g"])
    return {"error": error, "disturbed": disturbed, "facts": facts, "torch_settings": settings, "torch_best": best,
            "ms": {key: statistics.median(values) for key, values in times.items()}, "ms_rounds": times,
            "ratio": {key: ratio(times[key], times["score" if key == "published" else "ours"])
                      for key in ("ort", "torch", "published", "ort f|g")}}


def reached(got, target=None):
    text = f"{got['median']:.2f} ({got['from']:.2f}-{got['to']:.2f})"
    return text if target is None else f"{text} of {target}" + (" ok" if got["median"] >= target else " --")


def main():
    parser = argparse.ArgumentParser(description="Compares the engine with ONNX Runtime, PyTorch and the published script.")
    parser.add_argument("--engine", type=pathlib.Path, default=ROOT / "build/release/bench/engine")
    parser.add_argument("--ort", type=pathlib.Path, default=ROOT / "build/bench/node_modules/onnxruntime-node")
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "build/bench", help="folder of the networks")
    parser.add_argument("--networks", default=",".join(NETWORKS), help="with commas; " + ", ".join(NETWORKS))
    parser.add_argument("--kernels", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--turn-ms", type=float, default=700, help="about how long a turn lasts at least")
    parser.add_argument("--by", choices=("clock", "cpu"), default="clock", help="cpu: processor time, one thread each")
    options = parser.parse_args()
    options.ort, options.out = options.ort.resolve(), options.out.resolve()
    found, bad = {"machine": machine(), "by": options.by, "networks": {}}, []
    rows = [("ours is … times as fast as", "ONNX Runtime", "PyTorch, batched", "published script", "ORT f|g", "ms/view",
             "difference", "disturbed")]
    for name in options.networks.split(","):
        got = found["networks"][name] = compare(options, name)
        error = max(got["error"].values())
        bad += [name] if not error <= TOLERANCE else []
        rows.append((NETWORKS[name]["title"],
                     *(reached(got["ratio"][key], target)
                       for key, target in zip(("ort", "torch", "published"), TARGETS[name])),
                     reached(got["ratio"]["ort f|g"]), got["ms"]["ours"] / VIEWS / 2, f"{error:.1e}",
                     f"{100 * got['disturbed']:.0f} %"))
        print(name, json.dumps(got["ms"]), flush=True)
    print()
    table(rows)
    path = options.out.parent / "bench-peers.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\nmedian (range) of {options.rounds} rounds by the {options.by}, of the target; ms/view is ours, over f and g. Written to {path}")
    if bad:
        raise SystemExit(f"outputs differ by more than {TOLERANCE} of the largest value: {', '.join(bad)}")


if __name__ == "__main__":
    main()
