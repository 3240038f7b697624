"""A base's scheduler file tells how it was trained; what somebody once drew with changes no picture."""

import json
import shutil

import pytest
from diffusers import DPMSolverMultistepScheduler

from model.bases.base import load_base
from model.drawing.sample import generate
from model.drawing.sampling_options import Sampling
from model.families.noise_schedule import solver, solver_options
from tests.data_project import REPOSITORY

DRAWN_WITH = {
    "DEIS": {"_class_name": "DEISMultistepScheduler", "algorithm_type": "deis", "solver_type": "logrho"},
    "plain dpmsolver": {"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "dpmsolver"},
    "a stochastic solver": {"_class_name": "DPMSolverMultistepScheduler", "algorithm_type": "sde-dpmsolver++"},
    "Karras": {"_class_name": "DPMSolverMultistepScheduler", "use_karras_sigmas": True},
    "other sigmas": {"_class_name": "EulerDiscreteScheduler", "use_exponential_sigmas": True, "sigma_max": 5.0},
    "order 3": {"_class_name": "DPMSolverMultistepScheduler", "solver_order": 3, "solver_type": "heun"},
    "thresholding": {"_class_name": "DPMSolverMultistepScheduler", "thresholding": True, "sample_max_value": 0.1},
    "a last step of its own": {"_class_name": "UniPCMultistepScheduler", "final_sigmas_type": "sigma_min"},
    "flow sigmas": {"_class_name": "DPMSolverMultistepScheduler", "use_flow_sigmas": True, "flow_shift": 3.0},
    "a clipped start": {"_class_name": "DPMSolverMultistepScheduler", "lambda_min_clipped": -1.0},
    "PNDM": {"_class_name": "PNDMScheduler", "skip_prk_steps": True, "set_alpha_to_one": False},
}


def with_schedule(base_folder, to, **values):
    folder = shutil.copytree(base_folder, to)
    path = folder / "scheduler/scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


def pixels(folder) -> bytes:
    [[picture]] = generate(load_base(str(folder)), None, ["a turtle"], 1, Sampling(num_inference_steps=6, seed=5))
    return picture.tobytes()


@pytest.fixture(scope="module")
def drawn(base_folders):
    return pixels(base_folders["sd2"])


@pytest.mark.parametrize("values", DRAWN_WITH.values(), ids=DRAWN_WITH)
def test_the_recipes_own_solver_draws(base_folders, drawn, tmp_path, values):
    folder = with_schedule(base_folders["sd2"], tmp_path / "base", **values)
    assert pixels(folder) == drawn
    assert pixels(folder) == drawn, "the same seed is the same picture"


@pytest.mark.parametrize(
    "values",
    [
        {"beta_end": 0.02},
        {"num_train_timesteps": 500},
        {"timestep_spacing": "trailing"},
        {"prediction_type": "epsilon"},
    ],
    ids=str,
)
def test_what_describes_the_training_counts(base_folders, drawn, tmp_path, values):
    assert pixels(with_schedule(base_folders["sd2"], tmp_path / "base", **values)) != drawn


def test_the_embedded_base_is_drawn_as_ever():
    """The solver is the one that diffusers itself makes of this base's file."""
    scheduler = load_base(str(REPOSITORY / "toyworld/base")).noise_scheduler
    path = REPOSITORY / "toyworld/base/scheduler/scheduler_config.json"
    ours, theirs = solver(scheduler), DPMSolverMultistepScheduler.from_config(json.loads(path.read_text()))
    differ = {name for name, value in ours.config.items() if theirs.config[name] != value}
    assert differ <= {"_use_default_values", "variance_type"}, "which DPM-Solver asks about learned variances only"
    assert ours.config.timestep_spacing == "leading"
    assert ours.config.steps_offset == 1


def test_what_other_programs_are_told_can_be_written_down(base):
    spelled = ", ".join(f"{name}={value!r}" for name, value in solver_options(base.noise_scheduler).items())
    again = eval(
        f"DPMSolverMultistepScheduler({spelled})", {"DPMSolverMultistepScheduler": DPMSolverMultistepScheduler}
    )
    assert dict(again.config) == dict(solver(base.noise_scheduler).config)
