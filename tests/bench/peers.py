#!/usr/bin/python3
"""`make bench-peers`: ours against ONNX Runtime, PyTorch and the published script, on the same weights and both cores.

    tests/bench/peers.py --engine build/release/bench/engine --ort build/bench/node_modules/onnxruntime-node
                         [--networks NAME,NAME] [--kernels ROW] [--rounds N]

Everything is one process each that waits for its turn. A round lets all of them work once; rounds go through the list
forwards and backwards in turn, and a ratio is theirs over ours of the same round. Printed: the median over the rounds, with the
range. Nothing else may run; the load before the run is recorded.

Work of a turn, until f and g have both seen ten views: ours gives f to one core and g to the other; ONNX Runtime runs f,
then g, with 2 threads ("ORT f|g": both at once with one thread each, which the targets do not ask for); PyTorch the same at
its best of 1 or 2 threads of its own and 1 or 2 of OpenBLAS. The published script's procedure scores one image with
20 forwards of one image each, at the best of the same settings; ours scores two images, one a core, in anchor mode with
5 views: 12 forwards each, decoding and views included.

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
from turns import ROOT, Program, machine, table

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
                times[work, threads, blas] = min(torch.ask(work, 1)["ms"] for _ in range(2))
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


def take_turns(turns, rounds, turn_ms):
    """turns: name to (program, words before the number of rounds). Returns name to ms of each round."""
    times, count = {name: [] for name in turns}, {}
    for name, (program, words) in turns.items():
        program.ask(*words, 1)
        count[name] = max(1, round(turn_ms / program.ask(*words, 1)["ms"]))
    for i in range(rounds):
        for name in list(turns) if i % 2 == 0 else list(turns)[::-1]:
            program, words = turns[name]
            times[name].append(program.ask(*words, count[name])["ms"])
    return times


def ratio(theirs, ours):
    each = [a / b for a, b in zip(theirs, ours)]
    return {"median": statistics.median(each), "from": min(each), "to": max(each)}


def compare(options, name):
    folder = networks.make(options.out, name)
    best, settings = best_torch(folder)
    if not (folder / "g.onnx").exists():
        with torch_program(folder, 1, 1) as torch:
            torch.ask("export")
    programs = {
        "ours": Program([options.engine, "--kernels", options.kernels, "--views", VIEWS, folder]),
        "ort": Program(["node", HERE / "peer_ort.js", options.ort, folder, 2]),
        "ort f|g": Program(["node", HERE / "peer_ort.js", options.ort, folder, 1]),
        "torch": torch_program(folder, *best["forward"]),
        "published": torch_program(folder, *best["published"]),
    }
    error = compare_outputs({key: program for key, program in programs.items()}, folder)
    times = take_turns({"ours": (programs["ours"], ("forward", 2)),
                        "ort": (programs["ort"], ("forward",)),
                        "ort f|g": (programs["ort f|g"], ("forward",)),
                        "torch": (programs["torch"], ("forward",)),
                        "score": (programs["ours"], ("score", 2)),
                        "published": (programs["published"], ("published",))}, options.rounds, options.turn_ms)
    facts = {key: program.facts for key, program in programs.items()}
    for program in programs.values():
        program.stop()
    times["score"] = [ms / 2 for ms in times["score"]]  # two images a turn
    return {"error": error, "facts": facts, "torch_settings": settings, "torch_best": best,
            "ms": {key: statistics.median(values) for key, values in times.items()}, "ms_rounds": times,
            "ratio": {"ort": ratio(times["ort"], times["ours"]), "torch": ratio(times["torch"], times["ours"]),
                      "published": ratio(times["published"], times["score"]),
                      "ort f|g": ratio(times["ort f|g"], times["ours"])}}


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
    options = parser.parse_args()
    options.ort, options.out = options.ort.resolve(), options.out.resolve()
    found, bad = {"machine": machine(), "networks": {}}, []
    rows = [("ours is … times as fast as", "ONNX Runtime", "PyTorch, batched", "published script", "ORT f|g", "ms/view",
             "difference")]
    for name in options.networks.split(","):
        got = found["networks"][name] = compare(options, name)
        error = max(got["error"].values())
        bad += [name] if not error <= TOLERANCE else []
        rows.append((NETWORKS[name]["title"],
                     *(reached(got["ratio"][key], target)
                       for key, target in zip(("ort", "torch", "published"), TARGETS[name])),
                     reached(got["ratio"]["ort f|g"]), got["ms"]["ours"] / VIEWS / 2, f"{error:.1e}"))
        print(name, json.dumps(got["ms"]), flush=True)
    print()
    table(rows)
    path = options.out.parent / "bench-peers.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"\nmedian (range) of {options.rounds} rounds, of the target; ms/view with both cores. Written to {path}")
    if bad:
        raise SystemExit(f"outputs differ by more than {TOLERANCE} of the largest value: {', '.join(bad)}")


if __name__ == "__main__":
    main()
