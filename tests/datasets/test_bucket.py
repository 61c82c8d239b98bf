"""Streaming from a bucket: a server that speaks S3 on loopback, behind a gate that breaks it."""

import http.client
import socket
import threading
import time
from collections import Counter
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
import torch
from moto.server import ThreadedMotoServer
from packed_form import pack
from slow import slow_but
from torch.utils.data import DataLoader

import evlora
from evlora.clips import ClipConfig
from evlora.clips.transforms import Augmentation
from evlora.datasets import ClipDataset, bucket, read_manifest
from evlora.datasets.bucket import Bucket, FetchingAhead
from evlora.datasets.loading import InOrder, loader_options
from evlora.errors import DatasetError
from evlora.evaluation import evaluate
from evlora.packing import PackedDataset
from evlora.training.ordering import EpochSampler

CONFIG = ClipConfig(frames=2, size=32, augmentation=Augmentation(event_drop=0))
URL = "s3://clips/some/set"


class Gate(ThreadingHTTPServer):
    """Passes requests on to the server, and answers those for chunks as it is given."""

    daemon_threads = True

    def __init__(self, address):
        super().__init__(("127.0.0.1", 0), Passing)
        self.address = address
        self.chunks = Counter()
        """How often each chunk was asked for."""
        self.trouble = lambda path, times: None
        """What happens to the n-th request for a chunk: cut, hang or a status."""

    def handle_error(self, request, client_address):
        """The gate breaks connections itself."""


class Passing(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        trouble = None
        if self.path.endswith(".bin"):
            self.server.chunks[self.path] += 1
            trouble = self.server.trouble(self.path, self.server.chunks[self.path])
        if isinstance(trouble, int):
            self.send_error(trouble)
            return
        connection = http.client.HTTPConnection(*self.server.address)
        connection.request("GET", self.path, headers=dict(self.headers))
        answer = connection.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if trouble is None:
            self.wfile.write(body)
            return
        self.wfile.write(body[: len(body) // 2])
        self.wfile.flush()
        if trouble == "hang":
            time.sleep(3)
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def packed(tiny_dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "dataset"
    pack(read_manifest(tiny_dataset), CONFIG, folder)
    return folder


@pytest.fixture(scope="module")
def server(packed):
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    client = boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="key",
        aws_secret_access_key="secret",
    )
    client.create_bucket(Bucket="clips")
    for path in packed.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), "clips", f"some/set/{path.relative_to(packed)}")
    client.put_object(Bucket="clips", Key="empty/readme", Body=b"")
    yield host, port
    server.stop()


@pytest.fixture
def gate(server, monkeypatch):
    gate = Gate(server)
    threading.Thread(target=gate.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{gate.server_address[1]}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setattr(bucket, "FIRST_WAIT_S", 0.05)
    yield gate
    gate.shutdown()
    gate.server_close()


def clips(dataset, workers=0):
    options = loader_options(batch_size=7, workers=workers)
    return list(DataLoader(dataset, sampler=InOrder(dataset), **options))


def require_equal(first, second):
    assert first
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one.rgb, other.rgb)
        assert torch.equal(one.events, other.events)
        assert one.samples == other.samples


def fetched(gate, count):
    """How many chunks were asked for, some time after it were as many as expected."""
    deadline = time.monotonic() + 20
    while len(gate.chunks) < count and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.2)
    return len(gate.chunks)


@pytest.mark.parametrize("workers", slow_but([0, 2], quick=(0).__eq__))
def test_clips_from_a_bucket_are_those_of_the_folder(gate, packed, tmp_path, workers):
    manifest = read_manifest(URL, cache=tmp_path)
    assert manifest.labels == read_manifest(packed).labels
    near = PackedDataset(read_manifest(packed), "train", CONFIG)
    require_equal(clips(near), clips(PackedDataset(manifest, "train", CONFIG), workers))
    assert len(gate.chunks) == 6
    assert set(gate.chunks.values()) == {1}  # by whichever process, each is fetched once
    again = PackedDataset(read_manifest(URL, cache=tmp_path), "train", CONFIG)
    require_equal(clips(near), clips(again))
    assert set(gate.chunks.values()) == {1}  # from the cache


@pytest.mark.slow
def test_a_transfer_that_is_cut_is_retried(gate, packed, tmp_path):
    gate.trouble = lambda path, times: ("cut", 503, None)[times - 1]
    far = PackedDataset(read_manifest(URL, cache=tmp_path), "train", CONFIG)
    near = PackedDataset(read_manifest(packed), "train", CONFIG)
    require_equal(clips(near), clips(far, workers=1))
    assert set(gate.chunks.values()) == {3}
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]


def test_a_server_that_stops_answering_is_asked_again(gate, packed, tmp_path, monkeypatch):
    monkeypatch.setattr(bucket, "READ_TIMEOUT_S", 0.3)
    gate.trouble = lambda path, times: "hang" if times == 1 else None
    far = PackedDataset(read_manifest(URL, cache=tmp_path), "train", CONFIG)
    assert far[0].sample == "train/00000"
    assert set(gate.chunks.values()) == {2}


@pytest.mark.parametrize(
    ("trouble", "workers"),
    slow_but([("cut", 0), (503, 0), ("cut", 1), (503, 1)], quick=("cut", 0).__eq__),
)
def test_a_server_that_never_recovers_ends_in_an_error(
    gate, tmp_path, monkeypatch, workers, trouble
):
    monkeypatch.setattr(bucket, "PATIENCE_S", 1.0)
    gate.trouble = lambda path, times: trouble
    far = PackedDataset(read_manifest(URL, cache=tmp_path), "train", CONFIG)
    begun = time.monotonic()
    with pytest.raises(
        DatasetError, match=r"chunk-0-0\.bin: could not be fetched in \d s, the last"
    ):
        clips(far, workers)
    assert time.monotonic() - begun < 20
    assert not list(tmp_path.rglob("chunk-*.bin"))


def test_a_server_that_is_away_is_reported(gate, tmp_path, monkeypatch):
    monkeypatch.setattr(bucket, "OPENING_PATIENCE_S", 0.5)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(
        DatasetError, match=r"dataset\.json: could not be fetched in .*127\.0\.0\.1:9"
    ):
        read_manifest(URL, cache=tmp_path)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (
            "s3://clips/empty",
            r"s3://clips/empty/dataset\.json: could not be fetched: NoSuchKey: .*; check the add",
        ),
        (
            "s3://nobody/set",
            r"s3://nobody/set/dataset\.json: could not be fetched: .*NoSuchBucket",
        ),
        ("s3:///set", r"expected s3://BUCKET/FOLDER"),
    ],
)
def test_a_wrong_address_is_reported_at_once(gate, tmp_path, url, message):
    with pytest.raises(DatasetError, match=message):
        read_manifest(url, cache=tmp_path)


def test_missing_credentials_are_reported_at_once(gate, tmp_path, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(DatasetError, match=r"Unable to locate credentials; .*AWS_ACCESS_KEY_ID"):
        read_manifest(URL, cache=tmp_path)


def test_the_index_of_recordings_in_a_bucket_is_refused(gate, server, tiny_dataset, tmp_path):
    host, port = server
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
    for name in ("dataset.json", "manifest.jsonl"):
        client.upload_file(str(tiny_dataset / name), "clips", f"unpacked/{name}")
    with pytest.raises(DatasetError, match="expected a packed dataset in a bucket"):
        read_manifest("s3://clips/unpacked", cache=tmp_path)


@pytest.mark.slow
def test_the_cache_stays_as_small_as_it_is_given(gate, packed, tmp_path):
    sizes = [path.stat().st_size for path in packed.glob("train/*.bin")]
    room = 2.5 * max(sizes)
    manifest = read_manifest(URL, cache=tmp_path, cache_gb=room / 1e9)
    far = PackedDataset(manifest, "train", CONFIG, is_training=True)
    near = PackedDataset(read_manifest(packed), "train", CONFIG, is_training=True)
    for epoch in range(2):
        for index in [*range(40), *range(40)]:
            for dataset in (far, near):
                dataset.set_epoch(epoch)
            assert torch.equal(far[index].events, near[index].events)
            assert sum(path.stat().st_size for path in tmp_path.rglob("*.bin")) <= room


def test_a_temporary_cache_goes_with_the_manifest(gate):
    manifest = read_manifest(URL)
    folder = manifest.bucket.cache
    assert PackedDataset(manifest, "test", CONFIG)[0].sample == "test/00000"
    assert list(folder.rglob("*.bin"))
    del manifest
    assert not folder.exists()


def test_chunks_are_fetched_before_they_are_needed(gate, tmp_path):
    dataset = PackedDataset(read_manifest(URL, cache=tmp_path), "train", CONFIG, is_training=True)
    sampler = EpochSampler(dataset, world_size=1, rank=0, seed=0, batch_size=8)
    order = iter(sampler)
    next(order)
    assert fetched(gate, 6) == 6


def test_fetching_ahead_leaves_half_of_the_cache_to_what_is_read(gate, packed, tmp_path):
    far = Bucket(URL, cache=tmp_path)
    dataset = PackedDataset(read_manifest(URL, cache=tmp_path), "train", CONFIG)
    chunks = [dataset._shards.to_fetch(number) for number in range(6)]
    far.cache_bytes = int(4.5 * max(chunk["size_bytes"] for chunk in chunks))
    with FetchingAhead(far, chunks) as ahead:
        for reached, count in ((0, 3), (1, 4), (4, 6)):
            ahead.reached(reached)
            assert fetched(gate, count) == count


@pytest.mark.slow
def test_a_second_packing_at_the_same_address_is_not_mixed_with_the_first(
    gate, server, tiny_dataset, tmp_path
):
    host, port = server
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
    source = read_manifest(tiny_dataset)
    for number, representation in enumerate(("event_image", "polarity_counts")):
        config = CONFIG.model_copy(update={"representation": representation})
        folder: Path = tmp_path / f"packed{number}"
        pack(source, config, folder)
        for path in folder.rglob("*"):
            if path.is_file():
                client.upload_file(str(path), "clips", f"twice/{path.relative_to(folder)}")
        far = PackedDataset(
            read_manifest("s3://clips/twice", cache=tmp_path / "cache"), "train", config
        )
        made = ClipDataset(source, "train", config)
        assert torch.equal(far[3].events, made[3].events)


@pytest.mark.slow
def test_a_run_learns_the_same_from_recordings_from_shards_and_from_a_bucket(
    gate, packed, tiny_settings, tmp_path
):
    settings = {**tiny_settings, "training.epochs": 2, "clip.augmentation.event_drop": 0}
    roots = {"made": tiny_settings["data.root"], "near": str(packed), "far": URL}
    learned = {}
    for name, root in roots.items():
        keys = {"data.root": root, "run.dir": str(tmp_path / name)}
        run = evlora.train("demo", overrides={**settings, **keys})
        learned[name] = evlora.load_bundle(run.bundle)
    made = learned["made"].state_dict()
    for name in ("near", "far"):
        state = learned[name].state_dict()
        assert all(torch.equal(made[key], state[key]) for key in made)
    results = [evaluate(learned["far"], read_manifest(root)) for root in roots.values()]
    names = [f"generated {str(root).rpartition('/')[2]}" for root in roots.values()]
    assert [result.protocol.dataset for result in results[1:]] == names[1:]
    first, *others = (replace(result, protocol=results[0].protocol) for result in results)
    assert [first, first] == others


def test_a_file_that_is_longer_than_it_may_be_is_not_kept(gate, tmp_path, monkeypatch):
    monkeypatch.setenv("EVLORA_LIMITS", "index_bytes=10")
    fetched_to = Bucket(URL, cache=tmp_path)
    with pytest.raises(DatasetError, match="expected at most 10 bytes, got more"):
        fetched_to.fetch("dataset.json")
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("endpoint", ["nonsense", "http://", "http://[::1"])
def test_an_address_that_is_none_is_refused(gate, tmp_path, monkeypatch, endpoint):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    with pytest.raises(DatasetError, match=r"could not be fetched: .*check the address"):
        Bucket(URL, cache=tmp_path).fetch("dataset.json")


def test_a_bucket_of_an_impossible_name_is_refused_in_one_line(gate, tmp_path):
    with pytest.raises(DatasetError, match="could not be fetched: ") as refused:
        Bucket("s3://no..bucket/x", cache=tmp_path).fetch("dataset.json")
    assert len(str(refused.value).splitlines()) == 1
