#!/usr/bin/python3
"""Vectors of tests/unit/core/score: two tiny pairs of encoders, pictures, views, and every score of them by PyTorch.

    make && tests/golden/make_score.py            # writes tests/golden/score/

Made with PyTorch 1.13.1, torchvision 0.14.1, NumPy 1.24.2, Pillow 9.4.0. All weights and pictures are random.

The views are sslmem's own (`sslmem views`): their truth is tested elsewhere. From them on nothing of sslmem is used: the
encoders below are written in PyTorch and run in double precision, distances and standard errors follow their
definitions (every pair of views, every view left out in turn, a least-squares fit for what is left).
"""
import argparse
import copy
import itertools
import json
import math
import pathlib
import struct
import subprocess
import tempfile

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image
from scipy import stats
from torchvision.models import resnet18

OUT = pathlib.Path(__file__).parent / "score"
SIDE, SEED = 16, 20240116
IMAGES = {"wide.png": (40, 30), "tall.png": (21, 33)}
PAIRS = {
    "resnet": {"f": ["f.pt"], "g": ["g.pt"], "mean": [.4914, .4822, .4465], "std": [.247, .243, .261],
               "encoder": {"input_px": SIDE},
               "recipe": {"augment": "simclr-cifar", "views": 5, "seed": 7}},
    "vit": {"f": ["f0.safetensors", "f1.safetensors"], "g": ["g0.safetensors", "g1.safetensors"], "encoder": {"heads": 3},
            "recipe": {"augment": "dino-global", "views": 18, "seed": "18446744073709551615"}},
}
REPRESENTATIONS = {"resnet": ["tokens", "mean", "pooled", "block.0", "block.7"],
                   "vit": ["tokens", "cls", "mean", "pooled", "block.0", "block.1"]}
COMPARE, NORMALIZE, DISTANCE = ["pairs", "anchor"], ["vector", "token", "none"], ["l2", "l1", "cosine", "angular"]


class ResNet(nn.Module):
    """ResNet-18 with a CIFAR stem, 4 channels wide, under the names of the published SimCLR script."""

    def __init__(self, width=4):
        super().__init__()
        net = resnet18()
        net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        self.narrow(net, 64 // width)
        self.f = nn.Sequential(*[m for m in net.children() if not isinstance(m, (nn.Linear, nn.MaxPool2d))])

    def narrow(self, module, by):
        for name, m in list(module.named_children()):
            if isinstance(m, nn.Conv2d):
                c_in = m.in_channels if m.in_channels == 3 else m.in_channels // by
                setattr(module, name, nn.Conv2d(c_in, m.out_channels // by, m.kernel_size, m.stride, m.padding, bias=False))
            elif isinstance(m, nn.BatchNorm2d):
                setattr(module, name, nn.BatchNorm2d(m.num_features // by))
            else:
                self.narrow(m, by)

    def taps(self, x):
        out, n = {}, 0
        for stage in self.f:
            if isinstance(stage, nn.AdaptiveAvgPool2d):
                break
            for block in stage if isinstance(stage, nn.Sequential) else [stage]:
                x = block(x)
                if isinstance(stage, nn.Sequential):
                    out[f"block.{n}"] = x.flatten(2).transpose(1, 2)
                    n += 1
        out["tokens"] = x.flatten(2).transpose(1, 2)
        out["mean"] = out["pooled"] = x.mean((2, 3))[:, None]
        return out


class Block(nn.Module):
    def __init__(self, dim, heads, hidden):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(dim, eps=1e-6), nn.LayerNorm(dim, eps=1e-6)
        self.attn, self.mlp = nn.Module(), nn.Module()
        self.attn.qkv, self.attn.proj = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp.fc1, self.mlp.fc2 = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.heads = heads

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.attn.qkv(self.norm1(x)).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        a = (q @ k.transpose(-2, -1) / math.sqrt(d // self.heads)).softmax(-1)
        x = x + self.attn.proj((a @ v).transpose(1, 2).reshape(b, n, d))
        return x + self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x))))


class ViT(nn.Module):
    """A ViT of two blocks under timm names."""

    def __init__(self, dim=24, depth=2, heads=3, patch=4, hidden=96):
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, dim, patch, patch)
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.randn(1, (SIDE // patch) ** 2 + 1, dim) * .3)
        self.blocks = nn.ModuleList(Block(dim, heads, hidden) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def taps(self, x):
        out = {}
        x = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for n, block in enumerate(self.blocks):
            out[f"block.{n}"] = x = block(x)
        out["tokens"] = x = self.norm(x)
        out["cls"] = out["pooled"] = x[:, :1]
        out["mean"] = x[:, 1:].mean(1, keepdim=True)
        return out


def randomise(model):
    """Weights around which outputs neither vanish nor explode, and normalisations that do something."""
    for name, p in list(model.named_parameters()) + list(model.named_buffers()):
        if name.endswith("running_var"):
            nn.init.uniform_(p, .5, 1.5)
        elif p.dim() > 1 and not name.endswith(("pos_embed", "cls_token")):
            nn.init.normal_(p, 0, p[0].numel() ** -.5)
        elif p.dim() == 1:
            nn.init.normal_(p, 1. if name.endswith("weight") else 0., .1)
    return model.eval()


def save_safetensors(path, tensors):
    header, at, blobs = {}, 0, []
    for name, t in tensors.items():
        raw = t.float().contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        blobs.append(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def load_views(path):
    raw = path.read_bytes()
    n = struct.unpack("<Q", raw[:8])[0]
    entry = json.loads(raw[8:8 + n])["views"]
    low, high = entry["data_offsets"]
    return torch.from_numpy(np.frombuffer(raw[8 + n + low:8 + n + high], np.float32).reshape(entry["shape"]).copy())


def make_images():
    rng = np.random.RandomState(SEED)
    for name, (w, h) in IMAGES.items():
        coarse = Image.fromarray(rng.randint(0, 256, (5, 6, 3), np.uint8))
        Image.fromarray(np.asarray(coarse.resize((w, h), Image.BICUBIC)) ^ rng.randint(0, 16, (h, w, 3), np.uint8)).save(OUT / name)


def make_encoders():
    torch.manual_seed(SEED)
    models = {}
    for pair, doc in PAIRS.items():
        (OUT / pair).mkdir(parents=True, exist_ok=True)
        (OUT / pair / "pair.json").write_text(json.dumps(doc, indent=1) + "\n")
        for name in doc["f"] + doc["g"]:
            model = randomise(ResNet() if pair == "resnet" else ViT())
            if name.endswith(".pt"):
                torch.save(model.state_dict(), OUT / pair / name)
            else:
                save_safetensors(OUT / pair / name, model.state_dict())
            models[pair, name] = copy.deepcopy(model).double()
    save_safetensors(OUT / "other.safetensors", randomise(ViT(dim=64, depth=1, hidden=16)).state_dict())
    return models


def render(sslmem, pair, image, recipe):
    with tempfile.TemporaryDirectory() as folder:
        recipe_file = pathlib.Path(folder) / "recipe.json"
        recipe_file.write_text(json.dumps(recipe))
        subprocess.run([sslmem, "views", "--pair", OUT / pair, "--recipe", recipe_file, "--out", folder, OUT / image], check=True)
        return load_views(pathlib.Path(folder) / "views.safetensors")


def distance(u, v, kind):
    if kind == "l2":
        return (u - v).norm().item()
    if kind == "l1":
        return (u - v).abs().sum().item()
    cos = F.cosine_similarity(u.flatten(), v.flatten(), 0).clamp(-1, 1)
    return (1 - cos).item() if kind == "cosine" else (torch.acos(cos) / math.pi).item()


def distances(reps, compare, normalize, kind):
    """{items left of the jackknife: distance}: keys (i, j) for pairs, (j,) for the anchor, which is reps[0]."""
    if normalize == "vector":
        reps = F.normalize(reps.flatten(1), dim=1).reshape(reps.shape)
    elif normalize == "token":
        reps = F.normalize(reps, dim=2)
    anchor, views = reps[0], reps[1:]
    if compare == "anchor":
        return {(j,): distance(anchor, v, kind) for j, v in enumerate(views)}
    return {(i, j): distance(views[i], views[j], kind) for i, j in itertools.combinations(range(len(views)), 2)}


def errors(d, k):
    """Mean, standard error without the jackknife's bias, the jackknife's own."""
    values = np.array(list(d.values()))
    left_out = np.array([np.mean([v for key, v in d.items() if out not in key]) for out in range(k)])
    jackknife = (k - 1) / k * np.sum((left_out - left_out.mean()) ** 2)
    if len(next(iter(d))) == 1:
        return values.mean(), math.sqrt(jackknife), math.sqrt(jackknife)
    effects = np.array([[out in key for out in range(k)] for key in d], float)
    residuals = values - effects @ np.linalg.lstsq(effects, values, rcond=None)[0]
    b = np.sum(residuals ** 2) / (len(values) - k)
    return values.mean(), math.sqrt(max(jackknife - 2 * b / ((k - 1) * (k - 2)), b / len(values))), math.sqrt(jackknife)


def score(f, g, k):
    """f, g: the distances of each encoder of a side."""
    mean = [{key: np.mean([d[key] for d in side]) for key in side[0]} for side in (f, g)]
    (a_f, se_f, _), (a_g, se_g, _) = (errors(d, k) for d in mean)
    _, se, wide = errors({key: mean[1][key] - mean[0][key] for key in mean[0]}, k)
    parts = [(wide ** 2, k - 1)]  # variances and their degrees of freedom
    for side in (f, g):
        each = [np.mean(list(d.values())) for d in side]
        if len(each) > 1:
            parts.append((np.var(each, ddof=1) / len(each), len(each) - 1))
    variance = sum(v for v, _ in parts)
    df = variance ** 2 / sum(v ** 2 / n for v, n in parts)
    m, half = a_g - a_f, stats.t.isf(.025, df) * math.sqrt(variance)
    m_se = math.sqrt(se ** 2 + sum(v for v, _ in parts[1:]))
    return {"a_f": a_f, "se_f": se_f, "a_g": a_g, "se_g": se_g, "m": m, "m_se": m_se, "half": half, "ratio": m / (a_g + a_f)}


def norms(of_f):
    """Of a pair without g: norms of the pooled outputs, means over views (not the anchor) and encoders."""
    pooled = np.concatenate([t["pooled"][1:].flatten(1).numpy() for t in of_f])
    return {name: float(np.linalg.norm(pooled, order, axis=1).mean())
            for name, order in (("norm_1", 1), ("norm_2", 2), ("norm_max", np.inf))}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sslmem", default="build/release/sslmem")
    sslmem = parser.parse_args().sslmem
    OUT.mkdir(exist_ok=True)
    make_images()
    models = make_encoders()
    cases, alone = [], []
    for pair, image in itertools.product(PAIRS, IMAGES):
        views = render(sslmem, pair, image, {})
        anchor = render(sslmem, pair, image, {"augment": "eval", "views": 2})[0]
        save_safetensors(OUT / pair / (image[:-4] + ".views.safetensors"), {"views": views, "anchor": anchor})
        x = torch.cat([anchor[None], views]).double()
        with torch.no_grad():
            taps = [[models[pair, name].taps(x) for name in PAIRS[pair][side]] for side in "fg"]
        alone.append({"pair": pair, "image": image, **norms(taps[0])})
        for tap, compare, normalize, kind in itertools.product(REPRESENTATIONS[pair], COMPARE, NORMALIZE, DISTANCE):
            f, g = ([distances(t[tap], compare, normalize, kind) for t in side] for side in taps)
            recipe = {"representation": tap, "compare": compare, "normalize": normalize, "distance": kind}
            cases.append({"pair": pair, "image": image, "recipe": recipe, **score(f, g, len(views))})
    (OUT / "alone.json").write_text(json.dumps(alone, indent=1) + "\n")
    (OUT / "expected.json").write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
