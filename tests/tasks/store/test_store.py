"""What a store does, wherever it lies."""

import multiprocessing

import pytest

from tasks.store.manifest import Manifest
from tasks.store.store import Damaged, Store
from tests.tasks.store_locations import KEY, StoreLocation, facts, written


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path) -> StoreLocation:
    return StoreLocation(tmp_path, request.getfixturevalue("s3_bucket") if request.param == "s3" else None)


@pytest.fixture
def store(place) -> Store:
    store = place.store()
    store.probe()
    return store


@pytest.fixture
def published(store, tmp_path) -> Manifest:
    return store.publish(written(tmp_path / "work", weights="W" * 100, pictures__one="1"), facts())


def test_what_is_published_reads_back(store, published, tmp_path):
    assert store.find(published.stage, KEY, rehash=True) == published
    assert Manifest.from_json(published.to_json()) == published
    assert sorted(published.files) == ["pictures/one", "weights"]
    assert store.file(published, "weights").read_text() == "W" * 100
    store.materialise(published, tmp_path / "out")
    assert (tmp_path / "out" / "pictures" / "one").read_text() == "1"


def test_contents_are_stored_once(store, published, tmp_path):
    again = store.publish(written(tmp_path / "more", same="W" * 100), facts("d" * 64))
    assert again.files["same"] == published.files["weights"]
    inventory = store.inventory()
    assert set(inventory.contents) == {record.sha256 for record in published.files.values()}
    assert set(inventory.manifests) == {("train-1-embedding", KEY), ("train-1-embedding", "d" * 64)}
    assert inventory.lacks(published.files) == inventory.lacks(again.files) == []
    store.delete_contents([published.files["pictures/one"].sha256])
    assert store.inventory().lacks(published.files) == ["pictures/one"]
    store.delete_manifests([("train-1-embedding", KEY)])
    assert store.find("train-1-embedding", KEY) is None
    assert store.find("train-1-embedding", "d" * 64) == again


def test_editing_a_copy_does_not_reach_the_store(store, published, tmp_path):
    store.materialise(published, tmp_path / "out")
    (tmp_path / "out" / "weights").write_text("mine")
    assert store.find(published.stage, KEY, rehash=True) == published


def test_what_was_never_there_is_not_there(store):
    assert store.find("prepare", KEY) is None


@pytest.mark.parametrize(
    ("harm", "rehash", "word"),
    [
        (None, False, "missing"),
        (b"W" * 99, False, "99 bytes instead of 100"),
        (b"X" + b"W" * 99, True, "bytes have changed"),
    ],
)
def test_damage_is_named_and_publishing_again_heals_it(place, store, published, tmp_path, harm, rehash, word):
    address = store.content_address(published.files["weights"].sha256)
    place.harm(address, harm)
    with pytest.raises(Damaged, match=word) as caught:
        store.find(published.stage, KEY, rehash=rehash)
    assert "weights" in str(caught.value) and KEY[:12] in str(caught.value) and address in str(caught.value)
    with pytest.raises(Damaged, match=word):
        store.find_checked(published.stage, KEY)
    again = store.publish(written(tmp_path / "again", weights="W" * 100, pictures__one="1"), facts())
    assert again == published
    assert store.find(published.stage, KEY, rehash=True) == published


@pytest.mark.parametrize(("harm", "word"), [(None, "missing"), (b"X" + b"W" * 99, "bytes have changed")])
def test_a_file_is_hashed_before_it_is_handed_out(place, published, tmp_path, harm, word):
    elsewhere = StoreLocation(tmp_path if place.bucket is None else tmp_path / "another machine", place.bucket).store()
    place.harm(elsewhere.content_address(published.files["weights"].sha256), harm)
    with pytest.raises(Damaged, match=rf"train-1-embedding .*weights: .*{word}"):
        elsewhere.file(published, "weights")
    assert elsewhere.file(published, "pictures/one").read_text() == "1"


def test_a_damaged_artefact_gives_way_to_one_with_other_contents(place, store, published, tmp_path):
    place.harm(store.content_address(published.files["weights"].sha256), None)
    again = store.publish(written(tmp_path / "again", weights="another machine's"), facts())
    assert store.find(published.stage, KEY) == again != published


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema": 99}', '{"schema": 1}'])
def test_a_manifest_that_is_none_is_damage(place, store, published, text):
    place.harm(store.manifest_address(published.stage, KEY), text.encode())
    with pytest.raises(Damaged, match=r"manifest\.json"):
        store.find(published.stage, KEY)


def test_a_manifest_in_the_wrong_place_is_damage(place, store, published):
    place.harm(store.manifest_address("prepare", "e" * 64), published.to_json().encode())
    with pytest.raises(Damaged, match="train-1-embedding"):
        store.find("prepare", "e" * 64)


def _race(place: StoreLocation, number: int, barrier, results) -> None:
    work = written(place.folder / f"work-{number}", weights=f"by process {number}")
    barrier.wait()
    results.put(place.store().publish(work, facts()).files["weights"].sha256)


def test_of_racing_processes_one_wins_and_the_others_adopt_its_artefact(place, store):
    adopted = race(_race, place, 20)
    assert set(adopted) == {store.get("train-1-embedding", KEY).files["weights"].sha256}
    assert store.find("train-1-embedding", KEY, rehash=True)


def _creates(place: StoreLocation, number: int, barrier, results) -> None:
    barrier.wait()
    results.put((place.store().create_record("promotions/cup/1.json", str(number).encode()), number))


def test_of_twenty_writers_one_creates_a_record(place, store):
    outcomes = race(_creates, place, 20)
    (winner,) = [number for created, number in outcomes if created]
    assert store.record("promotions/cup/1.json").content == str(winner).encode()


def _counts(place: StoreLocation, number: int, barrier, results) -> None:
    store, tries = place.store(), 0
    barrier.wait()
    while True:
        tries += 1
        count = store.record("count")
        if store.replace_record("count", str(int(count.content) + 1).encode(), count.version):
            results.put(tries)
            return


def test_no_update_of_a_record_is_lost(place, store):
    store.create_record("count", b"0")
    race(_counts, place, 6)
    assert store.record("count").content == b"6"


def race(runner, place: StoreLocation, processes: int) -> list:
    """What each of several processes found, all beginning at once."""
    fork = multiprocessing.get_context("fork")
    barrier, results = fork.Barrier(processes), fork.Queue()
    racers = [fork.Process(target=runner, args=(place, number, barrier, results)) for number in range(processes)]
    for racer in racers:
        racer.start()
    found = [results.get(timeout=60) for _ in racers]
    for racer in racers:
        racer.join()
    return found


def test_records(store):
    assert store.record("concepts/cup/trained.json") is None and store.records("concepts/") == []
    store.write_record("concepts/cup/trained.json", b"1")
    store.write_record("concepts/cup/trained.json", b"2")
    old = store.record("concepts/cup/trained.json")
    assert old.content == b"2"
    assert not store.create_record("concepts/cup/trained.json", b"3")
    assert store.replace_record("concepts/cup/trained.json", b"3", old.version)
    assert not store.replace_record("concepts/cup/trained.json", b"4", old.version)
    assert not store.replace_record("concepts/pot/trained.json", b"4", old.version)
    assert store.create_record("concepts/cap/failures-0.json", b"{}")
    assert store.records("concepts/") == ["concepts/cap/failures-0.json", "concepts/cup/trained.json"]
    assert store.records("concepts/cup/") == ["concepts/cup/trained.json"]
    read = store.read_records(["concepts/cup/trained.json", "concepts/nobody/trained.json"])
    assert {path: record.content for path, record in read.items()} == {"concepts/cup/trained.json": b"3"}
    store.delete_record("concepts/cup/trained.json")
    store.delete_record("concepts/cup/trained.json")
    assert store.records("concepts/") == ["concepts/cap/failures-0.json"]
