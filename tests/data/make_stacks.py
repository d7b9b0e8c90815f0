#!/usr/bin/env python3
"""Makes stacks.json: small stacks, combined by other programs.

    pip install astropy==8.0.2 ccdproc==2.5.1 imcombiners==0.1.1
    apt-get install gnuastro        # Debian 12: 0.19
    python make_stacks.py > stacks.json

Three sets of frames, float32: `even` has 12 frames and no holes; `holes` has 11 frames and NaN; `masked` has those frames
with wild finite values under a mask in place of NaN. A case says which rule of ours it is the same as, in our words
(`combine`, `reject`); `differs` says in what its rule is another, and then the numbers must differ somewhere.
"""
import json, os, subprocess, sys, tempfile, warnings

import astropy, ccdproc, imcombiners, numpy as np
from astropy import log
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.stats import sigma_clip

warnings.simplefilter("ignore")
log.setLevel("ERROR")
rng = np.random.default_rng(8)
SHAPE = (6, 10)


def frames(n):
    cube = rng.normal(1000, 30, (n, *SHAPE))
    hit = rng.random(cube.shape) < 0.08
    cube[hit] += rng.choice([-200, 150, 900], hit.sum())
    return cube.astype(np.float32)


even = frames(12)
holes = frames(11)
gaps = rng.random(holes.shape) < 0.1
masked = holes.copy()
holes[gaps] = np.nan
masked[gaps] = 30000
SETS = {"even": even, "holes": holes, "masked": masked}
cases = []


def plain(values):
    # Ten digits: they are compared to 1e-6.
    return [float(f"{v:.10g}") for v in np.asarray(values, dtype=np.float64).ravel()]


def case(tool, how, name, combine, reject, data, differs=None, **more):
    one = dict(tool=tool, how=how, set=name, combine=combine, reject=reject, data=plain(data))
    if differs:
        one["differs"] = differs
    cases.append(one | {k: plain(v) for k, v in more.items()})


def sigclip(lsigma, hsigma, mclip, max_iters):
    return dict(name="sigclip", lsigma=lsigma, hsigma=hsigma, mclip=mclip, max_iters=max_iters)


NONE = dict(name="none")
FUNCTIONS = dict(mean=np.ma.mean, median=np.ma.median, sum=np.ma.sum, min=np.ma.min, max=np.ma.max, std=np.ma.std)


def about_the_median(a, axis):
    a = np.ma.masked_invalid(a).astype(np.float64)
    return np.ma.sqrt(np.ma.mean((a - np.ma.median(a, axis=axis, keepdims=True)) ** 2, axis=axis)).filled(np.nan)


def of_astropy():
    for name in ("even", "holes"):
        cube = np.ma.masked_invalid(SETS[name].astype(np.float64))
        for low, high, iters in ((2.5, 2.5, None), (2, 1.5, 1), (1.5, 2.5, 3), (1.2, 1.2, None)):
            kw = dict(sigma_lower=low, sigma_upper=high, maxiters=iters, axis=0, masked=True)
            for func, dev, mclip, differs in (
                ("mean", "std", False, None),
                ("median", about_the_median, True, None),
                ("median", "std", True, "the spread is about the mean, whatever the centre"),
                ("median", "mad_std", True, "the spread is from the median absolute deviation"),
            ):
                out = sigma_clip(cube, cenfunc=func, stdfunc=dev, **kw)
                word = dev if isinstance(dev, str) else "std about the median, a function of the caller"
                how = f"sigma_clip(sigma_lower={low}, sigma_upper={high}, maxiters={iters}, cenfunc={func}, stdfunc={word})"
                good = (~out.mask).sum(axis=0)
                for combine, of in FUNCTIONS.items():
                    # In what differs one combination will do.
                    if differs and combine != "sum":
                        continue
                    # Sixty pixels may miss what a rule comes to: only where it is known to show.
                    if differs and iters == 3:
                        continue
                    case("astropy", f"{how}, then numpy {combine}", name, combine,
                         sigclip(low, high, mclip, iters), of(out, axis=0), differs, good=good)


def of_ccdproc():
    for name in ("even", "holes", "masked"):
        cube = SETS[name]
        bad = gaps if name == "masked" else ~np.isfinite(cube)
        combiner = lambda: ccdproc.Combiner([CCDData(f, unit="adu", mask=m) for f, m in zip(cube, bad)], dtype=np.float64)
        minmax = dict(name="minmax", nlow=1, nhigh=2)
        def both(how, reject, make, differs=None):
            for combine in ("mean", "median", "sum"):
                c = make()
                method = dict(mean="average_combine", median="median_combine", sum="sum_combine")[combine]
                out = getattr(c, method)()
                more = {"variance_of_n": out.uncertainty.array.astype(np.float64) ** 2} if combine == "mean" else {}
                case("ccdproc", f"Combiner.{how}{method}", name, combine, reject, out.data, differs, **more)
        both("", NONE, combiner)
        def clipped(**kw):
            c = combiner()
            c.sigma_clipping(**kw)
            return c
        one = sigclip(2, 2, False, 1)
        contaminated = "what is masked already takes part in centre and spread" if name == "masked" else None
        both("sigma_clipping(2, 2, func=mean), ", one,
             lambda: clipped(low_thresh=2, high_thresh=2, func="mean"), contaminated)
        again = "the clipping is one pass, and more cannot be asked for"
        if name != "masked":
            both("sigma_clipping(2, 2, func=mean), ", sigclip(2, 2, False, None),
                 lambda: clipped(low_thresh=2, high_thresh=2, func="mean"), again)
            both("sigma_clipping(1.2, 1.2, func=median), ", sigclip(1.2, 1.2, True, 1),
                 lambda: clipped(low_thresh=1.2, high_thresh=1.2, func="median"),
                 "the spread is about the mean, whatever the centre")
        def extrema():
            c = combiner()
            c.clip_extrema(nlow=1, nhigh=2)
            return c
        both("clip_extrema(1, 2), ", minmax, extrema,
             None if name == "even" else "what is masked already is ranked too, and the numbers are of all frames")


def of_imcombiners():
    from imcombiners import Combiner, MinMaxClip, SigClip

    for name in ("even", "holes"):
        cube = SETS[name].astype(np.float64)
        mask = ~np.isfinite(cube)
        for low, high, iters in ((2.5, 2.5, 100), (2, 1.5, 1), (1.5, 2.5, 3)):
            for cen in ("median", "mean"):
                clip = SigClip(sigma=(low, high), maxiters=iters, cenfunc=cen)
                for combine in ("mean", "median", "lmedian", "sum", "min", "max"):
                    case("imcombiners", f"SigClip(({low}, {high}), maxiters={iters}, cenfunc={cen}), {combine}", name,
                         combine, sigclip(low, high, cen == "median", iters),
                         Combiner(cube, mask=mask).combine(combine, rejectors=clip))
        for combine in ("mean", "median", "lmedian", "sum", "min", "max"):
            case("imcombiners", combine, name, combine, NONE, Combiner(cube, mask=mask).combine(combine))
            case("imcombiners", f"MinMaxClip(1, 2), {combine}", name, combine, dict(name="minmax", nlow=1, nhigh=2),
                 Combiner(cube, mask=mask).combine(combine, rejectors=MinMaxClip(1, 2)))


def of_gnuastro():
    with tempfile.TemporaryDirectory() as folder:
        for name in ("even", "holes"):
            cube = SETS[name].astype(np.float64)
            paths = []
            for i, frame in enumerate(cube):
                paths.append(os.path.join(folder, f"{name}{i}.fits"))
                fits.writeto(paths[-1], frame, overwrite=True)
            n = str(len(paths))
            def run(*words):
                out = os.path.join(folder, "out.fits")
                subprocess.run(["astarithmetic", "-q", "-g0", *paths, n, *words, "-o", out], check=True)
                data = fits.getdata(out, 1).astype(np.float64)
                os.remove(out)
                return data
            good = run("number")
            for combine in ("mean", "median", "sum", "min", "max", "std"):
                case("gnuastro", f"astarithmetic FRAMES {n} {combine}", name, combine, NONE, run(combine), good=good)
            # The first of its passes is the one before anything is rejected.
            for k, passes in (("1.2", "1"), ("1.2", "2"), ("1.5", "100")):
                for combine in ("mean", "median", "std"):
                    how = f"astarithmetic FRAMES {n} {k} {passes} sigclip-{combine}"
                    out = run(k, passes, f"sigclip-{combine}")
                    if passes == "1":
                        case("gnuastro", how, name, combine, NONE, out)
                        continue
                    case("gnuastro", how, name, combine, sigclip(float(k), float(k), True, int(passes) - 1), out,
                         "the spread is about the mean, whatever the centre")


of_astropy()
of_ccdproc()
of_imcombiners()
of_gnuastro()
version = subprocess.run(["astarithmetic", "--version"], capture_output=True, text=True).stdout.split("\n")[0].split()[-1]
versions = dict(astropy=astropy.__version__, ccdproc=ccdproc.__version__, imcombiners=imcombiners.__version__,
                gnuastro=version, numpy=np.__version__)
nan_as_null = lambda cube: [[None if np.isnan(v) else float(v) for v in f.ravel()] for f in cube]
sets = {k: dict(frames=nan_as_null(v)) for k, v in SETS.items()}
sets["masked"]["mask"] = [[int(v) for v in f.ravel()] for f in gaps]
lines = ",\n".join(json.dumps(c, allow_nan=False, separators=(",", ":")) for c in cases)
print('{"versions": %s,\n"shape": [6, 10],\n"sets": %s,\n"cases": [\n%s\n]}' % (json.dumps(versions), json.dumps(sets, separators=(",", ":")), lines))
