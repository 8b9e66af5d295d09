"""Where compiled programs are cached."""

import jax
import pytest

from launch import compilations


@pytest.fixture
def settings():
    """Restores jax's settings."""
    names = "jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs"
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_programs_are_kept_in_the_users_cache(settings, monkeypatch, tmp_path):
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    compilations.keep()
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "infojax" / "xla")
    assert jax.config.jax_persistent_cache_min_compile_time_secs == 0


@pytest.mark.parametrize("own", ["", "/elsewhere"])
def test_a_users_setting_is_left_alone(settings, monkeypatch, own):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", own)
    before = jax.config.jax_compilation_cache_dir
    compilations.keep()
    assert jax.config.jax_compilation_cache_dir == before
    assert str(compilations.directory() or "") == own
