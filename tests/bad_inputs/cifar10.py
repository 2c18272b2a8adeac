"Bad inputs of `cifar10`, and the message each must give."
import tempfile
from pathlib import Path

from tokenbridge import cifar10 as c

FOLDER = Path(tempfile.mkdtemp())
(FOLDER / "short.bin").write_bytes(b"\0" * 3000)
(FOLDER / "empty.bin").write_bytes(b"")
(FOLDER / "foreign.bin").write_bytes(b"\xff" * 3073)
(FOLDER / "few").mkdir()
(FOLDER / "few" / "test_batch.bin").write_bytes(b"\0" * 3073)
(FOLDER / "archive.tar.gz").write_bytes(b"no archive")

ROWS = {
    "CIFAR10_CLASSES": "internal: a constant, the ten names",
    "CIFAR10_URL": "internal: a constant, the official address",
    "CIFAR10_MD5": "internal: a constant, the official checksum",
    "read_records": [
        (lambda: c.read_records(FOLDER / "none.bin"), FileNotFoundError, "none.bin: no such file"),
        (lambda: c.read_records(FOLDER / "short.bin"), ValueError, "got 3000 bytes"),
        (lambda: c.read_records(FOLDER / "empty.bin"), ValueError, "got 0 bytes"),
        (lambda: c.read_records(FOLDER / "foreign.bin"), ValueError, "expected labels in [0, 9], got 255"),
    ],
    "read_cifar10": [
        (lambda: c.read_cifar10(FOLDER, "val"), ValueError, "split: expected one of 'train', 'test'"),
        (lambda: c.read_cifar10(FOLDER), FileNotFoundError, "no data_batch_1.bin"),
        (lambda: c.read_cifar10(FOLDER / "few", "test"), ValueError,
         "expected 10000 images of the test split, got 1"),
    ],
    "fetch": [(lambda: c.fetch("http://127.0.0.1:9/x", FOLDER / "x", "0" * 32, progress=False), OSError,
               "download failed")],
    "total_md5": [(lambda: c.total_md5(FOLDER / "none"), FileNotFoundError, "none")],
    "unpack": [(lambda: c.unpack(FOLDER / "archive.tar.gz", FOLDER), OSError,
                "archive.tar.gz: cannot be unpacked")],
    "download_cifar10": "internal: `fetch` and `unpack` in a row, both above; needs a network",
}
