#!/usr/bin/python3
"""Train a pair for sslmem: encoder f with the candidates, encoder g without them (Wang et al., ICLR 2024, section 3).

    train_pair.py --method simclr --data cifar-10-batches-py --split split --out pairs/mine

trains f on shared and candidate, g on shared and independent images, and writes f.pt, g.pt and pair.json, which
`sslmem score --pair pairs/mine` takes. Needs PyTorch >= 1.13, torchvision, NumPy and Pillow; uses a GPU if there is one.

DATA is a folder of JPEG or PNG files (with subfolders, in the order of the bytes of their paths), a folder or file of
CIFAR-10/100 (python or binary), an IDX file (.gz too), or a .npy or .npz with uint8 [n, h, w] or [n, h, w, 3]. SPLIT is a folder
with shared.txt, candidate.txt, independent.txt and perhaps external.txt: an index into DATA on each line, from 0.

f and g begin with the same weights, take their images in the same order and the shared ones in the same views: they differ in
their data and in nothing else. On the CPU of one machine with one number of threads, the same --seed gives the same files; on a
GPU as far as PyTorch can. What makes an encoder memorize: few images, many epochs, a low temperature, and a learning rate that
ends at 0.
"""
import argparse
import copy
import gzip
import hashlib
import io
import json
import math
import os
import pathlib
import pickle
import struct
import sys

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
import torchvision.models
import torchvision.transforms as T
from PIL import Image, ImageFilter

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "demo"))
from train import MEAN, STD, Block, ViT as Trunk, narrow, nt_xent, projector  # noqa: E402

TRAINED_WITH = {"f": ("shared", "candidate"), "g": ("shared", "independent")}
DEFAULTS = {"simclr": {"arch": "resnet18", "epochs": 300, "lr": 1e-3, "decay": 1e-6},
            "dino": {"arch": "vit", "epochs": 300, "lr": 5e-4, "decay": 0.04},
            "mae": {"arch": "vit", "epochs": 600, "lr": 1e-3, "decay": 0.05}}
SMALL_PX = 64  # up to here a ResNet has the stem, and SimCLR the augmentation, of CIFAR


class Arrays(pickle.Unpickler):
    """CIFAR's pickles hold arrays, texts and lists; nothing else of a pickle is carried out."""

    def find_class(self, module, name):
        if (module.replace("_core", "core"), name) not in {("numpy.core.multiarray", "_reconstruct"), ("numpy", "ndarray"),
                                                           ("numpy", "dtype"), ("_codecs", "encode")}:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in a batch of CIFAR")
        return super().find_class(module, name)


def read_cifar(path):
    if path.suffix == ".bin":
        raw = np.fromfile(path, np.uint8)
        labels = 1 if len(raw) % 3073 == 0 else 2  # CIFAR-100 has a coarse and a fine one
        pixels = raw.reshape(-1, labels + 3072)[:, labels:]
    else:
        with open(path, "rb") as file:
            pixels = Arrays(file, encoding="bytes").load()[b"data"]
    return pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def read_npz(path):
    """MedMNIST's array, else the only one with the shape of images."""
    with np.load(path) as file:
        fitting = [key for key in file.files if file[key].dtype == np.uint8 and file[key].ndim in (3, 4)]
        if "train_images" not in fitting and len(fitting) != 1:
            raise ValueError(f"{path}: one array must have images or be train_images; those with images: {', '.join(fitting)}")
        return file["train_images" if "train_images" in fitting else fitting[0]]


def open_images(path):
    """Paths of files, or an array uint8 [n, h, w] or [n, h, w, 3]."""
    if path.is_dir():
        for pattern in ("data_batch_[1-5]", "data_batch_[1-5].bin", "train", "train.bin"):
            batches = [p for p in sorted(path.glob(pattern)) if p.is_file()]
            if batches:
                return np.concatenate([read_cifar(p) for p in batches])
        paths = [p for p in path.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg", ".png") and p.is_file()]
        if not paths:
            raise ValueError(f"{path} holds neither JPEG or PNG files nor batches of CIFAR")
        return sorted(paths, key=lambda p: os.fsencode(p.relative_to(path)))
    if path.suffix in (".npy", ".npz"):
        pixels = np.load(path) if path.suffix == ".npy" else read_npz(path)
    else:
        with (gzip.open if path.suffix == ".gz" else open)(path, "rb") as file:
            head = file.read(4)
            if head[:3] == b"\0\0\x08":  # IDX: the number of dimensions, the dimensions, the bytes
                shape = struct.unpack(f">{head[3]}I", file.read(4 * head[3]))
                pixels = np.frombuffer(file.read(), np.uint8).reshape(shape)
            else:
                pixels = read_cifar(path)
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4) or pixels.shape[3:] not in ((), (1,), (3,)):
        raise ValueError(f"{path} holds {pixels.dtype} {list(pixels.shape)}, must be uint8 [n, h, w] or [n, h, w, 3]")
    return pixels[..., 0] if pixels.shape[3:] == (1,) else pixels


def read_split(folder, count):
    """cohort -> indices"""
    owner, cohorts = {}, {}
    for cohort in ("shared", "candidate", "independent", "external"):
        file, cohorts[cohort] = folder / f"{cohort}.txt", []
        text = file.read_text() if cohort != "external" or file.exists() else ""
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip().isdecimal() or int(line) >= count:
                raise ValueError(f"{file}:{number}: {line[:40]!r} is no index from 0 to {count - 1}")
            if int(line) in owner:
                raise ValueError(f"{file}:{number}: image {int(line)} is in {owner[int(line)]}.txt already")
            owner[int(line)] = cohort
            cohorts[cohort].append(int(line))
    return cohorts


def seed_of(*words):
    return int.from_bytes(hashlib.sha256(" ".join(map(str, words)).encode()).digest()[:7], "big")


class Views(torch.utils.data.Dataset):
    """(epoch, index) -> views, the same ones whichever process draws them."""

    def __init__(self, images, transforms, seed):
        self.images, self.transforms, self.seed = images, transforms, seed

    def __getitem__(self, key):
        image = self.images[key[1]]
        image = (Image.open(image) if isinstance(image, pathlib.Path) else Image.fromarray(image)).convert("RGB")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of("views", self.seed, *key))
            return [transform(image) for transform in self.transforms]


def transforms_of(args):
    """The preset of sslmem that equals the first view, and the views."""
    def view(scale, method, ops, px=args.size):
        return T.Compose([T.RandomResizedCrop(px, scale, interpolation=method), T.RandomHorizontalFlip(), *ops, T.ToTensor(),
                          T.Normalize([MEAN] * 3, [STD] * 3)])

    def colours(*strength):
        return [T.RandomApply([T.ColorJitter(*strength)], p=0.8), T.RandomGrayscale(0.2)]

    def blur(p):  # Pillow's, as in DINO's code
        return T.RandomApply([lambda i: i.filter(ImageFilter.GaussianBlur(float(torch.empty(1).uniform_(0.1, 2.0))))], p=p)
    bilinear, bicubic = T.InterpolationMode.BILINEAR, T.InterpolationMode.BICUBIC
    if args.method == "mae":
        return "mae", [view((0.2, 1.0), bicubic, [])]
    if args.method == "simclr":
        name, ops = ("cifar", colours(0.4, 0.4, 0.4, 0.1)) if args.size <= SMALL_PX else \
            ("imagenet", colours(0.8, 0.8, 0.8, 0.2) + [blur(0.5)])
        return f"simclr-{name}", [view((0.08, 1.0), bilinear, ops)] * 2
    rest = colours(0.4, 0.4, 0.2, 0.1)
    local_px = max(2, round(args.size * 3 / 7 / args.patch)) * args.patch
    local = view((0.05, 0.4), bicubic, rest + [blur(0.5)], local_px)
    return "dino-global", [view((0.4, 1.0), bicubic, rest + [blur(1.0)]),
                           view((0.4, 1.0), bicubic, rest + [blur(0.1), T.RandomSolarize(128, 0.2)])] + [local] * 4


def resnet(arch, side, width):
    """torchvision's, without its classifier; `width` is that of the first stage."""
    net = getattr(torchvision.models, arch)()
    if side <= SMALL_PX:
        net.conv1, net.maxpool = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity()
    narrow(net, 64 // width)
    net.out_dim, net.fc = net.fc.in_features * width // 64, nn.Identity()
    return net


class ViT(Trunk):
    """The demo's without its projector, for crops and parts of an image."""

    def __init__(self, dim, depth, heads, patch, side):
        super().__init__(dim, depth, heads, patch, side)
        self.out_dim, self.patch, self.grid = dim, patch, side // patch
        del self.head

    def positions(self, grid):
        """Of the patches; for crops of another size as DINO resamples them."""
        if grid == self.grid:
            return self.pos_embed[:, 1:]
        table = self.pos_embed[:, 1:].reshape(1, self.grid, self.grid, -1).permute(0, 3, 1, 2)
        return F.interpolate(table, (grid, grid), mode="bicubic", align_corners=False).flatten(2).transpose(1, 2)

    def forward(self, x):
        return self.tokens(x)[:, 0]

    def tokens(self, x, kept=None):
        """The normalised tokens, CLS first; `kept` [n, k]: the patches that MAE leaves."""
        positions = self.positions(x.shape[-1] // self.patch)
        x = self.patch_embed.proj(x).flatten(2).transpose(1, 2) + positions
        if kept is not None:
            x = x.gather(1, kept[:, :, None].expand(-1, -1, x.shape[2]))
        x = torch.cat([(self.cls_token + self.pos_embed[:, :1]).expand(len(x), -1, -1), x], 1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


class SimCLR(nn.Module):
    representation = "pooled"

    def __init__(self, trunk, args):
        super().__init__()
        self.encoder, self.head, self.temperature = trunk, projector(trunk.out_dim), args.temperature

    def loss(self, views):
        return nt_xent(*self.head(self.encoder(torch.cat(views))).float().chunk(2), self.temperature)


class Prototypes(nn.Module):
    """DINO's network: trunk, head, and a last layer of unit vectors."""

    def __init__(self, trunk):
        super().__init__()
        self.trunk, self.last = trunk, nn.Parameter(torch.randn(1024, 128))
        self.head = nn.Sequential(nn.Linear(trunk.out_dim, 512), nn.GELU(), nn.Linear(512, 512), nn.GELU(), nn.Linear(512, 128))

    def forward(self, views):
        z = F.normalize(self.head(self.trunk(torch.cat(views))).float(), dim=1)
        return F.linear(z, F.normalize(self.last, dim=1)).chunk(len(views))


class DINO(nn.Module):
    """Caron et al., 2021: the student's crops predict the teacher's global ones. The encoder is the teacher's."""
    representation, student_t, teacher_t = "pooled", 0.1, 0.04

    def __init__(self, trunk, args):
        super().__init__()
        self.student = Prototypes(trunk)
        self.teacher = copy.deepcopy(self.student).requires_grad_(False)
        self.encoder = self.teacher.trunk
        self.register_buffer("center", torch.zeros(1, 1024))

    def loss(self, views):
        with torch.no_grad():
            taught = torch.stack(self.teacher(views[:2]))
            targets = ((taught - self.center) / self.teacher_t).softmax(-1)
            self.center = 0.9 * self.center + 0.1 * taught.mean((0, 1))[None]
        said = [(out / self.student_t).log_softmax(-1) for out in self.student(views[:2]) + self.student(views[2:])]
        terms = [-(targets[t] * out).sum(-1).mean() for t in range(2) for s, out in enumerate(said) if s != t]
        return sum(terms) / len(terms)

    @torch.no_grad()
    def stepped(self, done):
        """Lets the teacher follow the student, ever more slowly."""
        change = 0.004 * (math.cos(math.pi * done) + 1) / 2
        for mine, theirs in zip(self.teacher.parameters(), self.student.parameters()):
            mine.lerp_(theirs, change)
        for mine, theirs in zip(self.teacher.buffers(), self.student.buffers()):
            mine.copy_(theirs)


def sincos(dim, grid):
    """MAE's fixed positions [1, 1 + grid * grid, dim]: half of them tell the column, half the row; CLS has zeros."""
    angle = torch.arange(grid)[:, None] * 10000 ** (-torch.arange(dim // 4, dtype=torch.float64) / (dim / 4))
    one = torch.cat([angle.sin(), angle.cos()], 1)
    table = torch.cat([one[None].expand(grid, -1, -1), one[:, None].expand(-1, grid, -1)], 2).reshape(grid * grid, dim)
    return nn.Parameter(torch.cat([torch.zeros(1, dim), table.float()])[None], requires_grad=False)


class MAE(nn.Module):
    """He et al., 2022: predicts the normalised pixels of three quarters of the patches from the others."""
    representation = "mean"

    def __init__(self, trunk, args):
        super().__init__()
        dim = max(32, args.width // 2 // 16 * 16)
        self.encoder, self.patch, self.count = trunk, args.patch, trunk.grid ** 2
        trunk.pos_embed, self.positions = sincos(args.width, trunk.grid), sincos(dim, trunk.grid)
        self.into, self.mask = nn.Linear(args.width, dim), nn.Parameter(torch.randn(1, 1, dim) * 0.02)
        self.decoder = nn.Sequential(Block(dim, 4), Block(dim, 4), nn.LayerNorm(dim), nn.Linear(dim, 3 * args.patch ** 2))

    def loss(self, views):
        n, left = len(views[0]), max(1, self.count // 4)
        order = torch.rand(n, self.count, device=views[0].device).argsort(1)
        seen = self.into(self.encoder.tokens(views[0], order[:, :left]))
        patches = torch.cat([seen[:, 1:], self.mask.expand(n, self.count - left, -1).to(seen.dtype)], 1)
        patches = patches.gather(1, order.argsort(1)[:, :, None].expand(-1, -1, patches.shape[2]))
        said = self.decoder(torch.cat([seen[:, :1], patches], 1) + self.positions)[:, 1:].float()
        wanted = F.unfold(views[0], self.patch, stride=self.patch).transpose(1, 2)
        wanted = (wanted - wanted.mean(-1, keepdim=True)) / (wanted.var(-1, keepdim=True) + 1e-6).sqrt()
        return ((said - wanted) ** 2).mean(-1).gather(1, order[:, left:]).mean()


METHODS = {"simclr": SimCLR, "dino": DINO, "mae": MAE}


def train(side, images, index, args):
    torch.manual_seed(seed_of("weights", args.seed))  # the same for f and g
    trunk = ViT(args.width, args.depth, args.heads, args.patch, args.size) if args.arch == "vit" else \
        resnet(args.arch, args.size, args.width)
    model = METHODS[args.method](trunk, args).to(args.device)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=args.lr, weight_decay=args.decay)
    batch = min(args.batch, len(index))
    steps = len(index) // batch
    warm, total = max(1, args.epochs // 10) * steps, args.epochs * steps
    for epoch in range(args.epochs):
        losses = []
        torch.manual_seed(seed_of("epoch", args.seed, epoch))
        order = torch.randperm(len(index))[:steps * batch].reshape(steps, batch).tolist()
        drawn = torch.utils.data.DataLoader(Views(images, transforms_of(args)[1], args.seed), num_workers=args.workers,
                                            batch_sampler=[[(epoch, index[at]) for at in row] for row in order])
        for step, many in enumerate(drawn, epoch * steps):
            rate = (step + 1) / warm if step < warm else (1 + math.cos(math.pi * (step - warm) / (total - warm))) / 2
            optimizer.param_groups[0]["lr"] = args.lr * rate
            with torch.autocast(args.device.split(":")[0], dtype=torch.bfloat16, enabled=args.device != "cpu"):
                loss = model.loss([view.to(args.device) for view in many])
            if not torch.isfinite(loss):
                raise ValueError(f"the loss of {side} is {loss.item()} in epoch {epoch + 1}: lower --lr {args.lr}")
            losses.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(weights, 3.0)
            optimizer.step()
            if hasattr(model, "stepped"):
                model.stepped(step / total)
        print(f"{side} epoch {epoch + 1}/{args.epochs} loss {sum(losses) / steps:.4f}", flush=True)
    raw = io.BytesIO()  # through memory, because torch.save puts a file's name into the file
    torch.save({k: v.cpu().contiguous() for k, v in model.encoder.state_dict().items()}, raw)
    (args.out / f"{side}.pt").write_bytes(raw.getvalue())


def write_pair(args):
    stem = (1, 1, "none") if args.size <= SMALL_PX else (2, 3, "max")
    vit = {"heads": args.heads, "attn_scale": (args.width // args.heads) ** -0.5, "norm_eps": 1e-6, "norm_order": "pre",
           "activation": "gelu", "pool": "cls", "patch_stride": args.patch}
    net = {"norm_eps": 1e-5, "activation": "relu", "dilate_from": "none", "pool": "mean",
           **dict(zip(("stem_stride", "stem_pad", "stem_pool"), stem))}
    (args.out / "pair.json").write_text(json.dumps({
        "description": f"{args.method}, {args.arch} of width {args.width}, {args.epochs} epochs on {args.data.name}",
        "f": ["f.pt"], "g": ["g.pt"], "mean": [MEAN] * 3, "std": [STD] * 3,
        "encoder": {"input_px": args.size, "channel_order": "rgb", **(vit if args.arch == "vit" else net)},
        "recipe": {"augment": transforms_of(args)[0], "representation": METHODS[args.method].representation},
    }, indent=2) + "\n")


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--method", choices=METHODS, required=True)
    add("--data", type=pathlib.Path, required=True)
    add("--split", type=pathlib.Path, required=True, help="folder of the index lists")
    add("--out", type=pathlib.Path, required=True, help="folder of the pair")
    add("--side", choices=["f", "g", "both"], default="both", help="one side, to train the other elsewhere (both)")
    add("--arch", choices=["resnet18", "resnet50", "vit"], help="resnet18 for simclr, vit for dino and mae")
    add("--size", type=int, default=32, help="input in pixels (32)")
    add("--width", type=int, help="of a ViT (192), or of a ResNet's first stage (64)")
    add("--depth", type=int, default=6, help="blocks of a ViT (6)")
    add("--heads", type=int, help="of a ViT (width / 64)")
    add("--patch", type=int, default=4, help="of a ViT, in pixels (4)")
    add("--epochs", type=int, help="300; 600 for mae")
    add("--batch", type=int, default=128, help="images a step (128)")
    add("--lr", type=float, help="highest learning rate (0.001; 0.0005 for dino)")
    add("--decay", type=float, help="of weights (1e-6; 0.04 for dino, 0.05 for mae)")
    add("--temperature", type=float, default=0.2, help="of simclr (0.2)")
    add("--seed", type=int, default=0)
    add("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    add("--workers", type=int, default=0, help="processes that draw views (0)")
    args = parser.parse_args(arguments)
    for name, value in DEFAULTS[args.method].items():
        setattr(args, name, value if getattr(args, name) is None else getattr(args, name))
    vit = args.arch == "vit"
    args.width = args.width or (192 if vit else 64)
    args.heads = args.heads or max(1, args.width // 64)
    for bad, why in ((args.method == "mae" and not vit, "mae needs --arch vit"),
                     (not vit and 64 % args.width, f"--width {args.width} does not divide 64"),
                     (vit and args.size % args.patch, f"--size {args.size} is no multiple of --patch {args.patch}"),
                     (vit and args.width % (4 * args.heads), f"--width {args.width} is no multiple of 4 --heads {args.heads}"),
                     (min(args.epochs, args.batch - 1) < 1, "--epochs must be at least 1, --batch 2")):
        if bad:
            parser.error(why)
    return args


def main(arguments=None):
    args = parse(arguments)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # CUDA's condition for repeatable sums
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        images = open_images(args.data)
        cohorts = read_split(args.split, len(images))
        args.out.mkdir(parents=True, exist_ok=True)
        for side in "fg" if args.side == "both" else args.side:
            print(f"{side}: {' and '.join(f'{len(cohorts[c])} {c}' for c in TRAINED_WITH[side])} images", flush=True)
            train(side, images, [i for cohort in TRAINED_WITH[side] for i in cohorts[cohort]], args)
        write_pair(args)
    except (OSError, ValueError, KeyError, pickle.UnpicklingError) as why:
        print(f"train_pair.py: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
