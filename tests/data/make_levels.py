#!/usr/bin/env python3
"""make_levels.py FOLDER: frames of different sky, what IRAF's imcombine makes of them with scale=mode and zero=mode, and what
numpy.linalg.lstsq finds for the first by each of them.

Needs irafcl (Debian: iraf), numpy, astropy. Works in FOLDER and writes levels.json there.
"""
import json
import os
import subprocess
import sys

import numpy as np
from astropy.io import fits

SHAPE = (24, 30)
SKIES = (500.0, 740.0, 333.0)
KINDS = {"real": ("f4", 25.0), "counts": ("i2", 90.0), "few": ("i2", 1.5)}


def main(folder):
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    rng = np.random.default_rng(5)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    lines, out = ["images", "immatch"], {"by": f"iraf 2.17, numpy {np.__version__}", "shape": SHAPE, "kinds": {}}
    for kind, (dtype, noise) in KINDS.items():
        frames = []
        for i, sky in enumerate(SKIES):
            star = sky * 4 * np.exp(-((y - 10 - i) ** 2 + (x - 12) ** 2) / 18)
            data = sky + noise * rng.normal(size=SHAPE) + star
            data = np.round(data) if dtype == "i2" else np.round(data, 3)
            frames.append(data.astype(dtype))
            fits.PrimaryHDU(frames[-1]).writeto(f"{kind}{i}.fits", overwrite=True)
        out["kinds"][kind] = {"frames": [[float(str(v)) for v in f.ravel()] for f in frames]}
        for what in ("scale", "zero"):
            name = f"{what}_{kind}.fits"
            if os.path.exists(name):
                os.remove(name)
            lines += ["unlearn imcombine",
                      f'imcombine ("{kind}?.fits", "{name}", combine="average", reject="none", {what}="mode",'
                      ' outtype="double", logfile="STDOUT")']
    run = subprocess.run(["irafcl"], input="\n".join([*lines, "logout", ""]), text=True, check=True,
                         env={**os.environ, "imtype": "fits", "USER": "nobody", "HOME": os.getcwd()},
                         stdout=subprocess.PIPE)
    print(run.stdout)
    for kind, of in out["kinds"].items():
        for what in ("scale", "zero"):
            value = fits.getdata(f"{what}_{kind}.fits").astype("f8").ravel()
            of[what] = [float(f"{v:.9g}") for v in value[:40]]
        first, of["fits"] = np.array(of["frames"][0]), []
        for frame in of["frames"]:
            x = np.array(frame)
            both = np.linalg.lstsq(np.column_stack([x, np.ones(x.size)]), first, rcond=None)[0]
            scale = np.linalg.lstsq(x[:, None], first, rcond=None)[0]
            zero = np.linalg.lstsq(np.ones((x.size, 1)), first - x, rcond=None)[0]
            of["fits"].append({"both": both.tolist(), "scale": scale[0], "zero": zero[0]})
    with open("levels.json", "w") as file:
        json.dump(out, file)
        file.write("\n")


main(sys.argv[1])
