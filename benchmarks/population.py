"""MIR and HDR of a whole data set: `infojax.population` against one matrix product ZᵀZ."""

import math
from collections.abc import Callable
from typing import Any

from benchmarks import problems, reference, tables
from benchmarks.race import race
from benchmarks.worker import Task

_LIMIT = 200.0  # seconds per run
_RTOL = 1e-3  # relative standard error requested of an estimated joint entropy
_BATCH = 10_000
_PRODUCT = "one product ZᵀZ"
_AT_ONCE = "statistics, all at once"
_BATCHED = f"statistics, batches of {_BATCH:,}"
_WHOLE = "statistics and interplay"
_ALL = [_PRODUCT, _AT_ONCE, _BATCHED, _WHOLE]


def run(quick: bool) -> tuple[list[dict[str, Any]], str]:
    """Measures all sizes; returns records and tables."""
    sizes = (1_000, 10_000, 50_000) if quick else (1_000, 10_000, 50_000, 100_000, 1_000_000)
    cases = [(n, 128, 10, "means", _ALL) for n in sizes]
    if not quick:
        cases.append((50_000, 512, 100, "orthonormal", _ALL))
        cases += [(50_000, 512, 100, head, [_WHOLE]) for head in ("means", "correlated")]
    records = []
    for n, d, classes, head, names in cases:
        shape = {"n": n, "d": d, "classes": classes, "head": head}
        entrants = {name: {"name": name, **shape} for name in names}
        for name, outcome in race("benchmarks.population:build", entrants, _LIMIT).items():
            records.append({"contender": name, **shape, **outcome.record()})
    text = render(records)
    print(text, flush=True)
    return records, text


def build(name: str, n: int, d: int, classes: int, head: str) -> Task:
    """Sets up a contender; entry point of its process."""
    import jax

    problem = problems.problem(n, d, classes, head)
    arguments = jax.device_put(tuple(problem))
    compiled = jax.jit(_function(name, n, d, classes)).lower(*arguments).compile()

    def report(result: Any) -> dict[str, Any]:
        return _report(result, problem, head) if name == _WHOLE else {}

    return Task(lambda: jax.block_until_ready(compiled(*arguments)), report)


def render(records: list[dict[str, Any]]) -> str:
    """Returns a table of all sizes, and the growth of time with N."""
    product = {
        (r["n"], r["d"]): r["seconds"]
        for r in records
        if r["contender"] == _PRODUCT and r["status"] == "ok"
    }
    rows = []
    for r in records:
        size = [f"{r['n']:,}", str(r["d"]), str(r["classes"]), r["head"], r["contender"]]
        if r["status"] != "ok":
            rows.append([*size, r["status"], "", "", "", "", "", ""])
            continue
        base = product.get((r["n"], r["d"]))
        ratio = f"{r['seconds'] / base:.3g}×" if base else ""
        rows.append([*size, tables.seconds(r["seconds"]), ratio, f"{r['memory_mib']:.0f} MiB"])
        rows[-1] += _accuracy(r)
    header = ["N", "d", "C", "head rows", "what", "time", "ratio to ZᵀZ", "peak memory"]
    header += ["route", "standard error of MIR", "error of MIR", "error of HDR"]
    title = "## MIR and HDR of a whole data set, float32, errors relative\n\n"
    return title + tables.markdown(header, rows) + _growth(records)


def _function(name: str, n: int, d: int, classes: int) -> Callable:
    import jax
    import jax.numpy as jnp

    from infojax import population

    zeros = population.Statistics.zeros(classes, d)
    batch = math.gcd(n, _BATCH)

    def batched(z, y, w):
        pieces = z.reshape(-1, batch, d), y.reshape(-1, batch)
        return jax.lax.scan(lambda s, piece: (s.update(*piece), None), zeros, pieces)[0]

    return {
        _PRODUCT: lambda z, y, w: jnp.matmul(z.T, z, precision="highest"),
        _AT_ONCE: lambda z, y, w: zeros.update(z, y),
        _BATCHED: batched,
        _WHOLE: lambda z, y, w: population.interplay(zeros.update(z, y), w, rtol=_RTOL),
    }[name]


def _report(result: Any, problem: problems.Problem, head: str) -> dict[str, Any]:
    by_class = reference.interplay_by_class
    split = head == "orthonormal"
    exact = by_class(problem) if split else reference.interplay(problem, gradient=False)
    mir, hdr = float(result.mir), float(result.hdr)
    report = {
        "mir": mir,
        "hdr": hdr,
        "route": result.route,
        "probes": int(result.probes),
        "standard_error_mir": float(result.standard_error.mir) / mir,
    }
    if exact is not None:
        report["error_mir"] = abs(mir - exact.mir) / exact.mir
        report["error_hdr"] = abs(hdr - exact.hdr) / exact.hdr
    return report


def _accuracy(record: dict[str, Any]) -> list[str]:
    if "mir" not in record:
        return [""] * 4
    probes = f", {record['probes']} probes" if record["probes"] else ""
    errors = [record.get(key) for key in ("standard_error_mir", "error_mir", "error_hdr")]
    texts = ["unknown" if x is None else f"{x:.0e}" if x else "0" for x in errors]
    return [record["route"] + probes, *texts]


def _growth(records: list[dict[str, Any]]) -> str:
    """Exponents of time in N, between the smallest and the largest N at d = 128."""
    lines = []
    for name in _ALL:
        found = [r for r in records if (r["contender"], r["d"], r["status"]) == (name, 128, "ok")]
        found.sort(key=lambda r: r["n"])
        if len(found) > 1:
            first, last = found[0], found[-1]
            exponent = math.log(last["seconds"] / first["seconds"])
            exponent /= math.log(last["n"] / first["n"])
            sizes = f"N = {first['n']:,} to {last['n']:,}"
            lines.append(f"- {name}: time grows as N^{exponent:.2f} from {sizes}.")
    return "\n" + "\n".join(lines) + "\n"
