import pickle

from trainer_core.contracts.errors import ConfigError, Problem, UserError


def test_the_text_of_a_user_error_is_its_message():
    error = UserError("weights_missing", "No weights in base/.", ["Download it."])
    assert (str(error), error.code, error.hints) == ("No weights in base/.", "weights_missing", ("Download it.",))


def test_a_config_error_lists_every_problem_with_field_and_value():
    problems = [
        Problem(field="resolution", value=7, message="too small"),
        Problem(field="base_model_path", value=None, message="must be set"),
    ]
    text = str(ConfigError(problems, "my.toml"))
    assert "2 problems in my.toml" in text
    assert "resolution = 7: too small" in text and "base_model_path: must be set" in text


def test_a_long_value_is_shortened():
    assert len(str(Problem(field="seed", value="x" * 5000, message="bad"))) < 120


def test_errors_travel_between_processes():
    user = pickle.loads(pickle.dumps(UserError("run_busy", "busy", ["wait"])))  # noqa: S301 (our own bytes)
    config = pickle.loads(pickle.dumps(ConfigError([Problem(field="a", value=1, message="b")])))  # noqa: S301
    assert (user.code, user.hints) == ("run_busy", ("wait",))
    assert config.problems == [Problem(field="a", value=1, message="b")]
