#!/usr/bin/env python3
"""make_combines.py FOLDER: what numpy.percentile and IRAF's imcombine with combine=quadrature make of the frames of
rejections.json, which lies beside this file.

Needs irafcl (Debian: iraf), numpy, astropy. Works in FOLDER and writes combines.json there.
"""
import json
import os
import subprocess
import sys

import numpy as np
from astropy.io import fits

PERCENTS = (0, 1, 12.5, 25, 50, 63.7, 90, 99.9, 100)


def main(folder):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "rejections.json")) as file:
        known = json.load(file)
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    cases, lines = [], ["images", "immatch"]
    for n, rows in known["frames"].items():
        cube = np.array(rows, "f4").reshape(len(rows), *known["shape"])
        for percent in PERCENTS:
            value = np.percentile(cube.astype("f8"), percent, axis=0).ravel()
            cases.append({"by": f"numpy {np.__version__}", "frames": int(n), "percentile": percent, "value": value.tolist()})
        for i, frame in enumerate(cube):
            fits.PrimaryHDU(frame).writeto(f"q{n}_{i:02d}.fits", overwrite=True)
        for reject, more in (("none", ""), ("minmax", ", nlow=1, nhigh=2")):
            out = f"{reject}_{n}.fits"
            if os.path.exists(out):
                os.remove(out)
            lines += ["unlearn imcombine",
                      f'imcombine ("q{n}_*.fits", "{out}", combine="quadrature", reject="{reject}"{more}, logfile="")']
    subprocess.run(["irafcl"], input="\n".join([*lines, "logout", ""]), text=True, check=True,
                   env={**os.environ, "imtype": "fits", "USER": "nobody", "HOME": os.getcwd()}, stdout=subprocess.DEVNULL)
    for n in known["frames"]:
        for reject in ("none", "minmax"):
            value = fits.getdata(f"{reject}_{n}.fits").astype("f8").ravel()
            cases.append({"by": "iraf 2.17", "frames": int(n), "reject": reject,
                          "value": [float(f"{v:.9g}") for v in value]})
    with open("combines.json", "w") as out:
        json.dump({"cases": cases}, out)
        out.write("\n")


main(sys.argv[1])
