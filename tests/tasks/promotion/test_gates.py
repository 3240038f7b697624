"""The gates of a promotion: each fails for its own reason, all that fail are named together, with their figures."""

from dataclasses import replace

import pytest

from model.scores.interval import Interval
from tasks.lineage.chain import Chain, read_chain
from tasks.lineage.check_results import good
from tasks.lineage.evaluations import evaluation_of
from tasks.lineage.head import find_head
from tasks.lineage.index import open_index
from tasks.production.ledger import Ledger, Promotion
from tasks.promotion.gates import Evidence, gate_names, promotion_checks
from tasks.promotion.policy import Enough, Policy
from tasks.registry.reference import VersionReference
from tasks.store.scores import load_scores
from tasks.store.store import Damaged, open_store
from tasks.verification.chain import verify
from tests.lineage_project import CONCEPT

STRICT = Policy.model_validate(
    {
        "minimum": {"clip_i": -1},
        "not_worse_than_champion": ["clip_i"],
        "lineage": "verified",
        "git_clean": True,
        "stated": ["licence", "source", "consent"],
        "base_licences": ["not stated"],
        "evaluated_on": {"prompts": 2, "images": 4},
        "approval_by": ["Ada", "Grace"],
    }
)


@pytest.fixture(scope="module")
def evidence(lineage_project) -> Evidence:
    """Of version 1, which was made from committed files and passes everything."""
    settings = lineage_project.settings
    store = open_store(settings)
    with open_index(settings, store) as index:
        chain = read_chain(store, index, find_head(settings, store, index, VersionReference.parse(f"{CONCEPT}/1")))
    return Evidence(
        chain=chain,
        verification=verify(settings, store, chain),
        evaluation=evaluation_of(chain.manifests["evaluate"], load_scores(store, chain.manifests["evaluate"])),
        measured=(good("scores", "derived"),),
        champion=None,
        ledger=Ledger(concept=CONCEPT, records=()),
        approved_by="Ada",
    )


def said(policy: Policy, evidence: Evidence) -> dict[str, str]:
    """What the gates that fail say."""
    return {check.gate: check.said for check in promotion_checks(policy, evidence) if not check.passed}


def with_manifests(evidence: Evidence, **changes: object) -> Evidence:
    """The same with other facts in every manifest."""
    links = tuple(replace(link, manifest=replace(link.manifest, **changes)) for link in evidence.chain.links)
    return replace(evidence, chain=replace(evidence.chain, links=links))


def stated(chain: Chain, **facts: str) -> Chain:
    links = []
    for link in chain.links:
        manifest = replace(link.manifest, stated={**link.manifest.stated, **facts})
        if link.stage == "gallery":
            manifest = replace(manifest, parameters={**manifest.parameters, **facts})
        links.append(replace(link, manifest=manifest))
    return replace(chain, links=tuple(links))


def taken_back(content: str) -> Ledger:
    facts: dict[str, str] = {
        "concept": CONCEPT,
        "model": "m",
        "by": "somebody",
        "at": "2026-11-23T21:00:00+00:00",
    }
    first = Promotion(
        seq=1, action="promote", version=1, content=content, release="r", production_version=1, previous=None, **facts
    )
    second = replace(first, seq=2, action="rollback", release=None, withdraws=(content,), reason="ears are missing")
    return Ledger(concept=CONCEPT, records=(first, second))


def test_a_version_that_has_everything_passes(evidence):
    assert said(STRICT, evidence) == {}
    assert {check.gate for check in promotion_checks(STRICT, evidence)} <= set(gate_names(STRICT))


def test_nothing_is_asked_that_the_policy_does_not_ask_for(evidence):
    assert {check.gate for check in promotion_checks(Policy(), evidence)} == {
        "evaluated_on",
        "scores_derived",
        "withdrawn",
    }


def test_everything_that_fails_is_named_together_with_its_figures(evidence):
    policy = STRICT.model_copy(update={"minimum": {"clip_i": 1.0}, "base_licences": ("MIT",)})
    policy = policy.model_copy(update={"evaluated_on": policy.evaluated_on.model_copy(update={"prompts": 9})})
    bad = with_manifests(replace(evidence, approved_by="Mallory"), git={"commit": "c" * 40, "dirty": True})
    bad = replace(bad, chain=stated(bad.chain, consent="not stated"), ledger=taken_back(str(bad.chain.head.content)))
    failed = said(policy, bad)
    assert list(failed) == [
        "minimum.clip_i",
        "git_clean",
        "stated.consent",
        "base_licences",
        "approval_by",
        "evaluated_on",
        "withdrawn",
    ]
    assert failed["git_clean"].startswith("prepare was made from files that differ from commit cccccccccccc; ")
    assert "; and 3 more; where these very files are committed, the next" in failed["git_clean"]
    assert failed["stated.consent"] == "consent of the images: not stated"
    assert failed["base_licences"] == "licence of the base model: not stated; allowed: MIT"
    assert failed["approval_by"] == "approved by Mallory; asked for: Ada or Grace (--approved-by)"
    assert failed["evaluated_on"] == "evaluated on 2 prompts and 4 images, at least 9 and 4"
    assert failed["withdrawn"] == "taken out of production on 2026-11-23 (record 2): ears are missing"


def test_files_outside_git_and_uncommitted_images_are_not_clean(evidence):
    assert "evaluate was made outside git" in said(STRICT, with_manifests(evidence, git=None))["git_clean"] or (
        "prepare was made outside git" in said(STRICT, with_manifests(evidence, git=None))["git_clean"]
    )
    labels = {"image_set_state": "changed", "concept": CONCEPT}
    assert said(STRICT, with_manifests(evidence, labels=labels))["git_clean"].startswith("the image set was changed; ")


def test_what_cannot_be_checked_is_not_verified(evidence, lineage_project):
    settings, store = lineage_project.settings, open_store(lineage_project.settings)
    base = settings.root / "base"
    base.rename(base.with_name("away"))
    try:
        partly = replace(evidence, verification=verify(settings, store, evidence.chain))
    finally:
        base.with_name("away").rename(base)
    assert "its folder is not here" in said(STRICT, partly)["lineage"]
    lenient = STRICT.model_copy(update={"lineage": "without_faults"})
    assert said(lenient, partly) == {}


def test_a_worse_version_than_the_one_that_serves_is_named_with_both_scores(evidence):
    better = Interval(mean=0.99, low=0.99, high=0.99)
    pictures = {
        name: {prompt: [value + 0.1 for value in values] for prompt, values in by_prompt.items()}
        for name, by_prompt in evidence.evaluation.pictures.items()
    }
    champion = replace(evidence.evaluation, scores={"clip_i": better, "clip_t": better}, pictures=pictures)
    serving = replace(taken_back("c").records[0], version=7)
    ledger = Ledger(concept=CONCEPT, records=(serving,))
    failed = said(STRICT, replace(evidence, champion=champion, ledger=ledger))
    assert failed["not_worse_than_champion.clip_i"].endswith(
        "against 0.99 [0.99, 0.99] of the champion (version 7): "
        "difference -0.100 [-0.100, -0.100] over the same 2 prompts"
    )
    asks_for_more = STRICT.model_copy(update={"evaluated_on": Enough(prompts=2, images=4)})
    one_less = {name: dict(list(by_prompt.items())[1:]) for name, by_prompt in evidence.evaluation.pictures.items()}
    equal = replace(evidence, champion=replace(evidence.evaluation, pictures=one_less), ledger=ledger)
    assert said(asks_for_more, equal)["not_worse_than_champion.clip_i"].endswith(
        "difference +0.000 [+0.000, +0.000] over the 1 prompt that both have (of 2 and 1); at least 2 are needed"
    )
    gone = Damaged("evaluate", "a" * 64, ["scores.json: missing"])
    failed = said(STRICT, replace(evidence, champion=gone, ledger=ledger))
    assert "cannot be read: evaluate aaaaaaaaaaaa: scores.json: missing" in failed["not_worse_than_champion.clip_i"]
