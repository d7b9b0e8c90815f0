#!/usr/bin/env python3
"""Packs golden stacks: the results of all cases of a set in one gzipped file of cubes.

    pack_golden.py FROM TO      # folders of sets: FROM/SET/{cases.json,in_NN.fits,out_NNN.fits}

Plane k of each cube is case k of `cases.json`: SCI and VAR float32, DQ and REJMAP uint8. `cases.json` says of each case
whether it has a DQ and a REJMAP; where it has none the plane is 0. Inputs are copied as they are. The same bytes come out
each time. Needs astropy and numpy.
"""

import gzip
import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
from astropy.io import fits

DTYPES = {"SCI": ">f4", "VAR": ">f4", "DQ": "u1", "REJMAP": "u1"}


def exact(array, dtype):
    """The array in this type; an error if a value is not exact in it."""
    out = array.astype(dtype)
    if not np.array_equal(out.astype("f8"), array.astype("f8"), equal_nan=True):
        raise ValueError(f"values of {array.dtype} are not exact in {dtype}")
    return out


def pack(source, target):
    golden = json.loads((source / "cases.json").read_text())
    target.mkdir(parents=True, exist_ok=True)
    for name in golden["inputs"]:
        shutil.copyfile(source / name, target / name)
    shape = tuple(golden["shape"])
    cubes = {name: np.zeros((len(golden["cases"]), *shape), dtype) for name, dtype in DTYPES.items()}
    for k, case in enumerate(golden["cases"]):
        with fits.open(source / case.pop("file")) as hdus:
            found = {hdu.name: hdu.data for hdu in hdus[1:]}
        unknown = set(found) - set(DTYPES)
        if unknown or any(plane.shape != shape for plane in found.values()):
            raise ValueError(f"case {k}: planes {sorted(found)} of other names or shapes")
        for name, plane in found.items():
            cubes[name][k] = exact(plane, DTYPES[name])
        case["dq"], case["rejmap"] = "DQ" in found, "REJMAP" in found
    hdus = [fits.PrimaryHDU()] + [fits.ImageHDU(cube, name=name, ver=1) for name, cube in cubes.items()]
    raw = io.BytesIO()
    fits.HDUList(hdus).writeto(raw)
    packed = gzip.compress(raw.getvalue(), 9, mtime=0)
    (target / "out.fits.gz").write_bytes(packed)
    head = {key: value for key, value in golden.items() if key != "cases"}
    lines = ",\n".join(json.dumps(case) for case in golden["cases"])
    (target / "cases.json").write_text(json.dumps(head)[:-1] + ', "cases": [\n' + lines + "\n]}\n")
    print(f"{target}: {len(golden['cases'])} cases, {len(packed)} bytes")


def main(source, target):
    for folder in sorted(path.parent for path in Path(source).glob("*/cases.json")):
        pack(folder, Path(target) / folder.name)


if __name__ == "__main__":
    main(*sys.argv[1:])
