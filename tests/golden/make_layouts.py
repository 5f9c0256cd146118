#!/usr/bin/python3
"""One tiny ViT in files that hold more than it, or name it otherwise: tensors of kinds that nothing here reads beside it,
the names that wrappers of PyTorch's leave, and guessed.safetensors, a gated one under MoCo v3's name, which no list has. Python 3.11.2, PyTorch 1.13.1, NumPy 1.24.2.

    tests/golden/make_layouts.py      # writes tests/golden/layouts/: plain.safetensors, the others, and layouts.json

odd-legacy.pt has addresses for keys, so its bytes differ from run to run. layouts.json: for each file the tensors that cannot be read, or the text of the error.
"""
import json
import pathlib
import shutil
import struct
import warnings

import numpy
import torch

from make_convnets import safetensors
from make_settings import Layers, resnet, vit

OUT = pathlib.Path(__file__).parent / "layouts"
WRAPPERS = ["_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module", "_fsdp_wrapped_module._fpw_module", "module"]


def odd():
    """What torch.save writes of tensors that are no dense numbers."""
    dense = torch.arange(6.).reshape(2, 3)
    return {"freqs": torch.polar(torch.ones(4), torch.arange(4.)), "graph": dense.to_sparse(), "rows": dense.to_sparse_csr(),
            "packed": torch.quantize_per_tensor(dense, .1, 0, torch.qint8), "shape_only": torch.empty(2, 3, device="meta"),
            "wide": torch.ones(1).expand(5), "deep": torch.zeros([1] * 9)}


def raw_safetensors(path, state, extra):
    """`extra`: name, dtype, shape and bytes of more."""
    safetensors(path, state)
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header, body = json.loads(data[8:8 + size]), data[8 + size:]
    for name, dtype, shape, raw in extra:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(raw)]}
        body += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def main():
    warnings.simplefilter("ignore")
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    w = Layers(77, 1e-6, "gelu")
    vit(dim=8, heads=2)(w, torch.zeros(1, 3, 16, 16))
    plain, files = dict(w), {"plain.safetensors": []}
    safetensors(OUT / "plain.safetensors", plain)

    torch.save({"model": plain, **odd()}, OUT / "odd.pt")
    files["odd.pt"] = list(odd())
    torch.save({**odd(), "model": plain}, OUT / "odd-legacy.pt", _use_new_zipfile_serialization=False)
    files["odd-legacy.pt"] = list(odd())
    raw_safetensors(OUT / "odd.safetensors", plain, [("scales", "F8_E4M3", [8], bytes(8)), ("freqs", "C64", [2], bytes(16))])
    files["odd.safetensors"] = ["scales", "freqs"]
    numpy.savez(OUT / "odd.npz", **{k: t.numpy() for k, t in plain.items()}, freqs=numpy.ones(3, numpy.complex64),
                words=numpy.array(["a", "bc"]), table=numpy.zeros(2, [("x", "<f4"), ("y", "<i4")]), swapped=numpy.zeros(2, ">f4"))
    files["odd.npz"] = ["freqs", "words", "table", "swapped"]
    needed = dict(plain)
    needed["blocks.1.norm2.bias"] = needed["blocks.1.norm2.bias"].to(torch.complex64)
    torch.save(needed, OUT / "needed.pt")
    files["needed.pt"] = "tensor blocks.1.norm2.bias of the encoder cannot be read: storage type ComplexFloatStorage is not supported"

    for i, wrapper in enumerate(WRAPPERS):
        inside = {k.replace("blocks.1.", f"blocks.1.{wrapper}.").replace("patch_embed.", f"patch_embed.{wrapper}."): t
                  for k, t in plain.items()}
        torch.save({f"{wrapper}.{k}": t for k, t in inside.items()}, OUT / f"wrapped-{i}.pt")
        files[f"wrapped-{i}.pt"] = []
    twice = {**plain, "blocks.1._orig_mod.norm2.bias": plain["blocks.1.norm2.bias"]}
    torch.save(twice, OUT / "twice.pt")
    files["twice.pt"] = "tensors blocks.1.norm2.bias and blocks.1._orig_mod.norm2.bias stand at the same place"

    torch.save({"encoder": plain, "other": {"x": torch.zeros(1), "_orig_mod.x": torch.zeros(1)}}, OUT / "twice-elsewhere.pt")
    files["twice-elsewhere.pt"] = []

    eva = {k: t for k, t in plain.items() if "attn.qkv" not in k}
    for i in range(2):
        for part, t in zip("qkv", plain[f"blocks.{i}.attn.qkv.weight"].chunk(3)):
            eva[f"blocks.{i}.attn.{part}_proj.weight"] = t
    safetensors(OUT / "eva.safetensors", eva)
    files["eva.safetensors"] = ("tensor blocks.0.attn.q_proj.weight beside a position table is EVA-02's, whose rotary positions are "
                                "in no tensor and not supported")

    turned = Layers(79, 1e-5, "gelu")
    vit(dim=8, heads=2, positions="rope", registers=1)(turned, torch.zeros(1, 3, 16, 16))
    safetensors(OUT / "turned.safetensors", {k: t for k, t in turned.items() if k != "cls_token"})
    files["turned.safetensors"] = ("timm names under \"\" have neither a position table nor a CLS token: rotary positions other "
                                   "than DINOv3's are in no tensor and not supported")
    gated = Layers(80, 1e-6, "gelu")
    vit(dim=12, heads=2)(gated, torch.zeros(1, 3, 16, 16))
    for i in range(2):
        for part in ("weight", "bias"):
            gated[f"blocks.{i}.mlp.fc1.{part}"] = torch.cat([gated[f"blocks.{i}.mlp.fc1.{part}"]] * 2)
    safetensors(OUT / "guessed.safetensors", {"base_encoder." + k: t for k, t in gated.items()})

    net = Layers(78, 1e-5, "relu")
    resnet()(net, torch.zeros(1, 3, 12, 12))
    safetensors(OUT / "groupnorm.safetensors", {k: t for k, t in net.items() if "running" not in k})
    files["groupnorm.safetensors"] = ("bn1 is a GroupNorm, or another norm without running statistics: these are not supported "
                                      "yet, BatchNorm is")
    safetensors(OUT / "lost.safetensors", {k: t for k, t in net.items() if k != "bn1.running_mean"})
    files["lost.safetensors"] = "tensor bn1.running_mean is missing, expected with shape [4]; nearest is bn1.running_var"
    (OUT / "layouts.json").write_text(json.dumps(files, indent=1) + "\n")


if __name__ == "__main__":
    main()
