#!/usr/bin/python3
"""The networks that are timed, with random weights: each one a pair folder that the service and the library open.

    tests/bench/networks.py build/bench [NAME...]

writes build/bench/pairs/NAME/NAME/ with f.safetensors and g.safetensors, encoder.json, pair.json, x.safetensors (ten
views, standard normal) and image.png. What is there is left as it is; seeds are fixed, so that it could only be equal.
Weights are drawn so that activations keep their size through the network, as they do in a trained one."""

import json
import pathlib
import struct
import sys
import zlib

import numpy

VIEWS = 10

NETWORKS = {
    "resnet18-32": dict(side=32, layers=(2, 2, 2, 2), bottleneck=False, title="ResNet-18 CIFAR stem"),
    "resnet50-32": dict(side=32, layers=(3, 4, 6, 3), bottleneck=True, title="ResNet-50 CIFAR stem"),
    "resnet50-224": dict(side=224, layers=(3, 4, 6, 3), bottleneck=True, title="ResNet-50 at 224"),
    "vit-tiny2-32": dict(side=32, patch=2, dim=192, depth=12, heads=3, title="ViT-tiny/2 at 32"),
    "vit-s16-224": dict(side=224, patch=16, dim=384, depth=12, heads=6, title="ViT-S/16 at 224"),
    "vit-b16-224": dict(side=224, patch=16, dim=768, depth=12, heads=12, title="ViT-B/16 at 224"),
}

# Small ones for `make bench-check`, which counts: every kind of layer that matters, channels as above.
SMALL = {
    "resnet-small": dict(side=32, layers=(1, 1, 1, 1), bottleneck=True, width=32),
    "vit-small": dict(side=32, patch=4, dim=192, depth=2, heads=3),
}


def is_vit(network):
    return "patch" in network


def resnet_shapes(network):
    """Names and shapes of torchvision's ResNet without its classifier."""
    stem = 3 if network["side"] == 32 else 7
    first = network.get("width", 64)
    shapes = {}

    def conv_bn(conv, bn, c_out, c_in, k):
        shapes[f"{conv}.weight"] = (c_out, c_in, k, k)
        for last in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{bn}.{last}"] = (c_out,)

    conv_bn("conv1", "bn1", first, 3, stem)
    c_in = first
    for stage, blocks in enumerate(network["layers"]):
        width = first << stage
        c_out = 4 * width if network["bottleneck"] else width
        kernels = (1, 3, 1) if network["bottleneck"] else (3, 3)
        for block in range(blocks):
            at = f"layer{stage + 1}.{block}"
            c = c_in
            for i, k in enumerate(kernels):
                out = c_out if i == len(kernels) - 1 else width
                conv_bn(f"{at}.conv{i + 1}", f"{at}.bn{i + 1}", out, c, k)
                c = out
            if block == 0 and (stage > 0 or c_in != c_out):
                conv_bn(f"{at}.downsample.0", f"{at}.downsample.1", c_out, c_in, 1)
            c_in = c_out
    return shapes


def vit_shapes(network):
    """Names and shapes of timm's ViT without its classifier."""
    dim, patch = network["dim"], network["patch"]
    shapes = {"cls_token": (1, 1, dim), "pos_embed": (1, (network["side"] // patch) ** 2 + 1, dim),
              "patch_embed.proj.weight": (dim, 3, patch, patch), "patch_embed.proj.bias": (dim,)}
    for block in range(network["depth"]):
        for name, shape in (("norm1", (dim,)), ("attn.qkv", (3 * dim, dim)), ("attn.proj", (dim, dim)),
                            ("norm2", (dim,)), ("mlp.fc1", (4 * dim, dim)), ("mlp.fc2", (dim, 4 * dim))):
            shapes[f"blocks.{block}.{name}.weight"] = shape
            shapes[f"blocks.{block}.{name}.bias"] = shape[:1]
    shapes["norm.weight"] = shapes["norm.bias"] = (dim,)
    return shapes


def weights(network, seed):
    """Name to float32 array, drawn in the order of the names."""
    shapes = vit_shapes(network) if is_vit(network) else resnet_shapes(network)
    last_bn = ".bn3." if network.get("bottleneck") else ".bn2."
    draw = numpy.random.Generator(numpy.random.PCG64(seed))
    out = {}
    for name, shape in shapes.items():
        t = draw.standard_normal(shape, dtype=numpy.float32)
        if name.endswith("running_var"):
            t = numpy.abs(t) * 0.2 + 0.8
        elif name.endswith(("bias", "running_mean")):
            t *= 0.1
        elif len(shape) == 1:
            t = t * 0.1 + (0.3 if last_bn in name else 1.0)  # residual branches add less than the stream has
        elif name in ("cls_token", "pos_embed"):
            t *= 0.1
        elif len(shape) == 4 and not is_vit(network):
            t *= (2 / numpy.prod(shape[1:])) ** 0.5
        else:
            t *= numpy.prod(shape[1:]) ** -0.5
        out[name] = numpy.ascontiguousarray(t, dtype="<f4")
    return out


def write_safetensors(path, tensors):
    """Length of the header, header, values."""
    header, at = {}, 0
    for name, t in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for t in tensors.values():
            file.write(t.tobytes())


def read_safetensors(path):
    raw = numpy.fromfile(path, dtype="u1")
    size, = struct.unpack("<Q", raw[:8].tobytes())
    out = {}
    for name, t in json.loads(raw[8:8 + size].tobytes()).items():
        begin, end = (8 + size + o for o in t["data_offsets"])
        out[name] = raw[begin:end].view("<f4").reshape(t["shape"])
    return out


def png(seed, side):
    """A picture with smooth areas and some noise, which compresses about as a photograph does."""
    draw = numpy.random.Generator(numpy.random.PCG64(seed))
    y, x = numpy.mgrid[0:side, 0:side] / side
    waves = [numpy.sin(2 * numpy.pi * (a * x + b * y + c)) for a, b, c in draw.uniform(-3, 3, (3, 3))]
    pixels = 128 + 90 * numpy.stack(waves, -1) + draw.normal(0, 6, (side, side, 3))
    rows = numpy.zeros((side, 1 + 3 * side), dtype="u1")
    rows[:, 1:] = pixels.clip(0, 255).reshape(side, -1)
    chunk = lambda kind, data: (struct.pack(">I", len(data)) + kind + data
                                + struct.pack(">I", zlib.crc32(kind + data)))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows.tobytes(), 1)) + chunk(b"IEND", b""))


def picture_side(network):
    """CIFAR's size as it is, larger inputs from a somewhat larger picture."""
    return 32 if network["side"] == 32 else 320


def make(folder, name):
    """Writes the pair folder of a network and returns it."""
    network = {**NETWORKS, **SMALL}[name]
    out = pathlib.Path(folder) / "pairs" / name / name
    if (out / "pair.json").exists():
        return out
    out.mkdir(parents=True, exist_ok=True)
    for seed, file in ((1, "f.safetensors"), (2, "g.safetensors")):
        write_safetensors(out / file, weights(network, seed))
    side = network["side"]
    draw = numpy.random.Generator(numpy.random.PCG64(3))
    write_safetensors(out / "x.safetensors",
                      {"x": draw.standard_normal((VIEWS, 3, side, side), dtype=numpy.float32)})
    (out / "image.png").write_bytes(png(4, picture_side(network)))
    encoder = {"heads": network["heads"]} if is_vit(network) else {"input_px": side}
    if not is_vit(network) and side == 32:
        encoder["stem_pad"] = 1
    (out / "encoder.json").write_text(json.dumps(encoder) + "\n")
    recipe = {"augment": "simclr-cifar" if side == 32 else "simclr-imagenet", "views": VIEWS}
    (out / "pair.json").write_text(json.dumps(  # last: it says that the folder is whole
        {"f": ["f.safetensors"], "g": ["g.safetensors"], "recipe": recipe}) + "\n")
    return out


if __name__ == "__main__":
    for wanted in sys.argv[2:] or NETWORKS:
        print(make(sys.argv[1], wanted))
