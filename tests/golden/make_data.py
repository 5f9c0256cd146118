#!/usr/bin/python3
"""Datasets of tests/unit/core/data, and what Python's own readers find in them.

    tests/golden/make_data.py            # writes tests/golden/data/

Made with Python 3.11, NumPy 1.24.2, Pillow 9.4.0. All pictures are random. The expected items come from pickle, numpy.load,
struct, tarfile, csv and os.walk; raw images are put together here from the form that core/image/raw.c describes. The
batches of CIFAR have the opcodes that Python 2's cPickle wrote (protocol 2, BINSTRING), and pickle.load must read them.
"""
import csv
import gzip
import hashlib
import io
import json
import os
import pathlib
import pickle
import shutil
import struct
import tarfile
import warnings
import zipfile

import numpy as np
from PIL import Image

OUT = pathlib.Path(__file__).parent / "data"
rng = np.random.default_rng(20261201)
expected, bad = {}, []


def raw(pixels):
    """The raw form of one image [h, w], [h, w, 1] or [h, w, 3]."""
    h, w = pixels.shape[:2]
    c = pixels.shape[2] if pixels.ndim == 3 else 1
    return b"\x93SMRAW\r\n" + struct.pack("<III", h, w, c) + np.ascontiguousarray(pixels).tobytes()


def sha(data):
    return hashlib.sha256(data).hexdigest()


def png(side=4):
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(out, "png")
    return out.getvalue()


def expect(argument, form, items):
    """items: (name, class, group, bytes)"""
    expected[argument] = {"format": form, "items": [[n, c, g, sha(b)] for n, c, g, b in items]}


def refuse(argument, code, text):
    bad.append([argument, code, text])


def write(path, data):
    path = OUT / path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


# --- CIFAR ---

def py2(value):
    """Pickles as cPickle of Python 2 did at protocol 2, without memo."""
    def text(s):
        return b"U" + bytes([len(s)]) + s if len(s) < 256 else b"T" + struct.pack("<i", len(s)) + s

    def number(n):
        return b"K" + bytes([n]) if 0 <= n < 256 else b"J" + struct.pack("<i", n)
    if isinstance(value, dict):
        return b"}(" + b"".join(py2(k) + py2(v) for k, v in value.items()) + b"u"
    if isinstance(value, list):
        return b"](" + b"".join(map(py2, value)) + b"e"
    if isinstance(value, int):
        return number(value)
    if isinstance(value, str):
        return text(value.encode("latin1"))
    kind = b"cnumpy\ndtype\nU\x02" + value.dtype.str[1:].encode() + b"K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    return (b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01" +
            b"".join(map(number, value.shape)) + b"\x86" + kind + b"\x89" + text(value.tobytes()) + b"tb")


def batch(n, classes, key="labels"):
    data = rng.integers(0, 256, (n, 3072), dtype=np.uint8)
    labels = [int(x) for x in rng.integers(0, classes, n)]
    return {"batch_label": "training batch", key: labels, "data": data, "filenames": [f"x_{i}.png" for i in range(n)]}


def picture(row):
    return raw(row.reshape(3, 32, 32).transpose(1, 2, 0))


def load(path):
    with open(OUT / path, "rb") as file:
        return pickle.load(file, encoding="latin1")


def cifar_python():
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    folder = "cifar-10-batches-py"
    write(f"{folder}/batches.meta", b"\x80\x02" + py2({"label_names": names, "num_cases_per_batch": 10000, "num_vis": 3072}) + b".")
    for part in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        write(f"{folder}/{part}", b"\x80\x02" + py2(batch(3, 10)) + b".")
    items = {p: [(picture(row), names[label]) for row, label in zip(b["data"], b["labels"])]
             for p in os.listdir(OUT / folder) if "_batch" in p for b in [load(f"{folder}/{p}")]}
    for part, rows in items.items():
        expect(f"{folder}/{part}", "cifar-python", [(f"{part}#{i:05}", c, "", b) for i, (b, c) in enumerate(rows)])
    train = sum((items[f"data_batch_{i}"] for i in range(1, 6)), [])
    expect(f"{folder}:train", "cifar-python", [(f"train#{i:05}", c, "", b) for i, (b, c) in enumerate(train)])
    expect(f"{folder}:test", "cifar-python", [(f"test#{i:05}", c, "", b) for i, (b, c) in enumerate(items["test_batch"])])
    write("lists/train.txt", b"# members\n14, 3\n0 7\r\n")
    expect(f"{folder}:train@{{}}/lists/train.txt", "cifar-python",
           [(f"train#{i:05}", train[i][1], "", train[i][0]) for i in (0, 3, 7, 14)])
    refuse(folder, "invalid", "parts train and test")
    refuse(f"{folder}:valid", "invalid", "valid")
    fine = [f"fine{i}" for i in range(100)]
    write("cifar-100-python/meta", b"\x80\x02" + py2({"fine_label_names": fine, "coarse_label_names": ["c"]}) + b".")
    for part in ("train", "test"):
        write(f"cifar-100-python/{part}", b"\x80\x02" + py2({**batch(2, 100, "fine_labels"), "coarse_labels": [0, 0]}) + b".")
        b = load(f"cifar-100-python/{part}")
        rows = [(f"{part}#{i:05}", fine[c], "", picture(r)) for i, (r, c) in enumerate(zip(b["data"], b["fine_labels"]))]
        expect(f"cifar-100-python/{part}", "cifar-python", rows)
        expect(f"cifar-100-python:{part}", "cifar-python", rows)
    for protocol in (3, 4, 5):
        b = batch(2, 10)
        write(f"pickles/p{protocol}", pickle.dumps({k.encode() if protocol == 3 else k: v for k, v in b.items()}, protocol))
        expect(f"pickles/p{protocol}", "cifar-python",
               [(f"p{protocol}#{i:05}", str(c), "", picture(r)) for i, (r, c) in enumerate(zip(b["data"], b["labels"]))])


def cifar_binary():
    folder, names = "cifar-10-batches-bin", [f"name {i}" for i in range(10)]
    write(f"{folder}/batches.meta.txt", "\n".join(names).encode() + b"\n\n")
    rows = []
    for part in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        b = batch(2, 10)
        write(f"{folder}/{part}", b"".join(bytes([c]) + r.tobytes() for r, c in zip(b["data"], b["labels"])))
        rows.append([(picture(r), names[c]) for r, c in zip(b["data"], b["labels"])])
    train = sum(rows[:5], [])
    expect(f"{folder}:train", "cifar-binary", [(f"train#{i:05}", c, "", b) for i, (b, c) in enumerate(train)])
    expect(f"{folder}/test_batch.bin", "cifar-binary", [(f"test_batch#{i:05}", c, "", b) for i, (b, c) in enumerate(rows[5])])
    b = batch(2, 100)
    for part in ("train.bin", "test.bin"):
        write(f"cifar-100-binary/{part}", b"".join(bytes([7, c]) + r.tobytes() for r, c in zip(b["data"], b["labels"])))
    expect("cifar-100-binary/train.bin", "cifar-binary",
           [(f"train#{i:05}", str(c), "", picture(r)) for i, (r, c) in enumerate(zip(b["data"], b["labels"]))])


def cifar_bad():
    good = b"\x80\x02" + py2(batch(2, 10)) + b"."
    write("bad/cut", good[:-2000])
    refuse("bad/cut", "corrupt", "runs past the end")
    write("bad/nostop", good[:-1])
    refuse("bad/nostop", "corrupt", "no STOP")

    class Runs:
        def __reduce__(self):
            return os.system, ("touch /tmp/sslmem-was-here",)
    write("bad/runs", pickle.dumps({**batch(1, 10), "extra": Runs()}, 4))
    refuse("bad/runs", "unsupported", "names posix.system")
    write("bad/labels", b"\x80\x02" + py2({**batch(2, 10), "labels": [1, 2, 3]}) + b".")
    refuse("bad/labels", "conflict", '"labels" has 3 entries for 2 images')
    write("bad/float", b"\x80\x02" + py2({**batch(2, 10), "data": np.zeros((2, 3072), "<f4")}) + b".")
    refuse("bad/float", "unsupported", "not uint8")
    write("bad/wide", b"\x80\x02" + py2({**batch(2, 10), "data": np.zeros((2, 3071), np.uint8)}) + b".")
    refuse("bad/wide", "unsupported", "3071")
    write("bad/count", good.replace(b"K\x02M\x00\x0c", b"K\x03M\x00\x0c") if b"K\x02M\x00\x0c" in good
          else good.replace(b"K\x02J\x00\x0c\x00\x00", b"K\x03J\x00\x0c\x00\x00"))
    refuse("bad/count", "corrupt", "has 6144 bytes, its shape [3,3072]")
    write("bad/list", b"\x80\x02](K\x01e.")
    refuse("bad/list", "unsupported", "no dict")
    write("bad/twice", good[:-2] + py2("labels") + py2([0, 1]) + b"u.")
    assert pickle.loads((OUT / "bad/twice").read_bytes(), encoding="latin1")["labels"] == [0, 1]
    refuse("bad/twice", "corrupt", 'the dict has "labels" 2 times')
    write("bad/blank/batches.meta.txt", b"cat\n\ndog\n\n")
    write("bad/blank/data_batch_1.bin", bytes(3073))
    refuse("bad/blank/data_batch_1.bin", "corrupt", "line 2 is empty, line 3 names a class")
    write("bad/one/batches.meta", b"\x80\x02" + py2({"label_names": ["only"]}) + b".")
    write("bad/one/data_batch_1", b"\x80\x02" + py2({**batch(2, 10), "labels": [0, 1]}) + b".")
    refuse("bad/one/data_batch_1", "corrupt", "image 1 has label 1, there are 1 classes")
    refuse("bad/one:train", "not_found", "data_batch_2")
    write("bad/odd.bin", bytes(3072))
    refuse("bad/odd.bin", "corrupt", "3072 bytes are no multiple of 3073 (CIFAR-10) or 3074")


# --- IDX ---

def idx_file(array):
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def idx():
    images, labels = rng.integers(0, 256, (5, 7, 6), dtype=np.uint8), rng.integers(0, 10, 5, dtype=np.uint8)
    name = "train-images-idx3-ubyte"
    rows = [(f"{name}#{i:05}", str(c), "", raw(p)) for i, (p, c) in enumerate(zip(images, labels))]
    write(f"idx/{name}", idx_file(images))
    write("idx/train-labels-idx1-ubyte", idx_file(labels))
    expect(f"idx/{name}", "idx", rows)
    write(f"idx-gz/{name}.gz", gzip.compress(idx_file(images), mtime=0))
    write("idx-gz/train-labels-idx1-ubyte.gz", gzip.compress(idx_file(labels), mtime=0))
    expect(f"idx-gz/{name}.gz", "idx", rows)
    colour = rng.integers(0, 256, (2, 3, 5, 3), dtype=np.uint8)
    write("idx/colour", idx_file(colour))
    expect("idx/colour", "idx", [(f"colour#{i:05}", "", "", raw(p)) for i, p in enumerate(colour)])
    write("lists/one.txt", b"4")
    write("lists/out.txt", b"1\n5\n")
    write("lists/twice.txt", b"1\n2\n1\n")
    write("lists/empty.txt", b"# none\n")
    write("lists/float.txt", b"1.5\n")
    write("lists/binary.npy", b"\x93NUMPY\1\0")
    write("lists/huge.txt", b"99999999999999999999999\n")
    expect(f"idx-gz/{name}.gz@{{}}/lists/one.txt", "idx", rows[4:])
    refuse(f"idx/{name}@{{}}/lists/out.txt", "invalid", "line 2: index 5, the dataset has 5 images, so the last is 4")
    refuse(f"idx/{name}@{{}}/lists/twice.txt", "invalid", "index 1 stands twice, on lines 1 and 3")
    refuse(f"idx/{name}@{{}}/lists/empty.txt", "invalid", "has no index")
    refuse(f"idx/{name}@{{}}/lists/float.txt", "invalid", "line 1: byte 0x2e at 1")
    refuse(f"idx/{name}@{{}}/lists/binary.npy", "invalid", "numpy.savetxt")
    refuse(f"idx/{name}@{{}}/lists/huge.txt", "invalid", "so the last is 4")
    refuse(f"idx/{name}@{{}}/lists/none.txt", "not_found", "none.txt")
    refuse("idx/train-labels-idx1-ubyte", "unsupported", "file of labels")
    write("bad/cut-images-idx3", idx_file(images)[:-1])
    refuse("bad/cut-images-idx3", "corrupt", "has 209 bytes after its header, its sides need 210")
    write("bad/huge-idx3", bytes([0, 0, 8, 3]) + struct.pack(">3I", 2**32 - 1, 2**32 - 1, 2**32 - 1))
    refuse("bad/huge-idx3", "corrupt", "overflows")
    write("bad/other/t-images-idx3", idx_file(images))
    write("bad/other/t-labels-idx1", idx_file(labels[:4]))
    refuse("bad/other/t-images-idx3", "conflict", "4 labels for 5 images")
    write("bad/cut-idx3.gz", gzip.compress(idx_file(images), mtime=0)[:-9])
    refuse("bad/cut-idx3.gz", "corrupt", "gzip")
    write("bad/bomb-idx3.gz", gzip.compress(idx_file(np.zeros((3, 1000, 1000), np.uint8)), mtime=0))
    refuse("bad/bomb-idx3.gz", "limit", "the limit is 100 times")


# --- NumPy ---

def npy(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def zip_of(path, entries):
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w") as archive:
        warnings.simplefilter("ignore")  # of a name that is there already
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name), data)
    write(path, out.getvalue())


def numpy_files():
    arrays = {}
    for part, n in (("train", 4), ("test", 2)):
        arrays[f"{part}_images"] = rng.integers(0, 256, (n, 5, 6, 3), dtype=np.uint8)
        arrays[f"{part}_labels"] = rng.integers(0, 9, (n, 1), dtype=np.uint8)
    (OUT / "numpy").mkdir(parents=True)
    np.savez(OUT / "numpy/stored.npz", **arrays)
    np.savez_compressed(OUT / "numpy/deflated.npz", **arrays)
    for file in ("stored", "deflated"):
        with np.load(OUT / f"numpy/{file}.npz") as loaded:
            for part in ("train", "test"):
                rows = [(f"{part}_images#{i:05}", str(c[0]), "", raw(p)) for i, (p, c) in
                        enumerate(zip(loaded[f"{part}_images"], loaded[f"{part}_labels"]))]
                expect(f"numpy/{file}.npz:{part}", "numpy", rows)
        expect(f"numpy/{file}.npz:test_images", "numpy", rows)
    refuse("numpy/stored.npz", "invalid", "train_images, test_images")
    refuse("numpy/stored.npz:val", "invalid", '"val" is none of its arrays')
    refuse("numpy/stored.npz:train_labels", "unsupported", "images have the shape")
    grey, labels = rng.integers(0, 256, (3, 28, 27), dtype=np.uint8), np.array([5, -1, 300], "<i8")
    np.save(OUT / "numpy/x_test.npy", grey)
    np.save(OUT / "numpy/y_test.npy", labels)
    expect("numpy/x_test.npy", "numpy", [(f"x_test#{i:05}", str(c), "", raw(p)) for i, (p, c) in enumerate(zip(grey, labels))])
    multi = rng.integers(0, 2, (3, 4), dtype=np.uint8)
    np.savez(OUT / "numpy/multi.npz", images=grey, labels=multi)
    expect("numpy/multi.npz", "numpy", [(f"images#{i:05}", ",".join(map(str, c)), "", raw(p)) for i, (p, c) in enumerate(zip(grey, multi))])
    big = np.array([3, 2, 1], ">i2")
    np.savez(OUT / "numpy/keras.npz", x_train=grey[..., None], y_train=big)
    expect("numpy/keras.npz:train", "numpy", [(f"x_train#{i:05}", str(c), "", raw(p)) for i, (p, c) in enumerate(zip(grey, big))])
    np.savez(OUT / "numpy/most.npz", images=grey[:1], labels=np.array([2**63 - 1], "<u8"))
    expect("numpy/most.npz", "numpy", [("images#00000", str(2**63 - 1), "", raw(grey[0]))])
    for name, label in (("over.npz", 2**63), ("over_be.npz", 2**64 - 1)):
        np.savez(OUT / f"bad/{name}", images=grey[:2], labels=np.array([1, label], ">u8" if "be" in name else "<u8"))
        refuse(f"bad/{name}", "limit", f"labels: label 1 is {label}, the limit is {2**63 - 1}")
    np.savez(OUT / "bad/long.npz", images=grey[:1], labels=np.full((1, 64), 12345))
    refuse("bad/long.npz", "limit", "the 64 labels of image 0 have over 255 bytes as text")
    zip_of("numpy/bare.npz", [("images", npy(grey[:1])), ("labels", npy(labels[:1]))])
    expect("numpy/bare.npz", "numpy", [("images#00000", "5", "", raw(grey[0]))])
    zip_of("bad/doubled.npz", [("images.npy", npy(grey)), ("labels.npy", npy(labels)), ("labels.npy", npy(labels[::-1]))])
    refuse("bad/doubled.npz", "corrupt", "zip entries 1 and 2 are both named labels.npy")
    zip_of("bad/images2.npz", [("images.npy", npy(grey)), ("images.npy", npy(grey[::-1]))])
    refuse("bad/images2.npz:images", "corrupt", "zip entries 0 and 1 are both named images.npy")
    zip_of("bad/two.npz", [("images.npy", npy(grey)), ("labels.npy", npy(labels)), ("labels", npy(labels[::-1]))])
    refuse("bad/two.npz", "conflict", "labels.npy and labels can both be the labels of images: keep one")
    np.savez(OUT / "bad/both.npz", X_train=grey, y_train=labels, Y_train=labels[::-1])
    refuse("bad/both.npz", "conflict", "y_train.npy and Y_train.npy can both be the labels of X_train: keep one")
    for name, array in (("data", grey), ("labels", labels), ("targets", labels[::-1])):
        np.save(OUT / f"bad/{name}.npy", array)
    refuse("bad/data.npy", "conflict", "labels.npy and targets.npy can both be the labels of data.npy: keep one")
    for name, array, text in (("float", np.zeros((2, 4, 4, 3), "f4"), "uint8 from 0 to 255"),
                              ("first", np.zeros((2, 3, 8, 8), "u1"), "transpose(0, 2, 3, 1)"),
                              ("single", np.zeros((32, 32, 3), "u1"), "one colour image or many grey ones"),
                              ("columns", np.asfortranarray(np.zeros((2, 4, 4, 3), "u1")), "ascontiguousarray"),
                              ("four", np.zeros((2, 4, 4, 4), "u1"), "[n,h,w,3]")):
        np.save(OUT / f"bad/{name}.npy", array)
        refuse(f"bad/{name}.npy", "unsupported", text)
    np.savez(OUT / "bad/uneven.npz", images=grey, labels=multi[:2])
    refuse("bad/uneven.npz", "conflict", "labels has 2 labels for 3 images")
    np.savez_compressed(OUT / "bad/bomb.npz", images=np.zeros((3, 1000, 1000), "u1"))
    refuse("bad/bomb.npz", "limit", "the limit is 100 times")
    np.savez(OUT / "bad/text.npz", a=np.array(["x"]))
    refuse("bad/text.npz", "unsupported", "none of its 1 arrays")
    data = (OUT / "numpy/x_test.npy").read_bytes()
    write("bad/cut.npy", data[:-1])
    refuse("bad/cut.npy", "corrupt", "has 2267 bytes of elements, its shape needs 2268")
    write("bad/cut.npz", (OUT / "numpy/deflated.npz").read_bytes()[:200])
    refuse("bad/cut.npz", "corrupt", "zip")
    spoiled = bytearray((OUT / "numpy/stored.npz").read_bytes())
    spoiled[spoiled.index(arrays["train_images"].tobytes()) + 3] ^= 1
    write("bad/crc.npz", bytes(spoiled))
    refuse("bad/crc.npz:train", "corrupt", "CRC")


# --- files, tables, archives ---

def tar(path, entries, packed=False):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    write(path, gzip.compress(out.getvalue(), mtime=0) if packed else out.getvalue())


def files():
    pictures = {name: png() for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/more/3.png", "top.png")}
    for name, data in pictures.items():
        write(f"folder/{name}", data)
    write("folder/cat/notes.txt", b"no image")
    rows = [(n, n.split("/")[0] if "/" in n else "", "", d) for n, d in sorted(pictures.items())]
    expect("folder", "folder", rows)
    write("lists/two.txt", b"1\n3\n")
    expect("folder@{}/lists/two.txt", "folder", [rows[1], rows[3]])
    (OUT / "bad/folder").mkdir()
    write("bad/folder/notes.txt", b"none")
    refuse("bad/folder", "invalid", "holds no image")
    write("tables/images.jsonl", b'{"path": "../folder/cat/1.png", "class": "7", "group": "g"}\n\n'
          b'{"file_name": "../folder/dog/1.png", "label": 3, "width": 4}\n')
    expect("tables/images.jsonl", "json-lines", [("../folder/cat/1.png", "7", "g", pictures["cat/1.png"]),
                                                 ("../folder/dog/1.png", "3", "", pictures["dog/1.png"])])
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerows([["image", "sender", "label"], ["../folder/top.png", "x", 'a "b", c'], ["../folder/cat/2.png", "y", ""]])
    write("tables/images.csv", b"\xef\xbb\xbf" + table.getvalue().encode())
    expect("tables/images.csv", "csv", [("../folder/top.png", 'a "b", c', "", pictures["top.png"]),
                                        ("../folder/cat/2.png", "", "", pictures["cat/2.png"])])
    top, cat = pictures["top.png"], pictures["cat/1.png"]
    names = {"file": "nowhere.png", "path": "../folder/top.png", "cls": "z", "label": "y", "class": 1.0, "group": 2}
    write("tables/prefer.jsonl", json.dumps(names).encode() + b'\n{"path": null, "image": "../folder/cat/1.png", "label": -3e2}\r\n')
    expect("tables/prefer.jsonl", "json-lines", [("../folder/top.png", "1", "2", top), ("../folder/cat/1.png", "-300", "", cat)])
    write("tables/prefer.csv", (",".join(names) + "\r\r\n" + ",".join(map(str, names.values())) + "\r").encode())
    expect("tables/prefer.csv", "csv", [("../folder/top.png", "1.0", "2", top)])
    for i, (value, what) in enumerate((("0.5", "the real 0.5"), ("1e300", "the real 1e+300"), ("9007199254740994.0", "the real 9007199254740994"),
                                       ("true", "true"), ('["cat"]', "an array"), ("{}", "an object"))):
        write(f"bad/type{i}.jsonl", b'{"path": "x"}\n{"path": "x", "label": %s}\n' % value.encode())
        refuse(f"bad/type{i}.jsonl", "corrupt", f'line 2: "label" is {what}, must be a text or a whole number')
    write("bad/cohort.jsonl", b'{"path": "x", "cohort": false}\n')
    refuse("bad/cohort.jsonl", "corrupt", 'line 1: "cohort" is false')
    write("bad/same.csv", b"path,label,x,label\nx,1,2,3\n")
    refuse("bad/same.csv", "corrupt", "line 1: columns 2 and 4 are both named label")
    write("bad/behind.csv", b'path,label\nx,"a\nb"\nx,"a"b\n')
    refuse("bad/behind.csv", "corrupt", "line 4, column 6: text behind the closing quote")
    write("bad/mac.csv", b"path,label\rx,1\ry,2\r")
    refuse("bad/mac.csv", "corrupt", "line 1, column 11: a carriage return without a line feed")
    write("bad/mac.jsonl", b'{"path": "x"}\r{"path": "y"}\r')
    refuse("bad/mac.jsonl", "corrupt", "line 1: column 14: a carriage return without a line feed")
    write("bad/head.csv", b"name,label\nx,1\n")
    refuse("bad/head.csv", "corrupt", "names no column path")
    write("bad/cells.csv", b"path,label\nx\ny,1\n")
    refuse("bad/cells.csv", "corrupt", "line 2 has 1 cells, line 1 has 2")
    write("bad/quote.csv", b'path\n"x\n')
    refuse("bad/quote.csv", "corrupt", "line 2: a quote is not closed")
    write("bad/line.jsonl", b'{"path": "x"}\n{"path": \n')
    refuse("bad/line.jsonl", "corrupt", "line 2")
    write("bad/nopath.jsonl", b'{"class": "x"}\n')
    refuse("bad/nopath.jsonl", "corrupt", "line 1 has no path")
    write("bad/text.txt", b"hello\n")
    refuse("bad/text.txt", "unsupported", "not a dataset")
    refuse("bad/missing.npz:train@x", "not_found", "missing.npz")


def archives():
    a, b, c, d = png(), png(), png(), png()
    samples = [("./000.jpg.png", a), ("./000.cls", b"4\n"), ("001.json", b'{"label": 7, "group": "g", "caption": "x"}'), ("001.png", b),
               ("readme.txt", b"hello"), ("cat/002.png", c), ("cat/002.txt", b"caption"), ("dog/003.png", d), ("dog/003.cls", b"wolf")]
    rows = [("000.jpg.png", "4", "", a), ("001.png", "7", "g", b), ("cat/002.png", "cat", "", c), ("dog/003.png", "wolf", "", d)]
    tar("archives/shard.tar", samples)
    expect("archives/shard.tar", "archive", rows)
    tar("archives/shard.tar.gz", samples, packed=True)
    expect("archives/shard.tar.gz", "archive", rows)
    expect("archives/shard.tar@{}/lists/two.txt", "archive", [rows[1], rows[3]])
    with zipfile.ZipFile(OUT / "archives/images.zip", "w", zipfile.ZIP_DEFLATED) as z:
        for name, data in samples[5:]:
            z.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    expect("archives/images.zip", "archive", rows[2:])
    labels = [("e.cls", b""), ("e.png", a), ("0.json", b'{"class": "no", "group": 3.0}'), ("0.cls", b"4"), ("0.png", a), ("1.cls", b"5"), ("1.json", b'{"cls": 6}'), ("1.png", b),
              ("2.json", b'{"class": null, "label": 1.0, "path": ["x"]}'), ("2.png", c), ("meta.json", b"[1]")]
    tar("archives/labels.tar", labels)
    expect("archives/labels.tar", "archive", [("e.png", "", "", a), ("0.png", "4", "3", a), ("1.png", "5", "", b), ("2.png", "1", "", c)])
    for name, data, code, text in (("real", b'{"label": 0.5}', "corrupt", 'k.json: "label" is the real 0.5, must be a text or'),
                                   ("list", b'{"cls": [1]}', "corrupt", 'k.json: "cls" is an array'),
                                   ("group", b'{"group": true}', "corrupt", 'k.json: "group" is true'),
                                   ("array", b"[1]", "corrupt", "k.json: not a JSON object"),
                                   ("broken", b'{"label": ', "corrupt", "k.json: "),
                                   ("size", b'{"label": 1}'.ljust(65537), "limit", "k.json: has over 65536 bytes")):
        tar(f"bad/{name}.tar", [("a.png", a), ("k.json", data), ("k.png", b)])
        refuse(f"bad/{name}.tar", code, text)
    tar("bad/zero.tar", [("k.cls", b"7\0x"), ("k.png", b)])
    refuse("bad/zero.tar", "corrupt", "k.cls: has a zero byte")
    for kind, data in (("cls", b"7"), ("json", b'{"label": 7}')):
        tar(f"bad/unsorted-{kind}.tar", [("a.png", a), ("b.png", b), (f"a.{kind}", data), (f"b.{kind}", data)])
        refuse(f"bad/unsorted-{kind}.tar", "corrupt", f"a.{kind}: no image stands next to this class")
    for kind, data in (("cls", b"7"), ("json", b'{"label": 7}')):
        for place, order in (("first", (f"0.{kind}", "0.mask.png", "0.png")), ("last", ("0.png", "0.mask.png", f"0.{kind}"))):
            tar(f"bad/mask-{kind}-{place}.tar", [(n, data if n.endswith(kind) else a if n == "0.png" else b) for n in order])
            refuse(f"bad/mask-{kind}-{place}.tar", "corrupt", f"{order[-1] if place == 'first' else order[1]}: a second image of a sample")
    tar("archives/views.tar", [("0.a.png", a), ("0.b.png", b), ("1.png", c), ("1.cls", b"4"), ("1.png", d), ("1.cls", b"5")])
    expect("archives/views.tar", "archive", [("0.a.png", "", "", a), ("0.b.png", "", "", b), ("1.png", "4", "", c), ("1.png", "5", "", d)])
    tar("bad/none.tar", [("a.txt", b"x")])
    refuse("bad/none.tar", "invalid", "holds no image")
    write("bad/cut.tar", (OUT / "archives/shard.tar").read_bytes()[:700])
    refuse("bad/cut.tar", "corrupt", "after entry 1")
    whole = (OUT / "archives/shard.tar").read_bytes()
    with tarfile.open(OUT / "archives/shard.tar") as archive:
        write("bad/between.tar", whole[:archive.getmembers()[4].offset])
    refuse("bad/between.tar", "corrupt", "after entry 4: a tar's end mark is missing")
    tar("bad/bomb.tar.gz", [("a.png", a + bytes(8 << 20))], packed=True)
    refuse("bad/bomb.tar.gz", "limit", "the limit is 100 times")


def names():
    """Names of labels that are in use, in other letters and other words."""
    (a, b), numbers = (png(), png()), np.array([5, 7], "<i8")
    write("names/a.png", a)
    write("names/b.png", b)
    rows = [("a.png", "cat", "g", a), ("b.png", "dog", "h", b)]
    write("names/case.csv", b"Path,LABEL,Group\na.png,cat,g\nb.png,dog,h\n")
    write("names/case.jsonl", b'{"File_Name": "a.png", "Label": "cat", "GROUP": "g"}\n{"image": "b.png", "Class": null, "class": "dog", "group": "h"}\n')
    expect("names/case.csv", "csv", rows)
    expect("names/case.jsonl", "json-lines", rows)
    tar("names/case.tar", [("0.json", b'{"Label": 3}'), ("0.png", a)])
    expect("names/case.tar", "archive", [("0.png", "3", "", a)])
    write("bad/case.csv", b"path,label,Label\na.png,1,2\n")
    refuse("bad/case.csv", "corrupt", "line 1: columns 2 and 3 are both named Label")
    write("bad/case.jsonl", b'{"path": "a.png", "label": 1, "Label": 2}\n')
    refuse("bad/case.jsonl", "corrupt", 'line 1: "label" and "Label" are one name: keep one')
    pictures = rng.integers(0, 256, (2, 4, 5, 3), dtype=np.uint8)
    for images, labels in (("images", "targets"), ("image", "label"), ("image", "target"), ("train_images", "train_targets"), ("X", "Y")):
        path = f"names/{images}-{labels}.npz"
        np.savez(OUT / path, **{images: pictures, labels: numbers})
        expect(path, "numpy", [(f"{images}#{i:05}", str(c), "", raw(p)) for i, (p, c) in enumerate(zip(pictures, numbers))])
    # Numbers that are the labels of other images, are too many, or no whole ones are not left over.
    np.savez(OUT / "names/others.npz", val_images=pictures, val_labels=numbers, test_images=pictures, weights=np.ones(2), more=np.arange(3), wide=np.ones((2, 2), "i4"))
    expect("names/others.npz:test", "numpy", [(f"test_images#{i:05}", "", "", raw(p)) for i, p in enumerate(pictures)])
    np.savez(OUT / "bad/left.npz", images=pictures, species=numbers, sites=numbers.astype("u1"))
    refuse("bad/left.npz", "invalid", "no name tells the labels of images, and these can be: species, sites: save it as labels, or")
    np.savez(OUT / "bad/left2.npz", pixels=pictures, classes=numbers)
    refuse("bad/left2.npz", "invalid", "the labels of pixels, and these can be: classes: save it as labels beside images, or")
    two = [(OUT / f"archives/{name}.tar").read_bytes() for name in ("views", "labels")]
    views, labels = (expected[f"archives/{name}.tar"]["items"] for name in ("views", "labels"))
    for path, packed in (("names/after.tar", b"".join(two)), ("names/after.tar.gz", b"".join(gzip.compress(one, mtime=0) for one in two))):
        write(path, packed)
        expected[path] = {"format": "archive", "items": views + labels}
    write("bad/behind.tar", two[0] + b"and what is no tar".ljust(512, b"."))
    refuse("bad/behind.tar", "corrupt", "after entry 6: Damaged tar archive")
    np.savez(OUT / "bad/left3.npz", images=pictures, labels=numbers, targets=numbers)
    refuse("bad/left3.npz", "conflict", "labels.npy and targets.npy can both be the labels of images: keep one")


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    write("bad/empty", b"")
    refuse("bad/empty", "unsupported", "not a dataset")
    for make in (cifar_python, cifar_binary, cifar_bad, idx, numpy_files, files, archives, names):
        make()
    (OUT / "expected.json").write_text(json.dumps({"good": expected, "bad": bad}, indent=1) + "\n")
    assert not os.path.exists("/tmp/sslmem-was-here")
