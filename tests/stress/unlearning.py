#!/usr/bin/python3
"""Prints the verdict on encoders u made from f of a demo pair, for 500 pictures of Fashion-MNIST of each kind.

`mix W`: the weights are (1 - W) f + W g, in half precision; 0 is f and 1 is g. `tune E`: f after E epochs of SimCLR on the shared pictures
alone (as `deploy/demo/train.py`, with a new projector, learning rate 3e-4), with --epochs 2,10,40, which needs PyTorch. It fails unless
u = f is still memorized and u = g forgotten; what lies between is printed, not expected. Both are of the ViT pair. `--pair DIR --after
U,U --mix ""` judges checkpoints U of another pair; --images must not be more than f saw."""

import json
import pathlib
import shutil
import struct
import subprocess
import sys

import numpy as np

import daemon

VIT = daemon.DEMO / "pairs/fashion-vit"
RATE, BATCH_SEED = 3e-4, 5


def tensors(path):
    """The tensors of a file in half precision, as float32."""
    data = path.read_bytes()
    begin = 8 + struct.unpack("<Q", data[:8])[0]
    header = {name: t for name, t in json.loads(data[8:begin]).items() if name != "__metadata__"}
    return {name: np.frombuffer(data[begin + t["data_offsets"][0]:begin + t["data_offsets"][1]], {"F16": "<f2"}[t["dtype"]])
            .reshape(t["shape"]).astype("f4") for name, t in header.items()}


def write_pair(folder, pair, u):
    """The pair with u in place of f; returns the folder."""
    own = json.loads((pair / "pair.json").read_text())
    own.pop("reference", None)
    shutil.copytree(pair, folder, ignore=shutil.ignore_patterns("reference.json"))
    shutil.copy(u, folder / f"u{u.suffix}")
    (folder / "pair.json").write_text(json.dumps(own | {"f": f"u{u.suffix}", "allow_same": True}))
    return folder


def save(path, weights):
    header, body = {}, b""
    for name, value in weights.items():
        raw = value.astype("<f2").tobytes()
        header[name] = {"dtype": "F16", "shape": list(value.shape), "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def tuned(epochs):
    """Yields (epoch, weights) of f trained on without the candidates."""
    sys.path.insert(0, str(daemon.DEMO))
    import torch
    import train
    torch.manual_seed(BATCH_SEED)
    np.random.seed(BATCH_SEED)
    torch.set_num_threads(1)
    data = train.images()
    pictures = [train.Image.fromarray(data[i]).convert("RGB") for i in daemon.cohort_indexes("shared")]
    model = train.ViT()
    model.load_state_dict({k: torch.from_numpy(v) for k, v in tensors(VIT / "f.safetensors").items()}, strict=False)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, weight_decay=1e-6)
    for epoch in range(1, max(epochs) + 1):
        for batch in torch.randperm(len(pictures)).split(train.BATCH):
            a, b = (torch.stack([train.AUGMENT(pictures[i]) for i in batch]) for _ in range(2))
            loss = train.nt_xent(*model(torch.cat([a, b])).chunk(2), train.TRAINING["fashion-vit"]["temperature"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if epoch in epochs:
            yield epoch, {k: v.numpy() for k, v in model.encoder().items()}


def write_images(folder, count):
    options = []
    for cohort in ("candidate", "external"):
        (folder / cohort).mkdir()
        for name, data in daemon.dataset_images(daemon.cohort_indexes(cohort)[:count]):
            (folder / cohort / name).write_bytes(data)
        options += ["--" + cohort, folder / cohort]
    return options


def run(binary, *arguments):
    return subprocess.run([binary, "audit", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


def show(label, d):
    share, left = d["forgotten_share"], d["residual"]
    ends = f" ({100 * share['low']:.0f} to {100 * share['high']:.0f})" if share["low"] is not None else ""
    print(f"| {label} | {left['mean']:+.5f} | {100 * share['value']:.0f} %{ends} | {left['auc']['value']:.3f} | {d['verdict']} |", flush=True)


def main():
    options = daemon.options(__doc__, images=500, pair=str(VIT), mix="0,.25,.5,.75,1", epochs="", after="")
    verdicts, pair = daemon.Verdicts(), pathlib.Path(options.pair)
    listed = lambda text: [part for part in text.split(",") if part]
    with daemon.folder(options, "unlearning") as name:
        folder = pathlib.Path(name)
        images = write_images(folder, options.images)
        run(options.binary, "--quiet", "--pair", pair, "--out", folder / "before", *images)
        print("| u | mean residual | forgotten | AUC | verdict |\n| --- | --- | --- | --- | --- |")

        def judge(label, u):
            audit, verdict = folder / f"{label}-audit", folder / f"{label}-verdict"
            run(options.binary, "--quiet", "--pair", write_pair(folder / label, pair, u), "--out", audit, *images)
            run(options.binary, "unlearn", folder / "before", audit, "--out", verdict)
            document = json.loads((verdict / "report.json").read_text())
            show(label, document)
            return document["verdict"]

        f, g = (tensors(VIT / f"{side}.safetensors") for side in "fg")
        for part in listed(options.mix):
            weights = {k: (1 - float(part)) * f[k] + float(part) * g[k] for k in f}
            verdict = judge(f"mix {part}", save(folder / "u.safetensors", weights))
            if float(part) in (0, 1):
                wanted = "forgotten" if float(part) else "still_memorized"
                verdicts.check(verdict == wanted, f"mix {part} is {wanted}")
        for epoch, weights in tuned([int(e) for e in listed(options.epochs)]) if options.epochs else ():
            judge(f"tune {epoch}", save(folder / "u.safetensors", weights))
        for path in map(pathlib.Path, listed(options.after)):
            judge(path.stem, path)
    verdicts.end()


if __name__ == "__main__":
    main()
