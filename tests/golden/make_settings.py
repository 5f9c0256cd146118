#!/usr/bin/python3
"""Tiny encoders whose files are the usual ones and whose numbers are not: for every fact that tensors do not tell
(core/names/facts.c) a checkpoint of each family for which the default is wrong, with PyTorch's outputs. Python 3.11.2,
PyTorch 1.13.1.

    tests/golden/make_settings.py     # writes tests/golden/settings/<case>/{case.json,model,input,expected}

case.json: "settings" are the rows that the case is for, "family" whose they are, "base" what is said in any case and
"config" what makes it right. Weights as make_convnets.py. With "pixels" the input is on [0, 1] and the reader normalises it.
"""
import json
import math
import pathlib
import shutil

import torch
import torch.nn.functional as F

from make_convnets import Weights, rows, safetensors

OUT = pathlib.Path(__file__).parent / "settings"
ACTIVATIONS = {"gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "relu": F.relu,
               "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x)}


class Layers(Weights):
    """Weights with the eps and the activation of a case."""

    def __init__(self, seed, eps, activation):
        super().__init__(seed)
        self.eps, self.act = eps, ACTIVATIONS[activation]

    def bn(self, x, name, eps=None):
        c = (x.shape[1],)
        weight, bias = self.normal(name + ".weight", c, .1, 1), self.normal(name + ".bias", c, .1)
        mean = self.normal(name + ".running_mean", c, .1)
        if name + ".running_var" not in self:
            self[name + ".running_var"] = torch.rand(*c, generator=self.g) + .5
        return F.batch_norm(x, mean, self[name + ".running_var"], weight, bias, False, 0, eps or self.eps)

    def dilated(self, x, name, c, stride, dilation):
        weight = self.normal(name + ".weight", (c, x.shape[1], 3, 3), 1 / math.sqrt(9 * x.shape[1]))
        return F.conv2d(x, weight, None, stride, dilation, dilation)


def stem_pool(x, kind):
    """torchvision's, Caffe's (pad 0, output rounded up), none."""
    return {"max": lambda: F.max_pool2d(x, 3, 2, 1), "max_ceil": lambda: F.max_pool2d(x, 3, 2, 0, ceil_mode=True),
            "none": lambda: x}[kind]()


def resnet(k=3, stride=1, pad=1, pool="none", blocks="basic", stride_at="conv2", dilate_from=9, shortcut="b",
           pooled="mean", stages=3, width=4):
    """torchvision models/resnet.py; basic blocks with dilation as timm's, option A as akamaster's or with zeros after."""

    def block(w, x, p, c, stride, first, dilation):
        if blocks == "basic":
            y = w.act(w.bn(w.dilated(x, p + "conv1", c, stride, first), p + "bn1"))
            return w.bn(w.dilated(y, p + "conv2", c, 1, dilation), p + "bn2")
        y = w.act(w.bn(w.conv(x, p + "conv1", c // 2, 1, stride if stride_at == "conv1" else 1), p + "bn1"))
        y = w.act(w.bn(w.dilated(y, p + "conv2", c // 2, stride if stride_at == "conv2" else 1, first), p + "bn2"))
        return w.bn(w.conv(y, p + "conv3", c, 1), p + "bn3")

    def around(w, x, p, c, stride):
        if stride == 1 and x.shape[1] == c:
            return x
        if shortcut == "b":
            return w.bn(w.conv(x, p + "downsample.0", c, 1, stride), p + "downsample.1")
        return F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, 0, c - x.shape[1]))

    def forward(w, x):
        x = stem_pool(w.act(w.bn(w.conv(x, "conv1", width, k, stride, pad), "bn1")), pool)
        dilation = 1
        for s in range(stages):
            first, dilated = dilation, s + 1 >= dilate_from
            dilation *= 2 if dilated else 1
            for i in range(2 if s else 1):
                p, c, step = f"layer{s + 1}.{i}.", width << s, 2 if s and not i and not dilated else 1
                x = w.act(block(w, x, p, c, step, first, dilation) + around(w, x, p, c, step))
                first = dilation
        return {"tokens": rows(x), "pooled": x.mean((2, 3)) if pooled == "mean" else x.amax((2, 3))}
    return forward


def clip_resnet(heads=1, width=8):
    """openai/CLIP clip/model.py: ModifiedResNet, AttentionPool2d."""

    def block(w, x, p, c, stride):
        y = w.act(w.bn(w.conv(x, p + "conv1", c // 4, 1), p + "bn1"))
        y = w.act(w.bn(w.conv(y, p + "conv2", c // 4, 3, 1, 1), p + "bn2"))
        return w.bn(w.conv(F.avg_pool2d(y, stride) if stride > 1 else y, p + "conv3", c, 1), p + "bn3")

    def forward(w, x):
        for i, c in ((1, width // 8), (2, width // 8), (3, width // 4)):
            x = w.act(w.bn(w.conv(x, f"conv{i}", c, 3, 2 if i == 1 else 1, 1), f"bn{i}"))
        x = F.avg_pool2d(x, 2)
        for s in range(4):
            p, stride = f"layer{s + 1}.0.", 2 if s else 1
            side = F.avg_pool2d(x, stride) if stride > 1 else x
            side = w.bn(w.conv(side, p + "downsample.0", width << s, 1), p + "downsample.1")
            x = w.act(block(w, x, p, width << s, stride) + side)
        x = rows(x)
        out = {"tokens": x}
        x = torch.cat([x.mean(1, keepdim=True), x], 1)
        n, t, c = x.shape
        x = x + w.normal("attnpool.positional_embedding", (t, c), .3)
        split = lambda y: y.reshape(n, t, heads, c // heads).transpose(1, 2)
        q, k, v = (split(w.linear(x, f"attnpool.{part}_proj", c)) for part in "qkv")
        a = torch.softmax(q[:, :, :1] @ k.transpose(2, 3) / math.sqrt(c // heads), -1) @ v
        return {**out, "pooled": w.linear(a.transpose(1, 2).reshape(n, c), "attnpool.c_proj", 10)}
    return forward


def convnext(stem_stride=4, final_norm="after_pool", width=4):
    """facebookresearch/dinov3 dinov3/models/convnext.py."""
    def forward(w, x):
        last = lambda y, name: w.norm(y.permute(0, 2, 3, 1), name, w.eps).permute(0, 3, 1, 2)
        for s in range(2):
            p, c = f"downsample_layers.{s}.", width << s
            x = w.conv(last(x, p + "0"), p + "1", c, 2, 2, bias=True) if s else \
                last(w.conv(x, p + "0", c, 4, stem_stride, bias=True), p + "1")
            p = f"stages.{s}.0."
            y = w.norm(w.conv(x, p + "dwconv", c, 7, 1, 3, c, True).permute(0, 2, 3, 1), p + "norm", w.eps)
            y = w.linear(w.act(w.linear(y, p + "pwconv1", 3 * c)), p + "pwconv2", c)
            x = x + y.permute(0, 3, 1, 2)
        x = rows(x)
        x = w.norm(torch.cat([x.mean(1, keepdim=True), x], 1), "norm", w.eps)
        return {"tokens": x, "pooled": x[:, 0] if final_norm == "after_pool" else x[:, 1:].mean(1)}
    return forward


def rope(side, dim, base):
    """facebookresearch/dinov3 layers/rope_position_encoding.py: sines and cosines [side * side, dim]."""
    periods = base ** (2 * torch.arange(dim // 4) / (dim // 2))
    at = (torch.arange(side) + .5) / side * 2 - 1
    grid = torch.stack(torch.meshgrid(at, at, indexing="ij"), -1).flatten(0, 1)
    angles = (2 * math.pi * grid[:, :, None] / periods).flatten(1, 2).tile(2)
    return torch.sin(angles), torch.cos(angles)


def rotate(x, tables, skip):
    sin, cos = tables
    half = x.shape[-1] // 2
    patches = x[:, :, skip:]
    turned = torch.cat([-patches[..., half:], patches[..., :half]], -1)
    return torch.cat([x[:, :, :skip], patches * cos + turned * sin], 2)


def fc_norm_of_cls(w, x):
    """timm's VisionTransformer with global_pool="token" and fc_norm=True."""
    return {"pooled": w.norm(vit(bare=True)(w, x)["tokens"][:, 0], "fc_norm", w.eps)}


def vit(dim=16, heads=2, patch=8, stride=8, positions="table", table=None, stem="patch", stem_eps=1e-5, order="pre", scale=None,
        pool="cls", final_norm="before_pool", bare=False, registers=0, rope_base=100):
    """timm models/vision_transformer.py; DINOv3's where there is no table; MoCo v3's convolutional stem."""

    def attention(w, x, p, side, skip):
        n, t, _ = x.shape
        qkv = w.linear(x, p + "attn.qkv", 3 * dim).reshape(n, t, 3, heads, dim // heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv
        if positions == "rope":
            tables = rope(side, dim // heads, rope_base)
            q, k = rotate(q, tables, skip), rotate(k, tables, skip)
        a = torch.softmax(q @ k.transpose(2, 3) * (scale or (dim // heads) ** -.5), -1) @ v
        return w.linear(a.transpose(1, 2).reshape(n, t, dim), p + "attn.proj", dim)

    def embed(w, x):
        if stem == "patch":
            return w.conv(x, "patch_embed.proj", dim, patch, stride, bias=True)
        for i, c in enumerate((2, 4, 8, dim)):
            x = F.relu(w.bn(w.conv(x, f"patch_embed.proj.{3 * i}", c, 3, 2, 1), f"patch_embed.proj.{3 * i + 1}", stem_eps))
        return w.conv(x, "patch_embed.proj.12", dim, 1, bias=True)

    def add_positions(w, x):
        side, known = x.shape[-1], table or x.shape[-1]
        t = w.normal("pos_embed", (1, 1 + known * known, dim), .5)
        patches = t[:, 1:].reshape(1, known, known, dim).permute(0, 3, 1, 2)
        if known != side:  # facebookresearch/mae util/pos_embed.py
            patches = F.interpolate(patches, (side, side), mode="bicubic", align_corners=False)
        return rows(x) + rows(patches), t[:, :1]

    def forward(w, x):
        x = embed(w, x)
        side, cls = x.shape[-1], w.normal("cls_token", (1, 1, dim), .5)
        x, at_cls = add_positions(w, x) if positions == "table" else (rows(x), 0)
        extra = [w.normal("reg_token", (1, registers, dim), .5)] if registers else []
        head = torch.cat([cls + at_cls] + extra, 1).expand(len(x), -1, -1)
        x, skip = torch.cat([head, x], 1), 1 + registers
        for i in range(2):
            p = f"blocks.{i}."
            attn = lambda y: attention(w, y, p, side, skip)
            mlp = lambda y: w.linear(w.act(w.linear(y, p + "mlp.fc1", 2 * dim)), p + "mlp.fc2", dim)
            for name, f in (("norm1", attn), ("norm2", mlp)):
                norm = lambda y: w.norm(y, p + name, w.eps)
                x = x + f(norm(x)) if order == "pre" else norm(x + f(x))
        norm = (lambda y: y) if bare else (lambda y: w.norm(y, "norm", w.eps))
        if pool == "cls":
            return {"tokens": norm(x), "pooled": norm(x)[:, 0]}
        return {"pooled": norm(x)[:, skip:].mean(1) if final_norm == "before_pool" else norm(x[:, skip:].mean(1))}
    return forward


SEVEN = dict(k=7, stride=2, pad=3, pool="max", stages=4)
ROPE = dict(positions="rope", registers=1)
PIXELS = {"mean": [.485, .456, .406], "std": [.229, .224, .225]}


def case(forward, family, size, config, base=None, eps=None, activation=None, settings=None, pixels=False, bgr=False,
         refused=None):
    """`size` of the input; `base` gets it as "input_px" unless that is the setting. `refused`: what is said of `base`."""
    usual = {"resnet": (1e-5, "relu"), "clip-resnet": (1e-5, "relu"), "vit": (1e-6, "gelu"), "convnext": (1e-6, "gelu")}
    base = dict(base or {})
    if "input_px" not in config and family != "clip-resnet":
        base["input_px"] = size
    if family == "vit" and "heads" not in config:
        base["heads"] = 2
    return dict(forward=forward, family=family, size=size, config=config, base=base, pixels=pixels, bgr=bgr, refused=refused,
                eps=eps or usual[family][0], activation=activation or usual[family][1], settings=settings or list(config))


def everywhere():
    """What every family has: order of channels, normalisation, eps, activation."""
    kinds = {"resnet": (resnet(), 12), "clip-resnet": (clip_resnet(), 64), "vit": (vit(), 24), "convnext": (convnext(), 24)}
    out = {}
    for family, (forward, size) in kinds.items():
        out[f"{family}-bgr"] = case(forward, family, size, {"channel_order": "bgr"}, bgr=True)
        out[f"{family}-pixels"] = case(forward, family, size, PIXELS, pixels=True)
        out[f"{family}-eps"] = case(forward, family, size, {"norm_eps": .01}, eps=.01)
        other = "gelu" if "resnet" in family else "gelu_tanh"
        out[f"{family}-activation"] = case(forward, family, size, {"activation": other}, activation=other)
    return out


CASES = {
    **everywhere(),
    "resnet-input": case(resnet(), "resnet", 20, {"input_px": 20}),
    "resnet-pool-max": case(resnet(pooled="max"), "resnet", 12, {"pool": "max"}),
    "resnet-3x3-pool": case(resnet(pool="max"), "resnet", 16, {"stem_pool": "max"}),
    "resnet-7x7-no-pool": case(resnet(**{**SEVEN, "pool": "none"}), "resnet", 32, {"stem_pool": "none"}),
    "resnet-7x7-pool-ceil": case(resnet(**{**SEVEN, "pool": "max_ceil"}), "resnet", 48, {"stem_pool": "max_ceil"}),
    "resnet-3x3-stride": case(resnet(stride=2), "resnet", 24, {"stem_stride": 2}),
    "resnet-7x7-stride": case(resnet(**{**SEVEN, "stride": 1}), "resnet", 24, {"stem_stride": 1}),
    "resnet-3x3-pad": case(resnet(pad=2), "resnet", 12, {"stem_pad": 2}),
    "resnet-stride-at": case(resnet(blocks="bottleneck", stride_at="conv1"), "resnet", 12, {"stride_at": "conv1"}),
    "resnet-dilated": case(resnet(blocks="bottleneck", dilate_from=3, **SEVEN), "resnet", 64, {"dilate_from": "layer3"}),
    "resnet-dilated-basic": case(resnet(dilate_from=3), "resnet", 16, {"dilate_from": "layer3"}),
    "resnet-option-a-after": case(resnet(shortcut="a"), "resnet", 12, {"shortcut_pad": "after"}),
    "clip-resnet-heads": case(clip_resnet(heads=4), "clip-resnet", 64, {"heads": 4}),
    "vit-input": case(vit(**ROPE), "vit", 24, {"input_px": 24}, eps=1e-5),
    "vit-heads": case(vit(dim=64, heads=4), "vit", 16, {"heads": 4}),
    "vit-stem-eps": case(vit(stem="conv", stem_eps=.01), "vit", 32, {"stem_norm_eps": .01}),
    "vit-activation-relu": case(vit(), "vit", 24, {"activation": "relu"}, activation="relu"),
    "vit-activation-quick": case(vit(), "vit", 24, {"activation": "quick_gelu"}, activation="quick_gelu"),
    "vit-pool-mean": case(vit(pool="mean"), "vit", 24, {"pool": "mean"}),
    "vit-final-norm": case(vit(pool="mean", final_norm="after_pool"), "vit", 24, {"final_norm": "after_pool"},
                           {"pool": "mean"}),
    "vit-post-norm": case(vit(order="post"), "vit", 24, {"norm_order": "post"}),
    "vit-post-norm-bare": case(vit(order="post", bare=True), "vit", 24, {"norm_order": "post"},
                               refused="tensor norm.weight is missing, expected with shape [16]"),
    "vit-scale": case(vit(scale=.25), "vit", 24, {"attn_scale": .25}),
    "vit-scale-rope": case(vit(scale=.25, **ROPE), "vit", 24, {"attn_scale": .25}, eps=1e-5),
    "vit-resize": case(vit(registers=1, table=4), "vit", 24, {"pos_resize": "plain"}),
    "vit-rope-base": case(vit(rope_base=10, **ROPE), "vit", 24, {"rope_base": 10}, eps=1e-5),
    "vit-patch-stride": case(vit(stride=4, **ROPE), "vit", 24, {"patch_stride": 4}, eps=1e-5),
    "convnext-input": case(convnext(), "convnext", 24, {"input_px": 24}),
    "convnext-stem-stride": case(convnext(stem_stride=2), "convnext", 24, {"stem_stride": 2}),
    "convnext-final-norm": case(convnext(final_norm="before_pool"), "convnext", 24, {"final_norm": "before_pool"}),
    "vit-pool-fc-norm": case(fc_norm_of_cls, "vit", 24, {"pool": "cls"}),
}


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    for seed, (name, c) in enumerate(CASES.items()):
        w = Layers(1000 + seed, c["eps"], c["activation"])
        shape, g = (1, 3, c["size"], c["size"]), torch.Generator().manual_seed(seed)
        x = torch.rand(*shape, generator=g) if c["pixels"] else torch.randn(*shape, generator=g)
        seen = x
        if c["pixels"]:
            seen = (x - torch.tensor(PIXELS["mean"])[:, None, None]) / torch.tensor(PIXELS["std"])[:, None, None]
        out = c["forward"](w, seen.flip(1) if c["bgr"] else seen)
        folder = OUT / name
        folder.mkdir(parents=True)
        safetensors(folder / "model.safetensors", w)
        safetensors(folder / "input.safetensors", {"x": x})
        safetensors(folder / "expected.safetensors", {tap: rows(t) for tap, t in out.items()})
        (folder / "case.json").write_text(json.dumps({k: c[k] for k in ("settings", "family", "base", "config", "pixels", "refused")},
                                                     indent=1) + "\n")


if __name__ == "__main__":
    main()
