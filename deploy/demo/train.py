#!/usr/bin/python3
"""Train the demo pairs: two SimCLR encoders with (f) and without (g) the candidates, on Fashion-MNIST.

Not needed to build, test or run sslmem: the trained weights are committed beside this file. To make them again:

    apt-get install python3-torch python3-torchvision dataset-fashion-mnist
    for side in f g; do
        ./train.py --pair fashion-simclr --side $side --out pairs/fashion-simclr
        ./train.py --pair fashion-vit --side $side --out pairs/fashion-vit
    done
    ./train.py --export .            # the index lists and 20 PNGs of each cohort

Cohorts (Wang et al., ICLR 2024, section 3) are cut from one permutation of the training file, so they are exchangeable:
500 each of shared (both), candidate (f only), independent (g only) and external (neither).
f and g start from the same seed, so they differ in their data and in nothing else. What makes an encoder memorize here: few
pictures, many steps, a low temperature, and a learning rate that ends at 0.
"""
import argparse
import gzip
import json
import pathlib
import struct
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision.transforms as T
from PIL import Image
from torchvision.models import resnet18

DATA = "/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz"
SEED = 20240116
# Slices of the permutation; between shared and candidate nobody is trained or scored.
COHORTS = {"shared": (0, 500), "candidate": (2000, 2500), "independent": (2500, 3000), "external": (3000, 3500)}
MEAN, STD = 0.5, 0.5
BATCH = 125
TRAINING = {"fashion-simclr": {"epochs": 300, "temperature": 0.2, "lr": 2e-3},
            "fashion-vit": {"epochs": 900, "temperature": 0.1, "lr": 1e-3}}

AUGMENT = T.Compose([  # the `simclr-cifar` preset
    T.RandomResizedCrop(32),
    T.RandomHorizontalFlip(),
    T.RandomApply([T.ColorJitter(0.4, 0.4, 0.4, 0.1)], p=0.8),
    T.RandomGrayscale(0.2),
    T.ToTensor(),
    T.Normalize([MEAN] * 3, [STD] * 3),
])


def images():
    with gzip.open(DATA) as f:
        _, n, h, w = struct.unpack(">IIII", f.read(16))
        return np.frombuffer(f.read(), np.uint8).reshape(n, h, w)


def cohorts():
    order = np.random.RandomState(SEED).permutation(60000)
    return {name: sorted(int(i) for i in order[begin:end]) for name, (begin, end) in COHORTS.items()}


class SimCLR(nn.Module):
    """The layout and names of the published SimCLR script: `f` a Sequential of a CIFAR-stem ResNet, `g` the projector."""

    def __init__(self, width=16):
        super().__init__()
        net = resnet18()
        net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        narrow(net, 64 // width)
        self.f = nn.Sequential(*[m for m in net.children() if not isinstance(m, (nn.Linear, nn.MaxPool2d))])
        self.g = projector(512 * width // 64)

    def forward(self, x):
        return self.g(torch.flatten(self.f(x), 1))

    def encoder(self):
        return self.state_dict()


def narrow(module, by):
    """Divide every channel count of a ResNet by `by`, the three input channels excepted."""
    for name, m in list(module.named_children()):
        if isinstance(m, nn.Conv2d):
            c_in = m.in_channels if m.in_channels == 3 else m.in_channels // by
            setattr(module, name, nn.Conv2d(c_in, m.out_channels // by, m.kernel_size, m.stride, m.padding, bias=False))
            nn.init.kaiming_normal_(getattr(module, name).weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(m, nn.BatchNorm2d):
            setattr(module, name, nn.BatchNorm2d(m.num_features // by))
        else:
            narrow(m, by)


def projector(dim):
    return nn.Sequential(nn.Linear(dim, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU(inplace=True), nn.Linear(512, 128))


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        a = (q @ k.transpose(-2, -1) * (d // self.heads) ** -0.5).softmax(-1)
        return self.proj((a @ v).transpose(1, 2).reshape(b, n, d))


class Mlp(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.fc1 = nn.Linear(dim, 4 * dim)
        self.fc2 = nn.Linear(4 * dim, dim)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = Mlp(dim)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class ViT(nn.Module):
    """A small ViT under timm names; the projector sits under `head.` and is left out of the encoder file."""

    def __init__(self, dim=128, depth=4, heads=4, patch=8, side=32):
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, dim, patch, patch)
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.pos_embed = nn.Parameter(torch.randn(1, (side // patch) ** 2 + 1, dim) * 0.02)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = projector(dim)

    def forward(self, x):
        x = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x)[:, 0])

    def encoder(self):
        return {k: v for k, v in self.state_dict().items() if not k.startswith("head.")}


def nt_xent(a, b, temperature):
    """SimCLR's loss (Chen et al., 2020, eq. 1) over the 2N views."""
    z = F.normalize(torch.cat([a, b]), dim=1)
    logits = z @ z.t() / temperature
    logits.fill_diagonal_(float("-inf"))
    n = len(a)
    target = torch.cat([torch.arange(n, 2 * n), torch.arange(n)]).to(z.device)
    return F.cross_entropy(logits, target)


def save_safetensors(path, tensors):
    header, at, blobs = {}, 0, []
    for name, t in tensors.items():
        raw = t.contiguous().numpy().tobytes()
        header[name] = {"dtype": {torch.float16: "F16", torch.float32: "F32"}[t.dtype], "shape": list(t.shape),
                        "data_offsets": [at, at + len(raw)]}
        at += len(raw)
        blobs.append(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def save(model, pair, side, out):
    """Half precision: what is committed is small, and it is what sslmem reads; every score is of these rounded weights."""
    half = {k: v.half() if v.is_floating_point() else v for k, v in model.encoder().items()}
    out.mkdir(parents=True, exist_ok=True)
    if pair == "fashion-simclr":
        torch.save(half, out / f"{side}.pt")
    else:
        save_safetensors(out / f"{side}.safetensors", half)


def train(pair, side, out, epochs):
    torch.manual_seed(SEED)
    np.random.seed(SEED)
    torch.set_num_threads(1)
    cohort = cohorts()
    index = cohort["shared"] + cohort["candidate" if side == "f" else "independent"]
    data = images()
    pictures = [Image.fromarray(data[i]).convert("RGB") for i in index]
    model = SimCLR() if pair == "fashion-simclr" else ViT()
    model = model.to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(model.parameters(), lr=TRAINING[pair]["lr"], weight_decay=1e-6)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * (len(pictures) // BATCH))
    for epoch in range(1, epochs + 1):
        model.train()
        start, total = time.time(), 0.0
        for batch in torch.randperm(len(pictures)).split(BATCH):
            a, b = (torch.stack([AUGMENT(pictures[i]) for i in batch]) for _ in range(2))
            with torch.autocast("cpu", dtype=torch.bfloat16):
                both = model(torch.cat([a, b]).to(memory_format=torch.channels_last))
            loss = nt_xent(*both.float().chunk(2), TRAINING[pair]["temperature"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"{pair} {side} epoch {epoch} loss {total * BATCH / len(pictures):.4f} {time.time() - start:.1f} s", flush=True)
        if epoch % 50 == 0:
            save(model, pair, side, out)
    save(model, pair, side, out)


def export(out):
    """The externals byte for byte as export_all writes them: the pairs' references list the digests of those files."""
    data = images()
    for name, index in cohorts().items():
        folder = out / "images" / name
        folder.mkdir(parents=True, exist_ok=True)
        (out / "images" / f"{name}.txt").write_text("".join(f"{i}\n" for i in index))
        for i in index[:20]:
            Image.fromarray(data[i]).save(folder / f"{i:05d}.png", optimize=name != "external")


def export_all(out):
    """Every picture of every cohort, for scoring all 500 of each."""
    data = images()
    for name, index in cohorts().items():
        (out / name).mkdir(parents=True, exist_ok=True)
        for i in index:
            Image.fromarray(data[i]).save(out / name / f"{i:05d}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pair", choices=TRAINING)
    parser.add_argument("--side", choices="fg")
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--export", type=pathlib.Path, help="write the index lists and 20 PNGs of each cohort below this folder")
    parser.add_argument("--export-all", type=pathlib.Path, help="write every PNG of every cohort below this folder")
    args = parser.parse_args()
    if args.export:
        export(args.export)
    elif args.export_all:
        export_all(args.export_all)
    else:
        train(args.pair, args.side, args.out, args.epochs or TRAINING[args.pair]["epochs"])
