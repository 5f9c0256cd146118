#!/usr/bin/python3
"""Tiny encoders for tests/unit/core/nn, with the outputs that PyTorch gives for them.

    tests/golden/make_nn.py           # writes tests/golden/nn/<case>/

Made with Python 3.11.2, PyTorch 1.13.1, torchvision 0.14.1. ResNets are torchvision's own class with the base width
changed; the ViTs are written below after timm 0.4.12 models/vision_transformer.py and, for the published MAE script, after
models/MAE/model.py of sprintml/MemorizationSSL; tests/golden/encoders holds cases made with that code itself.

Weights are random: LayerNorm and BatchNorm weights around 1, biases and running means sd 0.1, running variances 0.5 to 1.5,
patch embedding, positions and tokens sd 0.02 (so that the LayerNorm eps matters), matrices sd 1/sqrt(fan-in).

A case has the files of tests/golden/encoders: checkpoint, case.json (the part that the test reads), input.safetensors (x)
and expected.safetensors (outputs, image first; maps as [image, position, channel]).
"""
import json
import math
import pathlib
import shutil
import struct
import sys
import types

import numpy
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

OUT = pathlib.Path(__file__).parent / "nn"
IMAGES = 2
TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def safetensors(path, tensors):
    """The format by hand: length of the header, header, bytes; Debian has no package of the library."""
    header, blobs, at = {}, [], 0
    for name, t in tensors.items():
        raw = t.detach().contiguous()
        raw = (raw.view(torch.int16) if t.dtype == torch.bfloat16 else raw).numpy().tobytes()
        header[name] = {"dtype": TYPES[t.dtype], "shape": list(t.shape), "data_offsets": [at, at + len(raw)]}
        blobs.append(raw)
        at += len(raw)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(blobs))


def randomise(module, seed):
    g = torch.Generator().manual_seed(seed)

    def normal(t, sd, mean=0.0):
        t.copy_(torch.randn(t.shape, generator=g) * sd + mean)

    with torch.no_grad():
        for name, t in list(module.named_parameters()) + list(module.named_buffers()):
            last = name.split(".")[-1]
            if last == "num_batches_tracked":
                continue
            if last == "running_var":
                t.copy_(torch.rand(t.shape, generator=g) + 0.5)
            elif last in ("bias", "running_mean"):
                normal(t, 0.1)
            elif t.dim() == 1:
                normal(t, 0.3, 1.0)
            elif "pos_emb" in name or "token" in name or "patch" in name:
                normal(t, 0.02)
            else:
                normal(t, 1 / math.sqrt(t[0].numel()))
    return module.eval()


class Attention(nn.Module):
    def __init__(self, dim, heads, qkv_bias):
        super().__init__()
        self.num_heads = heads
        self.qkv = nn.Linear(dim, 3 * dim, bias=qkv_bias)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.num_heads, c // self.num_heads).permute(2, 0, 3, 1, 4)
        attn = (q @ k.transpose(-2, -1)) * (c // self.num_heads) ** -0.5
        return self.proj((attn.softmax(dim=-1) @ v).transpose(1, 2).reshape(b, n, c))


class Mlp(nn.Module):
    def __init__(self, dim, hidden):
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, dim, heads, hidden, qkv_bias, eps):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=eps)
        self.attn = Attention(dim, heads, qkv_bias)
        self.norm2 = nn.LayerNorm(dim, eps=eps)
        self.mlp = Mlp(dim, hidden)

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


def vit_outputs(tokens, blocks, norm):
    out = {}
    for i, block in enumerate(blocks):
        attn = block.attn(block.norm1(tokens))
        mlp = block.mlp(block.norm2(tokens + attn))
        out.update({f"block.{i}.attn": attn, f"block.{i}.attn.residual": tokens + attn,
                    f"block.{i}.mlp": mlp, f"block.{i}.mlp.residual": tokens + attn + mlp})
        tokens = block(tokens)
        out[f"block.{i}"] = tokens
    tokens = norm(tokens)
    out.update(tokens=tokens, cls=tokens[:, 0], pooled=tokens[:, 0], mean=tokens[:, 1:].mean(1))
    return out


class ViT(nn.Module):
    def __init__(self, side=24, patch=8, dim=32, depth=2, heads=4, hidden=None, eps=1e-6):
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, dim, patch, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, (side // patch) ** 2 + 1, dim))
        self.blocks = nn.ModuleList(Block(dim, heads, hidden or 4 * dim, True, eps) for _ in range(depth))
        self.norm = nn.LayerNorm(dim, eps=eps)

    def outputs(self, x):
        x = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        return vit_outputs(x, self.blocks, self.norm)


class MAE_Encoder(nn.Module):
    """No masking: every patch in raster order. Positions have no row for CLS; no qkv bias; LayerNorm's default eps."""

    def __init__(self, side, patch, dim, depth, heads):
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embedding = nn.Parameter(torch.zeros((side // patch) ** 2, 1, dim))
        self.patchify = nn.Conv2d(3, dim, patch, patch)
        self.transformer = nn.Sequential(*[Block(dim, heads, 4 * dim, False, 1e-5) for _ in range(depth)])
        self.layer_norm = nn.LayerNorm(dim)

    def outputs(self, x):
        x = self.patchify(x).flatten(2).transpose(1, 2) + self.pos_embedding.transpose(0, 1)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1)
        return vit_outputs(x, self.transformer, self.layer_norm)


class MAE_Decoder(nn.Module):
    def __init__(self, side, patch, dim, heads):
        super().__init__()
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embedding = nn.Parameter(torch.zeros((side // patch) ** 2 + 1, 1, dim))
        self.transformer = nn.Sequential(Block(dim, heads, 4 * dim, False, 1e-5))
        self.head = nn.Linear(dim, 3 * patch * patch)


class MAE_ViT(nn.Module):
    def __init__(self, side, patch, dim, depth, heads):
        super().__init__()
        self.encoder = MAE_Encoder(side, patch, dim, depth, heads)
        self.decoder = MAE_Decoder(side, patch, dim, heads)


def narrow_resnet(block, layers, width, cifar):
    """torchvision's ResNet with base width `width` in place of 64, and the CIFAR stem when asked for."""

    class Narrow(ResNet):
        def _make_layer(self, kind, planes, blocks, stride=1, dilate=False):
            if planes == 64:
                self.inplanes = width
            return super()._make_layer(kind, planes * width // 64, blocks, stride, dilate)

    net = Narrow(block, layers)
    net.conv1 = nn.Conv2d(3, width, 3, 1, 1, bias=False) if cifar else nn.Conv2d(3, width, 7, 2, 3, bias=False)
    net.bn1 = nn.BatchNorm2d(width)
    net.fc = nn.Linear(8 * width * block.expansion, 5)
    if cifar:
        net.maxpool = nn.Identity()
    return net


def resnet_outputs(net, x):
    out, n = {}, 0
    x = net.maxpool(F.relu(net.bn1(net.conv1(x))))
    rows = lambda t: t.flatten(2).transpose(1, 2)
    for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
        for block in layer:
            x = block(x)
            out[f"block.{n}"] = rows(x)
            n += 1
    pooled = torch.flatten(net.avgpool(x), 1)
    out.update(tokens=rows(x), mean=pooled, pooled=pooled)
    return out


def case(name, seed, file, save, side, outputs, checkpoint=None, encoder=None, expected=None):
    """`encoder`: what tensors do not tell. `expected`: names to keep; the rest is left out for size."""
    folder = OUT / name
    folder.mkdir(parents=True)
    x = torch.randn(IMAGES, 3, side, side, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        out = {k: v.contiguous() for k, v in outputs(x).items() if not expected or k in expected}
    save(folder / file)
    safetensors(folder / "input.safetensors", {"x": x})
    safetensors(folder / "expected.safetensors", out)
    config = {"case": name,
              "checkpoint": {"file": file, "wrapper_key": None, "prefix": "", **(checkpoint or {})}}
    (folder / "case.json").write_text(json.dumps(config, indent=1) + "\n")
    if encoder:
        (folder / "encoder.json").write_text(json.dumps(encoder) + "\n")


def resnets():
    ends = {"block.0", "tokens", "mean", "pooled"}

    def plain(name, seed, kind, layers, width, cifar, side, keep=None):
        net = randomise(narrow_resnet(kind, layers, width, cifar), seed)
        case(name, seed, "model.safetensors",
             lambda p: safetensors(p, {k: v for k, v in net.state_dict().items() if "num_batches" not in k}), side,
             lambda x: resnet_outputs(net, x), expected=keep)

    plain("resnet18-narrow", 1, BasicBlock, [2, 2, 2, 2], 3, False, 40)
    plain("resnet34-narrow", 2, BasicBlock, [3, 4, 6, 3], 2, False, 33, ends)
    plain("resnet101-narrow", 3, Bottleneck, [3, 4, 23, 3], 1, True, 12, ends)
    plain("resnet50-narrow", 4, Bottleneck, [3, 4, 6, 3], 2, False, 33, ends)

    net = randomise(narrow_resnet(BasicBlock, [2, 2, 2, 2], 3, True), 5)
    f = nn.Sequential(*[m for m in net.children() if not isinstance(m, (nn.Linear, nn.Identity))])
    state = {f"f.{k}": v for k, v in f.state_dict().items()}
    state.update({"g.0.weight": torch.zeros(6, 24), "f.3.0.total_ops": torch.zeros(1, dtype=torch.float64)})
    case("simclr-resnet18", 5, "model.pth", lambda p: torch.save(state, p), 16, lambda x: resnet_outputs(net, x),
         {"prefix": "f."})


def vits():
    vit = randomise(ViT(), 11)
    head = {"head.weight": torch.zeros(5, 32), "head.bias": torch.zeros(5)}
    case("timm-vit-tiny", 11, "model.safetensors", lambda p: safetensors(p, {**vit.state_dict(), **head}), 24, vit.outputs,
         encoder={"heads": 4})

    wide = randomise(ViT(side=16, patch=8, dim=64, depth=1, heads=1, hidden=40), 12)  # heads can be inferred
    case("timm-vit-64", 12, "model.safetensors", lambda p: safetensors(p, wide.state_dict()), 16, wide.outputs)

    mae = randomise(ViT(dim=16, heads=2), 13)
    state = {**mae.state_dict(), "mask_token": torch.zeros(1, 1, 12), "decoder_pos_embed": torch.zeros(1, 10, 12),
             "decoder_embed.weight": torch.zeros(12, 16), "decoder_blocks.0.norm1.weight": torch.ones(12),
             "decoder_norm.weight": torch.ones(12), "decoder_pred.weight": torch.zeros(192, 12)}
    case("mae-wrapped", 13, "checkpoint.pth",
         lambda p: torch.save({"model": state, "epoch": 3, "optimizer": {"state": {}, "param_groups": []}}, p), 24,
         mae.outputs, {"wrapper_key": "model"}, {"heads": 2})

    student, teacher = randomise(ViT(dim=16, heads=2), 14), randomise(ViT(dim=16, heads=2), 15)
    both = {"student": {f"module.backbone.{k}": v for k, v in student.state_dict().items()},
            "teacher": {f"backbone.{k}": v for k, v in teacher.state_dict().items()}, "epoch": 7}
    both["teacher"]["head.mlp.0.weight"] = torch.zeros(4, 16)
    case("dino-both", 14, "checkpoint.pth", lambda p: torch.save(both, p), 24, teacher.outputs,
         {"wrapper_key": "teacher", "prefix": "backbone."}, {"key": "teacher", "heads": 2})


def torchvision_vit():
    vit = randomise(torchvision.models.VisionTransformer(24, 8, 2, 2, 16, 40), 16)

    def outputs(x):
        x = vit._process_input(x)
        x = torch.cat([vit.class_token.expand(len(x), -1, -1), x], 1) + vit.encoder.pos_embedding
        out = {}
        for i, layer in enumerate(vit.encoder.layers):
            x = layer(x)
            out[f"block.{i}"] = x
        x = vit.encoder.ln(x)
        return {**out, "tokens": x, "cls": x[:, 0], "pooled": x[:, 0], "mean": x[:, 1:].mean(1)}

    case("torchvision-vit", 16, "model.pth", lambda p: torch.save(vit.state_dict(), p), 24, outputs,
         encoder={"heads": 2})


def read_safetensors(path):
    raw = path.read_bytes()
    size = struct.unpack("<Q", raw[:8])[0]
    out = {}
    for name, t in json.loads(raw[8 : 8 + size]).items():
        if name != "__metadata__":
            begin, end = (8 + size + o for o in t["data_offsets"])
            out[name] = torch.frombuffer(bytearray(raw[begin:end]), dtype=torch.float32).reshape(t["shape"])
    return out


def renamed(name, source, file, save, encoder):
    """A case of tests/golden/encoders under the names and in the file of another program: same input, same outputs."""
    folder, source = OUT / name, OUT.parent / "encoders" / source
    folder.mkdir(parents=True)
    config = json.loads((source / "case.json").read_text())
    path = source / config["checkpoint"]["file"]
    save(folder / file, read_safetensors(path) if path.suffix == ".safetensors" else torch.load(path))
    for kept in ("input.safetensors", "expected.safetensors"):
        shutil.copyfile(source / kept, folder / kept)
    prefix = "params/img/" if file.endswith(".npz") else ""
    (folder / "case.json").write_text(json.dumps(
        {"case": name, "model": config["model"], "checkpoint": {"file": file, "wrapper_key": None, "prefix": prefix}},
        indent=1) + "\n")
    (folder / "encoder.json").write_text(json.dumps(encoder) + "\n")


def hf_dinov3(path, state):
    """Names of transformers modeling_dinov3_vit.py; k has no bias, RoPE is not stored."""
    names = {"cls_token": "embeddings.cls_token", "storage_tokens": "embeddings.register_tokens",
             "mask_token": "embeddings.mask_token", "patch_embed.proj.weight": "embeddings.patch_embeddings.weight",
             "patch_embed.proj.bias": "embeddings.patch_embeddings.bias"}
    parts = {"attn.proj": "attention.o_proj", "ls1.gamma": "layer_scale1.lambda1", "ls2.gamma": "layer_scale2.lambda1",
             "mlp.w1": "mlp.gate_proj", "mlp.w2": "mlp.up_proj", "mlp.w3": "mlp.down_proj"}
    out = {}
    for name, t in state.items():
        name = names.get(name, name).replace("blocks.", "layer.")
        for ours, theirs in parts.items():
            name = name.replace(ours, theirs)
        if "attn.qkv." in name and not name.endswith("mask"):
            for letter, part in zip("qkv", t.chunk(3)):
                if letter != "k" or name.endswith("weight"):
                    out[name.replace("attn.qkv", f"attention.{letter}_proj")] = part.contiguous()
        elif "bias_mask" not in name and "rope" not in name:
            out[name] = t
    safetensors(path, out)


def big_vision(path, state, stacked=False):
    """Names and layouts of google-research/big_vision: kernels are [in, out], with heads as a dimension of their own.
    `stacked`: as models with scan=True have it, all blocks in one tensor."""
    heads, dim = 2, state["norm.weight"].numel()
    out = {}

    def dense(ours, theirs):
        out[f"{theirs}/kernel"] = state[f"{ours}.weight"].T
        out[f"{theirs}/bias"] = state[f"{ours}.bias"]

    def norm(ours, theirs):
        out[f"{theirs}/scale"] = state[f"{ours}.weight"]
        out[f"{theirs}/bias"] = state[f"{ours}.bias"]

    def attention(qkv, proj, theirs):
        for part, (w, b) in zip(("query", "key", "value"), qkv):
            out[f"{theirs}/{part}/kernel"] = w.T.reshape(dim, heads, dim // heads)
            out[f"{theirs}/{part}/bias"] = b.reshape(heads, dim // heads)
        out[f"{theirs}/out/kernel"] = state[f"{proj}.weight"].T.reshape(heads, dim // heads, dim)
        out[f"{theirs}/out/bias"] = state[f"{proj}.bias"]

    def chunks(name, n):
        return list(zip(state[f"{name}.weight"].chunk(n), state[f"{name}.bias"].chunk(n)))

    out["embedding/kernel"] = state["patch_embed.proj.weight"].permute(2, 3, 1, 0)
    out["embedding/bias"] = state["patch_embed.proj.bias"]
    out["pos_embedding"] = state["pos_embed"]
    for i in range(2):
        block = f"Transformer/encoderblock_{i}"
        norm(f"blocks.{i}.norm1", f"{block}/LayerNorm_0")
        attention(chunks(f"blocks.{i}.attn.qkv", 3), f"blocks.{i}.attn.proj", f"{block}/MultiHeadDotProductAttention_0")
        norm(f"blocks.{i}.norm2", f"{block}/LayerNorm_1")
        dense(f"blocks.{i}.mlp.fc1", f"{block}/MlpBlock_0/Dense_0")
        dense(f"blocks.{i}.mlp.fc2", f"{block}/MlpBlock_0/Dense_1")
    norm("norm", "Transformer/encoder_norm")
    out["MAPHead_0/probe"] = state["attn_pool.latent"]
    attention(chunks("attn_pool.q", 1) + chunks("attn_pool.kv", 2), "attn_pool.proj",
              "MAPHead_0/MultiHeadDotProductAttention_0")
    norm("attn_pool.norm", "MAPHead_0/LayerNorm_0")
    dense("attn_pool.mlp.fc1", "MAPHead_0/MlpBlock_0/Dense_0")
    dense("attn_pool.mlp.fc2", "MAPHead_0/MlpBlock_0/Dense_1")
    if stacked:
        names = [k for k in out if "encoderblock_0" in k]
        for name in names:
            out[name.replace("_0", "", 1)] = torch.stack([out.pop(name.replace("_0", f"_{i}", 1)) for i in range(2)])
    arrays = {f"params/img/{k}": v.contiguous().numpy() for k, v in out.items()}
    arrays["params/txt/head/bias"] = numpy.zeros(3, numpy.float32)
    numpy.savez(path, **arrays)


def published_mae():
    """Whole pickled modules under the module names of the published script and of the timm it used."""
    homes = {"model": [MAE_Encoder, MAE_Decoder, MAE_ViT], "timm.models.vision_transformer": [Attention, Block],
             "timm.models.layers.mlp": [Mlp]}
    for parent in ("timm", "timm.models", "timm.models.layers"):
        sys.modules.setdefault(parent, types.ModuleType(parent))
    for home, classes in homes.items():
        module = sys.modules.setdefault(home, types.ModuleType(home))
        for c in classes:
            c.__module__ = home
            setattr(module, c.__name__, c)
    for name, dtype in (("memssl-mae-f16", torch.float16),
                        ("memssl-mae-bf16", torch.bfloat16)):
        stored = randomise(MAE_ViT(16, 4, 24, 2, 3), 21).to(dtype)
        exact = MAE_ViT(16, 4, 24, 2, 3)
        exact.load_state_dict({k: v.float() for k, v in stored.state_dict().items()})
        case(name, 21, "canary_MAE.pt", lambda p, m=stored: torch.save(m, p), 16, exact.eval().encoder.outputs,
             {"prefix": "encoder."}, {"heads": 3})


if __name__ == "__main__":
    assert torch.__version__.startswith("1.13") and torchvision.__version__.startswith("0.14")
    torch.set_num_threads(1)
    shutil.rmtree(OUT, ignore_errors=True)
    resnets()
    vits()
    torchvision_vit()
    renamed("hf-dinov3", "dinov3-plus", "model.safetensors", hf_dinov3, {"heads": 3})
    renamed("big-vision", "timm-siglip-tanh", "checkpoint.npz", big_vision, {"heads": 2})
    renamed("big-vision-scan", "timm-siglip-tanh", "checkpoint.npz", lambda p, s: big_vision(p, s, True), {"heads": 2})
    published_mae()
