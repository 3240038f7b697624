"""A ledger that was cut off, forked or added to: nothing is built on it, and only a repair, on record, goes on."""

from dataclasses import replace

import pytest

from model.errors import InputError, WorkFailed
from tasks.production.ledger import LedgerDamaged, Promotion, append, read_ledger, record_path
from tasks.production.registry import open_production, production_model, production_registry
from tasks.production.whole_ledger import read_whole_ledger, standing
from tasks.project.settings import Settings
from tasks.promotion.promotion import check_production, roll_back, settle
from tasks.promotion.repair import repair_ledger
from tasks.promotion.revocation import revoke
from tasks.registry.reference import CHAMPION, VersionReference
from tasks.registry.versions import REVOKED_TAG
from tasks.signing.keys import public_key_of
from tasks.store.store import open_store
from tasks.verification.chain import verify_version
from tasks.verification.releases import check_place
from tests.lineage_project import CONCEPT
from tests.tasks.keys import write_key
from tests.tasks.promotion.test_promotion import back, everything, promote, serving, settings

__all__ = ["settings"]  # the fixture: two versions, and a production of their own


def path(settings: Settings, seq: int):
    return settings.production_store / record_path(CONCEPT, seq)


def copied(settings: Settings, seq: int, to: int) -> None:
    path(settings, to).unlink(missing_ok=True)
    path(settings, to).write_bytes(path(settings, seq).read_bytes())


def test_a_copy_of_one_record_in_the_place_of_another_is_a_fault_everywhere(settings):
    for version in (1, 2):
        promote(settings, version)
    back(settings)
    copied(settings, 2, 4)
    before = everything(settings)
    for command in (lambda: promote(settings, 2), lambda: back(settings), lambda: back(settings, to=1)):
        with pytest.raises(LedgerDamaged, match=r"000004.json: is record 2, put in the place of another"):
            command()
    assert everything(settings) == before
    signed = settings.model_copy(update={"signing_key": write_key(settings.production_store.parent / "key.pem")})
    said = [check.said for check in check_place(open_production(settings), public_key_of(signed)).of("fault")]
    assert any("is record 2, put in the place of another" in fault for fault in said)
    faults = verify_version(settings, open_store(settings), VersionReference.parse(f"{CONCEPT}/2")).of("fault")
    assert any("is record 2, put in the place of another" in fault.said for fault in faults)


def revoked(settings: Settings) -> str:
    """Both promoted, then what serves is revoked; its content."""
    for version in (1, 2):
        promote(settings, version)
    content = str(promote(settings, 2).record.content)
    revoke(settings, check_production(settings), CONCEPT, [content], reason="consent was withdrawn")
    assert serving(settings) == 1
    return content


def test_a_revocation_that_was_cut_off_brings_nothing_back_and_is_not_signed_over(settings):
    content = revoked(settings)
    path(settings, 3).unlink()
    for command in (
        lambda: back(settings, to=2),
        lambda: revoke(settings, check_production(settings), CONCEPT, [content], reason="again"),
        lambda: settle(settings, check_production(settings), CONCEPT),
    ):
        with pytest.raises(
            LedgerDamaged, match="the production registry remembers record 3, and it ends with record 2"
        ):
            command()
    assert serving(settings) == 1
    faults = verify_version(settings, open_store(settings), VersionReference.parse(f"{CONCEPT}/2")).of("fault")
    assert any("the production registry remembers record 3" in fault.said for fault in faults)


def test_a_repair_is_on_record_keeps_what_serves_and_brings_back_nothing(settings):
    revoked(settings)
    path(settings, 3).unlink()
    place = check_production(settings)
    record = repair_ledger(settings, place, CONCEPT, reason="the bucket was restored").record
    assert (record.action, record.seq, record.version, serving(settings)) == ("repair", 3, 1, 1)
    assert record.accepts[0].startswith("3 ") and "the bucket was restored" in record.words
    assert standing(settings, place, read_ledger(place, CONCEPT)).doubts == ()
    with pytest.raises(InputError, match="taken out of production by record 3"):
        back(settings, to=2)
    name = production_model(settings, CONCEPT)
    with production_registry(settings) as client:
        marked = [v for v in client.search_model_versions(f"name = '{name}'") if REVOKED_TAG in v.tags]
    assert len(marked) == 1
    with pytest.raises(WorkFailed, match="was revoked on"):  # an override of the gate does not help either
        promote(settings, 2)
    with pytest.raises(InputError, match="its ledger is whole"):
        repair_ledger(settings, place, CONCEPT, reason="once more")


def test_a_forked_ledger_is_no_other_one_s(settings):
    for version in (1, 2):
        promote(settings, version)
    place = open_production(settings)
    first, second = read_ledger(place, CONCEPT).records
    path(settings, 2).unlink()
    assert append(place, replace(second, reason="nobody said this", release=first.release, content=first.content))
    assert read_ledger(place, CONCEPT).head.reason == "nobody said this"  # its seals are whole
    with pytest.raises(LedgerDamaged, match="remembers record 2, and record 2 has another content"):
        back(settings)
    with production_registry(settings) as client:
        named = client.get_model_version_by_alias(production_model(settings, CONCEPT), CHAMPION)
    assert int(named.version) == second.production_version


def test_with_a_key_no_record_that_nobody_signed_is_followed(settings, tmp_path):
    keyed = settings.model_copy(update={"signing_key": write_key(tmp_path / "key.pem")})
    for version in (1, 2):
        promote(keyed, version)
    place = open_production(keyed)
    first, second = read_ledger(place, CONCEPT).records
    assert first.signature and second.signature
    forged = {"seq": 3, "previous": second.seal, "action": "rollback", "withdraws": (second.content,)}
    assert append(place, replace(first, **forged, signature=None))
    for command in (lambda: settle(keyed, place, CONCEPT), lambda: back(keyed, to=1)):
        with pytest.raises(LedgerDamaged, match=r"record 3 \(rollback, .*\) is not signed"):
            command()
    assert serving(settings) == 2
    stranger = keyed.model_copy(update={"signing_key": write_key(tmp_path / "other.pem")})
    path(keyed, 3).unlink()
    with pytest.raises(LedgerDamaged, match="which nobody here trusts"):
        read_whole_ledger(stranger.model_copy(update={"production_tracking_uri": elsewhere(tmp_path)}), place, CONCEPT)
    assert append(place, replace(first, **forged, signature=None))
    record = repair_ledger(keyed, place, CONCEPT, reason="somebody wrote to the bucket").record
    assert (record.version, serving(keyed), record.signature is not None) == (2, 2, True)
    assert read_whole_ledger(keyed, place, CONCEPT).head == record


def elsewhere(tmp_path) -> str:
    """A registry that remembers nothing."""
    return f"sqlite:///{tmp_path}/empty.db"


def test_a_ledger_from_before_there_was_a_key_goes_on_as_far_as_the_registry_remembers(settings, tmp_path):
    promote(settings, 1)
    keyed = settings.model_copy(update={"signing_key": write_key(tmp_path / "key.pem")})
    promote(keyed, 2)
    first, second = read_whole_ledger(keyed, open_production(keyed), CONCEPT).records
    assert first.signature is None and second.signature is not None
    assert serving(keyed) == 2


def test_nothing_to_roll_back_where_everything_is_whole(settings):
    with pytest.raises(InputError, match="was never promoted"):
        roll_back(settings, check_production(settings), CONCEPT, to=None, reason="none")
    assert isinstance(promote(settings, 1).record, Promotion)
    with production_registry(settings) as client:
        assert CHAMPION in client.get_registered_model(production_model(settings, CONCEPT)).aliases
