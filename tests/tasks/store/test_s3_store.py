"""What is particular to a store in S3: its failures, its cache, contents too large for one request."""

import os
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import tasks.store.s3
from model.errors import InputError, WorkFailed
from tasks.files.hashing import file_digest
from tasks.files.s3_url import S3Url
from tasks.store.blobs import StoreFailed
from tasks.store.content_cache import ContentCache
from tasks.store.manifest import FileRecord
from tasks.store.s3_blobs import S3Blobs
from tasks.store.store import Store
from tests.s3 import RelayServer, relay
from tests.tasks.store_locations import KEY, StoreLocation, facts, written


@pytest.fixture
def place(tmp_path, s3_bucket) -> StoreLocation:
    return StoreLocation(tmp_path, s3_bucket)


@pytest.fixture
def before(s3_server, monkeypatch) -> RelayServer:
    """A relay before the server, which everything opened by now goes through."""
    monkeypatch.setattr(tasks.store.s3, "_TRIES", 2)
    with relay(s3_server) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", server.url)
        yield server


@pytest.fixture
def published(place, tmp_path):
    return place.store().publish(written(tmp_path / "work", weights="W" * 100), facts())


def asked(store: Store, manifest) -> list:
    """Everything that may be asked of a store."""
    return [
        lambda: store.find(manifest.stage, KEY),
        lambda: store.find("prepare", "e" * 64),
        lambda: store.damage(manifest),
        lambda: store.record("concepts/cup/trained.json"),
        lambda: store.create_record("concepts/cup/trained.json", b"1"),
        lambda: store.replace_record("concepts/cup/trained.json", b"1", '"0"'),
        lambda: store.write_record("concepts/cup/trained.json", b"1"),
        lambda: store.records("concepts/"),
        lambda: store.inventory(),
        lambda: store.delete_contents(["0" * 64]),
        lambda: store.alone("prepare", KEY).__enter__(),
    ]


@pytest.mark.parametrize(
    ("answer", "retryable", "words"),
    [
        ((503, "SlowDown"), True, "503"),
        ((500, "InternalError"), True, "500"),
        ((403, "AccessDenied"), False, "s3:PutObject"),
        ((403, "InvalidAccessKeyId"), False, "AWS_ACCESS_KEY_ID"),
        ((404, "NoSuchBucket"), False, "bucket does not exist"),
    ],
)
def test_what_cannot_be_told_is_never_an_absence(place, published, before, answer, retryable, words, monkeypatch):
    monkeypatch.setattr(tasks.store.s3, "_TRIES", 1)
    store = place.store()
    before.answer = answer
    for question in asked(store, published):
        with pytest.raises(StoreFailed, match=words) as caught:
            question()
        assert caught.value.retryable is retryable and store.address in str(caught.value)


def test_an_address_where_nobody_answers(place, monkeypatch):
    monkeypatch.setattr(tasks.store.s3, "_TRIES", 1)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with pytest.raises(StoreFailed, match=r"no answer.*127\.0\.0\.1:1") as caught:
        place.store().probe()
    assert caught.value.retryable


def test_nobody_s_credentials(place, monkeypatch, tmp_path):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(InputError, match="AWS_ACCESS_KEY_ID"):
        place.store().probe()


def test_a_bucket_that_is_not_there(place):
    lost = StoreLocation(place.folder, "no-such-bucket")
    with pytest.raises(InputError, match=r"no-such-bucket.*bucket does not exist"):
        lost.store().probe()


@pytest.mark.parametrize("header", ["if-none-match", "if-match"])
def test_a_place_that_ignores_conditions_is_refused_by_name_and_left_as_it_was(place, before, header):
    before.ignored_headers = {header}
    with pytest.raises(InputError, match=header.replace("-", "")[:2].title()) as caught:
        place.store().probe()
    assert place.store().address in str(caught.value) and "write over each other" in str(caught.value)
    assert list(place.blobs().entries("")) == []


def test_a_place_that_cannot_do_conditions_is_refused(place, before):
    before.answer = (501, "NotImplemented")
    with pytest.raises(InputError, match="conditionally"):
        place.store().probe()


def test_a_write_whose_answer_was_lost_is_still_this_writer_s(place, before):
    store = place.store()
    before.lose_answers = 1
    assert store.create_record("record", b"1")
    assert not store.create_record("record", b"1")
    before.lose_answers = 1
    assert store.replace_record("record", b"2", store.record("record").version) or before.lose_answers == 0
    assert store.record("record").content == b"2"


def test_large_contents_travel_in_parts_and_are_hashed_when_they_arrive(place, tmp_path, before):
    source = tmp_path / "weights"
    source.write_bytes(os.urandom(2**20) * 6)
    record = FileRecord(sha256=file_digest(source), size=source.stat().st_size)
    place.blobs(part_bytes=5 * 2**20).put({"cas/weights": (source, record)}, rehash=False)
    assert sum("partNumber" in path for method, path in before.seen if method == "PUT") == 2
    other = StoreLocation(tmp_path / "another machine", place.bucket).blobs()
    assert other.problems({"cas/weights": record}, rehash=True) == {}
    assert file_digest(other.fetch({"cas/weights": record})["cas/weights"]) == record.sha256


def test_what_is_cached_is_neither_fetched_again_nor_trusted_unread(place, published, tmp_path, before):
    store = StoreLocation(tmp_path / "another machine", place.bucket).store()
    path = store.file(published, "weights")
    fetched = len(before.seen)
    assert store.file(published, "weights") == path and len(before.seen) == fetched
    path.chmod(0o644)
    path.write_text("X" * 100)
    assert store.file(published, "weights").read_text() == "W" * 100 and len(before.seen) == fetched + 1


def test_the_cache_drops_what_was_used_longest_ago_and_keeps_what_is_in_use(tmp_path):
    cache = ContentCache(tmp_path / "cache", most_bytes=250)
    paths = []
    for number in range(5):
        source = tmp_path / str(number)
        source.write_bytes(bytes([number]) * 100)
        paths.append(cache.add(file_digest(source), lambda to, source=source: to.write_bytes(source.read_bytes())))
    cache.trim()
    assert all(path.exists() for path in paths)  # too much, and all of it may be in use
    for age, path in enumerate(reversed(paths)):
        os.utime(path, (time.time() - 7200 - age,) * 2)
    assert cache.get(file_digest(tmp_path / "0")) == paths[0]
    cache.trim()
    assert [path.exists() for path in paths] == [True, False, False, False, True]


def test_a_folder_of_the_cache_that_is_full_or_a_file_is_named(place, published, tmp_path):
    (tmp_path / "blocked").write_text("")
    blobs = S3Blobs(S3Url.parse(place.blobs().address), ContentCache(Path(tmp_path / "blocked"), 2**30))
    with pytest.raises(WorkFailed, match="CONCEPTBOOTH_HOME"):
        Store(blobs).file(published, "weights")


def test_an_inventory_takes_two_listings_whatever_there_is(place, published, tmp_path, before):
    for number in range(5):
        place.store().publish(written(tmp_path / f"more-{number}", weights=str(number)), facts(f"{number}" * 64))
    store = place.store()
    asked_before = len(before.seen)
    inventory = store.inventory()
    assert len(inventory.manifests) == len(inventory.contents) == 6
    assert len(before.seen) - asked_before == 2


@pytest.mark.parametrize("status", [301, 302, 307])
@pytest.mark.parametrize(
    "body", [b"", b"<Error><Code>PermanentRedirect</Code><Message>moved</Message></Error>", b"<html>"]
)
@pytest.mark.parametrize("region", [None, "eu-central-1"])
def test_an_answer_that_sends_us_elsewhere_is_told_after_few_questions(monkeypatch, tmp_path, status, body, region):
    questions = []

    class Elsewhere(BaseHTTPRequestHandler):
        def answer(self) -> None:
            questions.append(self.path)
            self.send_response(status)
            self.send_header("Location", "https://somebody:secret@elsewhere.example.org/bucket")
            if region:
                self.send_header("x-amz-bucket-region", region)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

        def log_message(self, *_: object) -> None: ...

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    with HTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        cache = ContentCache(tmp_path, 2**30)
        address = f"http://127.0.0.1:{server.server_port}"
        blobs = S3Blobs(S3Url(bucket="bucket", prefix="p"), cache, endpoint_url=address)
        with pytest.raises(StoreFailed) as caught:
            blobs.read("concepts/a/trained.jsonl")
        server.shutdown()
        thread.join()
    assert len(questions) <= 6
    assert f"{status}: sends us elsewhere" in str(caught.value)
    assert "AWS_DEFAULT_REGION" in str(caught.value) and "secret" not in str(caught.value)
    assert region is None or region in str(caught.value)
