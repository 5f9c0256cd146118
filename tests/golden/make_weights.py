#!/usr/bin/python3
"""Copies of one encoder, and numbers rounded to 16 bits, by PyTorch 1.13.1 and NumPy, for
tests/unit/core/nn/test_weights.c and tests/unit/core/score/test_pair.c.

    tests/golden/make_weights.py      # reads tests/golden/score/vit/f0.safetensors, writes tests/golden/weights/*
"""
import json
import pathlib
import struct

import numpy
import torch

HERE = pathlib.Path(__file__).parent
OUT = HERE / "weights"


def read_safetensors(path):
    data = path.read_bytes()
    header_bytes, = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + header_bytes])
    tensors = {}
    for name, t in header.items():
        if name != "__metadata__":
            begin, end = (8 + header_bytes + at for at in t["data_offsets"])
            tensors[name] = torch.from_numpy(numpy.frombuffer(data[begin:end], "<f4").copy().reshape(t["shape"]))
    return tensors


HF = {"cls_token": "embeddings.cls_token", "pos_embed": "embeddings.position_embeddings",
      "patch_embed.proj": "embeddings.patch_embeddings.projection", "norm1": "layernorm_before",
      "norm2": "layernorm_after", "attn.proj": "attention.output.dense", "mlp.fc1": "intermediate.dense",
      "mlp.fc2": "output.dense", "norm": "layernorm"}


def hugging_face(tensors):
    """The names of transformers 4 models/vit, where q, k and v are three tensors."""
    out = {}
    for name, t in tensors.items():
        layer, _, kind = name.rpartition(".") if name.endswith((".weight", ".bias")) else (name, "", "")
        block = ""
        if layer.startswith("blocks."):
            _, n, layer = layer.split(".", 2)
            block = f"encoder.layer.{n}."
        if layer == "attn.qkv":
            for part, x in zip(("query", "key", "value"), t.chunk(3)):
                out[f"vit.{block}attention.attention.{part}.{kind}"] = x.clone()
        else:
            out[f"vit.{block}{HF[layer]}" + (f".{kind}" if kind else "")] = t
    return out


def rounding_cases():
    g = torch.Generator().manual_seed(20261130)
    bits = torch.randint(-2 ** 31, 2 ** 31, (400,), generator=g, dtype=torch.int64).to(torch.int32)
    drawn = torch.cat([bits.view(torch.float32), torch.randn(200, generator=g) * .05])
    edges = [0., -0., 1., 65504., 65519.99, 65520., 65536., 3.4e38, 2 ** -14, 2 ** -14 - 2 ** -26, 2 ** -24, 2 ** -25,
             2 ** -25 * 1.0001, 2 ** -26, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 1 + 2 ** -8, 1 + 3 * 2 ** -8, 1e-45,
             float("inf"), float("nan")]
    x = torch.cat([torch.tensor(edges), -torch.tensor(edges), drawn])
    as_bits = lambda t: [v & 0xffffffff for v in t.view(torch.int32).tolist()]
    return {"x": as_bits(x), "f16": as_bits(x.half().float()), "bf16": as_bits(x.bfloat16().float())}


def main():
    OUT.mkdir(exist_ok=True)
    f = read_safetensors(HERE / "score/vit/f0.safetensors")
    numpy.savez(OUT / "container.npz", **{name: t.numpy() for name, t in f.items()})
    wrapped = {"module.backbone." + name: t for name, t in reversed(f.items())}
    torch.save({"epoch": 3, "state_dict": wrapped, "optimizer": {"lr": torch.tensor(.1)}}, OUT / "wrapped.pt")
    torch.save({**f, "head.weight": torch.ones(5, 24), "head.bias": torch.zeros(5)}, OUT / "with_head.pt")
    torch.save(hugging_face(f), OUT / "other_names.pt")
    torch.save({name: t.half() for name, t in f.items()}, OUT / "float16.pt")
    torch.save({name: t.bfloat16() for name, t in f.items()}, OUT / "bfloat16.pt")
    one = {name: t.clone() for name, t in f.items()}
    one["blocks.1.mlp.fc2.weight"][7, 70] *= 1.01
    torch.save(one, OUT / "one_number_else.pt")
    (OUT / "rounding.json").write_text(json.dumps(rounding_cases()) + "\n")


main()
