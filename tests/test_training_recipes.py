"""Recipes: completed, checked, and each of those that ship builds its system and data."""

import pytest
import torch

from lib.errors import CourseError, InputError
from lib.training import load_recipe, recipe_names
from lib.training.recipes import build_model, max_seconds, parse_value
from lib.training.task import learning_rate

RECIPE = {
    "system": {"name": "UPIT", "preset": "tiny"},
    "data": {"name": "two_speakers", "seconds": 1.0},
    "objective": {"name": "waveform"},
}


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_that_ship_fit_their_system(name):
    recipe = load_recipe(name)
    with torch.device("meta"):  # the sizes of the paper cost nothing here
        model = build_model(recipe)
    assert model.sources >= 1
    assert type(model).__name__ == recipe["system"]["name"]


def test_what_a_recipe_leaves_out_has_its_default_and_the_recipe_is_not_changed():
    recipe = load_recipe(RECIPE)
    assert recipe["optimiser"] == {"name": "adam", "learning_rate": 1e-3, "weight_decay": 0.0}
    assert set(RECIPE["data"]) == {"name", "seconds"}
    assert load_recipe(recipe) == recipe


def test_overrides_change_single_keys():
    overrides = {"trainer.max_epochs": 3, "seed": 5, "system.hidden": 8}
    recipe = load_recipe(RECIPE, overrides)
    assert (recipe["trainer"]["max_epochs"], recipe["seed"]) == (3, 5)
    assert recipe["trainer"]["precision"] == "32-true"
    model = build_model(recipe)
    assert model.config["hidden"] == 8
    assert model.config["layers"] == 1  # the preset's


def test_the_seed_decides_the_weights_and_leaves_the_state_alone():
    state = torch.get_rng_state()
    first, again = (build_model(load_recipe(RECIPE)).state_dict() for _ in range(2))
    other = build_model(load_recipe(RECIPE, {"seed": 1})).state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("sistem", {}, "system, data"),
        ("system.name", "Upit", "UPIT"),
        ("system.preset", "huge", "paper, small, tiny"),
        ("system.units", 3, "hidden"),
        ("data.name", "wsj", "two_speakers"),
        ("data.second", 3, "seconds"),
        ("data.split", "test", "seconds"),  # the module's own choice
        ("data.batch_size", 0, "1 or more"),
        ("data.batch_size", 2.5, "1 or more"),
        ("data.batch_size", True, "1 or more"),
        ("augment.echo", 1, "speed_range"),
        ("objective.name", "mse", "waveform"),
        ("objective.loss", "l7", "si_snr"),
        ("objective.los", "l1", "loss"),
        ("optimiser.learning_rate", -1, "above 0"),
        ("optimiser.learning_rate", float("nan"), "above 0"),
        ("optimiser.learning_rate", "fast", "above 0"),
        ("optimiser.momentum", 0.9, "weight_decay"),
        ("schedule.name", "zigzag", "plateau"),
        ("schedule.factor", 2, "between 0 and 1"),
        ("trainer.max_epoch", 3, "max_epochs"),
        ("trainer.max_epochs", 0, "1 or more"),
        ("trainer.max_time", "an hour", "DD:HH:MM:SS"),
        ("trainer.precision", "16-mixed", "bf16-mixed"),
        ("trainer.logger", "mlflow", "tensorboard"),
        ("trainer.strategy", "telepathy", "auto, ddp"),
        ("early_stopping.patience", 0, "1 or more"),
        ("seed", -1, "whole number, 0 to"),
        ("seed", 2**63, "whole number, 0 to"),
        ("trainer.accumulate_grad_batches", 3, "divisor of data.steps_per_epoch, 100"),
        ("objective.loss", [1], "objective"),
        ("data", 3, "a section"),
        ("seed.x", 3, "a section"),
    ],
)
def test_what_cannot_be_is_named_with_what_may_be(key, value, says):
    given = dict(RECIPE, seed=0)
    with pytest.raises(InputError) as caught:
        load_recipe(given, {key: value})
    message = str(caught.value)
    assert says in message
    assert key.rpartition(".")[2] in message or str(value) in message
    assert "\n" not in message


def test_a_system_that_refuses_its_arguments_is_an_input_error():
    recipe = load_recipe(RECIPE, {"system.activation": "cube"})
    with pytest.raises(InputError, match="activation"):
        build_model(recipe)
    with pytest.raises(InputError, match="system"):
        build_model(load_recipe(RECIPE, {"system.hidden": "many"}))


def test_files_that_are_no_recipes(tmp_path):
    with pytest.raises(InputError, match="upit-blstm-small"):
        load_recipe("no-such-recipe")
    for content, says in (("a: [", "YAML"), ("- 1", "sections"), ("", "sections")):
        path = tmp_path / "bad.yaml"
        path.write_text(content)
        with pytest.raises(InputError, match=says):
            load_recipe(path)
    with pytest.raises(CourseError, match="missing.yaml"):
        load_recipe(tmp_path / "missing.yaml")


def test_values_of_the_command_line():
    given = ["3", "3e-4", "true", "null", "gpu", "[1, 2]", "00:00:35:00", "relu"]
    expected = [3, 3e-4, True, None, "gpu", [1, 2], "00:00:35:00", "relu"]
    assert [parse_value(text) for text in given] == expected


def test_numbers_with_exponents_are_numbers_in_files_too(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "system: {name: UPIT, preset: tiny}\ndata: {name: two_speakers}\n"
        "objective: {name: waveform}\noptimiser: {learning_rate: 3e-4, weight_decay: 1E-5}\n"
    )
    recipe = load_recipe(path)
    assert recipe["optimiser"] == {"name": "adam", "learning_rate": 3e-4, "weight_decay": 1e-5}


def test_times():
    assert max_seconds("01:02:03:04") == 86400 + 2 * 3600 + 3 * 60 + 4
    assert [max_seconds(text) for text in ("1:2", "a:b:c:d", 35, None)] == [None] * 4


def test_learning_rates():
    assert learning_rate(1.0, 7) == 1.0
    assert [learning_rate(1.0, step, warmup_steps=4) for step in range(5)] == [
        0.25,
        0.5,
        0.75,
        1,
        1,
    ]
    cosine = [learning_rate(2.0, step, name="cosine", total_steps=10) for step in (0, 5, 10, 12)]
    assert cosine == pytest.approx([2.0, 1.0, 0.0, 0.0])
    scores = [1.0, 2.0, 1.5, 2.0, 3.0, 2.0, 2.0, 2.0, 2.0]
    plateau = {"name": "plateau", "patience": 2, "factor": 0.5}
    rates = [learning_rate(1.0, 0, scores[:count], **plateau) for count in range(len(scores) + 1)]
    assert rates == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.125]
