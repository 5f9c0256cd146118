#!/usr/bin/python3
"""Tiny convolutional encoders of tests/unit/core/nn/test_convnets.c, of kinds that tests/golden/encoders lacks, with the
outputs of PyTorch. Python 3.11.2, PyTorch 1.13.1.

    tests/golden/make_convnets.py     # writes tests/golden/convnets/<case>/{model,input,expected}.safetensors

The forward passes are written here after the published code that each names, on a dictionary of tensors.
Weights are random: norms around 1, biases and running means sd 0.1, running variances 0.5 to 1.5, matrices sd
1/sqrt(fan-in).
Outputs are [image, position, channel], under the names of our taps.
"""
import json
import math
import pathlib
import shutil
import struct

import torch
import torch.nn.functional as F

OUT = pathlib.Path(__file__).parent / "convnets"
IMAGES = 2


def safetensors(path, tensors):
    header, blobs, at = {}, [], 0
    for name, t in tensors.items():
        raw = t.contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [at, at + len(raw)]}
        blobs.append(raw)
        at += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


class Weights(dict):
    """Tensors that come into being when they are first asked for."""

    def __init__(self, seed):
        super().__init__()
        self.g = torch.Generator().manual_seed(seed)

    def normal(self, name, shape, sd, mean=0.0):
        if name not in self:
            self[name] = torch.randn(*shape, generator=self.g) * sd + mean
        assert self[name].shape == torch.Size(shape)
        return self[name]

    def conv(self, x, name, c, k, stride=1, pad=0, groups=1, bias=False):
        c_in = x.shape[1] // groups
        weight = self.normal(name + ".weight", (c, c_in, k, k), 1 / math.sqrt(c_in * k * k))
        return F.conv2d(x, weight, self.normal(name + ".bias", (c,), .1) if bias else None, stride, pad, 1, groups)

    def bn(self, x, name):
        c = (x.shape[1],)
        weight, bias = self.normal(name + ".weight", c, .1, 1), self.normal(name + ".bias", c, .1)
        mean = self.normal(name + ".running_mean", c, .1)
        if name + ".running_var" not in self:
            self[name + ".running_var"] = torch.rand(*c, generator=self.g) + .5
        return F.batch_norm(x, mean, self[name + ".running_var"], weight, bias, False, 0, 1e-5)

    def linear(self, x, name, c):
        weight = self.normal(name + ".weight", (c, x.shape[-1]), 1 / math.sqrt(x.shape[-1]))
        return F.linear(x, weight, self.normal(name + ".bias", (c,), .1))

    def norm(self, x, name, eps):
        c = (x.shape[-1],)
        return F.layer_norm(x, c, self.normal(name + ".weight", c, .1, 1), self.normal(name + ".bias", c, .1), eps)


def rows(x):
    return x.flatten(2).transpose(1, 2) if x.dim() == 4 else x[:, None] if x.dim() == 2 else x


def basic(w, x, p, c, stride):
    y = F.relu(w.bn(w.conv(x, p + "conv1", c, 3, stride, 1), p + "bn1"))
    return w.bn(w.conv(y, p + "conv2", c, 3, 1, 1), p + "bn2")


def bottleneck(strided, groups=1):
    def block(w, x, p, c, stride):
        inner = c // 2
        y = F.relu(w.bn(w.conv(x, p + "conv1", inner, 1, stride if strided == 1 else 1), p + "bn1"))
        y = F.relu(w.bn(w.conv(y, p + "conv2", inner, 3, stride if strided == 2 else 1, 1, groups), p + "bn2"))
        return w.bn(w.conv(y, p + "conv3", c, 1), p + "bn3")
    return block


def clip_block(w, x, p, c, stride):
    y = F.relu(w.bn(w.conv(x, p + "conv1", c // 4, 1), p + "bn1"))
    y = F.relu(w.bn(w.conv(y, p + "conv2", c // 4, 3, 1, 1), p + "bn2"))
    return w.bn(w.conv(F.avg_pool2d(y, stride) if stride > 1 else y, p + "conv3", c, 1), p + "bn3")


def option_a(w, x, p, c, stride):
    """akamaster/pytorch_resnet_cifar10 resnet.py: LambdaLayer."""
    side = (c - x.shape[1]) // 2
    return F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, side, side))


def option_b(name):
    return lambda w, x, p, c, stride: w.bn(w.conv(x, p + name + ".0", c, 1, stride), p + name + ".1")


def clip_shortcut(w, x, p, c, stride):
    return option_b("downsample")(w, F.avg_pool2d(x, stride) if stride > 1 else x, p, c, 1)


def stages(w, x, out, block, shortcut, counts, width):
    n = 0
    for s, count in enumerate(counts):
        for i in range(count):
            p, c, stride = f"layer{s + 1}.{i}.", width << s, 2 if s and not i else 1
            side = x if stride == 1 and x.shape[1] == c else shortcut(w, x, p, c, stride)
            x = F.relu(block(w, x, p, c, stride) + side)
            out[f"block.{n}"] = x
            n += 1
        out[f"stage.{s}"] = x
    out["tokens"], out["mean"] = x, x.mean((2, 3))
    return x


def resnet(block, shortcut, counts, width, stem=3, pad=1):
    def forward(w, x, out):
        if stem == 7:
            x = F.max_pool2d(F.relu(w.bn(w.conv(x, "conv1", width // 2, 7, 2, 3), "bn1")), 3, 2, 1)
        else:
            x = F.relu(w.bn(w.conv(x, "conv1", width if shortcut is option_a else width // 2, 3, 1, pad), "bn1"))
        stages(w, x, out, block, shortcut, counts, width)
        out["pooled"] = out["mean"]
    return forward


def clip(counts, width, heads):
    """openai/CLIP clip/model.py: ModifiedResNet, AttentionPool2d."""
    def forward(w, x, out):
        for i, c in ((1, width // 8), (2, width // 8), (3, width // 4)):
            x = F.relu(w.bn(w.conv(x, f"conv{i}", c, 3, 2 if i == 1 else 1, 1), f"bn{i}"))
        x = rows(stages(w, F.avg_pool2d(x, 2), out, clip_block, clip_shortcut, counts, width))
        x = torch.cat([x.mean(1, keepdim=True), x], 1)
        n, t, c = x.shape
        x = x + w.normal("attnpool.positional_embedding", (t, c), .3)
        split = lambda y: y.reshape(n, t, heads, c // heads).transpose(1, 2)
        q, k, v = (split(w.linear(x, f"attnpool.{part}_proj", c)) for part in "qkv")
        a = torch.softmax(q[:, :, :1] @ k.transpose(2, 3) / math.sqrt(c // heads), -1) @ v
        out["pooled"] = w.linear(a.transpose(1, 2).reshape(n, c), "attnpool.c_proj", 10)
    return forward


def convnext(depths, width, eps, gamma):
    """facebookresearch/dinov3 dinov3/models/convnext.py."""
    def forward(w, x, out):
        last = lambda y, name: w.norm(y.permute(0, 2, 3, 1), name, eps).permute(0, 3, 1, 2)
        n = 0
        for s, depth in enumerate(depths):
            p, c = f"downsample_layers.{s}.", width << s
            x = w.conv(last(x, p + "0"), p + "1", c, 2, 2, bias=True) if s else \
                last(w.conv(x, p + "0", c, 4, 4, bias=True), p + "1")
            for i in range(depth):
                p = f"stages.{s}.{i}."
                y = w.norm(w.conv(x, p + "dwconv", c, 7, 1, 3, c, True).permute(0, 2, 3, 1), p + "norm", eps)
                y = w.linear(F.gelu(w.linear(y, p + "pwconv1", 3 * c)), p + "pwconv2", c)
                y = y * w.normal(p + "gamma", (c,), .1, .6) if gamma else y
                x = x + y.permute(0, 3, 1, 2)
                out[f"block.{n}"] = x
                n += 1
            out[f"stage.{s}"] = x
        x = rows(x)
        x = w.norm(torch.cat([x.mean(1, keepdim=True), x], 1), "norm", eps)
        out["tokens"], out["cls"], out["mean"], out["pooled"] = x, x[:, 0], x[:, 1:].mean(1), x[:, 0]
    return forward


# name: forward, input size. Odd and rectangular on purpose.
CASES = {
    "option-a": (resnet(basic, option_a, [3, 3, 3], 4), (19, 15)),
    "option-b": (resnet(basic, option_b("shortcut"), [1, 2, 1, 1], 4), (17, 16)),
    "stride-v1": (resnet(bottleneck(1), option_b("downsample"), [1, 2, 1, 1], 4, stem=7), (45, 52)),
    "stride-v15": (resnet(bottleneck(2), option_b("downsample"), [1, 2, 1, 1], 4, stem=7), (45, 52)),
    "groups": (resnet(bottleneck(2, 4), option_b("downsample"), [1, 1, 1], 16, pad=2), (9, 11)),
    "clip": (clip([1, 1, 1, 2], 8, 1), (96, 96)),
    "convnext": (convnext([1, 2, 1, 1], 4, 1e-6, True), (75, 38)),
    "convnext-plain": (convnext([1, 1], 5, 1e-3, False), (23, 33)),
}


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    for seed, (name, (forward, size)) in enumerate(CASES.items()):
        w, out = Weights(seed), {}
        x = torch.randn(IMAGES, 3, *size, generator=torch.Generator().manual_seed(100 + seed))
        forward(w, x, out)
        folder = OUT / name
        folder.mkdir(parents=True)
        safetensors(folder / "model.safetensors", w)
        safetensors(folder / "input.safetensors", {"x": x})
        safetensors(folder / "expected.safetensors", {tap: rows(t) for tap, t in out.items()})


if __name__ == "__main__":
    main()
