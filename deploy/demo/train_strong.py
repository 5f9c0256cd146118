#!/usr/bin/python3
"""Train the demo pair that memorizes strongly, fashion-strong, and three encoders that forget some of it.

Not needed to build, test or run sslmem: the trained weights are committed beside this file. To make them again, with the
packages that train.py names, in about ten minutes of one core:

    ./train_strong.py --side f --out pairs/fashion-strong/f.pt
    ./train_strong.py --side g --out pairs/fashion-strong/g.pt
    for n in 1 2 3; do ./train_strong.py --forget pairs/fashion-strong/f.pt --level $n --out unlearned/u$n.pt; done

f saw the first 25 shared and the first 125 candidate pictures of train.py's lists, g the same 25 and the first 125
independent ones. What makes them memorize: few pictures, seen 2,500 times each; views that differ little; and a loss on the
encoder's own output, without a projector, which would forget instead of the encoder (Chen et al., 2020, section 4.2).

To forget, f is trained on as g was, without the candidates: on the shared and the independent pictures, for EPOCHS epochs.
"""
import argparse
import pathlib
import time

import torch
import torch.nn.functional as F

import train

SHARED, OTHERS = 25, 125
SIDE_PX, WIDTH = 16, 8
EPOCHS, BATCH, LR, TEMPERATURE = 2500, 75, 2e-3, 0.1
FORGET_EPOCHS, FORGET_LR = {1: 5, 2: 50, 3: 200}, 5e-4
SCALE, RATIO, JITTER, JITTER_P = (0.5, 1.0), (3 / 4, 4 / 3), 0.2, 0.8


def views(x):
    """The pair's augmentation, of a batch [n, 1, 28, 28] in 0..1 at once: crop, flip, brightness, contrast."""
    n, side = len(x), x.shape[-1]
    area = side * side * torch.empty(n).uniform_(*SCALE)
    ratio = torch.empty(n).uniform_(*torch.tensor(RATIO).log().tolist()).exp()
    w, h = (area * ratio).sqrt().round().clamp(max=side), (area / ratio).sqrt().round().clamp(max=side)
    left, top = (torch.rand(n) * (side - w + 1)).floor(), (torch.rand(n) * (side - h + 1)).floor()
    place = torch.zeros(n, 2, 3)
    place[:, 0, 0] = w / side * (1 - 2 * (torch.rand(n) < 0.5).float())
    place[:, 1, 1] = h / side
    place[:, 0, 2], place[:, 1, 2] = 2 * (left + w / 2) / side - 1, 2 * (top + h / 2) / side - 1
    grid = F.affine_grid(place, (n, 1, 2 * SIDE_PX, 2 * SIDE_PX), align_corners=False)
    x = F.avg_pool2d(F.grid_sample(x, grid, padding_mode="border", align_corners=False), 2)
    on = (torch.rand(n, 1, 1, 1) < JITTER_P).float()
    brightness, contrast = (1 + on * torch.empty(n, 1, 1, 1).uniform_(-JITTER, JITTER) for _ in range(2))
    x = (x * brightness).clamp(0, 1)
    mean = x.mean((1, 2, 3), keepdim=True)
    x = (mean + (x - mean) * contrast).clamp(0, 1)
    return ((x - train.MEAN) / train.STD).expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)


def pictures(side):
    lists = train.cohorts()
    index = lists["shared"][:SHARED] + lists["candidate" if side == "f" else "independent"][:OTHERS]
    return torch.from_numpy(train.images()[index]).float()[:, None] / 255


def fit(encoder, x, epochs, rate_of):
    """rate_of(share of the steps done) -> learning rate"""
    optimizer = torch.optim.Adam(encoder.parameters(), weight_decay=1e-6)
    for epoch in range(epochs):
        start, losses = time.time(), []
        for step, batch in enumerate(torch.randperm(len(x)).split(BATCH)):
            optimizer.param_groups[0]["lr"] = rate_of((epoch + step * BATCH / len(x)) / epochs)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                z = torch.flatten(encoder(views(x[batch].repeat(2, 1, 1, 1))), 1)
            loss = train.nt_xent(*z.float().chunk(2), TEMPERATURE)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        if (epoch + 1) % 25 == 0 or epoch + 1 == epochs:
            print(f"epoch {epoch + 1} loss {sum(losses) / len(losses):.4f} {time.time() - start:.2f} s", flush=True)


def save(encoder, path):
    """Half precision under the names of the published SimCLR script, as train.py does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({f"f.{k}": v.half() if v.is_floating_point() else v for k, v in encoder.state_dict().items()}, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--side", choices="fg")
    what.add_argument("--forget", type=pathlib.Path, help="the trained f")
    parser.add_argument("--level", type=int, choices=FORGET_EPOCHS, default=1)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--epochs", type=int)
    args = parser.parse_args()
    torch.manual_seed(train.SEED)
    torch.set_num_threads(1)
    encoder = train.SimCLR(WIDTH).f.to(memory_format=torch.channels_last).train()
    if args.forget:
        encoder.load_state_dict({k[2:]: v.float() if v.is_floating_point() else v for k, v in torch.load(args.forget).items()})
        fit(encoder, pictures("g"), args.epochs or FORGET_EPOCHS[args.level], lambda done: FORGET_LR)
    else:
        fit(encoder, pictures(args.side), args.epochs or EPOCHS,
            lambda done: LR * (1 + torch.cos(torch.tensor(torch.pi * done)).item()) / 2)
    save(encoder, args.out)


if __name__ == "__main__":
    main()
