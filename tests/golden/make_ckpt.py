#!/usr/bin/python3
"""Checkpoint vectors: tests/golden/ckpt (read bit for bit) and tests/fuzz/corpus (hostile files).

    python3 tests/golden/make_ckpt.py

Also tests/golden/ckpt/shared.json: what PyTorch reads in the files of others in tests/golden/ckpt/published.

Made with PyTorch 1.13.1, NumPy 1.24.2 and Python 3.11.2. The expected values are PyTorch's own: manifest.json lists,
for each file, every tensor in order with its type, shape and the bits of .float().
"""
import hashlib
import io
import json
import pathlib
import pickle
import struct
import tarfile
import warnings
import zipfile
from collections import OrderedDict

import numpy
import torch

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE / "ckpt"
CORPUS = HERE.parent / "fuzz" / "corpus"  # folders torch, pickle, legacy, npz, safetensors, index
EPOCH = (2000, 1, 1, 0, 0, 0)  # of zip entries: the files depend on nothing but this script
DTYPES = {
    torch.float64: "f64", torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16",
    torch.int64: "i64", torch.int32: "i32", torch.int16: "i16", torch.int8: "i8",
    torch.uint8: "u8", torch.bool: "bool",
}
SAFETENSORS = {d: n.upper() for d, n in DTYPES.items()}


class Block(torch.nn.Module):
    """Parameters, one of them absent, persistent and transient buffers, children, a plain attribute."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 1, bias=False)
        self.norm = torch.nn.BatchNorm2d(3)
        self.layers = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Identity())
        self.token = torch.nn.Parameter(torch.randn(1, 2))
        self.register_buffer("table", torch.arange(4).float())
        self.register_buffer("scratch", torch.zeros(3), persistent=False)
        self.register_parameter("absent", None)
        self.note = torch.ones(5)


class Named(torch.Tensor):
    """PyTorch pickles a subclass as a call of a call."""


def bits(tensor):
    values = tensor.detach().float().contiguous().reshape(-1)
    return values.view(torch.int32).bitwise_and(0xFFFFFFFF).tolist() if values.numel() else []


def flatten(value, prefix=""):
    """Names and tensors of nested dicts, lists and modules, in order."""
    if isinstance(value, torch.Tensor):
        yield prefix or "tensor", value
        return
    if isinstance(value, torch.nn.Module):
        value = value.state_dict()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, (list, tuple)):
        items = enumerate(value)
    else:
        return
    for key, item in items:
        yield from flatten(item, f"{prefix}.{key}" if prefix else str(key))


def describe(tensors):
    return [{"name": n, "dtype": DTYPES[t.dtype], "shape": list(t.shape),
             "bits": [b & 0xFFFFFFFF for b in bits(t)]} for n, t in tensors]


def torch_cases():
    torch.manual_seed(7)
    model = Block()
    base = torch.arange(24, dtype=torch.float32) / 8
    special = torch.tensor([0.0, -0.0, 1.0, -2.5, float("inf"), float("-inf"), 6e-8, 6.1e-5, 65504.0, 1 / 3])
    return {
        "plain.pt": model.state_dict(),
        "wrapped.pt": {
            "epoch": 3, "loss": 0.25, "args": {"arch": "resnet18", "steps": [1, 2, 3]},
            "state_dict": OrderedDict(("module." + k, v) for k, v in model.state_dict().items()),
            "optimizer": {"state": {0: {"step": torch.tensor(5.0), "exp_avg": torch.ones(2)}},
                          "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0]}]},
            "seed": 1 << 80,
        },
        "nested.pt": {"a": {"b": {"c": torch.ones(1)}}, "list": [torch.zeros(1), (torch.ones(2), None)],
                      "none": None, "names": {"x"}, ("t", 1): torch.ones(9), True: torch.ones(9)},
        "module.pt": model,
        "module-wrapped.pt": {"model": model, "epoch": 1},
        "types.pt": {
            "f64": special.double() * 1.0000000001, "f32": special, "f16": special.half(),
            "bf16": special.bfloat16(), "i64": torch.tensor([1 << 53, (1 << 53) + 1, -(1 << 62), 16777217]),
            "i32": torch.tensor([16777217, -2147483648], dtype=torch.int32),
            "i16": torch.tensor([-32768, 32767], dtype=torch.int16),
            "i8": torch.tensor([-128, 127], dtype=torch.int8), "u8": torch.tensor([0, 255], dtype=torch.uint8),
            "bool": torch.tensor([True, False]),
        },
        "views.pt": {
            "transposed": base.reshape(4, 6).t(), "part": base.reshape(2, 3, 4)[:, 1:, ::2],
            "column": base.reshape(4, 6)[:, 5], "tail": base[20:], "whole": base, "element": base[7],
            "permuted": base.reshape(2, 3, 4).permute(2, 0, 1), "row": base.reshape(1, 24)[:, 3:5],
        },
        "shapes.pt": {"scalar": torch.tensor(2.5), "empty": torch.zeros(0), "empty2": torch.zeros(3, 0, 2),
                      "rank8": torch.arange(4.0).reshape(1, 2, 1, 1, 2, 1, 1, 1)},
        "bare.pt": torch.arange(3.0),
        "subclass.pt": {"w": base.reshape(4, 6)[1:3].as_subclass(Named)},
        "parameter.pt": OrderedDict(p=torch.nn.Parameter(torch.ones(2))),
    }


class Part:
    """A part of the storage of `tensor`, as PyTorch before 0.4 knew it: elements [offset, offset + count)."""

    def __init__(self, tensor, key, offset, count):
        self.storage, self.key, self.offset, self.count = tensor.storage(), key, offset, count


class LegacyPickler(pickle.Pickler):
    """What torch.serialization._legacy_save does, with keys that are no addresses, so that files are repeatable."""

    def __init__(self, file, cuda=False, v1=False, parts=()):
        super().__init__(file, 2)
        self.cuda, self.v1, self.parts = cuda, v1, dict((id(tensor), part) for tensor, part in parts)
        self.keys, self.storages, self.classes = {}, {}, set()

    def reducer_override(self, value):
        if not isinstance(value, torch.Tensor) or isinstance(value, torch.nn.Parameter):
            return NotImplemented
        store, offset, function = value.storage(), value.storage_offset(), torch._utils._rebuild_tensor_v2
        if id(value) in self.parts:
            store = self.parts[id(value)]
            offset -= store.offset
        args = (store, offset, tuple(value.shape), value.stride())
        if self.v1:
            return torch._utils._rebuild_tensor, args
        return function, (*args, value.requires_grad, OrderedDict())

    def persistent_id(self, value):
        if isinstance(value, type) and issubclass(value, torch.nn.Module) and value not in self.classes:
            self.classes.add(value)
            return "module", value, "model.py", f"class {value.__name__}(Module): ..."
        part = None
        if isinstance(value, Part):
            value, part = value.storage, (value.key, value.offset, value.count)
        if not isinstance(value, torch.storage.TypedStorage):
            return None
        # Keys descend, so that the order of the file is not that of first use.
        key = self.keys.setdefault(value._storage._cdata, str(94000000000000 - 64 * len(self.keys)))
        self.storages[key] = value
        kind = getattr(torch.cuda if self.cuda else torch, value.pickle_storage_type())
        return "storage", kind, key, "cuda:0" if self.cuda else "cpu", value.size(), part


def legacy_head(little=True, magic=0x1950A86A20F9469CFC6C, protocol=1001):
    return b"".join(pickle.dumps(part, 2) for part in (
        magic, protocol, {"protocol_version": 1001, "little_endian": little,
                          "type_sizes": {"short": 2, "int": 4, "long": 4}}))


def legacy_bytes(value, **kwargs):
    file = io.BytesIO()
    file.write(legacy_head())
    pickler = LegacyPickler(file, **kwargs)
    pickler.dump(value)
    keys = sorted(pickler.storages)
    file.write(pickle.dumps(keys, 2))
    for key in keys:
        store = pickler.storages[key]
        raw = bytes(store._storage.tolist())
        file.write(struct.pack("<q", store.size()) + raw)
    return file.getvalue()


def legacy_cases(zipped):
    """Name, object, arguments of legacy_bytes."""
    base = torch.arange(24, dtype=torch.float32) / 8
    first, second = base[4:12].reshape(2, 4), base[12:20].reshape(4, 2).t()
    return [
        ("legacy-state.pt", zipped["plain.pt"], {}),
        ("legacy-types.pt", zipped["types.pt"], {}),
        ("legacy-views.pt", zipped["views.pt"], {}),
        ("legacy-shapes.pt", zipped["shapes.pt"], {}),
        ("legacy-wrapped.pt", zipped["wrapped.pt"], {"cuda": True}),
        ("legacy-v1.pt", OrderedDict((k, v.detach()) for k, v in zipped["plain.pt"].items()), {"v1": True}),
        ("legacy-parts.pt", {"whole": base, "first": first, "second": second},
         {"parts": [(first, Part(base, "1", 4, 8)), (second, Part(base, "2", 10, 12))]}),
        ("legacy-module.pt", zipped["module.pt"], {}),
    ]


def safetensors_bytes(tensors, metadata=None):
    header, data = {}, b""
    if metadata:
        header["__metadata__"] = metadata
    for name, tensor in tensors:
        raw = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        header[name] = {"dtype": SAFETENSORS[tensor.dtype], "shape": list(tensor.shape),
                        "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def array_of(tensor):
    """NumPy has no bfloat16: what JAX's become in a file is a void of two bytes."""
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view("V2")
    return tensor.numpy()


def npy(array, version=None):
    file = io.BytesIO()
    numpy.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def npz_cases(zipped):
    """Name of the file, tensors, and how numpy would be asked to write them."""
    names = ["params/img/embedding/kernel", "params/img/embedding/bias", "params/t"]
    tree = [(n, t) for n, t in zip(names, (torch.randn(2, 2, 3, 4), torch.randn(4), torch.tensor(0.25)))]
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    orders = [("c", base), ("fortran", base + 1), ("fortran2", base[0].double()), ("vector", base[0, 0])]
    fortran = {n: numpy.asfortranarray(t.numpy()) if n.startswith("fortran") else t.numpy() for n, t in orders}
    return {
        "tree.npz": (tree, lambda f: numpy.savez(f, **{n: t.numpy() for n, t in tree})),
        "types.npz": (list(zipped["types.pt"].items()),
                      lambda f: numpy.savez(f, **{n: array_of(t) for n, t in zipped["types.pt"].items()})),
        "shapes.npz": (list(zipped["shapes.pt"].items()),
                       lambda f: numpy.savez(f, **{n: t.numpy() for n, t in zipped["shapes.pt"].items()})),
        "orders.npz": (orders, lambda f: numpy.savez(f, **fortran)),
        "versions.npz": ([(f"v{v}", base + v) for v in (1, 2, 3)],
                         lambda f: write_zip(f, [(f"v{v}.npy", npy((base + v).numpy(), (v, 0))) for v in (1, 2, 3)])),
        # Every size and offset over this limit is in a zip64 record, the directory's end included.
        "zip64.npz": (tree, lambda f: write_zip(f, [(n + ".npy", npy(t.numpy())) for n, t in tree], limit=16)),
    }


def write_zip(path, entries, limit=zipfile.ZIP64_LIMIT):
    saved, zipfile.ZIP64_LIMIT = zipfile.ZIP64_LIMIT, limit
    with zipfile.ZipFile(path, "w") as z:
        for name, data in entries:
            z.writestr(zipfile.ZipInfo(name, EPOCH), data)
    zipfile.ZIP64_LIMIT = saved


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def write_shards(folder, index_name, shards, save):
    """shards: file name to tensors. Returns the row of the manifest."""
    folder.mkdir(exist_ok=True)
    for name, tensors in shards.items():
        save(folder / name, tensors)
    index = {"metadata": {"total_size": 0}, "weight_map": {n: f for f, tensors in shards.items() for n, _ in tensors}}
    (folder / index_name).write_text(json.dumps(index, indent=2) + "\n")
    digest = sha256((folder / index_name).read_bytes()) + "\n" + "".join(
        f"{sha256((folder / name).read_bytes())} {name}\n" for name in sorted(shards))
    return {"format": "shards", "digest": sha256(digest.encode()),
            "tensors": [t for name in sorted(shards) for t in describe(shards[name])]}


def write_all_shards(files, state):
    items = list(state.items())
    files["shards-safetensors/model.safetensors.index.json"] = write_shards(
        GOLDEN / "shards-safetensors", "model.safetensors.index.json",
        {"model-00002-of-00002.safetensors": items[:3], "model-00001-of-00002.safetensors": items[3:]},
        lambda path, tensors: path.write_bytes(safetensors_bytes(tensors)))
    files["shards-torch/pytorch_model.bin.index.json"] = write_shards(
        GOLDEN / "shards-torch", "pytorch_model.bin.index.json",
        {"pytorch_model-00001-of-00002.bin": items[:3], "pytorch_model-00002-of-00002.bin": items[3:]},
        lambda path, tensors: torch.save(OrderedDict(tensors), path))


def write_golden():
    GOLDEN.mkdir(exist_ok=True)
    manifest = {"versions": {"torch": torch.__version__.split("+")[0], "numpy": numpy.__version__}, "files": {}}
    cases = torch_cases()
    for name, value in cases.items():
        torch.save(value, GOLDEN / name)
        reloaded = dict(value) if type(value) is dict else value
        if name == "nested.pt":  # keys that no state_dict has
            reloaded = {k: v for k, v in value.items() if isinstance(k, str)}
        manifest["files"][name] = {"format": "torch-zip", "tensors": describe(flatten(reloaded))}
    warnings.simplefilter("ignore")  # the source of module classes is made up
    for name, value, kwargs in legacy_cases(cases):
        (GOLDEN / name).write_bytes(legacy_bytes(value, **kwargs))
        loaded = torch.load(GOLDEN / name, map_location="cpu")
        manifest["files"][name] = {"format": "torch-legacy", "tensors": describe(flatten(loaded))}
    for name, (tensors, save) in npz_cases(cases).items():
        save(GOLDEN / name)
        manifest["files"][name] = {"format": "npz", "tensors": describe(tensors)}
    write_all_shards(manifest["files"], cases["plain.pt"])
    types = [(n, t) for n, t in cases["types.pt"].items()] + list(flatten(cases["shapes.pt"]))
    (GOLDEN / "types.safetensors").write_bytes(safetensors_bytes(types, {"format": "pt"}))
    manifest["files"]["types.safetensors"] = {"format": "safetensors", "tensors": describe(types)}
    (GOLDEN / "manifest.json").write_text(json.dumps(manifest, indent=None, separators=(",", ":")) + "\n")


# Hand-made pickles: opcodes as bytes.
def text(s):
    s = s if isinstance(s, bytes) else s.encode()
    return b"X" + struct.pack("<I", len(s)) + s


def number(n):
    if -(1 << 31) <= n < 1 << 31:
        return b"J" + struct.pack("<i", n)
    return b"\x8a\x09" + n.to_bytes(9, "little", signed=True) if abs(n) >= 1 << 63 else \
        b"\x8a\x08" + n.to_bytes(8, "little", signed=True)


def tup(*items):
    return b"(" + b"".join(items) + b"t"


def glob(module, name):
    return f"c{module}\n{name}\n".encode()


def storage(key="0", kind="FloatStorage", count=4):
    return tup(text("storage"), glob("torch", kind), text(key), text("cpu"), number(count)) + b"Q"


def tensor(size=(2, 2), stride=(2, 1), offset=0, store=None, function="_rebuild_tensor_v2"):
    return glob("torch._utils", function) + tup(
        store or storage(), number(offset), tup(*map(number, size)), tup(*map(number, stride)), b"\x89", b"N") + b"R"


def pairs(*items):
    return b"}(" + b"".join(items) + b"u"


def archive(name, root, store=struct.pack("<4f", 1, 2, 3, 4), method=zipfile.ZIP_STORED, extra=()):
    path = CORPUS / "torch" / name
    entries = [("a/data.pkl", b"\x80\x02" + root + b".", zipfile.ZIP_STORED), *extra]
    if store is not None:
        entries.append(("a/data/0", store, method))
    pack(path, entries)
    return path


def pack(path, entries):
    with zipfile.ZipFile(path, "w") as z:
        for entry, data, how in entries:
            info = zipfile.ZipInfo(entry, EPOCH)
            info.compress_type = how
            z.writestr(info, data)


def patch(path, old, new, last=False):
    data = path.read_bytes()
    at = data.rindex(old) if last else data.index(old)
    path.write_bytes(data[:at] + new + data[at + len(old):])


ONE_TO_FOUR = struct.pack("<4f", 1, 2, 3, 4)
BOMB = b"]" + b"".join(b"q" + bytes([i]) + b"]h" + bytes([i]) + b"ah" + bytes([i]) + b"a" for i in range(40))


def reduce_storage(store):
    return pairs(text("w"), glob("my.module", "make") + tup(store, number(0)) + b"R")


def write_torch():
    t = tensor()
    one = pairs(text("w"), t)
    archive("ok.pt", one)
    archive("ok-system.pt", pairs(text("x"), glob("os", "system") + tup(text("exit 1")) + b"R", text("w"), t))
    archive("ok-self.pt", b"}q\x00(" + text("me") + b"h\x00" + text("w") + t + b"u")
    archive("ok-protocol4.pt", b"\x95" + struct.pack("<Q", 0) + b"}\x94(\x8c\x01w\x94" + t + b"u")
    archive("view-past-end.pt", pairs(text("w"), tensor(offset=1)))
    archive("view-expands.pt", pairs(text("w"), tensor((1 << 40, 2), (0, 1))))
    archive("shape-overflows.pt", pairs(text("w"), tensor((1 << 62, 8), (0, 0))))
    archive("stride-overflows.pt", pairs(text("w"), tensor((3, 1), ((1 << 62) + 1, 1))))
    archive("side-negative.pt", pairs(text("w"), tensor((-1, 2))))
    archive("stride-missing.pt", pairs(text("w"), tensor((2, 2), (1,))))
    archive("rank-9.pt", pairs(text("w"), tensor((1,) * 9, (1,) * 9)))
    archive("storage-missing.pt", one, store=None)
    archive("storage-short.pt", one, store=b"\0" * 15)
    archive("storage-huge.pt", pairs(text("w"), tensor(store=storage(count=1 << 62))))
    archive("storage-complex.pt", pairs(text("w"), tensor(store=storage(kind="ComplexFloatStorage"))))
    archive("storage-compressed.pt", one, method=zipfile.ZIP_DEFLATED, store=b"\0" * 16)
    archive("pickle-compressed.pt", one)
    pack(CORPUS / "torch" / "pickle-compressed.pt", [("a/data.pkl", b"\x80\x02" + one + b".", zipfile.ZIP_DEFLATED)])
    archive("persistent-odd.pt", pairs(text("w"), tup(text("module"), number(1)) + b"Q"))
    archive("qtensor.pt", pairs(text("w"), tensor(function="_rebuild_qtensor")))
    archive("reduce-storage.pt", reduce_storage(storage()))
    archive("name-twice.pt", pairs(text("a.b"), t, text("a"), pairs(text("b"), t)))
    archive("name-nul.pt", pairs(text("w\0x"), t))
    archive("name-bytes.pt", pairs(text(b"w\xff"), t))
    archive("name-long.pt", pairs(text("n" * 513), t))
    archive("deep.pt", b"]" * 80 + b"a" * 79)
    archive("shared-bomb.pt", BOMB)
    archive("memo-far.pt", b"}r\xf0\xff\xff\xff")
    archive("opcode-text.pt", b"I12\n")
    archive("byteorder-big.pt", one, extra=[("a/byteorder", b"big", zipfile.ZIP_STORED)])
    archive("script.pt", one, extra=[("a/code/m.py", b"op_version_set = 1", zipfile.ZIP_STORED)])
    patch(archive("crc.pt", one), ONE_TO_FOUR, struct.pack("<4f", 1, 2, 3, 5))
    # The directory's record of a/data/0: size fields stand 26 bytes before the name, the offset 4 before it.
    size = struct.pack("<II", 16, 16)
    patch(archive("size-claimed.pt", one), size, struct.pack("<II", 0xFFFFFFF0, 0xFFFFFFF0), last=True)
    patch(archive("size-unequal.pt", one), size, struct.pack("<II", 16, 0xFFFFFFF0), last=True)
    two = pairs(text("w"), t, text("v"), tensor(store=storage("1")))
    path = archive("overlap.pt", two, extra=[("a/data/1", ONE_TO_FOUR, zipfile.ZIP_STORED)])
    offsets = {i.filename: i.header_offset for i in zipfile.ZipFile(path).infolist()}
    patch(path, struct.pack("<I", offsets["a/data/0"]) + b"a/data/0",
          struct.pack("<I", offsets["a/data/1"]) + b"a/data/0")
    path = archive("offset-past-end.pt", one)
    offset = zipfile.ZipFile(path).getinfo("a/data/0").header_offset
    patch(path, struct.pack("<I", offset) + b"a/data/0", struct.pack("<I", 0x7FFFFF00) + b"a/data/0")
    with zipfile.ZipFile(CORPUS / "torch" / "no-pickle.zip", "w") as z:
        z.writestr(zipfile.ZipInfo("a/readme", EPOCH), b"hello")
    # Bare pickles: the fuzz target puts them into a zip.
    (CORPUS / "torch" / "ok.pkl").write_bytes(b"\x80\x02" + one + b".")
    module = zipfile.ZipFile(GOLDEN / "module.pt").read("module/data.pkl")
    (CORPUS / "torch" / "module.pkl").write_bytes(module)
    for name, data in {
        "ok.pkl": b"\x80\x02" + one + b".", "module.pkl": module, "bomb.pkl": b"\x80\x02" + BOMB + b".",
        "system.pkl": b"\x80\x02" + glob("os", "system") + tup(text("exit 1")) + b"R.",
        "wrapped.pkl": zipfile.ZipFile(GOLDEN / "wrapped.pt").read("wrapped/data.pkl"),
        "marks.pkl": b"\x80\x02" + b"(" * 1025 + b".",
        "protocol4.pkl": pickle.dumps({"a": [1, 2.5, None, True, {7}, frozenset((1,)), b"b", 1 << 70]}, 4),
    }.items():
        (CORPUS / "pickle" / name).write_bytes(data)


def legacy_storage(key="0", kind="FloatStorage", count=4, part=b"N", location="cuda:0", module="torch"):
    return tup(text("storage"), glob(module, kind), text(key), text(location), number(count), part) + b"Q"


def write_legacy():
    one = pairs(text("w"), tensor(store=legacy_storage()))
    stored = struct.pack("<q", 4) + ONE_TO_FOUR

    def legacy(name, object=one, keys=("0",), data=stored, head=legacy_head(), cut=0):
        keys = keys if isinstance(keys, bytes) else pickle.dumps(list(keys), 2)
        whole = head + b"\x80\x02" + object + b"." + keys + data
        (CORPUS / "legacy" / name).write_bytes(whole[:len(whole) - cut])

    def one_of(**kwargs):
        return pairs(text("w"), tensor(store=legacy_storage(**kwargs)))

    def part(offset, count):
        return tup(text("1"), number(offset), number(count))

    legacy("ok.pt")
    legacy("ok-empty.pt", object=b"}", keys=(), data=b"")
    legacy("ok-cuda.pt", object=one_of(module="torch.cuda"))
    legacy("ok-part.pt", object=pairs(text("w"), tensor((2,), (1,), 1, legacy_storage(part=part(1, 3)))))
    legacy("ok-system.pt", object=pairs(
        text("x"), glob("os", "system") + tup(text("exit 1")) + b"R", text("w"), tensor(store=legacy_storage()),
        text("m"), tup(text("module"), glob("my", "Net"), text("net.py"), text("class Net: 1/0")) + b"Q)\x81"))
    # Python 2: an OrderedDict is called with a list of lists, texts are bytes.
    python2 = glob("collections", "OrderedDict") + b"](](U\x01w" + tensor(store=legacy_storage()) + b"eN](K\x01ee\x85R"
    legacy("ok-python2.pt", object=python2)
    legacy("count-lies.pt", data=struct.pack("<q", 5) + ONE_TO_FOUR)
    legacy("count-negative.pt", data=struct.pack("<q", -1) + ONE_TO_FOUR)
    legacy("count-huge.pt", object=one_of(count=1 << 62), data=struct.pack("<q", 1 << 62) + ONE_TO_FOUR)
    legacy("keys-missing.pt", keys=())
    legacy("keys-extra.pt", keys=("0", "1"))
    legacy("keys-twice.pt", keys=("0", "0"))
    legacy("keys-no-list.pt", keys=b"\x80\x02}.")
    legacy("keys-number.pt", keys=(0,))
    legacy("cut-data.pt", cut=1)
    legacy("cut-count.pt", cut=17)
    legacy("cut-keys.pt", cut=25)
    legacy("cut-object.pt", cut=60)
    legacy("part-past-storage.pt", object=one_of(part=part(2, 3)))
    legacy("part-wraps.pt", object=one_of(part=part((1 << 63) - 1, (1 << 63) - 1)))
    legacy("part-negative.pt", object=one_of(part=part(-1, 4)))
    legacy("view-past-part.pt", object=one_of(part=part(0, 2)))
    legacy("view-past-end.pt", object=pairs(text("w"), tensor(offset=1, store=legacy_storage())))
    legacy("shape-overflows.pt", object=pairs(text("w"), tensor((1 << 62, 8), (0, 0), 0, legacy_storage())))
    legacy("side-negative.pt", object=pairs(text("w"), tensor((-1, 2), store=legacy_storage())))
    legacy("name-twice.pt", object=pairs(*(2 * [text("w"), tensor(store=legacy_storage())])))
    legacy("type-differs.pt", object=pairs(text("w"), tensor(store=legacy_storage()), text("v"),
                                           tensor(store=legacy_storage(kind="IntStorage"))))
    legacy("type-complex.pt", object=one_of(kind="ComplexFloatStorage"))
    legacy("type-unknown.pt", object=one_of(kind="StrangeStorage"))
    legacy("persistent-odd.pt", object=pairs(text("w"), tup(text("file"), number(1)) + b"Q"))
    legacy("reduce-storage.pt", object=reduce_storage(legacy_storage()))
    legacy("deep.pt", object=b"]" * 80 + b"a" * 79, keys=(), data=b"")
    legacy("shared-bomb.pt", object=BOMB, keys=(), data=b"")
    legacy("byteorder-big.pt", head=legacy_head(little=False))
    legacy("protocol.pt", head=legacy_head(protocol=1002))
    magic = legacy_head()[2:14]
    legacy("magic-dropped.pt", head=b"\x80\x02N" + magic + b"0.")
    with tarfile.open(CORPUS / "legacy" / "old.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
        tar.addfile(tarfile.TarInfo("sys_info"))


def write_npz():
    data = ONE_TO_FOUR

    def head(dict_text, version=1, size=None):
        dict_text = dict_text.encode("latin1")
        size = len(dict_text) if size is None else size
        return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", size) + dict_text

    def dict_of(descr="'<f4'", order="False", shape="(2, 2)", end=", }\n"):
        return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}{end}"

    def npz(name, header, data=data, how=zipfile.ZIP_STORED, entry="w.npy", extra=()):
        pack(CORPUS / "npz" / name, [(entry, header + data, how), *extra])

    def short(name, **kwargs):
        npz(name, head(dict_of(**kwargs)))

    short("ok.npz")
    short("ok-fortran.npz", order="True")
    short("ok-python2.npz", shape="(2L, 2L)")
    short("ok-bf16.npz", descr="'|V2'", shape="(8,)")
    npz("ok-order.npz", head('{"shape":(4,),"descr":"<f4","fortran_order":False}'))
    npz("header-long.npz", head(dict_of() + " " * 10001, 2))
    npz("header-past-end.npz", head(dict_of(), 2, 9999))
    npz("header-cut.npz", b"\x93NUMPY\x01\0\x01", b"")
    npz("magic.npz", b"\x93NUMPX\x01\0")
    npz("version-4.npz", head(dict_of(), 4))
    npz("no-dict.npz", head("[1, 2]"))
    npz("code.npz", head("__import__('os').system('exit 1')"))
    short("tail.npz", end="}; exit")
    npz("key-twice.npz", head("{'descr': '<f4', 'descr': '<f4'}"))
    npz("key-unknown.npz", head("{'descr': '<f4', 'evil': 1}"))
    npz("key-missing.npz", head("{'descr': '<f4', 'shape': (4,)}"))
    npz("unclosed.npz", head("{'descr': '<f4"))
    short("big-endian.npz", descr="'>f4'")
    short("object.npz", descr="'|O'")
    short("complex.npz", descr="'<c8'")
    short("structured.npz", descr="[('a', '<f4')]")
    short("descr-number.npz", descr="4")
    short("order-number.npz", order="0")
    short("side-negative.npz", shape="(-2, -2)")
    short("side-huge.npz", shape=f"({'9' * 30},)")
    short("shape-wraps.npz", shape=f"({1 << 62}, 8)")
    short("bytes-wrap.npz", shape=f"({1 << 62},)")
    short("shape-number.npz", shape="4")
    short("shape-one.npz", shape="(4)")
    short("shape-sum.npz", shape="(2+2,)")
    short("shape-unclosed.npz", shape="(4,", end="")
    short("rank-9.npz", shape="(1, 1, 1, 1, 1, 1, 1, 1, 4)")
    npz("data-short.npz", head(dict_of()), data[:-1])
    npz("data-long.npz", head(dict_of()), data + b"\0")
    npz("compressed.npz", head(dict_of()), how=zipfile.ZIP_DEFLATED)
    good = head(dict_of()) + data
    npz("other-entry.npz", head(dict_of()), extra=[("readme", b"", zipfile.ZIP_STORED)])
    npz("name-bytes.npz", head(dict_of()), extra=[("w?.npy", good, zipfile.ZIP_STORED)])
    path = CORPUS / "npz" / "name-bytes.npz"
    path.write_bytes(path.read_bytes().replace(b"w?.npy", b"w\xff.npy"))
    npz("name-twice.npz", head(dict_of()), extra=[("v.npy", good, zipfile.ZIP_STORED)])
    path = CORPUS / "npz" / "name-twice.npz"
    path.write_bytes(path.read_bytes().replace(b"v.npy", b"w.npy"))
    npz("name-long.npz", head(dict_of()), extra=[("n" * 513 + ".npy", good, zipfile.ZIP_STORED)])
    short("crc.npz")
    patch(CORPUS / "npz" / "crc.npz", data, struct.pack("<4f", 1, 2, 3, 5))
    (CORPUS / "npz" / "array.npy").write_bytes(good)
    (CORPUS / "npz" / "array-v2.npy").write_bytes(head(dict_of(shape="()"), 2) + data[:4])


def write_safetensors():
    folder = CORPUS / "safetensors"
    (folder / "ok.safetensors").write_bytes(safetensors_bytes([("w", torch.ones(2, 2)), ("b", torch.ones(1))]))

    def entry(name, shape, begin, end, dtype="F32"):
        return f'"{name}":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[{begin},{end}]}}'

    for name, entries, data in (
            ("shape-overflows", [entry("w", f"[{1 << 62},8]", 0, 4)], 4),
            ("overlap", [entry("w", "[2]", 0, 8), entry("v", "[2]", 4, 12)], 12),
            ("gap", [entry("w", "[1]", 0, 4), entry("v", "[1]", 8, 12)], 12),
            ("end-past-file", [entry("w", "[2]", 0, 8)], 4),
            ("side-negative", [entry("w", "[-2]", 0, 8)], 8),
            ("name-twice", [entry("w", "[1]", 0, 4), entry("w", "[1]", 4, 8)], 8)):
        header = ("{" + ",".join(entries) + "}").encode()
        (folder / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * data)
    (folder / "header-huge.safetensors").write_bytes(struct.pack("<Q", (1 << 63) + 5) + b'{"w":1}')


def write_index():
    folder = CORPUS / "index"

    def index(name, files, **others):
        (folder / name).write_text(json.dumps({"metadata": {}, "weight_map": files, **others}))

    (folder / "a.safetensors").write_bytes(safetensors_bytes([("w", torch.ones(2)), ("b", torch.zeros(1))]))
    (folder / "b.safetensors").write_bytes(safetensors_bytes([("v", torch.ones(2))]))
    (folder / "c.safetensors").write_bytes(safetensors_bytes([("v", torch.ones(2))])[:-1])
    good = {"w": "a.safetensors", "b": "a.safetensors", "v": "b.safetensors"}
    index("ok.json", good)
    index("shard-missing.json", {**good, "x": "absent.safetensors"})
    index("shard-broken.json", {**good, "v": "c.safetensors"})
    index("other-shard.json", {**good, "b": "b.safetensors"})
    index("unknown-tensor.json", {**good, "x": "b.safetensors"})
    index("unlisted-tensor.json", {"w": "a.safetensors", "v": "b.safetensors"})
    index("in-index.json", {"w": "ok.json"})
    for name, file in (("separator", "../index/a.safetensors"), ("absolute", "/etc/passwd"), ("dots", ".."),
                       ("backslash", "..\\a.safetensors"), ("nameless", ""), ("long", "n" * 256)):
        index(f"file-{name}.json", {"w": file})
    index("file-number.json", {"w": 1})
    index("map-list.json", [])
    index("many-shards.json", {f"w{i}": f"s{i}" for i in range(257)})
    (folder / "no-map.json").write_text('{"architectures": ["ViTModel"]}')
    (folder / "name-twice.json").write_text('{"weight_map": {"w": "a.safetensors", "w": "a.safetensors"}}')
    (folder / "deep.json").write_text('{"weight_map": ' + "[" * 9 + "]" * 9 + "}")
    (folder / "cut.json").write_text('{"weight_map": {"w": "a.saf')


def write_corpus():
    for name in ("torch", "pickle", "legacy", "npz", "safetensors", "index"):
        (CORPUS / name).mkdir(parents=True, exist_ok=True)
    write_torch()
    write_legacy()
    write_npz()
    write_safetensors()
    write_index()


def write_published():
    """What PyTorch reads in the files of ckpt/published: floats by their SHA-256. null: it does not open."""
    files = {}
    folder = GOLDEN / "published"
    for path in sorted([*folder.glob("pt/*.pt"), *folder.glob("*.th")]):
        name = str(path.relative_to(folder))
        try:
            value = torch.load(path, map_location="cpu")
        except (RuntimeError, pickle.UnpicklingError):
            files[name] = None
            continue
        files[name] = {"format": "torch-zip" if zipfile.is_zipfile(path) else "torch-legacy", "tensors": [
            {"name": n, "dtype": DTYPES[t.dtype], "shape": list(t.shape),
             "sha256": sha256(t.detach().float().contiguous().numpy().tobytes())} for n, t in flatten(value)]}
    (GOLDEN / "shared.json").write_text(json.dumps(files, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    write_golden()
    write_corpus()
    write_published()
