"""Settings: a missing field is one line for the user, and an AttributeError for Python."""

import pytest

from infojax.errors import UserError
from launch.settings import (
    MissingField,
    Settings,
    check_at_least,
    check_below_one,
    check_choice,
)


@pytest.fixture
def settings():
    return Settings({"experiment": "grokking", "steps": 3, "share": 0.5, "kind": "b"}).lock()


@pytest.mark.parametrize("read", [lambda s: s.width, lambda s: s["width"]])
def test_a_missing_field_is_named(settings, read):
    for copy in (settings, settings.copy_and_resolve_references()):
        with pytest.raises(MissingField) as caught:
            read(copy)
        assert isinstance(caught.value, UserError)
        assert str(caught.value) == "the config has no field 'width', which grokking needs"
    with pytest.raises(MissingField, match=r"^the config has no field 'width'$"):
        read(Settings({"steps": 3}))


def test_settings_are_a_config(settings):
    assert (settings.steps, settings["steps"]) == (3, 3)
    assert hasattr(settings, "steps") and not hasattr(settings, "width")
    assert not hasattr(settings, "_width")
    assert settings.get("width", 7) == 7 and "width" not in settings
    assert settings.to_dict() == {"experiment": "grokking", "steps": 3, "share": 0.5, "kind": "b"}


def test_a_copy_is_locked_settings_too(settings):
    copy = settings.copy_and_resolve_references()
    assert type(copy) is Settings and copy == settings
    for locked in (settings, copy):
        with pytest.raises(AttributeError, match="locked"):
            locked.width = 1
    with copy.unlocked():
        copy.width = 1
    assert copy.width == 1 and not hasattr(settings, "width")


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda s: check_at_least(s, {"share": 0, "steps": 4}), "steps must be at least 4, got 3"),
        (lambda s: check_below_one(s, "share", "steps"), r"steps must lie in \[0, 1\), got 3"),
        (lambda s: check_choice(s, "kind", "acd"), "kind = 'b' is unknown; use a, c or d"),
        (lambda s: check_choice(s, "kind", ("a",)), "kind = 'b' is unknown; use a$"),
    ],
)
def test_checks(settings, check, message):
    with pytest.raises(UserError, match=message):
        check(settings)


def test_checks_pass(settings):
    check_at_least(settings, {"steps": 3, "share": 0.5})
    check_below_one(settings, "share")
    check_choice(settings, "kind", ("a", "b"))
