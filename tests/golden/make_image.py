#!/usr/bin/python3
"""Golden vectors of core/image: pixel ops, chains, tensors, draws and image files.

Made with Pillow 9.4.0, torchvision 0.14.1a0, torch 1.13.0a0 and numpy 1.24.2 (Debian 12):

    /usr/bin/python3 tests/golden/make_image.py

writes tests/golden/image/: ops.json and ops.bin (input pixels, tensors), draws.bin and draws.json
(5,000 draws of torchvision's get_params), drawn.json (one view's
parameters by a second implementation), files/ (small JPEG and PNG files) with files.json and
files.bin, and pixels.json: SHA-256 of Pillow's convert("RGB") of every file in files/ and pngsuite/
that is to be decoded; shared.json: the same of JPEG folders beside the project. pngsuite/ is Willem van Schaik's, see its LICENSE.
"""
import hashlib
import io
import json
import math
import os
import random
import struct
import subprocess
import tempfile
import zlib

import numpy as np
import PIL
import torch
import torchvision
from PIL import Image, ImageFilter, ImageOps, features
from torchvision import transforms as T
from torchvision.transforms import functional as F
from torchvision.transforms import InterpolationMode as M

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "image")
RNG = np.random.default_rng(20240501)
METHODS = {"bilinear": M.BILINEAR, "bicubic": M.BICUBIC}


def noise(w, h):
    return RNG.integers(0, 256, (h, w, 3), dtype=np.uint8)


def gradient(w, h):
    y, x = np.mgrid[0:h, 0:w]
    planes = [x * 255 // max(w - 1, 1), y * 255 // max(h - 1, 1), (x + y) * 7 % 256]
    return np.stack(planes, -1).astype(np.uint8)


def photo(w, h):
    """Smooth blobs, one hard edge, some grain: the statistics of a photograph, roughly."""
    y, x = np.mgrid[0:h, 0:w] / max(w, h)
    planes = [127 + 90 * np.sin(5 * x + 3 * y + c) * np.cos(4 * y - c) for c in range(3)]
    a = np.stack(planes, -1)
    a[(x > 0.55) & (y < 0.7)] *= 0.35
    return np.clip(a + RNG.normal(0, 6, a.shape), 0, 255).astype(np.uint8)


def greys(w, h):
    """Grey and nearly grey pixels, black, white and saturated corners: hard cases of HSV."""
    a = np.repeat(RNG.integers(0, 256, (h, w, 1)), 3, axis=2)
    a[::2] += RNG.integers(-1, 2, a[::2].shape)
    a = np.clip(a, 0, 255).astype(np.uint8)
    a[0, :6] = [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]]
    return a


IMAGES = {
    "noise32": noise(32, 32), "photo32": photo(32, 32), "photo61x43": photo(61, 43),
    "noise17x29": noise(17, 29), "gradient40x24": gradient(40, 24), "row1": noise(23, 1),
    "column1": noise(1, 19), "pixel": noise(1, 1),
    "two": noise(2, 3), "greys": greys(24, 24), "photo96x80": photo(96, 80),
}


def blur(img, sigma):
    return img.filter(ImageFilter.GaussianBlur(sigma))


STEPS = {
    "crop": lambda i, top, left, h, w: F.crop(i, top, left, h, w),
    "resize": lambda i, w, h, m: F.resize(i, [h, w], METHODS[m]),
    "short_side": lambda i, size, m: F.resize(i, size, METHODS[m]),
    "flip": lambda i: F.hflip(i),
    "brightness": F.adjust_brightness,
    "contrast": F.adjust_contrast,
    "saturation": F.adjust_saturation,
    "hue": F.adjust_hue,
    "grayscale": lambda i: F.to_grayscale(i, 3),
    "blur": blur,
    "solarize": F.solarize,
    "center_crop": F.center_crop,
    "pad": lambda i, n, fill: F.pad(i, n, fill),
}


def all_steps(img):
    w, h = img.size
    for m in METHODS:
        for tw, th in [(32, 32), (224, 224), (7, 5), (1, 1), (w, h), (w, 13), (13, h),
                       (w * 2, h * 3), (33, 31), (96, 2)]:
            yield [["resize", tw, th, m]]
        for size in (1, 8, 32, 45):
            yield [["short_side", size, m]]
    for f in (0.0, 1.0, 0.2, 0.5, 0.6123456789, 0.99, 1.0000001, 1.37, 1.8, 5.5, 16.0):
        for name in ("brightness", "contrast", "saturation"):
            yield [[name, f]]
    for f in (0.0, 0.5, -0.5, 0.1, -0.1, 0.2, -0.2, 0.0039, -0.0039, 0.013, -0.377, 0.4444):
        yield [["hue", f]]
    for s in (0.0, 0.1, 0.3, 0.5, 0.77777, 1.0, 1.2345, 1.5, 2.0, 3.3, 7.0, 20.0, 64.0):
        yield [["blur", s]]
    for t in (0, 1, 100, 128, 255, 256):
        yield [["solarize", t]]
    for s in (1, 2, 8, 15, 16, 31, 32, 33, 50):
        yield [["center_crop", s]]
    for n, fill in ((1, 0), (4, 128), (9, 255)):
        yield [["pad", n, fill]]
    yield [["flip"]]
    yield [["grayscale"]]


def chains():
    r = random.Random(7)
    for name in ("photo32", "photo61x43", "photo96x80", "noise17x29", "greys"):
        h, w = IMAGES[name].shape[:2]
        for _ in range(12):
            ch, cw = r.randint(1, h), r.randint(1, w)
            steps = [["crop", r.randint(0, h - ch), r.randint(0, w - cw), ch, cw],
                     ["resize", 32, 32, r.choice(list(METHODS))]]
            if r.random() < 0.5:
                steps.append(["flip"])
            jitter = [["brightness", r.uniform(0.2, 1.8)], ["contrast", r.uniform(0.2, 1.8)],
                      ["saturation", r.uniform(0.2, 1.8)], ["hue", r.uniform(-0.2, 0.2)]]
            r.shuffle(jitter)
            steps += jitter
            if r.random() < 0.2:
                steps.append(["grayscale"])
            if r.random() < 0.5:
                steps.append(["blur", r.uniform(0.1, 2.0)])
            if r.random() < 0.2:
                steps.append(["solarize", 128])
            yield name, steps


def write_json(name, value, rows=None):
    with open(os.path.join(OUT, name), "w") as f:
        head = json.dumps(value)
        if rows is None:
            f.write(head + "\n")
            return
        key, items = rows
        body = ",\n".join(json.dumps(i, separators=(",", ":")) for i in items)
        f.write(head[:-1] + f', "{key}": [\n{body}\n]}}\n')


VERSIONS = {"pillow": PIL.__version__, "torchvision": torchvision.__version__,
            "torch": torch.__version__, "numpy": np.__version__}


def make_ops():
    blob = b""
    images, cases, tensors = {}, [], []
    for name, a in IMAGES.items():
        images[name] = {"offset": len(blob), "width": a.shape[1], "height": a.shape[0]}
        blob += a.tobytes()

    def case(name, steps):
        img = Image.fromarray(IMAGES[name])
        for op, *args in steps:
            img = STEPS[op](img, *args)
        assert img.mode == "RGB"
        cases.append({"image": name, "steps": steps, "width": img.width, "height": img.height,
                      "sha256": hashlib.sha256(img.tobytes()).hexdigest()})

    for name, a in IMAGES.items():
        for steps in all_steps(Image.fromarray(a)):
            case(name, steps)
    for name, steps in chains():
        case(name, steps)
    for mean, std in (([0.5] * 3, [0.5] * 3), ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
                      ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616])):
        for name in ("noise32", "noise17x29"):
            t = T.Normalize(mean, std)(T.ToTensor()(Image.fromarray(IMAGES[name])))
            blob += b"\0" * (-len(blob) % 4)
            tensors.append({"image": name, "mean": mean, "std": std, "offset": len(blob)})
            blob += t.numpy().astype("<f4").tobytes()
    with open(os.path.join(OUT, "ops.bin"), "wb") as f:
        f.write(blob)
    head = {"versions": VERSIONS, "images": images, "tensors": tensors}
    write_json("ops.json", head, ("cases", cases))


def make_draws(n=5000, width=128, height=96):
    torch.manual_seed(11)
    img = Image.new("RGB", (width, height))
    columns = {k: [] for k in ("top", "left", "height", "width",
                               "brightness", "contrast", "saturation", "hue", "sigma")}
    orders = {}
    jitter = T.ColorJitter(0.8, 0.8, 0.8, 0.2)
    for _ in range(n):
        crop = T.RandomResizedCrop.get_params(img, [0.08, 1.0], [3 / 4, 4 / 3])
        for k, v in zip(("top", "left", "height", "width"), crop):
            columns[k].append(v)
        order, *factors = T.ColorJitter.get_params(jitter.brightness, jitter.contrast,
                                                   jitter.saturation, jitter.hue)
        key = "".join("bcsh"[i] for i in order)
        orders[key] = orders.get(key, 0) + 1
        for k, v in zip(("brightness", "contrast", "saturation", "hue"), factors):
            columns[k].append(v)
        columns["sigma"].append(T.GaussianBlur.get_params(0.1, 2.0))
    with open(os.path.join(OUT, "draws.bin"), "wb") as f:
        for values in columns.values():
            f.write(np.sort(np.array(values, "<f4")).tobytes())
    write_json("draws.json", {"versions": VERSIONS, "count": n, "width": width, "height": height,
                              "columns": list(columns), "orders": orders})


def philox(key, counter):
    """Philox4x32-10 (Salmon et al., SC 2011)."""
    k0, k1 = key
    c = list(counter)
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & 0xFFFFFFFF, (p0 >> 32) ^ c[3] ^ k1, p0 & 0xFFFFFFFF]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def make_drawn(width=128, height=96, seed=0x0123456789ABCDEF, view=3):
    """What sm_view_render draws for simclr-imagenet, by the rules of core/image/augment.c."""
    digest = bytes([1, 2, 3, 4, 5, 6, 7, 8, 9]) + bytes(23)
    key = struct.unpack("<II", hashlib.sha256(struct.pack("<Q", seed) + digest).digest()[:8])

    def unit(op, draw):
        r = philox(key, (view, op, draw, 0))
        return ((r[0] << 32 | r[1]) >> 11) * 2.0 ** -53

    def between(op, draw, low, high):
        return low + (high - low) * unit(op, draw)

    crop = {"op": "random_resized_crop"}
    for attempt in range(10):
        first = 1 + 4 * attempt
        area = width * height * between(0, first, 0.08, 1.0)
        ratio = math.exp(between(0, first + 1, math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            crop.update(top=int(unit(0, first + 2) * (height - h + 1)),
                        left=int(unit(0, first + 3) * (width - w + 1)), height=h, width=w)
            break
    jitter = {"op": "color_jitter", "applied": unit(2, 0) < 0.8}
    if jitter["applied"]:
        names = ["brightness", "contrast", "saturation", "hue"]
        order = list(range(4))
        for i in range(3):
            j = i + int(unit(2, 1 + i) * (4 - i))
            order[i], order[j] = order[j], order[i]
        for i in order:
            low, high = (-0.2, 0.2) if i == 3 else (1 - 0.8, 1 + 0.8)
            jitter[names[i]] = between(2, 4 + i, low, high)
        jitter["order"] = [names[i] for i in order]
    blurred = {"op": "gaussian_blur", "applied": unit(4, 0) < 0.5}
    if blurred["applied"]:
        blurred["sigma"] = between(4, 1, 0.1, 2.0)
    write_json("drawn.json", {"drawn": [crop, {"op": "flip", "applied": unit(1, 0) < 0.5}, jitter,
                                        {"op": "grayscale", "applied": unit(3, 0) < 0.2}, blurred]})


def chunk(name, data):
    body = name + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width, height, depth, colour, rows, before=b"", interlace=0):
    """A PNG made by hand: rows are the filtered bytes."""
    ihdr = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", ihdr) + before
            + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b""))


def exif(orientation, order="II"):
    e = "<" if order == "II" else ">"
    return order.encode() + struct.pack(e + "HIHHHIHHI", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def saved(img, kind, **options):
    f = io.BytesIO()
    img.save(f, kind, **options)
    return f.getvalue()


def without_app14(data):
    at = data.index(b"\xff\xee")
    return data[:at] + data[at + 2 + struct.unpack(">H", data[at + 2:at + 4])[0]:]


def patched(data, at, new):
    return data[:at] + new + data[at + len(new):]


def dc_overflow():
    """Two blocks of DC category 15 under a 16-bit table of 65535: the product leaves 32 bits."""
    def segment(marker, data):
        return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data

    table = lambda kind, symbol: segment(0xC4, bytes([kind, 1]) + bytes(15) + bytes([symbol]))
    bits = ("0" + "1" * 15 + "0") * 2
    bits += "1" * (-len(bits) % 8)
    coded = bytes(int(bits[i:i + 8], 2) for i in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")
    return (b"\xff\xd8" + segment(0xDB, b"\x10" + b"\xff\xff" * 64) + table(0, 15) + table(0x10, 0)
            + segment(0xC0, struct.pack(">BHHB", 8, 8, 16, 1) + b"\1\x11\0")
            + segment(0xDA, b"\1\1\0\0\x3f\0") + coded + b"\xff\xd9")


def make_files():
    os.makedirs(os.path.join(OUT, "files"), exist_ok=True)
    base = Image.fromarray(photo(24, 16))
    grey = base.convert("L")
    jpeg = saved(base, "JPEG", quality=90)
    progressive = saved(base, "JPEG", quality=90, progressive=True)
    cmyk = saved(base.convert("CMYK"), "JPEG", quality=90)
    plain = saved(base, "PNG")
    sof = jpeg.index(b"\xff\xc0")
    sos = jpeg.index(b"\xff\xda")
    dht = jpeg.index(b"\xff\xc4")
    wide = base.resize((40, 40))
    filtered = lambda n: b"\0" + RNG.integers(0, 256, n, dtype=np.uint8).tobytes()
    rows16 = b"".join(filtered(7 * 3 * 2) for _ in range(5))
    grey16 = b"".join(filtered(7 * 2) for _ in range(5))
    adam7 = T.functional.pil_to_tensor(base.crop((0, 0, 9, 7))).permute(1, 2, 0).numpy()
    passes = b""
    for x0, y0, dx, dy in ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4),
                           (1, 0, 2, 2), (0, 1, 1, 2)):
        for y in range(y0, 7, dy):
            part = adam7[y, x0::dx]
            passes += (b"\0" + part.tobytes()) if part.size else b""
    palette3 = b"\x10\x20\x30\xff\x00\x80\x01\x02\x03"

    def app1(orientation, order):
        data = b"Exif\0\0" + exif(orientation, order)
        return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(data)) + data + jpeg[2:]

    files = {
        # name: (bytes, image that Pillow sees or None)
        "baseline.jpg": jpeg, "progressive.jpg": progressive,
        "grey.jpg": saved(grey, "JPEG", quality=90),
        "s420.jpg": saved(wide, "JPEG", quality=85, subsampling=2),
        "s422.jpg": saved(wide, "JPEG", quality=85, subsampling=1),
        "restart.jpg": saved(wide, "JPEG", quality=85, subsampling=2, restart_marker_blocks=2),
        "trailing.jpg": jpeg + b"camera padding",
        "pixel.jpg": saved(base.crop((0, 0, 1, 1)), "JPEG"),
        "ycck.jpg": cmyk, "dc_overflow.jpg": dc_overflow(),
        "rgb.png": plain, "rgba.png": saved(Image.merge("RGBA", (*base.split(), grey)), "PNG"),
        "grey.png": saved(grey, "PNG"),
        "grey_alpha.png": saved(Image.merge("LA", (grey, grey)), "PNG"),
        "palette.png": saved(base.quantize(16), "PNG", bits=4),
        "bilevel.png": saved(grey.convert("1"), "PNG"),
        "rgb16.png": png(7, 5, 16, 2, rows16), "grey16.png": png(7, 5, 16, 0, grey16),
        "interlaced.png": png(9, 7, 8, 2, passes, interlace=1),
        "pixel.png": saved(base.crop((0, 0, 1, 1)), "PNG"), "trailing.png": plain + b"tail",
        "exif.png": plain[:33] + chunk(b"eXIf", exif(6)) + plain[33:],
        "short_palette.png": png(4, 2, 8, 3, b"\0\0\1\2\3\0\xff\2\1\0",
                                 chunk(b"PLTE", palette3)),
        # broken or refused
        "empty.jpg": b"", "text.png": b"this is not an image at all\n",
        "gif.png": saved(grey, "GIF"),
        "cmyk_no_marker.jpg": without_app14(cmyk),
        "huge.png": png(60000, 60000, 8, 2, b"\0" * 10),
        "huge.jpg": patched(jpeg, sof + 5, struct.pack(">HH", 60000, 60000)),
        "pixels.png": png(8000, 8000, 8, 2, b"\0" * 10),
        "zero.png": png(0, 4, 8, 2, b"\0"),
        "no_height.jpg": patched(jpeg, sof + 5, b"\0\0"),
        "bits12.jpg": patched(jpeg, sof + 4, b"\x0c"),
        "lossless.jpg": patched(jpeg, sof + 1, b"\xc3"),
        "no_eoi.jpg": jpeg[:-2], "cut_scan.jpg": jpeg[:sos + 14 + 1] + b"\xff\xd9",
        "cut_header.jpg": jpeg[:sof + 7],
        "stray.jpg": patched(jpeg, dht + 1, b"\x02"),
        "huffman_overflow.jpg": (jpeg[:dht] + b"\xff\xc4" + struct.pack(">H", 19 + 16 * 255) + b"\0"
                                 + b"\xff" * (16 + 16 * 255) + jpeg[dht:]),
        "no_huffman.jpg": jpeg[:dht] + jpeg[sos:],
        "bad_component.jpg": patched(jpeg, sos + 5, b"\x77"),
        "no_iend.png": plain[:-12], "cut.png": plain[:60],
        "bad_crc.png": patched(plain, 30, b"\0"),
        "bad_idat_crc.png": patched(plain, len(plain) - 14, b"\0"),
        "bad_depth.png": png(4, 4, 4, 2, b"\0" * 40),
        "no_palette.png": png(4, 2, 8, 3, b"\0" * 10),
        "no_idat.png": plain[:33] + chunk(b"IEND", b""),
        "critical.png": plain[:33] + chunk(b"CgBI", b"\0" * 4) + plain[33:],
        "no_pixels.png": png(4, 4, 8, 2, b"\0" * 20),
        "bad_deflate.png": (plain[:33] + chunk(b"IDAT", b"\x78\x9c\xff\xff\xff")
                            + chunk(b"IEND", b"")),
        "bomb.png": png(1, 1, 8, 2, b"\0" * (2 << 20)),
        "two_ihdr.png": plain[:33] + plain[8:33] + plain[33:],
    }
    for o in range(1, 9):
        files[f"orientation{o}.jpg"] = app1(o, "II" if o % 2 else "MM")
    files["orientation_bad.jpg"] = app1(77, "II")

    blob, rows = bytearray(), []

    def add(name, size, pixels, upright=False):
        rows.append({"file": name, "upright": upright, "offset": len(blob), "width": size[0],
                     "height": size[1]})
        blob.extend(pixels)

    for name, data in files.items():
        with open(os.path.join(OUT, "files", name), "wb") as f:
            f.write(data)
    good = [n for n in files if n.split(".")[0] in (
        "baseline progressive grey s420 s422 restart trailing pixel rgb rgba grey_alpha palette "
        "bilevel interlaced exif".split())]
    good += [f"orientation{o}.jpg" for o in range(1, 9)]
    for name in good:
        img = Image.open(io.BytesIO(files[name]))
        upright = name.startswith("orientation")
        img = (ImageOps.exif_transpose(img) if upright else img)
        img = (img.convert("RGBA") if img.mode in ("P", "RGBA", "LA") else img).convert("RGB")
        if name == "grey_alpha.png":
            img = grey.convert("RGB")
        add(name, img.size, img.tobytes(), upright)
    a = np.frombuffer(rows16, np.uint8).reshape(5, -1)[:, 1::2]
    add("rgb16.png", (7, 5), a.tobytes())
    with open(os.path.join(OUT, "files.bin"), "wb") as f:
        f.write(blob)
    write_json("files.json", {"versions": VERSIONS}, ("files", rows))


# --- pixels of every kind of file ---

HERE = os.path.dirname(os.path.abspath(__file__))
NARROW = [(w, 7) for w in range(1, 6)]
SAMPLINGS = ["1x1", "2x1", "1x2", "2x2", "4x1", "1x4", "4x2"]


def jpeg_encoder(folder):
    """A function that encodes pixels with jpeg.c, which knows more kinds than Pillow's encoder."""
    program = os.path.join(folder, "jpeg")
    subprocess.run(["cc", "-o", program, os.path.join(HERE, "jpeg.c"), "-ljpeg"], check=True)

    def encode(pixels, colours, *options):
        size = [str(pixels.shape[1]), str(pixels.shape[0])]
        return subprocess.run([program, *size, colours, *options], input=pixels.tobytes(), check=True,
                              stdout=subprocess.PIPE).stdout

    return encode


def jpeg_parts(data):
    """(marker, offset, offset of the next one) of segments, and of entropy-coded data as (0, …)."""
    at = 2
    while True:
        if data[at] == 0xFF and data[at + 1] != 0:
            marker = data[at + 1]
            end = at + 2 if marker == 0xD9 else at + 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
        else:
            marker = 0
            end = next(i for i in range(at, len(data))
                       if data[i] == 0xFF and data[i + 1] != 0 and not 0xD0 <= data[i + 1] <= 0xD7)
        yield marker, at, end
        if marker == 0xD9:
            return
        at = end


def segment(marker, data):
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(data) + 2) + data


def inserted(data, before, new):
    """New bytes in front of the first such part."""
    at = next(begin for marker, begin, _ in jpeg_parts(data) if marker == before)
    return data[:at] + new + data[at:]


def bare_scans(sof, size, components, scans):
    """A file of scans without data, which arithmetic coding reads as zeros."""
    data = b"\xff\xd8" + segment(0xDB, b"\0" + b"\1" * 64)
    data += segment(sof, struct.pack(">BHHB", 8, size[1], size[0], components)
                    + b"".join(bytes([i, 0x11, 0]) for i in range(components)))
    for which, first, last, low in scans:
        data += segment(0xDA, bytes([len(which)]) + b"".join(bytes([i, 0]) for i in which)
                        + bytes([first, last, low]))
    return data + b"\xff\xd9"


def jpeg_kinds(encode):
    """{name: bytes} of files that decode."""
    rgb = photo(37, 29)
    grey = np.ascontiguousarray(rgb[:, :, 1])
    inks = np.concatenate([rgb, grey[:, :, None] // 2 + 100], 2)
    noisy = noise(61, 43)
    files = {}
    for sampling in SAMPLINGS:
        for name, options in (("", []), ("_prog", ["progressive"]), ("_arith", ["arithmetic"])):
            files[f"s{sampling}{name}.jpg"] = encode(rgb, "ycc", f"sampling={sampling},1x1,1x1", *options)
        files[f"noise_{sampling}.jpg"] = encode(noisy, "ycc", f"sampling={sampling},1x1,1x1", "quality=95")
    for size in NARROW:
        for sampling in ("2x2", "2x1"):
            files[f"narrow{size[0]}_{sampling}.jpg"] = encode(noise(*size), "ycc",
                                                              f"sampling={sampling},1x1,1x1")
    files |= {
        "sampling_odd.jpg": encode(rgb, "ycc", "sampling=2x2,2x1,1x2"),
        "sampling_chroma.jpg": encode(rgb, "ycc", "sampling=1x1,2x2,1x1"),
        "sampling_3x1.jpg": encode(rgb, "ycc", "sampling=3x1,1x1,1x1"),
        "grey_sampling.jpg": encode(grey, "grey", "sampling=2x2"),
        "grey_prog.jpg": encode(grey, "grey", "progressive"),
        "grey_arith_prog.jpg": encode(grey, "grey", "progressive", "arithmetic"),
        "arith_prog.jpg": encode(rgb, "ycc", "progressive", "arithmetic"),
        "arith_restart.jpg": encode(rgb, "ycc", "restart=2", "arithmetic"),
        "prog_restart.jpg": encode(rgb, "ycc", "restart=1", "progressive"),
        "scan_each.jpg": encode(rgb, "ycc", "scans=0/0/63/0/0:1/0/63/0/0:2/0/63/0/0"),
        "prog_dc_only.jpg": encode(rgb, "ycc", "scans=012/0/0/0/1:012/0/0/1/0"),
        "optimized.jpg": encode(rgb, "ycc", "optimize"),
        "quant16.jpg": encode(rgb, "ycc", "dct16"),
        "restart_block.jpg": encode(rgb, "ycc", "restart=1"),
        "no_tables.jpg": encode(rgb, "ycc", "notables"),
        "no_tables_grey.jpg": encode(grey, "grey", "notables"),
        "rgb_adobe.jpg": encode(rgb, "rgb"), "rgb_ids.jpg": encode(rgb, "rgb", "noadobe"),
        "ycc_no_jfif.jpg": encode(rgb, "ycc", "nojfif"),
        "cmyk.jpg": encode(inks, "cmyk"), "cmyk_plain.jpg": encode(inks, "cmyk", "noadobe"),
        "cmyk_prog.jpg": encode(inks, "cmyk", "progressive"),
        "ycck_444.jpg": encode(inks, "ycck"),
        "largest.jpg": bare_scans(0xCA, (8192, 4882), 4, [((0, 1, 2, 3), 0, 0, 0), ((3,), 1, 63, 0)]),
        "ycck_420.jpg": encode(inks, "ycck", "sampling=2x2,1x1,1x1,2x2"),
    }
    plain, restart = files["s2x1.jpg"], files["restart_block.jpg"]
    begin, end = next((b, e) for marker, b, e in jpeg_parts(restart) if marker == 0)
    rst = [i for i in range(begin, end) if restart[i] == 0xFF and 0xD0 <= restart[i + 1] <= 0xD7]
    adobe1 = segment(0xEE, b"Adobe\0\x64\0\0\0\0\x01")
    exif_of = lambda data: inserted(plain, 0xDB, segment(0xE1, b"Exif\0\0" + data))
    files |= {
        "ycc_adobe.jpg": inserted(files["ycc_no_jfif.jpg"], 0xDB, adobe1),
        "rst_before_eoi.jpg": inserted(restart, 0xD9, b"\xff" + bytes([0xD0 + len(rst) % 8])),
        "padded_end.jpg": inserted(plain, 0xD9, b"\0" * 7),
        "fill_bytes.jpg": inserted(plain[:-2], 0xC0, b"\xff" * 3) + b"\xff" * 5 + plain[-2:],
        "jfif_9.jpg": plain.replace(b"JFIF\0\1", b"JFIF\0\x09"),
        "odd_scan.jpg": plain.replace(b"\0\x3f\0", b"\0\0\0"),
        "two_exif.jpg": inserted(exif_of(exif(3)), 0xDB, segment(0xE1, b"Exif\0\0" + exif(6))),
        # EXIF that cannot be read
        "exif_empty.jpg": exif_of(b""), "exif_order.jpg": exif_of(b"XX" + exif(6)[2:]),
        "exif_offset.jpg": exif_of(exif(6)[:4] + b"\xff" * 4 + exif(6)[8:]),
        "exif_cut.jpg": exif_of(exif(6)[:12]),
        # broken data that Pillow shows
        "damaged_data.jpg": plain[:end_of_data(plain) - 90] + b"\xff\0" * 30 + plain[end_of_data(plain) - 30:],
        "damaged_segment.jpg": restart[:rst[1] + 3] + restart[rst[2]:],
        "damaged_extra.jpg": restart[:rst[1]] + b"\x12\x34\x56" * 3 + restart[rst[1]:],
        "damaged_lost.jpg": restart[:rst[1]] + restart[rst[2]:],
        "adobe_9.jpg": inserted(files["ycc_no_jfif.jpg"], 0xDB, adobe1[:-1] + b"\x09"),
    }
    return files


def end_of_data(data):
    return next(end for marker, _, end in jpeg_parts(data) if marker == 0)


def refused_kinds(encode):
    rgb = photo(64, 48)
    plain = encode(rgb, "ycc", "sampling=1x1")
    restart, prog = encode(rgb, "ycc", "restart=2"), encode(rgb, "ycc", "progressive")
    begin, end = next((b, e) for marker, b, e in jpeg_parts(restart) if marker == 0)
    rst = [i for i in range(begin, end) if restart[i] == 0xFF and 0xD0 <= restart[i + 1] <= 0xD7]
    scan_each = encode(rgb, "ycc", "scans=0/0/63/0/0:1/0/63/0/0:2/0/63/0/0")
    last_scan = [b for marker, b, _ in jpeg_parts(scan_each) if marker == 0xDA][-1]
    eoi = b"\xff\xd9"
    ac = [((i % 3,), 1 + i // 3, 1 + i // 3, 0) for i in range(99)]
    four = [((i % 4,), 1 + i // 4, 1 + i // 4, 0) for i in range(99)]
    return {
        "cut_rows.jpg": plain[:end_of_data(plain) // 2] + eoi,
        "cut_restart.jpg": restart[:rst[1]] + eoi, "cut_restart_after.jpg": restart[:rst[1] + 2] + eoi,
        "cut_progressive.jpg": prog[:len(prog) * 3 // 4] + eoi,
        "cut_progressive_first.jpg": prog[:end_of_data(prog) - 9] + eoi,
        "no_last_scan.jpg": scan_each[:last_scan] + eoi,
        "two_components.jpg": bare_scans(0xC9, (8, 8), 2, [((0, 1), 0, 63, 0)]),
        "scans.jpg": bare_scans(0xCA, (16, 16), 3, [((0, 1, 2), 0, 0, 0)] + ac + ac[:2]),
        "scanned_pixels.jpg": bare_scans(0xCA, (8192, 4882), 4, [((0, 1, 2, 3), 0, 0, 0)] + four),
        "tall.jpg": patched(plain, next(b for m, b, _ in jpeg_parts(plain) if m == 0xC0) + 5,
                            struct.pack(">HH", 65535, 8)),
        "exif_overrun.jpg": inserted(plain, 0xDB, b"\xff\xe1\xff\xff" + b"Exif\0\0"),
    }


def png_kinds():
    rgb = Image.fromarray(photo(9, 6))
    plain = saved(rgb, "PNG")
    begin = plain.index(b"IDAT") - 4
    kinds = {
        "empty_idat_first.png": plain[:begin] + chunk(b"IDAT", b"") + plain[begin:],
        "empty_idat_last.png": plain[:-12] + chunk(b"IDAT", b"") + plain[-12:],
        "trns_rgb.png": plain[:begin] + chunk(b"tRNS", b"\0\1\0\2\0\3") + plain[begin:],
        "palette_trns.png": png(4, 2, 8, 3, b"\0\0\1\2\1\0\2\2\1\0", chunk(b"PLTE", bytes(range(90, 99)))
                                + chunk(b"tRNS", b"\0\x80")),
    }
    refused = {
        "empty_idat.png": plain[:33] + chunk(b"IDAT", b"") * 2 + chunk(b"IEND", b""),
    }
    return kinds, refused


def digest_of(path):
    img = Image.open(path)
    mode, img = img.mode, img.convert("RGB")
    return {"mode": mode, "width": img.width, "height": img.height,
            "sha256": hashlib.sha256(img.tobytes()).hexdigest()}


def make_pixels():
    with tempfile.TemporaryDirectory() as folder:
        encode = jpeg_encoder(folder)
        good, refused = jpeg_kinds(encode), refused_kinds(encode)
    png_good, png_refused = png_kinds()
    for name, data in (good | refused | png_good | png_refused).items():
        with open(os.path.join(OUT, "files", name), "wb") as f:
            f.write(data)
    with open(os.path.join(OUT, "files.json")) as f:
        names = {f"files/{row['file']}" for row in json.load(f)["files"]}
    names |= {f"files/{name}" for name in good | png_good}
    names |= {f"files/{name}" for name in ("ycck.jpg", "dc_overflow.jpg", "cmyk_no_marker.jpg", "no_huffman.jpg",
                                           "orientation_bad.jpg", "grey.png", "pixel.png",
                                           "trailing.png")}
    suite = os.path.join(OUT, "pngsuite")
    names |= {f"pngsuite/{name}" for name in os.listdir(suite) if name.endswith(".png") and name[0] != "x"
              and not name.endswith("0g16.png")}  # 16-bit grey
    write_json("pixels.json", {"versions": VERSIONS | {"libjpeg-turbo": features.version_feature("libjpeg_turbo")}},
               ("files", [{"file": name} | digest_of(os.path.join(OUT, name)) for name in sorted(names)]))


def make_shared():
    """Digests of whole folders of ../shared/data, where it is: SHA-256 over the digests of their files, by name."""
    root = os.path.join(HERE, "../../../shared/data")
    rows = []
    for folder in ("clothing/images", "photos", "exif", "faults"):
        path = os.path.join(root, folder)
        names = sorted(name for name in os.listdir(path) if name.endswith(".jpg"))
        digests = "".join(digest_of(os.path.join(path, name))["sha256"] for name in names)
        rows.append({"folder": folder, "count": len(names), "sha256": hashlib.sha256(digests.encode()).hexdigest()})
    write_json("shared.json", {"versions": VERSIONS}, ("folders", rows))


if __name__ == "__main__":
    os.makedirs(OUT, exist_ok=True)
    make_ops()
    make_draws()
    make_drawn()
    make_files()
    make_pixels()
    if os.path.isdir(os.path.join(HERE, "../../../shared/data")):
        make_shared()
