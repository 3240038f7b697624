"""Which artefacts count, by which adoptions: on plans alone, without a store of artefacts."""

import dataclasses
from collections.abc import Callable

import pytest

from model.errors import InputError
from tasks.files.hashing import digest_of
from tasks.jobs.adopted_stages import counted
from tasks.jobs.adoptions import Adoption, Adoptions, read_adoptions, scope_of, workings_digest
from tasks.jobs.keys import StagePlan
from tasks.store.folder_blobs import FolderBlobs
from tasks.store.sealed_chain import append_record
from tasks.store.store import Store

STAGES = ("prepare", "train-1-embedding", "train-2-unet", "evaluate", "gallery")


def chain(version: str, **parameters: object) -> tuple[StagePlan, ...]:
    """The stages of a training by one version of the code."""
    plans: list[StagePlan] = []
    for stage in STAGES:
        own = {"stage": {"name": stage, "rate": parameters.get(stage, 1)}} if "train" in stage else {}
        reads = {before.stage: before.key for before in plans[-1:]} or {"image_set": "i"}
        plans.append(StagePlan(stage=stage, reads=reads, parameters=own, code={"*": version}, packages={"torch": "2"}))
    return tuple(plans)


def adopt(number: int, old: str, new: str, stages: tuple[str, ...] = STAGES) -> Adoption:
    """A record that one version of the code does the same as another."""
    names = {version: workings_digest({"*": version}, {"torch": "2"}) for version in (old, new)}
    return Adoption(
        number=number,
        action="adopt",
        proved=tuple(
            {"scope": scope_of(plan), "old": names[old], "new": names[new], "concepts": ["owl"]}
            for plan in chain(new)
            if plan.stage in stages
        ),
        workings={name: {"code": {"*": version}, "packages": {"torch": "2"}} for version, name in names.items()},
        reason="",
        by="",
        at="",
    )


def undo(number: int, undoes: int) -> Adoption:
    return Adoption(number=number, action="undo", undoes=undoes, reason="", by="", at="")


def there(*plans: StagePlan) -> Callable[[str, str], bool]:
    keys = {(plan.stage, plan.key) for plan in plans}
    return lambda stage, key: (stage, key) in keys


def ages(now: tuple[StagePlan, ...], *records: Adoption, have: tuple[StagePlan, ...]) -> list[str]:
    """By which version of the code each stage is planned."""
    stages, _ = counted(now, Adoptions(records), there(*have))
    return [plan.code["*"] for plan in stages]


def test_what_an_adoption_lets_count_is_planned_under_its_own_key():
    stages, by = counted(chain("b"), Adoptions((adopt(1, "a", "b"),)), there(*chain("a")))
    assert [plan.key for plan in stages] == [plan.key for plan in chain("a")]
    assert by == dict.fromkeys(STAGES, (1,))


def test_without_an_adoption_in_force_nothing_counts():
    assert ages(chain("b"), have=chain("a")) == ["b"] * 5
    assert ages(chain("b"), adopt(1, "a", "b"), undo(2, 1), have=chain("a")) == ["b"] * 5
    assert ages(chain("b"), adopt(1, "b", "a"), have=chain("a")) == ["b"] * 5  # the other way round was not proved


def test_what_was_made_by_the_code_of_now_goes_before():
    assert ages(chain("b"), adopt(1, "a", "b"), have=(*chain("a"), *chain("b"))) == ["b"] * 5


def test_what_nobody_made_is_made_by_the_code_of_now():
    assert ages(chain("b"), adopt(1, "a", "b"), have=()) == ["b"] * 5
    assert ages(chain("b"), adopt(1, "a", "b"), have=chain("a")[:2]) == ["a", "a", "b", "b", "b"]


def test_other_parameters_are_not_touched_and_what_stands_before_them_is_kept():
    now = chain("b", **{"train-2-unet": 2})
    assert ages(now, adopt(1, "a", "b"), have=chain("a")) == ["a", "a", "b", "b", "b"]


def test_a_hole_is_made_again_under_the_key_that_others_have_read():
    have = tuple(plan for plan in chain("a") if plan.stage != "train-1-embedding")
    stages, _ = counted(chain("b"), Adoptions((adopt(1, "a", "b"),)), there(*have))
    assert [plan.key for plan in stages] == [plan.key for plan in chain("a")]


def test_only_what_was_proved_counts():
    one = adopt(1, "a", "b", stages=("prepare",))
    assert ages(chain("b"), one, have=chain("a")) == ["a", "b", "b", "b", "b"]
    other_device = tuple(dataclasses.replace(plan, numeric_policy={"device": "cuda"}) for plan in chain("b"))
    on_device = tuple(dataclasses.replace(plan, numeric_policy={"device": "cuda"}) for plan in chain("a"))
    assert ages(other_device, adopt(1, "a", "b"), have=on_device) == ["b"] * 5


def test_a_chain_of_adoptions_and_one_of_them_taken_back():
    records = (adopt(1, "a", "b"), adopt(2, "b", "c"))
    stages, by = counted(chain("c"), Adoptions(records), there(*chain("a")))
    assert [plan.code["*"] for plan in stages] == ["a"] * 5 and set(by.values()) == {(2, 1)}
    assert ages(chain("c"), *records, undo(3, 1), have=chain("a")) == ["c"] * 5
    assert ages(chain("c"), *records, undo(3, 2), have=chain("a")) == ["c"] * 5
    assert ages(chain("b"), *records, undo(3, 2), have=chain("a")) == ["a"] * 5


def test_a_reverted_commit_ends_in_no_circle():
    records = (adopt(1, "a", "b"), adopt(2, "b", "a"))
    assert ages(chain("a"), *records, have=chain("b")) == ["b"] * 5
    assert ages(chain("a"), *records, have=chain("a")) == ["a"] * 5


def test_a_training_that_went_on_after_an_adoption_is_found_whole():
    before = chain("a")
    mixed = list(before[:2])
    for plan in chain("b")[2:]:
        mixed.append(dataclasses.replace(plan, reads={mixed[-1].stage: mixed[-1].key}))
    assert ages(chain("b"), adopt(1, "a", "b"), have=tuple(mixed)) == ["a", "a", "b", "b", "b"]


# The records in a store


def write(store: Store, record: Adoption) -> None:
    append_record(store, "adoptions/", "adoption", lambda number: record.content() | {"number": number})


def test_records_are_read_as_they_were_written(tmp_path):
    store = Store(FolderBlobs(tmp_path))
    assert read_adoptions(store).records == ()
    for record in (adopt(1, "a", "b"), undo(2, 1), adopt(3, "a", "b")):
        write(store, record)
    read = read_adoptions(store)
    assert [record.number for record in read.in_force] == [3]
    assert read.records[0].proved == adopt(1, "a", "b").proved
    with pytest.raises(InputError, match=r"adoption 1 was taken back already; in force: 3"):
        read.find(1)
    with pytest.raises(InputError, match=r"no adoption 9 in force; in force: 3"):
        read.find(9)


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes().replace(b'"adopt"', b'"undo"')), "bytes have changed"),
        (lambda path: path.unlink(), "is missing"),
        (lambda path: path.write_bytes(b"{}"), "does not say its number"),
    ],
)
def test_a_record_that_was_changed_lets_nothing_be_done(tmp_path, harm, said):
    store = Store(FolderBlobs(tmp_path))
    for number in (1, 2):
        write(store, adopt(number, "a", "b"))
    harm(tmp_path / "adoptions" / "000001.json")
    with pytest.raises(InputError, match=said):
        read_adoptions(store)


def test_a_record_whose_workings_are_not_what_it_calls_them_is_none(tmp_path):
    store = Store(FolderBlobs(tmp_path))
    record = adopt(1, "a", "b")
    name = next(iter(record.workings))
    write(store, dataclasses.replace(record, workings={**record.workings, name: {"code": {}, "packages": {}}}))
    with pytest.raises(InputError, match=rf"workings {name[:12]} are others"):
        read_adoptions(store)


def test_a_scope_holds_what_decides_which_code_runs_and_no_rate():
    slow, fast = chain("a")[1], chain("a", **{"train-1-embedding": 9})[1]
    assert digest_of(scope_of(slow)) == digest_of(scope_of(fast)) and slow.key != fast.key
    lora = dataclasses.replace(slow, parameters={"stage": {**slow.parameters["stage"], "lora_rank": 4}})
    assert digest_of(scope_of(lora)) != digest_of(scope_of(slow))
    small = dataclasses.replace(slow, parameters={**slow.parameters, "form": "small"})
    assert digest_of(scope_of(small)) != digest_of(scope_of(slow))
