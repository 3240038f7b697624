"""A summary that cannot be sent is a sentence, and never an exception at the end of a night."""

import pytest
from pydantic import SecretStr

from flows.output.webhook import post_summary
from tasks.project.settings import Settings


@pytest.mark.parametrize("value", [float("nan"), "half a pair: \ud800"])
def test_a_summary_that_json_cannot_say_fails_no_night(tmp_path, value):
    (tmp_path / "params.yaml").touch()
    settings = Settings(root=tmp_path, notify_url=SecretStr("http://127.0.0.1:9/s3cret"))
    problem = post_summary(settings, {"clip_i": value}, sleep=lambda _: None)
    assert problem is not None and "127.0.0.1:9 was not asked" in problem and "s3cret" not in problem
