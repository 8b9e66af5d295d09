"""Random command lines: accepted, or refused in one line before anything is written or trained."""

import pytest
from hypothesis import HealthCheck, given, settings

from tests.launch import fuzzing


def _checked(examples):
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]

    @settings(max_examples=examples, deadline=None, suppress_health_check=quiet)
    @given(fuzzing.command_lines())
    def each(arguments):
        fuzzing.check(arguments)

    with fuzzing.untrained():
        each()


def test_random_command_lines():
    _checked(60)


@pytest.mark.slow
def test_ten_thousand_command_lines():
    _checked(10_000)
