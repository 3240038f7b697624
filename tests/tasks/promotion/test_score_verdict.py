"""What a summary ends in: scores against the minimums of the promotion policy."""

from tasks.project.settings import Settings
from tasks.promotion.policy import Policy
from tasks.promotion.score_verdict import project_policy, score_verdict

POLICY = Policy(minimum={"clip_i": 0.5, "clip_t": 0.2})


def test_a_high_score_does_not_hide_a_low_one():
    verdict = score_verdict(POLICY, {"clip_i": 0.61, "clip_t": 0.11})
    assert verdict and not verdict.passed
    assert verdict.said == "would not be released: CLIP-T 0.11, at least 0.2"


def test_what_is_just_short_is_shown_to_be():
    verdict = score_verdict(POLICY, {"clip_i": 0.4996, "clip_t": 0.3})
    assert verdict and verdict.said == "would not be released: CLIP-I 0.4996, at least 0.5"


def test_what_passes_names_what_was_asked_for():
    verdict = score_verdict(POLICY, {"clip_i": 0.61, "clip_t": 0.2})
    assert verdict and verdict.passed
    assert verdict.said.endswith("CLIP-I 0.61, at least 0.5; CLIP-T 0.20, at least 0.2")


def test_without_a_policy_there_is_no_verdict(tmp_path):
    assert score_verdict(Policy(), {"clip_i": 0.1}) is None
    (tmp_path / "params.yaml").touch()
    assert project_policy(Settings(root=tmp_path)) is None
