"""`conceptbooth doctor --base`: what training on a base takes of memory, and what makes it fit."""

import json

from typer.testing import CliRunner

from flows.cli.app import app


def doctor(*arguments: str):
    return CliRunner().invoke(app, ["doctor", *arguments])


def test_each_stage_is_told_and_what_makes_it_fit(project, base_folder, monkeypatch):
    monkeypatch.chdir(project.root)
    said = doctor("--base", str(base_folder), "--method", "dreambooth", "--json")
    found = json.loads(said.stdout)
    assert said.exit_code == 0 and (found["method"], found["device"]) == ("dreambooth", "cpu")
    (stage,) = found["stages"]
    assert stage["stage"] == "unet" and 0 < stage["base"] < stage["highest"] and "fits" not in found

    roomy = doctor("--base", str(base_folder), "--method", "dreambooth", "--gigabytes", "24", "--json")
    assert roomy.exit_code == 0 and json.loads(roomy.stdout)["fits"]
    assert json.loads(roomy.stdout)["device"] == "cuda", "a card is asked about"

    tight = doctor("--base", str(base_folder), "--method", "dreambooth", "--gigabytes", "0.5", "--device", "cpu")
    assert tight.exit_code == 1 and "too large" in tight.stdout
    assert "Nothing that we have makes it fit 0.5 GB" in tight.stdout
    assert "dreambooth, stage unet, batch 1" in tight.stderr, "what is looked at is shown"


def test_what_is_not_known_is_refused(project, base_folder, monkeypatch):
    monkeypatch.chdir(project.root)
    for arguments, said in (
        (("--base", "sd99"), "its shapes are not known"),
        (("--base", str(base_folder), "--method", "nothing"), "method 'nothing': unknown"),
        (("--base", str(base_folder), "--device", "mps"), "memory is told for cuda and cpu"),
        (("--gigabytes", "8"), "go with --base"),
    ):
        refused = doctor(*arguments)
        assert refused.exit_code == 2 and said in " ".join(refused.stderr.split())
