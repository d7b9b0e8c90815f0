#!/usr/bin/env python3
"""Writes arithmetic.json: what astropy makes of NDData arithmetic and numpy of functions, for tests/engines/expr_astropy.rs.

    pip install astropy==8.0.2 numpy==2.4.6
    python make_arithmetic.py

All inputs are exact in float32, and astropy computes them in float64: the judge of results in float32 and in float64
alike, since in float32 astropy rounds after every step (`float32_ulp`: by how many units in the last place of float32
its own float32 results then differ; null where they are not even finite). Arrays are big-endian float64 in hex.

`cases`: operation, kind of uncertainty (`missing_a`, `missing_b`: variances, of which one operand has none), correlation
(0 to 4: see `correlations`), shape of the second operand; data and variance of the result (null: none) and `raises` where
astropy fails. `masks`: bitwise or. `units`: the unit and scale of results. `functions`: numpy's, of the first operand
or of its absolute value.

What is printed at the end: variances where astropy is wrong, for tests/library/monte_carlo.rs.
"""

import json
import warnings
from pathlib import Path

import astropy
import numpy as np
from astropy.nddata import InverseVariance, NDDataRef, StdDevUncertainty, VarianceUncertainty

OUT = Path(__file__).resolve().parent / "arithmetic.json"
KINDS = {"std": StdDevUncertainty, "var": VarianceUncertainty, "ivar": InverseVariance}
SHAPE = (5, 7)


def hexed(array):
    return np.ascontiguousarray(array, dtype=">f8").tobytes().hex()


def narrow(array):
    """Exact in float32, as float64."""
    return np.asarray(array, dtype="f4").astype("f8")


def inputs():
    rng = np.random.default_rng(20240229)
    a = narrow(rng.normal(0, 50, SHAPE))
    b = narrow(rng.normal(0, 20, SHAPE))
    a[0, :3] = 0, -1, 1
    a[2, 2] = 0
    b[1, :3] = -1, 1, 0.5
    b[3, 3] = 0  # x/0
    a[4, 4] = b[4, 4] = 0  # 0/0
    u_a, u_b = (narrow(rng.uniform(0.1, 4, SHAPE)) for _ in "ab")
    rho = narrow(rng.uniform(-1, 1, SHAPE))
    masks = [rng.integers(0, 2**16, SHAPE, dtype="u2") & rng.integers(0, 2**16, SHAPE, dtype="u2") for _ in "ab"]
    return a, b, u_a, u_b, rho, masks


def variance_of(result):
    u = result.uncertainty
    return None if u is None else np.asarray(u.represent_as(VarianceUncertainty).array, dtype="f8")


def ulps(narrow_result, wide_result):
    """Between a float32 result and a float64 one rounded."""
    with np.errstate(all="ignore"):
        one, two = np.asarray(narrow_result, "f4"), np.asarray(wide_result).astype("f4")
    both = np.isfinite(two)
    if not np.isfinite(one[both]).all():
        return None
    place = lambda x: np.where(x < 0, -(x.view("i4").astype("i8") & 0x7FFFFFFF), x.view("i4").astype("i8") & 0x7FFFFFFF)
    return int(np.abs(place(one[both]) - place(two[both])).max(initial=0))


def combine(op, kind, rho, a, b, u_a, u_b, dtype):
    cls = VarianceUncertainty if kind.startswith("missing") else KINDS.get(kind)
    cast = lambda x: np.asarray(x).astype(dtype)
    wrap = lambda d, u, without: NDDataRef(cast(d), uncertainty=None if cls is None or without else cls(cast(u)))
    one, two = wrap(a, u_a, kind == "missing_a"), wrap(b, u_b, kind == "missing_b")
    rho = cast(rho) if isinstance(rho, np.ndarray) else rho
    return getattr(one, op)(two, uncertainty_correlation=rho)


def main():
    warnings.simplefilter("ignore")
    np.seterr(all="ignore")
    a, b, u_a, u_b, rho, masks = inputs()
    correlations = [0, 0.5, -0.3, 1, rho]
    shapes = {"same": np.s_[:, :], "row": np.s_[1, :], "scalar": np.s_[1, 3]}
    cases = []
    for op in ("add", "subtract", "multiply", "divide"):
        for shape, part in shapes.items():
            data = None
            kinds = ["none", "std", "var", "ivar", "missing_a", "missing_b"] if shape == "same" else ["none", "std", "var"]
            for kind in kinds:
                for c, corr in enumerate(correlations if kind != "none" else correlations[:1]):
                    if shape != "same" and c not in (0, 1):
                        continue
                    case = {"op": op, "kind": kind, "correlation": c, "shape": shape}
                    args = (op, kind, corr, a, b[part], u_a, u_b[part])
                    try:
                        wide = combine(*args, "f8")
                        single = combine(*args, "f4")
                    except Exception as e:  # whatever it is
                        cases.append({**case, "raises": type(e).__name__})
                        continue
                    variance = variance_of(wide)
                    if data is None:
                        data = case["data"] = hexed(wide.data)
                    case["variance"] = None if variance is None else hexed(variance)
                    case["float32_ulp"] = [
                        ulps(single.data, wide.data),
                        None if variance is None else ulps(variance_of(single), variance),
                    ]
                    cases.append(case)
    joined = NDDataRef(a, mask=masks[0]).add(NDDataRef(b, mask=masks[1]), handle_mask=np.bitwise_or).mask
    assert joined.dtype == "u2"

    units = []
    for op, one, two in [
        ("add", "m", "cm"), ("subtract", "cm", "m"), ("add", "adu", "adu"), ("multiply", "adu", "s"),
        ("divide", "adu", "s"), ("divide", "electron", "adu"), ("multiply", "m", "m"), ("add", "adu", "s"),
        ("subtract", "adu", ""), ("add", "", "m"), ("multiply", "", "m"), ("add", "km", "mm"), ("divide", "m", "cm"),
    ]:  # fmt: skip
        nd = lambda d, u, unit: NDDataRef(d, unit=unit or None, uncertainty=VarianceUncertainty(u))
        case = {"op": op, "units": [one, two]}
        try:
            result = getattr(nd(a, u_a, one), op)(nd(b, u_b, two))
            case |= {"unit": result.unit.to_string(), "data": hexed(result.data), "variance": hexed(variance_of(result))}
        except Exception as e:
            case["raises"] = type(e).__name__
        units.append(case)

    size = np.abs(a) / 32
    functions = [
        {"name": name, "data": hexed(f(x))}
        for name, f, x in [
            ("abs", np.abs, a), ("negative", np.negative, a), ("square", np.square, a), ("sqrt", np.sqrt, size),
            ("exp", np.exp, a / 32), ("log", np.log, size), ("log10", np.log10, size),
            ("sqrt_of_any", np.sqrt, a / 32), ("log_of_any", np.log, a / 32),
            *((f"power {p}", lambda x, p=p: np.power(x, p), size) for p in (3, -1, 1.7, -0.3, 0)),
            ("power_of_any 3", lambda x: np.power(x, 3.0), a / 32),
        ]
    ]  # fmt: skip

    out = {
        "versions": {"astropy": astropy.__version__, "numpy": np.__version__},
        "shape": SHAPE,
        "a": hexed(a), "b": hexed(b), "uncertainty_a": hexed(u_a), "uncertainty_b": hexed(u_b), "rho": hexed(rho),
        "mask_a": masks[0].ravel().tolist(), "mask_b": masks[1].ravel().tolist(), "mask": joined.ravel().tolist(),
        "correlations": [0, 0.5, -0.3, 1, "rho"],
        "cases": cases, "units": units, "functions": functions,
    }  # fmt: skip
    lines = [f"{json.dumps(k)}: " + (
        "[\n" + ",\n".join(json.dumps(x) for x in v) + "\n]" if k in ("cases", "units", "functions") else json.dumps(v)
    ) for k, v in out.items()]  # fmt: skip
    OUT.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    for op in ("add", "subtract", "multiply", "divide"):
        for i in (0, 1):
            all = [c["float32_ulp"][i] for c in cases if c["op"] == op and "float32_ulp" in c and (i == 0 or c["variance"])]
            print(op, ("data", "variance")[i], "float32_ulp", all)
    wrong()


def wrong():
    """Where astropy's variances are not those of the result."""
    def nd(value, variance, dtype):
        return NDDataRef(np.array([value], dtype), uncertainty=VarianceUncertainty(np.array([variance], "f8" if dtype[0] != "f" else dtype)))

    def say(what, result):
        print(f"{what}: {float(np.asarray(result.uncertainty.array).ravel()[0])!r}")

    say("u2 300(1e-2) * 2(1e-6)", nd(300, 1e-2, "u2").multiply(nd(2, 1e-6, "u2")))
    say("u2 1000(1e-1) * 2(1e-6)", nd(1000, 1e-1, "u2").multiply(nd(2, 1e-6, "u2")))
    say("u2 30000(9) / 300(1e-2)", nd(30000, 9, "u2").divide(nd(300, 1e-2, "u2")))
    say("f4 1e-12(1e-28) / 1e-12(1e-28)", nd(1e-12, 1e-28, "f4").divide(nd(1e-12, 1e-28, "f4")))
    say("f4 1e11(1e18) / 1e11(1e18)", nd(1e11, 1e18, "f4").divide(nd(1e11, 1e18, "f4")))
    say("f8 1e-100(1e-204) / 1e-100(1e-204)", nd(1e-100, 1e-204, "f8").divide(nd(1e-100, 1e-204, "f8")))
    a, b = nd(100, 1, "f8"), nd(40, 0.25, "f8")
    say("a - a", a.subtract(a))
    say("a + a", a.add(a))
    say("a a", a.multiply(a))
    say("a / a", a.divide(a))
    say("(a - b) / (a + b)", a.subtract(b).divide(a.add(b)))
    say("a b / a", a.multiply(b).divide(a))
    # a = s + x, b = s + y share s.
    s, x, y = nd(50, 0.01, "f8"), nd(50, 0.0025, "f8"), nd(-10, 0.0025, "f8")
    a, b = s.add(x), s.add(y)
    say("(s + x) - (s + y)", a.subtract(b))
    say("(s + x) (s + y)", a.multiply(b))
    say("(s + x) / (s + y)", a.divide(b))
    a, b = nd(100, 1, "f8"), nd(40, 0.25, "f8")
    for op in ("add", "subtract", "multiply", "divide"):
        say(f"{op}, drawn with rho 0.8, undeclared", getattr(a, op)(b))
        say(f"{op}, drawn with rho 0.8, declared", getattr(a, op)(b, uncertainty_correlation=0.8))


if __name__ == "__main__":
    main()
