"""Two versions compared: what they were made from, what they score, what they draw from the same seeds."""

import json
from dataclasses import replace

import pytest
from PIL import Image
from typer.testing import CliRunner

from flows.cli.app import app
from model.errors import InputError
from model.marks.marking import AI_MADE
from model.scores.interval import Interval
from tasks.jobs.keys import plan_of
from tasks.lineage.diff import ScorePair, compare_chains
from tasks.lineage.diff_sheet import LEFT, RIGHT, draw_diff_sheet
from tasks.lineage.evaluations import Difference
from tasks.store.pictures import picture
from tasks.store.store import open_store
from tests.lineage_project import Trained
from tests.tasks.lineage.test_lineage import chain_of, moved_away


@pytest.fixture
def diff(lineage_project: Trained):
    return compare_chains(chain_of(lineage_project.settings, "owl/1"), chain_of(lineage_project.settings, "owl/2"))


def test_a_plan_comes_back_from_its_manifest(lineage_project):
    """The same as what was planned, so that the words for a change are the same as those of `conceptbooth plan`."""
    made = lineage_project.last
    for plan in made.job.stages:
        again = plan_of(made.manifests[plan.stage])
        assert again.key == plan.key
        assert json.dumps(again.facts(), default=dict, sort_keys=True) == json.dumps(
            plan.facts(), default=dict, sort_keys=True
        )


def test_the_change_is_named_and_what_is_shared(diff):
    assert diff.changes == ("stage 3: learning_rate 0.0002 -> 0.05",)
    assert diff.same_stages == ("prepare", "train-1-embedding", "train-2-cross_attention")
    assert diff.notes == ()


def test_a_version_is_like_itself(lineage_project):
    chain = chain_of(lineage_project.settings, "owl/1")
    same = compare_chains(chain, chain)
    assert same.changes == () and len(same.same_stages) == 6
    assert all(pair.verdict == "no clear difference (+0.00)" for pair in same.scores)


def test_scores_stand_side_by_side_with_their_intervals(lineage_project, diff):
    for made, side in ((lineage_project.first, "before"), (lineage_project.last, "after")):
        scores = json.loads(made.store.file(made.manifests["evaluate"], "scores.json").read_bytes())
        assert [vars(getattr(pair, side)) for pair in diff.scores] == [scores["clip_i"], scores["clip_t"]]
        assert [prompt for prompt, _, _ in diff.prompts] == list(made.manifests["evaluate"].parameters["prompts"])
        assert [vars(getattr(pair, side)) for _, pair, _ in diff.prompts] == [p["clip_i"] for p in scores["prompts"]]


@pytest.mark.parametrize(
    ("mean", "low", "high", "verdict"),
    [
        (0.15, 0.01, 0.29, "clearly higher, by 0.15"),
        (-0.15, -0.29, -0.01, "clearly lower, by 0.15"),
        (0.05, -0.01, 0.11, "no clear difference (+0.05)"),
        (0.15, None, None, "too few pictures to tell (+0.15)"),
    ],
)
def test_a_difference_is_clear_only_where_its_interval_leaves_zero_out(mean, low, high, verdict):
    found = Difference(interval=Interval(mean=mean, low=low, high=high), over="one prompt", prompts=1, partial=False)
    before = Interval(mean=0.5, low=0.1, high=0.9)
    pair = ScorePair(name="CLIP-I", before=before, after=before, difference=found)
    assert pair.verdict == verdict
    assert replace(pair, difference="another evaluator").verdict == "cannot be compared"


def test_the_sheet_shows_both_from_the_same_seeds(lineage_project, diff):
    store = open_store(lineage_project.settings)
    sheet = draw_diff_sheet(store, diff)
    columns = {LEFT: lineage_project.first, RIGHT: lineage_project.last}
    for x, made in columns.items():
        drawn = picture(store, made.manifests["evaluate"], "generations/00/00.png")
        tile = drawn.resize((144, 144), Image.Resampling.LANCZOS)
        inside = (8, 8, 136, 136)  # its frame is drawn over the edge
        wanted = tile.crop(inside).tobytes()
        found = [
            y for y in range(sheet.height - 144) if sheet.crop((x + 8, y + 8, x + 136, y + 136)).tobytes() == wanted
        ]
        assert len(found) == 1


def test_the_command_says_it_all_and_draws_the_sheet(lineage_project, tmp_path, monkeypatch):
    monkeypatch.chdir(lineage_project.settings.root)
    monkeypatch.setenv("COLUMNS", "80")
    sheet = tmp_path / "two.png"
    done = CliRunner().invoke(app, ["diff", "owl", "1", "candidate", "--sheet", str(sheet), "--json"])
    assert done.exit_code == 0, done.output
    facts = json.loads(done.stdout)
    assert (facts["before"]["version"], facts["after"]["version"]) == (1, 2)
    assert facts["changes"] == ["stage 3: learning_rate 0.0002 -> 0.05"] and facts["sheet"] == str(sheet)
    with Image.open(sheet) as drawn:
        assert drawn.format == "PNG"
        assert AI_MADE in drawn.text["XML:com.adobe.xmp"]
    shown = CliRunner().invoke(app, ["diff", "owl", "v1", "@candidate"])
    assert shown.exit_code == 0 and "learning_rate 0.0002 -> 0.05" in shown.stdout
    told = [line for line in shown.stdout.splitlines() if not line.startswith("Pictures")]
    assert max(map(len, told)) <= 80, shown.stdout
    rows = [line for line in told if line.startswith("CLIP-I")]
    assert len(rows) == 1 + len(facts["prompts"])
    assert len({line.index("clearly") for line in rows}) == 1  # one column, whatever stands before it
    for arguments, said in ((["1", "9"], "has no version 9"), (["1", "a/b"], "two versions or aliases")):
        wrong = CliRunner().invoke(app, ["diff", "owl", *arguments])
        assert wrong.exit_code == 2 and said in " ".join(wrong.stderr.split())


def test_a_chain_that_is_not_whole_is_not_compared(lineage_project):
    settings = lineage_project.settings
    manifest = lineage_project.first.manifests["train-1-embedding"]
    with moved_away(settings.store / "stages" / manifest.stage / manifest.key):
        chains = [chain_of(settings, f"owl/{number}") for number in (1, 2)]
        with pytest.raises(InputError, match=r"train-1-embedding .* missing"):
            compare_chains(*chains)
