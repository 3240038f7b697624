"""What holds a stage back: a norm that is kept, a sphere, the class prompt's predictions, a pull to the base."""

import pytest
import torch

from model.errors import InputError
from model.methods.presets import get_method
from model.training.sphere import SphereDescent, vocabulary_norms
from model.training.train import train_stage

NO_TERM = {"attention_mean_weight": 0.0, "attention_variance_weight": 0.0}


@pytest.fixture(scope="module")
def train(base, images, prompt, make_stage):
    def run(trains, previous=None, **settings):
        options = {"base": base, "images": images, "prompt": prompt, "seed": 0}
        return train_stage(stage=make_stage(trains, **(NO_TERM | settings)), previous=previous, **options)

    return run


@pytest.fixture(scope="module")
def first(train):
    return train("embedding").weights


def norm(trained) -> float:
    return float(trained.weights.embeddings[0].norm())


def test_on_the_sphere_the_norm_is_the_vocabularys_and_the_direction_moves_by_the_rate(base, train):
    (wanted,) = vocabulary_norms(base)
    assert wanted == pytest.approx(float(base.text_encoders[0].embeddings.norm(dim=-1).mean()))
    one = train("embedding", on_sphere=True, learning_rate=0.01, max_train_steps=1, weight_decay=0.0)
    six = train("embedding", on_sphere=True, learning_rate=0.01, max_train_steps=6, weight_decay=0.0)
    assert norm(one) == pytest.approx(wanted, rel=1e-5) and norm(six) == pytest.approx(wanted, rel=1e-5)
    start = train("embedding", on_sphere=True, learning_rate=1e-12, max_train_steps=1).weights.embeddings[0]
    cosine = torch.nn.functional.cosine_similarity(start, one.weights.embeddings[0]).clamp(max=1)
    assert float(cosine.arccos()) == pytest.approx(0.01, rel=0.02), "one step is a turn by the rate"


def test_a_step_on_the_sphere_against_the_formula_written_out():
    row = torch.nn.Parameter(torch.tensor([[3.0, 4.0]]))
    descent = SphereDescent([row], lr=0.1, prior=0.5)
    row.data = torch.tensor([[4.0, 3.0]])  # elsewhere than it began
    row.grad = torch.tensor([[0.2, -0.1]])
    descent.step()
    v, start = torch.tensor([0.8, 0.6]), torch.tensor([0.6, 0.8])
    g = 5 * torch.tensor([0.2, -0.1]) - 0.5 * start
    along = g - (g @ v) * v
    moved = v - 0.1 * along / along.norm()
    torch.testing.assert_close(row.detach()[0], 5 * moved / moved.norm())


def test_a_strong_prior_keeps_the_direction(base, train):
    free, held = (
        train("embedding", on_sphere=True, learning_rate=0.02, max_train_steps=12, sphere_prior=prior)
        for prior in (0.0, 1e5)
    )
    start = train("embedding", on_sphere=True, learning_rate=1e-12, max_train_steps=1).weights.embeddings[0]
    free, held = (
        float(torch.nn.functional.cosine_similarity(start, trained.weights.embeddings[0])) for trained in (free, held)
    )
    assert held > free and held > 0.999


def test_the_norm_is_put_back_in_the_steps_that_say_so(train):
    settings = {"learning_rate": 0.05, "weight_decay": 0.0}
    at_two = norm(train("embedding", max_train_steps=2, **settings))
    kept = norm(train("embedding", max_train_steps=5, norm_kept_from=3, norm_kept_until=5, **settings))
    assert kept == pytest.approx(at_two, rel=1e-5)
    assert norm(train("embedding", max_train_steps=5, **settings)) != pytest.approx(at_two, rel=1e-3)


def test_the_class_prompts_predictions_stay_nearer_to_the_untrained_bases(train, first):
    settings = {"max_train_steps": 25, "learning_rate": 5e-3}
    curve = train("unet", first, class_prediction_weight=50.0, **settings).curve
    assert curve[0].class_loss == pytest.approx(0, abs=1e-6) and curve[-1].class_loss > 0
    loose = train("unet", first, class_prediction_weight=1e-6, **settings).curve
    assert curve[-1].class_loss / 50 < 0.5 * loose[-1].class_loss / 1e-6


def test_the_class_prompts_pictures_are_none_of_the_attention_term(train, first):
    """Two steps: what one has recorded must not reach the next."""
    term = {"attention_mean_weight": 2.0, "attention_variance_weight": 5.0, "max_grad_norm": 1e-9}
    with_both = train("unet", first, class_prediction_weight=1.0, max_train_steps=1, **term).curve
    alone = train("unet", first, max_train_steps=1, **term).curve
    assert with_both[0].attention_loss == alone[0].attention_loss > 0
    assert len(train("unet", first, class_prediction_weight=1.0, max_train_steps=2, **term).curve) == 2


def test_a_pull_keeps_the_parameters_nearer_to_the_bases_also_behind_another_stage(base, train, first):
    settings = {"max_train_steps": 12, "learning_rate": 1e-3, "weight_decay": 0.0}
    before = train("cross_attention", first, **settings).weights

    def gone(weights) -> float:
        own = dict(base.denoiser.named_parameters())
        return sum(float((tensor - own[name]).square().sum()) for name, tensor in weights.unet.items())

    free, pulled = (train("unet", before, weight_pull=weight, **settings) for weight in (0.0, 10.0))
    assert gone(pulled.weights) < 0.5 * gone(free.weights)
    assert pulled.curve[0].pull_loss == pytest.approx(10 * gone(before), rel=1e-3), "it is the base that pulls"


@pytest.mark.parametrize(
    ("stage", "settings", "said"),
    [
        ("embedding", {"norm_kept_from": 120}, "the first and the last step"),
        ("embedding", {"norm_kept_from": 9, "norm_kept_until": 3}, "the first and the last step"),
        ("unet", {"on_sphere": True}, "this stage does not change the embedding of"),
        ("embedding", {"sphere_prior": 0.1}, "of no use without on_sphere"),
        ("embedding", {"on_sphere": True, "norm_kept_from": 1, "norm_kept_until": 2}, "keeps the norm in every step"),
        ("embedding", {"weight_pull": 1.0}, "this stage leaves it as it is"),
        ("unet", {"weight_pull": 1.0, "lora_rank": 4, "lora_alpha": 4}, "a LoRA leaves the base's parameters"),
        ("unet", {"class_prediction_weight": 1.0, "train_text_encoder": True}, "class prompt's states are read once"),
    ],
)
def test_what_cannot_be_meant_is_refused(stage, settings, said):
    with pytest.raises(InputError, match=said):
        get_method("attndreambooth", "toyworld", {stage: settings})
