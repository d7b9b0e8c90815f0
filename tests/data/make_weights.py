#!/usr/bin/env python3
"""make_weights.py OUT: weighted means by ccdproc of the frames of rejections.json, which lies beside this file.

Weights are of whole frames, and of each pixel: those of pixel p of frame k are 0.5 + (7 k + 3 p) % 11 / 8. Needs ccdproc, numpy.
"""
import json
import os
import sys

import ccdproc
import numpy as np
from astropy.nddata import CCDData


def main(out):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "rejections.json")) as file:
        known = json.load(file)
    cases = []
    for n, rows in known["frames"].items():
        cube = np.array(rows, "f4").reshape(len(rows), *known["shape"]).astype("f8")
        combiner = ccdproc.Combiner([CCDData(frame, unit="adu") for frame in cube])
        frames, pixels = np.arange(len(rows)), np.arange(cube[0].size)
        for kind, weights in (("frames", 0.25 + frames % 5), ("pixels", 0.5 + (7 * frames[:, None] + 3 * pixels) % 11 / 8)):
            combiner.weights = weights if kind == "frames" else weights.reshape(cube.shape)
            value = combiner.average_combine().data.ravel().tolist()
            cases.append({"by": f"ccdproc {ccdproc.__version__}", "frames": int(n), "of": kind, "value": value})
    with open(out, "w") as file:
        json.dump({"cases": cases}, file)
        file.write("\n")


main(sys.argv[1])
