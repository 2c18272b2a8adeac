"CIFAR-10: records read exactly, downloads that break off, archives that are damaged."
import hashlib
import http.server
import io
import tarfile
import threading
from pathlib import Path

import numpy as np
import pytest

from tokenbridge import cifar10 as c


def record(label: int, seed: int) -> bytes:
    return bytes([label]) + np.random.default_rng(seed).integers(0, 256, 3072, dtype=np.uint8).tobytes()


def test_records_are_planes_of_rows(tmp_path):
    (tmp_path / "x.bin").write_bytes(record(3, 0) + record(9, 1))
    images, labels = c.read_records(tmp_path / "x.bin")
    assert labels.tolist() == [3, 9] and images.shape == (2, 3, 32, 32)
    raw = (tmp_path / "x.bin").read_bytes()
    assert images[1, 2, 5, 7] == raw[3073 + 1 + 2 * 1024 + 5 * 32 + 7]


class Server(http.server.BaseHTTPRequestHandler):
    body, seen, cut = b"", [], 0

    def do_GET(self):
        first = int(self.headers.get("Range", "bytes=0-").split("=")[1].rstrip("-"))
        self.seen.append(first)
        self.send_response(206 if first else 200)
        self.send_header("Content-Length", str(len(self.body) - first))
        self.end_headers()
        self.wfile.write(self.body[first:first + self.cut] if self.cut and not first else self.body[first:])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    made = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    Server.seen, Server.cut, Server.body = [], 0, np.random.default_rng(0).bytes(3_000_000)
    yield f"http://127.0.0.1:{made.server_port}/file"
    made.shutdown()


def test_a_broken_download_goes_on_where_it_stopped(server, tmp_path):
    Server.cut = 1_500_000
    md5 = hashlib.md5(Server.body).hexdigest()
    with pytest.raises(OSError, match="file"):
        c.fetch(server, tmp_path / "file", md5, progress=False)
    assert not (tmp_path / "file").exists() and 0 < (tmp_path / "file.part").stat().st_size < 3_000_000
    assert c.fetch(server, tmp_path / "file", md5, progress=False).read_bytes() == Server.body
    assert Server.seen[-1] > 0


def test_an_altered_download_is_refused(server, tmp_path):
    with pytest.raises(OSError, match="expected checksum"):
        c.fetch(server, tmp_path / "file", "0" * 32, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_unpacking_appears_whole_or_not_at_all(tmp_path):
    def archive(path: Path, names):
        with tarfile.open(path, "w:gz") as tar:
            for name in names:
                content = bytes([1]) * 3073
                info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    archive(tmp_path / "few.tar.gz", ["test_batch.bin"])
    with pytest.raises((ValueError, OSError)):
        c.unpack(tmp_path / "few.tar.gz", tmp_path)
    assert not (tmp_path / "cifar-10-batches-bin").exists()
    archive(tmp_path / "whole.tar.gz",
            [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin", "../../outside.bin"])
    with pytest.raises((ValueError, OSError)):   # six short files: looked at before the folder appears
        c.unpack(tmp_path / "whole.tar.gz", tmp_path)
    assert not (tmp_path / "cifar-10-batches-bin").exists()
    assert not list(tmp_path.parent.glob("**/outside.bin"))
