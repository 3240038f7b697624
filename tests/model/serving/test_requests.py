import pytest

from model.errors import InputError
from model.serving.requests import Bounds, read_requests

PROMPT = "a {} in the snow"
PARAMS = {"num_inference_steps": 50, "guidance_scale": 7.5}


def read(*rows, **bounds):
    return read_requests([{"prompt": PROMPT} | row for row in rows], PARAMS, Bounds(**bounds))


def test_a_row_that_says_nothing_asks_for_one_picture_of_seed_0():
    for nothing in ({}, {"n": None, "seed": None}, {"n": float("nan"), "seed": float("nan")}):
        (request,) = read(nothing)
        assert (request.count, request.sampling.seed, request.sampling.num_inference_steps) == (1, 0, 50)


def test_tables_with_missing_numbers_hold_floats():
    (request,) = read({"n": 2.0, "seed": 7.0})
    assert (request.count, request.sampling.seed, type(request.sampling.seed)) == (2, 7, int)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"seed": -1}, "sampling.seed = -1"),
        ({"seed": 2**63}, "sampling.seed = 9223372036854775808"),
        ({"seed": float(2**60)}, "seed = 1152921504606846976: beside rows without seed it is not handed on exactly"),
        ({"seed": 7.5}, "seed = 7.5: a whole number"),
        ({"seed": True}, "seed = true: a whole number"),
        ({"seed": "7"}, "seed = '7': a whole number"),
        ({"seed": float("inf")}, "seed = inf: a whole number"),
        ({"n": 0}, "n = 0: 1 to 64 pictures"),
        ({"n": 65}, "n = 65: 1 to 64 pictures"),
        ({"n": "x" * 500}, "...: a whole number"),
        ({"prompt": "a {} " + "x" * 2000}, "prompt of 2,005 letters: 2,000 are allowed"),
    ],
)
def test_numbers_out_of_range(row, said):
    with pytest.raises(InputError) as caught:
        read(row)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 300


def test_the_bounds_are_those_of_all_rows_together():
    assert len(read(*[{"n": 8}] * 8)) == 8
    with pytest.raises(InputError, match="72 pictures: a request may ask for 64"):
        read(*[{"n": 8}] * 9)
    with pytest.raises(InputError, match="200 rows"):
        read(*[{}] * 200)
    with pytest.raises(InputError, match="3 pictures in 150 steps together: a request may ask for 100"):
        read({"n": 3}, steps=100)
    with pytest.raises(InputError, match=r"row 1: seed = 'x'.*\nrow 2: n = 0"):
        read({}, {"seed": "x"}, {"n": 0})


def test_bounds_are_read_from_the_environment():
    assert Bounds.of({}) == Bounds()
    names = {"CONCEPTBOOTH_SERVE_PICTURES": "4", "CONCEPTBOOTH_SERVE_LETTERS": " 100 ", "CONCEPTBOOTH_SERVE_STEPS": ""}
    assert Bounds.of(names) == Bounds(pictures=4, letters=100)
    with pytest.raises(InputError) as caught:
        Bounds.of({"CONCEPTBOOTH_SERVE_PICTURES": "many", "CONCEPTBOOTH_SERVE_STEPS": "0"})
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "CONCEPTBOOTH_SERVE_PICTURES = 'many'",
        "CONCEPTBOOTH_SERVE_STEPS = 0",
    ]


def test_the_variables_are_settings_that_the_project_knows(tmp_path, monkeypatch):
    from tasks.project.settings import load_settings

    (tmp_path / "params.yaml").touch()
    for name in ("PICTURES", "STEPS", "LETTERS"):
        monkeypatch.setenv(f"CONCEPTBOOTH_SERVE_{name}", "5")
    load_settings(tmp_path)
