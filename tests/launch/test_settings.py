"""A missing field of the settings is a one-line user error, and an AttributeError."""

import pytest

from infojax.errors import UserError
from launch.settings import MissingField, Settings


@pytest.fixture
def settings():
    return Settings({"experiment": "grokking", "num_steps": 3}).lock()


@pytest.mark.parametrize("read", [lambda s: s.width, lambda s: s["width"]])
def test_a_missing_field_is_named(settings, read):
    for copy in (settings, settings.copy_and_resolve_references()):
        with pytest.raises(MissingField) as caught:
            read(copy)
        assert isinstance(caught.value, UserError)
        assert str(caught.value) == "the config has no field 'width', which grokking needs"
    with pytest.raises(MissingField, match=r"^the config has no field 'width'$"):
        read(Settings({"num_steps": 3}))


def test_settings_are_a_config(settings):
    assert settings.num_steps == settings["num_steps"] == 3
    assert hasattr(settings, "num_steps") and "num_steps" in settings
    assert not hasattr(settings, "width") and "width" not in settings
    assert not hasattr(settings, "_width") and settings.get("width", 7) == 7


def test_a_copy_is_locked_settings_too(settings):
    copy = settings.copy_and_resolve_references()
    assert type(copy) is Settings and copy.to_dict() == settings.to_dict()
    for locked in (settings, copy):
        with pytest.raises(AttributeError, match="locked"):
            locked.width = 1
    with copy.unlocked():
        copy.width = 1
    assert copy.width == 1 and not hasattr(settings, "width")
