"""The doctor shows one screen of what a run depends on."""

import jax
import pytest

from infojax.data import cache
from launch import compilations, doctor


@pytest.fixture(autouse=True)
def _places(tmp_path, monkeypatch):
    monkeypatch.setattr(compilations, "keep", lambda: None)
    monkeypatch.setattr(doctor, "_EIGENVALUES", 32)
    monkeypatch.setattr(doctor, "_SAMPLES", 64)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)


def test_one_screen(tmp_path, capsys):
    (tmp_path / "mnist" / "3.0.1").mkdir(parents=True)
    (tmp_path / "mnist" / "3.0.1" / "dataset_info.json").touch()
    cache.directory().mkdir(parents=True)
    (cache.directory() / "mnist-0-0.npz").write_bytes(bytes(3 * 2**20))
    compilations.directory().mkdir(parents=True)
    (compilations.directory() / "program").write_bytes(bytes(2**19))
    assert doctor.main([]) == 0
    out, err = capsys.readouterr()
    assert err == "" and len(out.splitlines()) <= 24
    for text in (
        f"jax {jax.__version__}",
        "2 cpu (cpu); the variant cpu is the default",
        "experiments: installed",
        f"mnist in {tmp_path} (TFDS_DATA_DIR)",
        "not found: cifar10, cifar100",
        f"images: 1 files, 3.0 MiB in {tmp_path}",
        f"compiled programs: 1 files, 0.5 MiB in {tmp_path}",
        "eigenvalues of a 32 x 32 matrix: ",
        "MIR and HDR of 64 samples, 128 features, 10 classes: ",
    ):
        assert text in out, text


def test_missing_extras(monkeypatch):
    requirements = ["jax>=0.10", 'nowhere-at-all>=1; extra == "hub"', "pytest; extra == 'test'"]
    monkeypatch.setattr("importlib.metadata.requires", lambda _: requirements)
    assert doctor.extras()[0] == "hub: MISSING nowhere-at-all"


def test_no_cache_of_programs(monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    assert doctor.caches()[1] == "compiled programs: disabled by JAX_COMPILATION_CACHE_DIR"
