"""One maker of a key at a time, on any number of machines: real processes, killed and stopped."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import tasks.store.s3
from tasks.store.blobs import StoreFailed
from tasks.store.s3_blobs import S3Blobs
from tasks.store.store import Store
from tests.s3 import relay
from tests.tasks.store_locations import KEY, QUICK, StoreLocation

ROOT = Path(__file__).resolve().parents[3]
HOLDER = """
import sys, time
from pathlib import Path
import tasks.files.process
from tests.tasks.store_locations import KEY, StoreLocation
folder, bucket, machine, seconds = sys.argv[1:]
if machine:
    tasks.files.process._machine = lambda: machine
place = StoreLocation(Path(folder), bucket or None)
with place.store().alone("prepare", KEY, lambda: print("waits", flush=True)) as hold:
    print("holds", flush=True)
    time.sleep(float(seconds))
    print("lost" if hold.lost() else "kept", flush=True)
"""


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path) -> StoreLocation:
    place = StoreLocation(tmp_path, request.getfixturevalue("s3_bucket") if request.param == "s3" else None)
    place.store().probe()
    return place


@pytest.fixture
def in_s3(tmp_path, s3_bucket) -> StoreLocation:
    return StoreLocation(tmp_path, s3_bucket)


@contextmanager
def holder(place: StoreLocation, *, machine: str = "", seconds: float = 60) -> Iterator[subprocess.Popen]:
    """A process that holds the key."""
    command = [sys.executable, "-c", HOLDER, str(place.folder), place.bucket or "", machine, str(seconds)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "holds\n"
            yield process
        finally:
            process.kill()


def locks(place: StoreLocation) -> list[str]:
    return [entry.name for entry in place.blobs().entries("locks/") if entry.name != "locks/documents"]


def test_the_second_waits_and_says_so_and_nothing_is_left(place):
    told = []
    with holder(place, seconds=2 * QUICK.take_over) as first:
        with place.store().alone("prepare", KEY, lambda: told.append(first.stdout.readline())) as hold:
            assert not hold.lost()
        assert first.wait() == 0
    assert told == ["kept\n"]
    assert locks(place) == []


def test_others_keys_are_free(place):
    with holder(place), place.store().alone("prepare", "b" * 64, pytest.fail), place.store().alone("gallery", KEY):
        pass


@pytest.mark.parametrize("machine", ["", "another"])
def test_a_killed_holder_frees_the_key(place, machine):
    with holder(place, machine=machine) as first:
        first.kill()
        first.wait()
        waited = []
        with place.store().alone("prepare", KEY, lambda: waited.append(True)):
            pass
        # What this machine can see dead is no reason to wait; of another's there is only its silence.
        assert bool(waited) is (machine == "another" and place.bucket is not None)
    assert locks(place) == []


def test_a_holder_that_lives_keeps_the_key_however_long_it_works(in_s3):
    with holder(in_s3, machine="another", seconds=3 * QUICK.take_over) as first:
        said = []
        with in_s3.store().alone("prepare", KEY, lambda: said.append(first.stdout.readline())):
            assert said == ["kept\n"]


def test_a_holder_that_stood_still_learns_that_another_has_taken_over(in_s3):
    with holder(in_s3, machine="another", seconds=1) as first:
        first.send_signal(signal.SIGSTOP)
        with in_s3.store().alone("prepare", KEY) as hold:
            first.send_signal(signal.SIGCONT)
            assert first.stdout.readline() == "lost\n"
            assert first.wait() == 0
            time.sleep(2 * QUICK.renew)
            assert not hold.lost() and len(locks(in_s3)) == 1  # the first took nothing away when it ended
    assert locks(in_s3) == []


def test_a_removal_that_comes_late_does_not_hit_the_lease_of_whoever_came_next(in_s3):
    late, delete_if, freed = in_s3.blobs(), S3Blobs.delete_if, []

    def comes_late(name: str, version: str) -> None:
        with in_s3.store().alone("prepare", KEY) as hold:
            time.sleep(2 * QUICK.renew)
            delete_if(late, name, version)
            time.sleep(2 * QUICK.renew)
            freed.append(hold.lost())

    late.delete_if = comes_late
    with Store(late).alone("prepare", KEY):
        pass
    assert freed == [False]
    assert locks(in_s3) == []


def test_an_outage_shorter_than_the_lease_costs_nothing_and_a_longer_one_is_noticed(in_s3, s3_server, monkeypatch):
    monkeypatch.setattr(tasks.store.s3, "_TRIES", 1)
    with relay(s3_server) as before:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", before.url)
        with in_s3.store().alone("prepare", KEY) as hold:
            before.answer = (503, "SlowDown")
            time.sleep(QUICK.take_over / 2)
            before.answer = None
            time.sleep(2 * QUICK.renew)
            assert not hold.lost()
            before.answer = (503, "SlowDown")
            time.sleep(QUICK.take_over + 2 * QUICK.renew)
            assert hold.lost()


def test_a_lock_that_cannot_be_had_is_an_outage(tmp_path):
    store: Store = StoreLocation(tmp_path).store()
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "locks").write_text("a file where a folder should be")
    with pytest.raises(StoreFailed, match=r"locks/.* cannot be held"), store.alone("prepare", KEY):
        pass


def test_what_happens_inside_is_nobody_else_s_error(place):
    with pytest.raises(OSError, match="mine"), place.store().alone("prepare", KEY):
        raise OSError("mine")
    assert locks(place) == []


def test_a_process_id_that_is_used_again_is_no_holder(in_s3):
    with holder(in_s3) as first:
        lease = in_s3.blobs().read(f"locks/prepare-{KEY}")
        first.kill()
        first.wait()
    reused = lease.content.replace(f'"pid": {first.pid}'.encode(), f'"pid": {os.getpid()}'.encode())
    in_s3.blobs().write(f"locks/prepare-{KEY}", reused)
    with in_s3.store().alone("prepare", KEY, pytest.fail):
        pass
