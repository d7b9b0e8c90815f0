#!/usr/bin/env python3
"""make_grow.py FOLDER: what IRAF's imcombine with grow makes of the frames of rejections.json, which lies beside this file.

Needs irafcl (Debian: iraf), numpy, astropy. Works in FOLDER and writes grow.json there.
"""
import json
import os
import subprocess
import sys

import numpy as np
from astropy.io import fits

RULES = {"ccdclip": {"lsigma": 3, "hsigma": 3}, "crreject": {"hsigma": 3}, "pclip": {"lsigma": 3, "hsigma": 3, "pclip": -0.5}}


def main(folder):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "rejections.json")) as file:
        known = json.load(file)
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    cases, lines = [], ["images", "immatch"]
    for n, rows in known["frames"].items():
        for i, frame in enumerate(np.array(rows, "f4").reshape(len(rows), *known["shape"])):
            fits.PrimaryHDU(frame).writeto(f"g{n}_{i:02d}.fits", overwrite=True)
        for reject, rule in RULES.items():
            for radius in (1, 1.5, 2):
                out = f"{reject}_{radius}_{n}.fits"
                if os.path.exists(out):
                    os.remove(out)
                more = ", ".join(f"{key}={value}" for key, value in rule.items())
                noise = f'gain={known["gain"]}, rdnoise={known["read_noise"]}'
                lines += ["unlearn imcombine",
                          f'imcombine ("g{n}_*.fits", "{out}", combine="average", reject="{reject}", {more}, {noise}, '
                          f'grow={radius}, nkeep=0, logfile="")']
                cases.append({"by": "iraf 2.17", "frames": int(n), "reject": reject, **rule, "grow": radius, "out": out})
    subprocess.run(["irafcl"], input="\n".join([*lines, "logout", ""]), text=True, check=True,
                   env={**os.environ, "imtype": "fits", "USER": "nobody", "HOME": os.getcwd()}, stdout=subprocess.DEVNULL)
    for case in cases:
        value = fits.getdata(case.pop("out")).astype("f8").ravel()
        case["value"] = [float(f"{v:.9g}") for v in value]
    with open("grow.json", "w") as out:
        json.dump({"cases": cases}, out)
        out.write("\n")


main(sys.argv[1])
