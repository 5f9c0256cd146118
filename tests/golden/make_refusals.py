#!/usr/bin/python3
"""What users give in place of a checkpoint, an image or an archive: tests/golden/refusals and tests/fuzz/corpus/kind.

    python3 tests/golden/make_refusals.py

Made with PyTorch 1.13.1, Pillow 9.4.0 and Python 3.11.2. Each file is written by the program that users would have
used, where Debian has it: torch.save, torch.onnx, torch.nn.utils, Pillow, gzip, bz2, lzma. The others are the
smallest files of their layout, by hand; the comment beside each names where the layout is from.
"""
import bz2
import gzip
import io
import json
import lzma
import os
import pathlib
import pickle
import shutil
import struct
import sys
import tarfile
import types
import warnings
import zipfile

import numpy
import torch
import torch.nn.utils.prune
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
OUT = HERE / "refusals"
KINDS = HERE.parent / "fuzz" / "corpus" / "kind"
warnings.filterwarnings("ignore")


def save(obj):
    out = io.BytesIO()
    torch.save(obj, out)
    return out.getvalue()


def safetensors(tensors):
    header, data = {}, b""
    for name, t in tensors.items():
        raw = t.detach().float().contiguous().numpy().tobytes()
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def image(kind, **options):
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (200, 30, 90)).save(out, kind, **options)
    return out.getvalue()


def onnx():
    out = io.BytesIO()
    torch.onnx.export(torch.nn.Linear(2, 2), torch.zeros(1, 2), out)
    return out.getvalue()


def msgpack(node):
    """https://github.com/msgpack/msgpack/blob/master/spec.md: maps and texts as flax.serialization writes them."""
    if isinstance(node, dict):
        return bytes([0x80 | len(node)]) + b"".join(msgpack(k) + msgpack(v) for k, v in node.items())
    if isinstance(node, str):
        return bytes([0xa0 | len(node)]) + node.encode()
    return b"\xc7" + bytes([len(node), 1]) + node  # ext 8 of type 1: an array


def field(number, value):
    """A field of a protocol buffer: a number or bytes."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    return bytes([number << 3 | 2, len(value)]) + value


def ftyp(brand, *compatible):
    """ISO/IEC 14496-12, file-type box: size, type, major brand, minor version, compatible brands."""
    brands = brand + bytes(4) + b"".join(compatible)
    return struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + struct.pack(">I", 8) + b"mdat"


def tar():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as t:
        info = tarfile.TarInfo("candidate/a.png")
        data = image("PNG")
        info.size = len(data)
        t.addfile(info, io.BytesIO(data))
    return out.getvalue()


def stored(names):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for name, data in names.items():
            z.writestr(zipfile.ZipInfo(name, (2000, 1, 1, 0, 0, 0)), data)
    return out.getvalue()


def classes(module, *names):
    """Classes of a module that this PyTorch does not have or cannot import, so that pickle writes their names."""
    fake = types.ModuleType(module)
    for name in names:
        setattr(fake, name, type(name, (), {"__module__": module}))
    sys.modules[module] = fake
    return fake


def dcp_metadata():
    """.metadata: pickle.dump of Metadata (torch/distributed/checkpoint/filesystem.py, FileSystemWriter.finish)."""
    fake = classes("torch.distributed.checkpoint.metadata", "Metadata", "TensorStorageMetadata")
    meta, tensor = fake.Metadata(), fake.TensorStorageMetadata()
    tensor.size = torch.Size([4, 3])
    meta.state_dict_metadata = {"conv1.weight": tensor}
    return pickle.dumps(meta)


class Elsewhere(torch.Tensor):
    """Wraps a tensor as DTensor does: the wrapper has no storage, __dict__ has the local part."""

    @staticmethod
    def __new__(cls, local):
        return torch.Tensor._make_wrapper_subclass(cls, local.size(), dtype=local.dtype)

    def __init__(self, local):
        self._local_tensor = local

    def __repr__(self):
        return "wrapped"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return func(*[a._local_tensor if isinstance(a, cls) else a for a in args], **(kwargs or {}))


def dtensor(local):
    """PyTorch writes a wrapper by _rebuild_from_type_v2(_rebuild_wrapper_subclass, DTensor, ...): torch/_tensor.py."""
    module = "torch.distributed.tensor"
    fake = sys.modules.setdefault(module, types.ModuleType(module))
    fake.DTensor = Elsewhere
    Elsewhere.__module__, Elsewhere.__name__, Elsewhere.__qualname__ = module, "DTensor", "DTensor"
    return Elsewhere(local)


def kinds():
    """Name of the file, bytes. tests/unit/core/base/test_kind.c has the answer to each."""
    zeros = bytes(64)
    head = b"version https://git-lfs.github.com/spec/v1\n"
    return {
        "lfs": head + b"oid sha256:" + b"0" * 64 + b"\nsize 346\n",
        "html": b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n",
        "html-mark": b"\xef\xbb\xbf\r\n  <HTML lang=en>\n",
        "xml": b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code></Error>',
        "svg": b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>',
        "gguf": b"GGUF" + struct.pack("<IQQ", 3, 123, 0) + zeros,  # byte 8 is a brace: like safetensors
        "hdf5": b"\x89HDF\r\n\x1a\n" + zeros,  # HDF5 specification, superblock's signature
        "tflite": struct.pack("<I", 28) + b"TFL3" + zeros,  # a FlatBuffer's file identifier
        # tensorflow/core/protobuf/saved_model.proto: schema version, then a MetaGraphDef with a MetaInfoDef
        "savedmodel": field(1, 1) + field(2, field(1, field(4, b"serve") + field(5, b"2.10.0"))),
        # tensorflow/core/lib/io/format.h: the footer of a table ends with kTableMagicNumber
        "tf-index": zeros + bytes.fromhex("57fb808b247547db"),
        "tf-state": b'model_checkpoint_path: "model.ckpt-1000"\nall_model_checkpoint_paths: "model.ckpt-1000"\n',
        "onnx": onnx(),
        # onnx/onnx.proto: ModelProto as onnx.helper.make_model writes it, without a producer
        "onnx-plain": field(1, 8) + field(7, field(1, field(1, b"x"))) + field(8, field(2, 17)),
        "msgpack": msgpack({"params": {"conv_init": {"kernel": bytes(16)}}}),
        "dcp": dcp_metadata(),
        "pickle": pickle.dumps({"conv1.weight": numpy.ones((2, 2), numpy.float32)}),
        "pickle-2": pickle.dumps({"conv1.weight": [1.0, 2.0]}, protocol=2),
        "gzip": gzip.compress(tar(), mtime=0),
        "bzip2": bz2.compress(tar()),
        "xz": lzma.compress(tar()),
        "zstd": b"\x28\xb5\x2f\xfd" + zeros,  # RFC 8878 section 3.1.1
        "lz4": b"\x04\x22\x4d\x18" + zeros,  # lz4_Frame_format.md
        "7z": b"7z\xbc\xaf\x27\x1c\x00\x04" + zeros,  # 7zFormat.txt, SignatureHeader
        "rar": b"Rar!\x1a\x07\x01\x00" + zeros,  # RAR 5.0 archive format, signature
        "zip": stored({"a.png": image("PNG")}),
        "tar": tar(),
        "jpeg": image("JPEG"), "png": image("PNG"), "webp": image("WEBP"), "gif": image("GIF"),
        "tiff": image("TIFF"), "bmp": image("BMP"),
        "tiff-be": b"MM\0*" + struct.pack(">I", 8) + zeros,  # TIFF 6.0, section 2
        "bigtiff": b"II+\0\x08\0\0\0" + zeros,
        "avif": ftyp(b"avif", b"mif1", b"avif", b"miaf"),
        "avif-mif1": ftyp(b"mif1", b"avif", b"miaf"),
        "heic": ftyp(b"heic", b"mif1", b"heic"),
        "video": ftyp(b"isom", b"isom", b"mp41"),
        "jxl": b"\xff\x0a" + zeros,  # ISO/IEC 18181-2: bare codestream
        "jxl-box": b"\0\0\0\x0cJXL \r\n\x87\n" + ftyp(b"jxl ", b"jxl "),
        "jp2": b"\0\0\0\x0cjP  \r\n\x87\n" + ftyp(b"jp2 ", b"jp2 "),
        "psd": b"8BPS\0\x01" + zeros,
        "pdf": b"%PDF-1.7\n" + zeros,
        "dicom": bytes(128) + b"DICM" + zeros,
        "npy": b"\x93NUMPY\x01\0" + zeros,
        "parquet": b"PAR1" + zeros + b"PAR1",
        "unknown": b"some words that no table has\n",
        "unknown-bm": b"BM is a text, not a bitmap: no header behind",
        "unknown-ftyp": b"\0\0\0\x0cftyx" + zeros,
        "unknown-proto": b"\x08\x07\x12\x05ab\x00cd" + zeros,
    }


class Norm(torch.nn.Module):
    """The stem and first block of a ResNet, by torchvision's names, with another norm or weight."""

    def __init__(self, norm, wrap=lambda conv: conv, stem=lambda conv: conv):
        super().__init__()
        conv = lambda i, o, k: torch.nn.Conv2d(i, o, k, padding=k // 2, bias=False)
        self.conv1 = stem(conv(3, 8, 3))
        self.bn1 = norm(8)
        block = torch.nn.Module()
        block.conv1, block.bn1 = wrap(conv(8, 8, 3)), norm(8)
        block.conv2, block.bn2 = wrap(conv(8, 8, 3)), norm(8)
        self.layer1 = torch.nn.Sequential(block)


def checkpoints():
    batch, utils = torch.nn.BatchNorm2d, torch.nn.utils
    plain = Norm(batch).state_dict()
    whole = save(plain)
    tensors = safetensors(plain)
    base = "base_model.model.vit.encoder.layer.0.attention.attention.query."
    lora = {base + "lora_A.weight": torch.zeros(2, 8), base + "lora_B.weight": torch.zeros(8, 2)}
    unmerged = dict(plain)
    unmerged["layer1.0.conv1.lora_A"] = torch.zeros(2, 8)
    unmerged["layer1.0.conv1.lora_B"] = torch.zeros(8, 2)
    spectral = utils.parametrizations.spectral_norm
    return {
        "plain.pt": whole,
        "cut.pt": whole[:len(whole) * 2 // 3],
        "cut.npz": stored({"a.npy": bytes(300)})[:200],
        "cut.safetensors": tensors[:-100],
        "cut-header.safetensors": tensors[:200],
        "empty.pt": b"",
        "keras.keras": stored({"config.json": b"{}", "model.weights.h5": b"\x89HDF\r\n\x1a\n"}),
        "config.json": b'{"architectures": ["ViTModel"], "hidden_size": 384}',
        "mark.json": b'\xef\xbb\xbf{"views": 4}',
        "wide.json": '{"views": 4}'.encode("utf-16"),
        "page.pth": kinds()["html"],
        "pointer.safetensors": kinds()["lfs"],
        "model.onnx": kinds()["onnx"],
        "variables.data-00000-of-00001": bytes(range(1, 65)),  # raw numbers: only the name tells
        "model-00001-of-00003.safetensors": tensors,
        "pytorch_model-00002-of-00002.bin": whole,
        "dtensor.pt": save({k: dtensor(v) if v.dim() == 4 else v for k, v in plain.items()}),
        "lora.safetensors": safetensors(lora),
        "lora-unmerged.pt": save(unmerged),
        "group-norm.pt": save(Norm(lambda c: torch.nn.GroupNorm(2, c)).state_dict()),
        "weight-norm.pt": save(Norm(batch, utils.weight_norm).state_dict()),
        "weight-norm-stem.pt": save(Norm(batch, stem=utils.weight_norm).state_dict()),
        "spectral-norm.pt": save(Norm(batch, utils.spectral_norm).state_dict()),
        "spectral-norm-new.pt": save(Norm(batch, spectral).state_dict()),
        "pruned.pt": save(Norm(batch, lambda c: utils.prune.l1_unstructured(c, "weight", 0.5)).state_dict()),
        # torch.nn.utils.parametrizations.weight_norm is of PyTorch 2.1: original0 is g, original1 is v
        "weight-norm-new.pt": save({k.replace("weight_g", "parametrizations.weight.original0")
                                    .replace("weight_v", "parametrizations.weight.original1"): v
                                    for k, v in Norm(batch, utils.weight_norm).state_dict().items()}),
        # torch/distributed/checkpoint/filesystem.py: each tensor by torch.save, one after the other
        "dcp/__0_0.distcp": save(plain["conv1.weight"]) + save(plain["bn1.weight"]),
        "dcp/.metadata": kinds()["dcp"],
        "hub/config.json": b"{}",
        "hub/model.safetensors": tensors,
        "sharded/model-00001-of-00002.safetensors": tensors,
        "sharded/model.safetensors.index.json": b"{}",
        "adapter/adapter_config.json": b"{}",
        "adapter/adapter_model.safetensors": safetensors(lora),
        "tensorflow/saved_model.pb": kinds()["savedmodel"],
        "orbax/_CHECKPOINT_METADATA": b"{}",
        "unpacked/data.pkl": b"\x80\x02}q\x00.",
        "pair/pair.json": b"{}",
        "nothing/notes.txt": b"no weights here\n",
    }


def main():
    torch.manual_seed(17)
    for folder, files in ((KINDS, kinds()), (OUT, checkpoints())):
        shutil.rmtree(folder, ignore_errors=True)
        for name, data in files.items():
            path = folder / name
            os.makedirs(path.parent, exist_ok=True)
            path.write_bytes(data)


if __name__ == "__main__":
    main()
