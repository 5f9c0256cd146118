#!/usr/bin/python3
"""Client of the sslmem service, in one file that needs nothing but Python 3.9: copy it beside your code.

    from sslmem import Client
    client = Client("http://127.0.0.1:8080", pair="fashion-simclr")
    for score in client.score(images):
        print(score.name, score.m, score.p_value)
    audit = client.audit({"candidate": members, "external": others}, gates=["auc<=0.6"], progress=print)
    report = audit.report()

`images` is one image or many: bytes of a file, a path, a folder, a NumPy array, a PIL image, a tensor, an `Image`, a pair
(image, label), a torch Dataset, or an iterable of these.

Pixels become PNG without loss. The service draws views from the bytes of an image, so the PNG is a canonical one (no filter,
no compression up to 12 MiB): equal pixels give equal bytes and equal scores, whichever library held them. A file is sent as it
is; its score is therefore another than that of its decoded pixels.

A request is sent again if the service did not begin it (no connection, 429, 503) or if it broke off. All tries of a POST carry
one Idempotency-Key, so the service carries it out once. Waits double from 0.25 s to 30 s, unless Retry-After gives a time.
A client is for one thread at a time. It logs what it repeats to the logger `sslmem`.
"""
import argparse
import dataclasses
import http.client
import importlib
import io
import json
import logging
import os
import pathlib
import re
import ssl
import struct
import sys
import tarfile
import time
import urllib.parse
import uuid
import warnings
import zlib
from typing import (Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union)

__all__ = ["Audit", "Client", "Image", "Problem", "Score", "Unreachable", "encode_png", "images_of", "parquet_images"]
__version__ = "0.1.0"

COHORTS = ("candidate", "shared", "independent", "external")
WAIT_MIN_S, WAIT_MAX_S = 0.25, 30.0
FIRST_S = 10.0  # for a service that has never answered: a wrong address is told soon
SILENCE_S = 300.0  # without a byte; evaluating a large audit takes seconds
POLL_MIN_S, POLL_MAX_S = 0.02, 1.0
STORED_BYTES = 12 << 20  # longer pixels are compressed, because a service takes files of 16 MiB unless it is told otherwise
UPLOAD_BYTES = 16 << 20  # of an archive, and held in memory while an audit is filled
ARCHIVE_FRAME_BYTES = 2048  # tar's header and padding of a file
AHEAD = 2  # jobs that wait at the service while one is awaited
RETRIED = (429, 502, 503, 504)  # 502 and 504 are a proxy's
HOPELESS = {"pair_failed"}  # a 503 that time does not cure
SPLIT = {"recipe_too_costly", "body_too_large", "images_limit"}  # a smaller job may pass

log = logging.getLogger("sslmem")
Json = Dict[str, Any]
Progress = Callable[[Json], object]


class Problem(Exception):
    """An error that the service answered. Switch on `code`; openapi.yaml lists all codes."""

    def __init__(self, status: int, document: Json) -> None:
        self.status = status
        self.code: str = document.get("code", f"http_{status}")
        self.detail: str = document.get("detail") or document.get("title") or ""
        self.request_id: Optional[str] = document.get("request_id")
        self.document = document
        super().__init__(f"{status} {self.code}: {self.detail} (request {self.request_id})")


class Unreachable(Exception):
    """The service gave no answer for as long as the client waits."""


# --- images -----------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Image:
    """An image as it is sent: bytes of a JPEG or PNG file."""
    data: bytes
    name: str = ""
    label: str = ""  # class, for audits
    group: str = ""  # for example the person that several images show


def encode_png(pixels: bytes, width: int, height: int, channels: int) -> bytes:
    """The canonical PNG of 8-bit pixels: grey, grey with alpha, RGB or RGBA, row by row."""
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    row_bytes = width * channels
    if width < 1 or height < 1 or len(pixels) != row_bytes * height:
        raise ValueError(f"{width}x{height} pixels of {channels} channels are {row_bytes * height} bytes, there are {len(pixels)}")
    rows = b"".join(b"\0" + pixels[at:at + row_bytes] for at in range(0, len(pixels), row_bytes))
    parts = ((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)),
             (b"IDAT", zlib.compress(rows) if len(rows) > STORED_BYTES else _stored(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
                                           for name, data in parts)


def _stored(data: bytes) -> bytes:
    """A zlib stream without compression, by hand: each library cuts even stored data in its own way."""
    blocks = [data[at:at + 65535] for at in range(0, len(data), 65535)]
    heads = (struct.pack("<BHH", i == len(blocks) - 1, len(b), len(b) ^ 0xffff) for i, b in enumerate(blocks))
    return b"\x78\x01" + b"".join(h + b for h, b in zip(heads, blocks)) + struct.pack(">I", zlib.adler32(data))


def _png_of_array(array: Any, what: str) -> bytes:
    """Of a NumPy array [h, w] or [h, w, channels]."""
    if str(array.dtype).startswith("float"):
        array = _bytes_of_floats(array, what)
    if str(array.dtype) != "uint8":
        raise TypeError(f"{what} is of {array.dtype}, must be uint8, or float of exactly k/255")
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4):
        raise ValueError(f"{what} has shape {tuple(array.shape)}, must be [h, w] or [h, w, 1, 3 or 4]; tensors [1, 3 or 4, h, w]")
    height, width, channels = array.shape
    return encode_png(array.tobytes(), width, height, channels)


def _bytes_of_floats(array: Any, what: str) -> Any:
    """Undoes what torchvision's ToTensor did, if nothing else was done to the pixels."""
    grey = (array * 255).round()
    whole = abs(array * 255 - grey).max(initial=0) < 1e-3  # float32, float64 and float16 of k/255 differ in the last digits
    if not whole or grey.min(initial=0) < 0 or grey.max(initial=0) > 255:
        raise ValueError(f"{what} holds floats that are no k/255, so it is normalised or resized: give the image as it is on disk")
    return grey.astype("uint8")


def _png_of_pil(image: Any) -> bytes:
    equal = {"1": "L", "P": "RGBA" if "transparency" in image.info else "RGB", "PA": "RGBA", "LA": "RGBA"}  # without loss
    if image.mode in equal:
        image = image.convert(equal[image.mode])
    if image.mode not in ("L", "RGB", "RGBA"):
        raise ValueError(f"a PIL image of mode {image.mode} has no lossless 8-bit PNG: choose with image.convert('RGB')")
    return encode_png(image.tobytes(), image.width, image.height, len(image.getbands()))


def _is_tensor(thing: Any) -> bool:
    return hasattr(thing, "detach") and hasattr(thing, "numpy")


def _is_pil(thing: Any) -> bool:
    return all(hasattr(thing, name) for name in ("mode", "getbands", "tobytes", "convert", "info"))


def _is_stack(thing: Any) -> bool:
    """Whether it is an array of images: [n, h, w, channels], or [n, h, w] as of MNIST."""
    if not hasattr(thing, "dtype") or not hasattr(thing, "ndim"):
        return False
    return bool(thing.ndim == 4 or (thing.ndim == 3 and thing.shape[0 if _is_tensor(thing) else 2] not in (1, 3, 4)))


def _encoded(thing: Any, what: str) -> Optional[bytes]:
    """The file of an image; None if it is none."""
    if isinstance(thing, (bytes, bytearray, memoryview)):
        return bytes(thing)
    if _is_pil(thing):
        return _png_of_pil(thing)
    if _is_tensor(thing) and thing.ndim in (2, 3):
        array = thing.detach().cpu().numpy()
        return _png_of_array(array.transpose(1, 2, 0) if array.ndim == 3 else array, what)
    if hasattr(thing, "dtype") and hasattr(thing, "tobytes") and getattr(thing, "ndim", 0) in (2, 3):
        return _png_of_array(thing, what)
    return None


def _files(path: pathlib.Path) -> Iterator[Image]:
    """A file, or those of a folder in the order of their names; folders in it are classes."""
    if not path.is_dir():
        yield Image(path.read_bytes(), path.name)
        return
    found = sorted(p for p in path.rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg") and p.is_file())
    if not found:
        raise ValueError(f"{path} holds no .png, .jpg or .jpeg file")
    for file in found:
        name = file.relative_to(path)
        yield Image(file.read_bytes(), str(name), name.parts[0] if len(name.parts) > 1 else "")


def _numbers(dataset: Any) -> Callable[[int], int]:
    """Position in a Subset, perhaps of a Subset, -> index in the whole dataset."""
    if not (hasattr(dataset, "indices") and hasattr(dataset, "dataset")):
        return lambda at: at
    inner = _numbers(dataset.dataset)
    return lambda at: inner(int(dataset.indices[at]))


def _dataset(dataset: Any) -> Iterator[Image]:
    whole = dataset
    while hasattr(whole, "indices") and hasattr(whole, "dataset"):
        whole = whole.dataset
    if getattr(whole, "transform", None) is not None and "ToTensor" not in repr(whole.transform):
        warnings.warn(f"the dataset transforms its images ({whole.transform!r}): what comes out is scored, not what is on disk")
    classes, number = getattr(whole, "classes", None), _numbers(dataset)
    for at in range(len(dataset)):
        item = dataset[at]
        image, label = _split_item(item) or (item, None)
        data = _encoded(image, f"item {number(at)}")
        if data is None:
            raise TypeError(f"item {number(at)} of the dataset is {type(image).__name__}, must be an image or (image, label)")
        yield Image(data, f"{number(at):05d}.png", _class(label, classes))


def _split_item(item: Any) -> Optional[Tuple[Any, Any]]:
    """(image, label) of a tuple or of a dict as Hugging Face's datasets give; None if it is neither."""
    if isinstance(item, tuple) and len(item) >= 1:
        return item[0], item[1] if len(item) > 1 else None
    if isinstance(item, dict) and {"image", "img"} & set(item):
        return item.get("image", item.get("img")), item.get("label", item.get("fine_label"))
    return None


def _class(label: Any, classes: Optional[Sequence[Any]] = None) -> str:
    if label is None:
        return ""
    if hasattr(label, "item") and getattr(label, "size", 1) != 0:
        label = label.item()
    if classes is not None and isinstance(label, int) and 0 <= label < len(classes):
        return str(classes[label])
    return str(label)


def images_of(things: Any) -> Iterator[Image]:
    """Everything that `score` and `audit` take, as images with a name each."""
    if isinstance(things, Image):
        yield things
    elif isinstance(things, (str, os.PathLike)):
        yield from _files(pathlib.Path(things))
    elif not _is_stack(things) and (data := _encoded(things, "the array")) is not None:
        yield Image(data)
    elif isinstance(things, tuple) and len(things) == 2 and _is_image(things[0]) and not _is_image(things[1]):
        yield from _one(things, 0)
    elif all(hasattr(things, name) for name in ("__getitem__", "__len__")) and not (
            isinstance(things, (list, tuple, Mapping)) or hasattr(things, "dtype")):
        yield from _dataset(things)
    elif isinstance(things, Mapping) or not hasattr(things, "__iter__"):
        raise TypeError(f"{type(things).__name__} is no image, dataset or iterable of images")
    else:
        for at, thing in enumerate(things):
            yield from _one(thing, at)


def _is_image(thing: Any) -> bool:
    return isinstance(thing, (Image, bytes, bytearray, memoryview)) or _is_pil(thing) or getattr(thing, "ndim", 0) in (2, 3)


def _one(thing: Any, at: int) -> Iterator[Image]:
    """An element of an iterable."""
    if isinstance(thing, (Image, str, os.PathLike)):
        yield from images_of(thing)
        return
    image, label = _split_item(thing) or (thing, None)
    if isinstance(image, (str, os.PathLike)):
        yield from (dataclasses.replace(file, label=_class(label)) for file in _files(pathlib.Path(image)))
        return
    data = _encoded(image, f"image {at}")
    if data is None:
        raise TypeError(f"image {at} is {type(image).__name__}, must be bytes, a path, an array, a PIL image or a tensor")
    yield Image(data, f"{at:05d}", _class(label))


# --- parquet ----------------------------------------------------------------------------------------


def parquet_images(path: Union[str, "os.PathLike[str]"], image: str = "image", label: str = "label") -> Iterator[Image]:
    """Images of a Parquet file as Hugging Face's datasets write them: column `image` is {bytes, path} or bytes, `label` is
    optional. Needs pyarrow. The files inside are passed on as they are."""
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError as missing:
        raise ImportError("reading Parquet needs pyarrow: pip install pyarrow") from missing
    table = parquet.ParquetFile(path)
    columns = list(table.schema_arrow.names)
    if image not in columns:
        raise ValueError(f"{path} has no column {image!r}, it has {', '.join(columns)}")
    described = json.loads((table.schema_arrow.metadata or {}).get(b"huggingface", b"{}"))
    classes = described.get("info", {}).get("features", {}).get(label, {}).get("names")
    at = 0
    for batch in table.iter_batches(batch_size=256, columns=[image] + [label] * (label in columns)):
        for row in batch.to_pylist():
            cell = row[image]
            data = cell.get("bytes") if isinstance(cell, dict) else cell
            if not isinstance(data, bytes):
                raise ValueError(f"{path}: row {at} has no bytes of an image in {image!r}, but {type(data).__name__}")
            extension = ".png" if data.startswith(b"\x89PNG") else ".jpg"
            yield Image(data, f"{at:06d}{extension}", _class(row.get(label), classes))
            at += 1


def _parquet_to_folder(files: Sequence[str], out: pathlib.Path, image: str, label: str) -> int:
    """Writes OUT/CLASS/NNNNNN.EXT and returns how many."""
    count = 0
    for path in files:
        for item in parquet_images(path, image, label):
            name = re.sub(r"[^\w.+-]", "_", item.label).lstrip(".")
            folder = out / name if name else out
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{count:06d}{pathlib.Path(item.name).suffix}").write_bytes(item.data)
            count += 1
    return count


# --- transport --------------------------------------------------------------------------------------


class _Answer:
    def __init__(self, status: int, headers: Mapping[str, str], raw: Any, close: Callable[[], object]) -> None:
        self.status, self.raw, self.close = status, raw, close
        self.headers = {name.lower(): value for name, value in headers.items()}

    def read(self) -> bytes:
        return bytes(self.raw.read())

    def lines(self) -> Iterator[str]:
        """As they come."""
        try:
            while line := self.raw.readline():
                yield line.decode("utf-8", "replace").rstrip("\r\n")
        finally:
            self.close()


class _Standard:
    """http.client with one connection that is kept."""

    def __init__(self, url: str, ca_file: Optional[str]) -> None:
        self.parts = urllib.parse.urlsplit(url)
        self.context = ssl.create_default_context(cafile=ca_file) if self.parts.scheme == "https" else None
        self.kept: Optional[http.client.HTTPConnection] = None

    def connect(self) -> http.client.HTTPConnection:
        host, port = self.parts.hostname or "", self.parts.port
        if self.context is not None:
            return http.client.HTTPSConnection(host, port, timeout=SILENCE_S, context=self.context)
        return http.client.HTTPConnection(host, port, timeout=SILENCE_S)

    def close(self) -> None:
        if self.kept is not None:
            self.kept.close()
        self.kept = None

    def _exchange(self, connection: http.client.HTTPConnection, method: str, path: str, headers: Dict[str, str],
                  body: Optional[bytes]) -> http.client.HTTPResponse:
        try:
            connection.request(method, self.parts.path + path, body, headers)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the service has answered, without the body
        return connection.getresponse()

    def send(self, method: str, path: str, headers: Dict[str, str], body: Optional[bytes], stream: bool) -> _Answer:
        kept = None if stream else self.kept
        connection = kept or self.connect()
        try:
            try:
                got = self._exchange(connection, method, path, headers, body)
            except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
                connection.close()
                if kept is None:
                    raise
                # The service had closed it while it was idle. A POST has its Idempotency-Key.
                got = self._exchange(connection, method, path, headers, body)
            if stream:
                return _Answer(got.status, dict(got.headers.items()), got, connection.close)
            answer = _Answer(got.status, dict(got.headers.items()), io.BytesIO(got.read()), lambda: None)
        except BaseException:
            connection.close()
            self.kept = None
            raise
        self.kept = connection
        return answer


class _Requests:
    """A session of `requests`, for its proxies, certificates and adapters."""

    def __init__(self, url: str, session: Any) -> None:
        self.url, self.session = url, session

    def close(self) -> None:
        """The session is the caller's."""

    def send(self, method: str, path: str, headers: Dict[str, str], body: Optional[bytes], stream: bool) -> _Answer:
        got = self.session.request(method, self.url + path, headers=headers, data=body, stream=stream, timeout=SILENCE_S,
                                   allow_redirects=False)
        raw = got.raw if stream else io.BytesIO(got.content)
        return _Answer(got.status_code, got.headers, raw, got.close)


def _hopeless(why: BaseException) -> bool:
    """A certificate that is not trusted stays so."""
    return isinstance(why, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(why)


# --- what comes back --------------------------------------------------------------------------------


class Score(NamedTuple):
    """A score; numbers are None where the service has none, `error` says why an image has no score."""
    name: str
    label: str
    m: Optional[float]
    m_se: Optional[float]
    m_low: Optional[float]
    m_high: Optional[float]
    centered: Optional[float]
    percentile: Optional[float]
    p_value: Optional[float]
    error: Optional[str]
    document: Json  # the whole answer: provenance, recipe, both sides

    @staticmethod
    def of(image: Image, item: Json) -> "Score":
        document: Json = item.get("score") or {}
        against: Json = document.get("reference") or {}
        error = item.get("error")
        why = f"{error['code']}: {error['detail']}" if error else None if document else f"no score: {item.get('state')}"
        return Score(image.name, image.label, document.get("m"), document.get("m_se"), document.get("m_low"),
                     document.get("m_high"), against.get("centered"), against.get("percentile"), against.get("p_value"),
                     why, document)


class Audit:
    """An audit at the service."""

    def __init__(self, client: "Client", document: Json) -> None:
        self.client, self.document = client, document
        self.id: str = document["id"]

    @property
    def state(self) -> str:
        return str(self.document["state"])

    @property
    def passed(self) -> Optional[bool]:
        """Whether every gate holds; None without gates, and of an audit that is not complete."""
        passed: Optional[bool] = self.report()["summary"]["passed"]
        return passed

    def events(self) -> Iterator[Json]:
        return self.client.events(self.id)

    def wait(self, progress: Optional[Progress] = None) -> "Audit":
        """Follows the audit to its end; `progress` gets each event's document."""
        for event in self.events():
            if progress is not None:
                progress(event)
        self.document = self.client.get(f"/v1/audits/{self.id}")
        return self

    def report(self, **options: Any) -> Json:
        """report.json; the options are those of Client.report."""
        report: Json = json.loads(self.client.report(self.id, "json", **options))
        return report

    def save(self, folder: Union[str, "os.PathLike[str]"], **options: Any) -> None:
        """Writes report.json, report.csv and report.html into a folder."""
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        for kind in ("json", "csv", "html"):
            (pathlib.Path(folder) / f"report.{kind}").write_bytes(self.client.report(self.id, kind, **options))


class Client:
    """`pair` is the default of all calls. `key` is an API key, else that of SSLMEM_KEY. `ca_file` holds the authorities of an
    https service. `patience_s` limits the tries of one request. `session` is a requests.Session to send with."""

    def __init__(self, url: str = "http://127.0.0.1:8080", key: Optional[str] = None, *, pair: Optional[str] = None,
                 ca_file: Optional[str] = None, patience_s: float = 900.0, session: Any = None) -> None:
        if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"{url!r} is no address of a service, such as http://127.0.0.1:8080")
        self.url, self.pair, self.patience_s = url.rstrip("/"), pair, patience_s
        self._key = key if key is not None else os.environ.get("SSLMEM_KEY")
        self._transport: Union[_Standard, _Requests] = (
            _Requests(self.url, session) if session is not None else _Standard(self.url, ca_file))
        self._limits: Optional[Json] = None
        self._answered = False

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._transport.close()

    # One request, tried until it is answered.

    def _ask(self, method: str, path: str, body: Optional[bytes] = None, headers: Optional[Mapping[str, str]] = None,
             stream: bool = False) -> _Answer:
        sent = dict(headers or {})
        if self._key:
            sent["Authorization"] = f"Bearer {self._key}"
        if method == "POST":
            sent["Idempotency-Key"] = f'"{uuid.uuid4()}"'
        began, wait_s = time.monotonic(), WAIT_MIN_S
        while True:
            pause_s: Optional[float] = None
            failure: Exception
            try:
                answer = self._transport.send(method, path, sent, body, stream)
            except (OSError, http.client.HTTPException) as why:  # those of requests are OSErrors
                if _hopeless(why):
                    raise
                limit_s = self.patience_s if self._answered else min(FIRST_S, self.patience_s)
                failure = Unreachable(f"{method} {self.url}{path}: {why or type(why).__name__}")
                failure.__cause__ = why
            else:
                self._answered = True
                if answer.status < 400:
                    return answer
                problem = _problem(answer)
                under_way = problem.code == "idempotency_in_flight"
                if problem.code in HOPELESS or not (answer.status in RETRIED or under_way):
                    raise problem
                limit_s, failure = self.patience_s, problem
                after = answer.headers.get("retry-after", "")
                pause_s = float(after) if after.isdigit() else None
            pause_s = wait_s if pause_s is None else max(pause_s, WAIT_MIN_S)
            if time.monotonic() - began + pause_s > limit_s:
                raise failure
            log.warning("%s; again in %.3g s", failure, pause_s)
            time.sleep(pause_s)
            wait_s = min(2 * wait_s, WAIT_MAX_S)

    def get(self, path: str) -> Any:
        """The JSON document at a path of the service, such as /v1/pairs."""
        return json.loads(self._ask("GET", path).read())

    def _post(self, path: str, body: Optional[bytes], media_type: Optional[str], **headers: str) -> _Answer:
        return self._ask("POST", path, body, {**({"Content-Type": media_type} if media_type else {}), **headers})

    def limits(self) -> Json:
        """The service's named limits, fetched once."""
        if self._limits is None:
            document = self.get("/v1/limits")
            self._limits = document.get("limits", document)
        return self._limits

    def _pair(self, pair: Optional[str]) -> str:
        chosen = pair or self.pair
        if not chosen:
            names = [p["name"] for p in self.get("/v1/pairs")["pairs"]]
            raise ValueError(f"which pair? There are: {', '.join(names) or 'none'}. Say Client(…, pair=NAME) or pair=NAME")
        return chosen

    # Scores.

    def score(self, images: Any, *, pair: Optional[str] = None, recipe: Optional[Json] = None,
              progress: Optional[Progress] = None) -> List[Score]:
        """The scores of images, in their order. An image that cannot be scored has an `error`."""
        return list(self.scores(images, pair=pair, recipe=recipe, progress=progress))

    def scores(self, images: Any, *, pair: Optional[str] = None, recipe: Optional[Json] = None,
               progress: Optional[Progress] = None) -> Iterator[Score]:
        """As `score`, one after the other, for more images than fit into memory. `progress` gets {"done", "sent"}."""
        query = urllib.parse.urlencode({"pair": self._pair(pair)})
        waiting: List[Tuple[List[Image], Union[str, List[Json]]]] = []
        counts = {"done": 0, "sent": 0}

        def tell(done: int = 0, sent: int = 0) -> None:
            if progress is not None:
                progress({"done": counts["done"] + done, "sent": counts["sent"] + sent})

        def collect() -> Iterator[Score]:
            batch, job = waiting.pop(0)
            for image, item in zip(batch, self._finished(job, tell) if isinstance(job, str) else job):
                yield Score.of(image, item)
            counts["done"] += len(batch)

        for batch in self._batches(images_of(images)):
            for part, job in self._submit(batch, query, recipe):
                waiting.append((part, job))
                counts["sent"] += len(part)
            while len(waiting) > AHEAD:
                yield from collect()
        while waiting:
            yield from collect()

    def _batches(self, images: Iterable[Image]) -> Iterator[List[Image]]:
        count_max = self.limits()["images_max"]
        bytes_max = min(self.limits()["body_bytes_max"], UPLOAD_BYTES)
        batch: List[Image] = []
        size = 0
        for image in images:
            own = len(image.data) + len(image.name) + 512  # the part's headers
            if batch and (len(batch) >= count_max or size + own + 512 > bytes_max):
                yield batch
                batch, size = [], 0
            batch.append(image)
            size += own
        if batch:
            yield batch

    def _submit(self, batch: List[Image], query: str,
                recipe: Optional[Json]) -> Iterator[Tuple[List[Image], Union[str, List[Json]]]]:
        """Jobs with their Locations, or the item of an image that is refused; a job that is too large is halved."""
        media_type, body = _multipart(batch, recipe)
        try:
            answer = self._post(f"/v1/scores?{query}", body, media_type, Prefer="respond-async")
        except Problem as problem:
            if len(batch) == 1 and problem.code.startswith("image_"):
                yield batch, [{"error": {"code": problem.code, "detail": problem.detail}}]
                return
            if len(batch) == 1 or problem.code not in SPLIT:
                raise
            middle = len(batch) // 2
            yield from self._submit(batch[:middle], query, recipe)
            yield from self._submit(batch[middle:], query, recipe)
        else:
            yield batch, answer.headers["location"]

    def _finished(self, location: str, tell: Callable[[int], None]) -> List[Json]:
        """The items of a job that has ended."""
        wait_s, etag = POLL_MIN_S, ""
        while True:
            answer = self._ask("GET", location, headers={"If-None-Match": etag} if etag else {})
            if answer.status != 304:
                job = json.loads(answer.read())
                tell(job["succeeded_count"] + job["failed_count"])
                if job["state"] not in ("queued", "running"):
                    return list(job["items"])
                etag = answer.headers.get("etag", "")
            time.sleep(wait_s)
            wait_s = min(wait_s * 1.5, POLL_MAX_S)

    def history(self, **filters: Any) -> Iterator[Json]:
        """Stored scores: pair, image, since, until, min, max, order, limit (of a page)."""
        path: Optional[str] = "/v1/scores?" + urllib.parse.urlencode(filters)
        while path:
            page = self.get(path)
            yield from page["scores"]
            path = page["next"]

    # Audits.

    def audit(self, cohorts: Mapping[str, Any], *, name: str = "audit", pair: Optional[str] = None,
              recipe: Optional[Json] = None, gates: Sequence[str] = (), progress: Optional[Progress] = None,
              wait: bool = True, **spec: Any) -> Audit:
        """Makes an audit of cohorts (candidate, shared, independent, external), fills it, starts it and follows it to its
        end. `spec` has more fields of AuditRequest in openapi.yaml, such as reference, resamples, seed. Labels of images are
        their classes. With wait=False it returns once the audit runs."""
        unknown = [cohort for cohort in cohorts if cohort not in COHORTS]
        if unknown or not cohorts:
            raise ValueError(f"cohorts are some of {', '.join(COHORTS)}, not {', '.join(map(repr, unknown)) or 'none'}")
        request: Json = {"name": name, "pair": self._pair(pair), "gates": list(gates), **spec}
        if recipe is not None:
            request["recipe"] = recipe
        made = json.loads(self._post("/v1/audits", json.dumps(request).encode(), "application/json").read())
        path = f"/v1/audits/{made['id']}"
        for cohort, images in cohorts.items():
            for (label, group), batch in self._archives(images_of(images)):
                query = {"cohort": cohort, **({"class": label} if label else {}), **({"group": group} if group else {})}
                intake = json.loads(self._post(f"{path}/images?{urllib.parse.urlencode(query)}", _tar(batch),
                                               "application/x-tar").read())
                if progress is not None:
                    progress({"id": made["id"], "state": "open", "cohort": cohort, **intake})
        audit = Audit(self, json.loads(self._post(f"{path}/start", None, None).read()))
        return audit.wait(progress) if wait else audit

    def _archives(self, images: Iterable[Image]) -> Iterator[Tuple[Tuple[str, str], List[Image]]]:
        """Images of one class and group each; as many as fit into memory wait for others of their class."""
        limits = self.limits()
        bytes_max = min(limits["archive_bytes_max"], UPLOAD_BYTES) - 16 * ARCHIVE_FRAME_BYTES
        held: Dict[Tuple[str, str], List[Image]] = {}
        size: Dict[Tuple[str, str], int] = {}
        for image in images:
            key, own = (image.label, image.group), len(image.data) + ARCHIVE_FRAME_BYTES
            while size and sum(size.values()) + own > bytes_max:
                largest = max(size, key=lambda k: size[k])
                del size[largest]
                yield largest, held.pop(largest)
            held.setdefault(key, []).append(image)
            size[key] = size.get(key, 0) + own
        yield from held.items()

    def events(self, audit: Union[str, Audit]) -> Iterator[Json]:
        """The documents of an audit's events as they come, to its end; a stream that breaks off is opened again."""
        path = f"/v1/audits/{_id(audit)}/events"
        last: Optional[str] = None
        while True:
            ended = False
            answer = self._ask("GET", path, headers={"Last-Event-ID": last} if last else {}, stream=True)
            if answer.status == 204:
                answer.close()
                return
            try:
                for last, kind, data in _events(answer.lines()):
                    ended = ended or kind == "end"
                    yield json.loads(data)
            except (OSError, http.client.HTTPException, ValueError) as why:
                log.warning("events of %s broke off: %s", path, why or type(why).__name__)
            except Exception as why:  # of urllib3, below a session of requests
                if not type(why).__module__.startswith("urllib3"):
                    raise
                log.warning("events of %s broke off: %s", path, why)
            if ended:
                return
            time.sleep(WAIT_MIN_S)

    def report(self, audit: Union[str, Audit], kind: str = "json", *, names: bool = False, partial: bool = False) -> bytes:
        """The bytes of report.json, report.csv or report.html. `names` includes the images' names, `partial` allows a part."""
        if kind not in ("json", "csv", "html"):
            raise ValueError(f"a report is json, csv or html, not {kind!r}")
        query = urllib.parse.urlencode({"names": str(names).lower(), "partial": str(partial).lower()})
        return self._ask("GET", f"/v1/audits/{_id(audit)}/report.{kind}?{query}").read()


def _id(audit: Union[str, Audit]) -> str:
    return audit.id if isinstance(audit, Audit) else urllib.parse.quote(audit, safe="")


def _problem(answer: _Answer) -> Problem:
    try:
        text = answer.read()
        document = json.loads(text)
    except ValueError:  # a proxy's page
        document = {"detail": text[:200].decode("utf-8", "replace")}
    finally:
        answer.close()
    return Problem(answer.status, document if isinstance(document, dict) else {"detail": str(document)})


def _multipart(images: Sequence[Image], recipe: Optional[Json]) -> Tuple[str, bytes]:
    boundary = uuid.uuid4().hex
    out: List[bytes] = []

    def part(disposition: str, media_type: str, data: bytes) -> None:
        out.append(f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\nContent-Type: {media_type}\r\n\r\n".encode())
        out.extend((data, b"\r\n"))

    for image in images:
        name = re.sub(r'["\\\x00-\x1f\x7f]', "_", image.name) or "image"
        part(f'name="image"; filename="{name}"', "application/octet-stream", image.data)
    if recipe is not None:
        part('name="recipe"', "application/json", json.dumps(recipe).encode())
    out.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", b"".join(out)


def _tar(images: Sequence[Image]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for at, image in enumerate(images):
            entry = tarfile.TarInfo(image.name or f"{at:05d}")
            entry.size = len(image.data)
            archive.addfile(entry, io.BytesIO(image.data))
    return out.getvalue()


def _events(lines: Iterator[str]) -> Iterator[Tuple[Optional[str], str, str]]:
    """(id, event, data) of a stream of server-sent events; one that is not whole is dropped."""
    last: Optional[str] = None
    kind, data = "message", ""
    for line in lines:
        field, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if line == "":
            if data:
                yield last, kind, data
            kind, data = "message", ""
        elif field == "id":
            last = value
        elif field == "event":
            kind = value
        elif field == "data":
            data += value


def main(arguments: Optional[Sequence[str]] = None) -> int:
    parser = argparse.ArgumentParser(prog="sslmem.py", description="Writes the images of Parquet files into class folders.")
    commands = parser.add_subparsers(dest="command", required=True)
    parquet = commands.add_parser("parquet", help="OUT/CLASS/NNNNNN.png of every row; needs pyarrow")
    parquet.add_argument("files", nargs="+", metavar="FILE")
    parquet.add_argument("--out", type=pathlib.Path, required=True)
    parquet.add_argument("--image", default="image", help="column of the images (image)")
    parquet.add_argument("--label", default="label", help="column of the classes (label)")
    args = parser.parse_args(arguments)
    try:
        print(f"{_parquet_to_folder(args.files, args.out, args.image, args.label)} images in {args.out}")
    except (ImportError, OSError, ValueError) as why:
        print(f"sslmem.py parquet: {why}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
