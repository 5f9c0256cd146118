#!/usr/bin/python3
"""The networks of networks.py in PyTorch, for peers.py: the same weights, one command a line on standard input.

    peer_torch.py FOLDER THREADS

    forward ROUNDS      f and g on ten views in one batch each
    published ROUNDS    one image's score as the published script computes it
    outputs FILE        the tokens of f, then those of g, as plain floats
    export              f.onnx and g.onnx in FOLDER

The ViT is timm's, written plainly; the ResNet is torchvision's with the CIFAR stem where the input is 32 px."""

import json
import pathlib
import sys
import time

import numpy
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision import transforms

from networks import NETWORKS, VIEWS, is_vit, read_safetensors


class Attention(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        b, n, c = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        attention = (q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5).softmax(dim=-1)
        return self.proj((attention @ v).transpose(1, 2).reshape(b, n, c))


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


class VisionTransformer(nn.Module):
    def __init__(self, side, patch, dim, depth, heads):
        super().__init__()
        self.patch_embed = nn.Module()
        self.patch_embed.proj = nn.Conv2d(3, dim, patch, patch)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.zeros(1, (side // patch) ** 2 + 1, dim))
        self.blocks = nn.Sequential(*[Block(dim, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, x):
        x = self.patch_embed.proj(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(x.shape[0], -1, -1), x], 1) + self.pos_embed
        return self.norm(self.blocks(x))


class FeatureMap(nn.Module):
    """A ResNet up to its final map: [image, position, channel]."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        net = self.net
        x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
        x = net.layer4(net.layer3(net.layer2(net.layer1(x))))
        return x.flatten(2).transpose(1, 2)


def resnet(network):
    block = torchvision.models.resnet.Bottleneck if network["bottleneck"] else torchvision.models.resnet.BasicBlock
    net = torchvision.models.ResNet(block, network["layers"])
    if network["side"] == 32:
        net.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
        net.maxpool = nn.Identity()
    net.fc = nn.Identity()
    return net


def encoder(name, path):
    network = NETWORKS[name]
    if is_vit(network):
        net = VisionTransformer(*(network[key] for key in ("side", "patch", "dim", "depth", "heads")))
    else:
        net = resnet(network)
    state = {key: torch.from_numpy(value.copy()) for key, value in read_safetensors(path).items()}
    lost = net.load_state_dict(state, strict=False)
    assert not lost.unexpected_keys and all(key.endswith("num_batches_tracked") for key in lost.missing_keys)
    return (net if is_vit(network) else FeatureMap(net)).eval()


def published_score(f, g, image, augment):
    """What memorization_scores.py of sprintml/MemorizationSSL does with one image, step by step, waste included: five
    times, the original again and one view through both encoders, one image a batch, gradients recorded, the view drawn
    from the normalised tensor. Its encoders return [token, image, channel]. Left out: the random order of tokens."""
    to_pil = transforms.ToPILImage()
    distances = {f: [], g: []}
    for _ in range(5):
        to_pil(image)  # the script overwrites what this gives
        view = augment(image)
        for net in (f, g):
            representations = []
            for x in (image, view):
                tokens = net(x.unsqueeze(0)).transpose(0, 1)
                flat = torch.stack(list(tokens), dim=-1).reshape(-1)
                representations.append(F.normalize(flat, dim=-1))
            a, b = (r.detach().numpy() for r in representations)
            distances[net].append(numpy.linalg.norm(a - b))
    return numpy.mean(distances[g]) - numpy.mean(distances[f])


def published_augment(side):
    jitter = transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)
    return transforms.Compose([transforms.RandomResizedCrop(side), transforms.RandomHorizontalFlip(),
                               transforms.RandomApply([jitter], p=0.8), transforms.RandomGrayscale(p=0.2)])


def main():
    folder, threads = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    f, g = (encoder(folder.name, folder / file) for file in ("f.safetensors", "g.safetensors"))
    x = torch.from_numpy(read_safetensors(folder / "x.safetensors")["x"].copy())[:VIEWS]
    image, augment = x[0].clamp(-1, 1), published_augment(x.shape[-1])

    def forward():
        with torch.inference_mode():
            return f(x), g(x)

    work = {"forward": forward, "published": lambda: published_score(f, g, image, augment)}
    print(json.dumps({"version": torch.__version__}), flush=True)
    for line in sys.stdin:
        word, *rest = line.split()
        answer = {}
        if word in work:
            start = time.perf_counter()
            for _ in range(int(rest[0])):
                work[word]()
            answer["ms"] = (time.perf_counter() - start) * 1000 / int(rest[0])
        elif word == "outputs":
            with open(rest[0], "wb") as file:
                for tokens in forward():
                    file.write(tokens.contiguous().numpy().tobytes())
        elif word == "export":
            for net, path in ((f, "f.onnx"), (g, "g.onnx")):
                torch.onnx.export(net, x, str(folder / path), input_names=["x"], output_names=["tokens"],
                                  opset_version=16)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
