#!/usr/bin/python3
"""Vectors of tests/unit/core/nn/test_resample.c: position tables resampled by PyTorch 1.13.1, and the angles of DINOv3's
RoPE in float32, written after its paper and facebookresearch/dinov3 layers/rope_position_encoding.py. Python 3.11.2.

    tests/golden/make_resample.py     # writes tests/golden/resample/{pos,rope}.json

Tables are standard normal numbers; floats are written with the digits that give the same float again.
"""
import json
import math
import pathlib

import torch
import torch.nn.functional as F

OUT = pathlib.Path(__file__).parent / "resample"
# grid, size: up, down, both at once, rectangular, the same, one row or column.
SIZES = [((4, 4), (7, 7)), ((6, 6), (3, 3)), ((14, 14), (24, 20)), ((16, 16), (9, 5)), ((37, 37), (16, 16)), ((5, 7), (11, 3)),
         ((8, 8), (8, 8)), ((8, 6), (8, 9)), ((2, 3), (1, 1)), ((1, 1), (3, 2)), ((64, 2), (90, 3)), ((90, 3), (4, 2))]
DIM = 2


def numbers(t):
    return [float("%.9g" % x) for x in t.flatten().tolist()]


def resample(table, size, rule):
    """table [grid_h, grid_w, dim] -> [rows, cols, dim]"""
    x = table.permute(2, 0, 1)[None]
    if rule == "offset":
        factor = tuple((n + 0.1) / grid for n, grid in zip(size, table.shape))
        y = F.interpolate(x, scale_factor=factor, mode="bicubic", align_corners=False)
    else:
        y = F.interpolate(x, size=size, mode="bicubic", align_corners=False, antialias=rule == "antialias")
    assert y.shape[2:] == size
    return y[0].permute(1, 2, 0)


def rope(head_dim, rows, cols, base=100.0):
    periods = base ** (2 * torch.arange(head_dim // 4) / (head_dim // 2))
    y, x = torch.meshgrid((torch.arange(rows) + .5) / rows, (torch.arange(cols) + .5) / cols, indexing="ij")
    at = 2 * torch.stack([y, x], dim=-1).reshape(-1, 2) - 1
    angles = 2 * math.pi * at[:, :, None] / periods
    angles = angles.flatten(1).tile(2)
    return {"head_dim": head_dim, "rows": rows, "cols": cols, "periods": periods.tolist(), "cos": numbers(angles.cos()),
            "sin": numbers(angles.sin())}


def main():
    g = torch.Generator().manual_seed(20240611)
    pos = []
    for grid, size in SIZES:
        table = torch.randn(*grid, DIM, generator=g)
        pos.append({"grid": grid, "size": size, "dim": DIM, "table": numbers(table),
                    **{rule: numbers(resample(table, size, rule)) for rule in ("plain", "offset", "antialias")}})
    OUT.mkdir(exist_ok=True)
    for name, cases in (("pos", pos), ("rope", [rope(16, 3, 5), rope(8, 1, 2), rope(4, 4, 1)])):
        (OUT / (name + ".json")).write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


main()
