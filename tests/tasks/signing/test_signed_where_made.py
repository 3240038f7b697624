"""What a worker makes carries its signature from the first moment, and a key that cannot be used stops work before."""

from dataclasses import replace

import pytest

from model.errors import SetupError
from tasks.execution.preflight import check_jobs
from tasks.signing.keys import signer_of
from tasks.signing.trusted_keys import TrustedKey, load_trusted_keys
from tasks.store.manifest import KIND
from tasks.store.store import open_store
from tests.tasks.finished_training import project, training
from tests.tasks.keys import write_key


def test_every_stage_is_signed_by_the_key_of_the_machine_that_made_it(tmp_path):
    settings = project(tmp_path / "project", training_key=write_key(tmp_path / "worker.pem"))
    keys, store = load_trusted_keys(settings), open_store(settings)
    for stage, made in training(settings).items():
        read = store.get(stage, made.key)
        who = keys.who_signed("trainings", KIND, read.signed_text, read.signature)
        assert isinstance(who, TrustedKey) and who.id == signer_of(settings, "trainings").key
        assert read.to_json() == made.to_json() and "signature" in read.to_json()
        other = replace(read, device="another")
        assert "does not hold" in str(keys.who_signed("trainings", KIND, other.signed_text, other.signature))


def test_without_a_key_the_bytes_are_those_of_before(tmp_path):
    settings = project(tmp_path / "project")
    made = training(settings)["prepare"]
    assert made.signature is None and "signature" not in made.to_json()


def test_a_key_that_cannot_be_opened_stops_a_training_before_it_begins(tmp_path):
    settings = project(tmp_path / "project", training_key=tmp_path / "gone.pem")
    with pytest.raises(SetupError, match=r"training_key = .*gone.pem: No such file"):
        check_jobs(settings, [])
