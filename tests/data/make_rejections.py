#!/usr/bin/env python3
"""make_rejections.py FOLDER: what IRAF's imcombine and Siril make of small frames, by rejections that come from them.

Needs irafcl (Debian: iraf), siril-cli (Debian: siril), numpy, scipy, astropy. Works in FOLDER and writes rejections.json there.

Where Siril departs from a rule, the rule is here in numpy, with and without that: with it all pixels must be Siril's, and
what it is without goes to the file.
"""
import glob
import json
import os
import subprocess
import sys

import numpy as np
from astropy.io import fits
from scipy import stats

SHAPE = (6, 8)
IRAF = [  # frames, reject, further parameters
    (11, "pclip", {"pclip": -0.5}),
    (20, "pclip", {"pclip": -0.5}),
    (20, "pclip", {"pclip": 0.4, "lsigma": 1.5, "hsigma": 2}),
    (11, "ccdclip", {}),
    (20, "ccdclip", {"lsigma": 2, "hsigma": 1.5}),
    (11, "ccdclip", {"mclip": "no"}),
    (20, "ccdclip", {"nkeep": 19}),
    (11, "ccdclip", {"lsigma": 1, "hsigma": 1, "nkeep": -2}),
    (11, "crreject", {}),
    (20, "crreject", {"snoise": 0.02}),
]
SIRIL = [(11, 3, 3), (11, 1.5, 2), (20, 2.5, 2)]  # frames, low, high
LINE = [(11, 3, 3), (11, 1.6, 2), (11, 5, 3), (20, 3, 3), (20, 1.6, 2), (20, 5, 3)]  # the same
TEST = [(11, 0.3, 0.05), (11, 0.5, 0.2), (20, 0.3, 0.05), (20, 0.5, 0.2)]  # frames, part, significance


def frames(n, rng):
    sky = rng.uniform(50, 2000, SHAPE)
    for _ in range(n):
        data = rng.poisson(sky * 1.7) / 1.7 + rng.normal(0, 4.5 / 1.7, SHAPE)
        hit, dark = rng.random(SHAPE) < 0.06, rng.random(SHAPE) < 0.02
        data[hit] += rng.uniform(50, 3000, hit.sum())
        data[dark] -= rng.uniform(30, 300, dark.sum())
        yield np.round(data, 3).astype("f4")


def line(y, low, high, siril):
    """The mean of what a line through the samples in order leaves.

    Siril has the mean and the variance of the ranks of all frames also where some are out, and stops when the number that is
    left less the number that is out is 4.
    """
    y, n, gone = np.sort(y.astype("f8")), len(y), 0
    while len(y) >= (4 if siril else 3):
        ranks = np.arange(n if siril else len(y))
        about = np.arange(len(y)) - ranks.mean()
        slope = (about * (y - y.mean())).mean() / ranks.var()
        far = y - y.mean() - slope * about
        sigma = abs(far).mean()
        out = np.flatnonzero((far < -low * sigma) | (far > high * sigma))
        if siril:
            out = out[:max(len(y) - 4 - gone, 0)]
        if len(out) == 0:
            break
        y, gone = np.delete(y, out), gone + len(out)
    return y.mean()


def test(y, part, significance, siril):
    """The mean of what the generalised extreme Studentized deviate test leaves.

    Siril rejects two samples at least; and where samples below went before, it takes the place of one above among those that
    remained for its place among all.
    """
    y, n = np.sort(y.astype("f8")), len(y)
    low, high, gone, found = 0, 0, [], 2 if siril else 0
    for i in range(int(n * part + 0.001)):
        remain = y[low:n - high]
        m, (under, over) = len(remain), (remain[[0, -1]] - remain.mean()) * [-1, 1]
        t = stats.t.isf(significance / (2 * m), m - 2)
        if max(under, over) / remain.std(ddof=1) > (m - 1) * t / np.sqrt(m * (m - 2 + t * t)):
            found = max(found, i + 1)
        if over > under:
            gone.append(m - 1 if siril else n - 1 - high)
            high += 1
        else:
            gone.append(low)
            low += 1
    return np.delete(y, sorted(set(gone[:found]))).mean()


def add(cases, cube, name, rule, options, words):
    """Adds what the rule makes of the frames, if with Siril's departures it makes what Siril made of them."""
    made = fits.getdata(name).astype("f8").ravel() * 65536
    columns = cube.reshape(len(cube), -1).T
    np.testing.assert_allclose([rule(y, *options, True) for y in columns], made, rtol=3e-6)
    value = [rule(y, *options, False) for y in columns]
    cases.append({"by": f"numpy {np.__version__}", **words, "value": value})


def main(folder):
    os.makedirs(folder, exist_ok=True)
    os.chdir(folder)
    for name in glob.glob("*.fit*"):
        os.remove(name)
    rng, cubes = np.random.default_rng(20), {}
    for n in (11, 20):
        cubes[n] = np.array(list(frames(n, rng)))
        for i, data in enumerate(cubes[n]):
            fits.PrimaryHDU(data).writeto(f"n{n}_{i:02d}.fits")
            fits.PrimaryHDU(data / np.float32(65536)).writeto(f"s{n}_{i + 1:05d}.fit")
    lines = ["images", "immatch"]
    for k, (n, reject, options) in enumerate(IRAF):
        given = {"mclip": "yes", "nkeep": 0, "lsigma": 3, "hsigma": 3, "snoise": "0", **options}
        lines += ["unlearn imcombine", "imcombine.rdnoise=\"4.5\"", "imcombine.gain=\"1.7\""]
        words = "".join(f", {key}=\"{v}\"" if key == "snoise" else f", {key}={v}" for key, v in given.items())
        lines.append(f'imcombine ("n{n}_*.fits", "iraf{k}.fits", combine="average", reject="{reject}"{words}, logfile="")')
    subprocess.run(["irafcl"], input="\n".join([*lines, "logout", ""]), text=True, check=True,
                   env={**os.environ, "imtype": "fits", "USER": "nobody"}, stdout=subprocess.DEVNULL)
    stacks = [f"stack s{n}_ rej w {low} {high} -nonorm -out=siril{k}" for k, (n, low, high) in enumerate(SIRIL)]
    stacks += [f"stack s{n}_ rej l {low} {high} -nonorm -out=line{k}" for k, (n, low, high) in enumerate(LINE)]
    stacks += [f"stack s{n}_ rej g {part} {p} -nonorm -out=test{k}" for k, (n, part, p) in enumerate(TEST)]
    with open("run.ssf", "w") as script:
        script.write("\n".join(["requires 1.0.0", "set32bits", *stacks, ""]))
    subprocess.run(["siril-cli", "-d", os.getcwd(), "-s", "run.ssf"], check=True, stdout=subprocess.DEVNULL)
    cases = []
    for k, (n, reject, options) in enumerate(IRAF):
        value = fits.getdata(f"iraf{k}.fits").astype("f8").ravel()
        cases.append({"by": "iraf 2.17", "frames": n, "reject": reject, **options, "value": value.tolist()})
    for k, (n, low, high) in enumerate(SIRIL):
        value = fits.getdata(f"siril{k}.fit").astype("f8").ravel() * 65536
        cases.append({"by": "siril 1.0.6", "frames": n, "reject": "winsorised", "lsigma": low, "hsigma": high,
                      "value": value.tolist()})
    for k, (n, low, high) in enumerate(LINE):
        add(cases, cubes[n], f"line{k}.fit", line, (low, high),
            {"frames": n, "reject": "linfit", "lsigma": low, "hsigma": high})
    for k, (n, part, significance) in enumerate(TEST):
        add(cases, cubes[n], f"test{k}.fit", test, (part, significance),
            {"frames": n, "reject": "gesd", "outliers": part, "significance": significance})
    for case in cases:
        case["value"] = [float(f"{v:.9g}") for v in case["value"]]
    data = {str(n): [[float(str(v)) for v in frame.ravel()] for frame in cube] for n, cube in cubes.items()}
    with open("rejections.json", "w") as out:
        json.dump({"shape": SHAPE, "gain": 1.7, "read_noise": 4.5, "frames": data, "cases": cases}, out)
        out.write("\n")


main(sys.argv[1])
