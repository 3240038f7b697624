"""The list of which key is trusted with what, and the keys of a machine."""

from pathlib import Path

import pytest

from model.errors import InputError
from tasks.project.settings import Settings
from tasks.signing.keys import all_key_problems, public_key_of, signer_of
from tasks.signing.trusted_keys import TrustedKey, TrustedKeys, load_trusted_keys
from tests.tasks.keys import write_key

TEXT = b"a training\n"


@pytest.fixture
def settings(tmp_path) -> Settings:
    (tmp_path / "project").mkdir()
    return Settings(
        root=tmp_path / "project",
        signing_key=write_key(tmp_path / "release.pem"),
        training_key=write_key(tmp_path / "worker.pem", b"open sesame"),
        training_key_password="open sesame",
    )


def listed(settings: Settings, text: str) -> TrustedKeys:
    (settings.root / "release.pub").write_bytes(public_key_of(settings, "releases"))
    (settings.root / "worker.pub").write_bytes(public_key_of(settings, "trainings"))
    settings.trusted_keys.write_text(text)
    return load_trusted_keys(settings)


BOTH = """
desk: {public_key: release.pub, trusted_with: [releases]}
gpu a: {public_key: worker.pub, trusted_with: [trainings]}
"""


def test_a_key_counts_for_what_it_is_trusted_with(settings):
    keys = listed(settings, BOTH)
    by_worker, by_desk = (signer_of(settings, role).sign("manifest", TEXT) for role in ("trainings", "releases"))
    assert keys.who_signed("trainings", "manifest", TEXT, by_worker) == keys.keys[1]
    assert keys.who_signed("trainings", "manifest", TEXT, by_desk).endswith("is not trusted with trainings")
    assert keys.who_signed("releases", "manifest", TEXT, by_worker).endswith("is not trusted with releases")
    assert "does not hold" in keys.who_signed("trainings", "manifest", TEXT + b" ", by_worker)
    assert "does not hold" in keys.who_signed("trainings", "promotion", TEXT, by_worker)
    assert keys.who_signed("trainings", "manifest", TEXT, None) == "is not signed"
    stranger = Settings(root=settings.root, training_key=write_key(settings.root.parent / "stranger.pem"))
    theirs = signer_of(stranger, "trainings").sign("manifest", TEXT)
    assert "which nobody here trusts" in keys.who_signed("trainings", "manifest", TEXT, theirs)


def test_without_a_list_this_machine_s_keys_are_trusted_each_with_its_own(settings):
    keys = load_trusted_keys(settings)
    assert [(key.name, key.trusted_with) for key in keys.keys] == [
        ("training_key", ("trainings",)),
        ("signing_key", ("releases",)),
    ]
    without = Settings(root=settings.root)
    assert load_trusted_keys(without).keys == () and not load_trusted_keys(without).asks_for("trainings")
    assert signer_of(without, "trainings") is None


def test_a_pem_may_stand_in_the_list_itself(settings):
    pem = public_key_of(settings, "trainings").decode().replace("\n", "\n    ")
    (key,) = listed(settings, f"gpu a:\n  trusted_with: [trainings]\n  public_key: |\n    {pem}\n").keys
    assert isinstance(key, TrustedKey) and key.id == signer_of(settings, "trainings").key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("desk: {public_key: none.pub, trusted_with: [releases]}", "public_key none.pub: No such file"),
        ("desk: {public_key: trusted_keys.yaml, trusted_with: [releases]}", "no public key of an elliptic curve"),
        ("desk: {public_key: release.pub, trusted_with: [everything]}", "'trainings' or 'releases'"),
        ("desk: {public_key: release.pub}", "trusted_with is missing"),
        (BOTH + "again: {public_key: release.pub, trusted_with: [releases]}", "its key stands twice"),
        ("[1, 2]", "trusted_keys.yaml"),
    ],
)
def test_a_list_that_is_wrong_is_refused_in_words(settings, text, said):
    with pytest.raises(InputError) as refused:
        listed(settings, text)
    assert said in str(refused.value)


def test_a_worker_s_key_is_not_the_release_key(settings, tmp_path):
    assert all_key_problems(settings) == []
    same = settings.model_copy(update={"training_key": settings.signing_key, "training_key_password": None})
    assert "whoever trains could then sign releases" in all_key_problems(same)[0]
    gone = settings.model_copy(update={"training_key": Path(tmp_path / "gone.pem")})
    assert "training_key" in all_key_problems(gone)[0]
