//! The factor, the offset, or both, that bring the pixels of one frame nearest to those of another, by least squares.
//!
//! With y_p of the first frame and x_p of another, p over the pixels that are good in both, the sum of (y_p - (s x_p + z))^2 is
//! least for (e.g. Bevington & Robinson, "Data Reduction and Error Analysis", chapter 6)
//!
//! | | s | z |
//! |---|---|---|
//! | both | sum (x - mx)(y - my) / sum (x - mx)^2, with the means mx and my | my - s mx |
//! | scale alone | sum x y / sum x^2 | |
//! | zero alone, at factors s_0 and s that are known | | sum (s_0 y - s x) / n |
//!
//! It is for frames with something in them that is seen in both: the noise of x itself makes s smaller, by 1 / (1 + noise^2 /
//! variance of the signal). Plain least squares: nothing is clipped, so what is in one frame alone should be masked.
//!
//! Sums are of differences from the means, in pairs of f64.

use crate::kernels::stack::accumulate;

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Wanted {
    Both,
    Scale,
    /// At these factors of the first frame and of the other.
    Zero(f64, f64),
}

/// Factor and offset for `frame`, so that it is nearest to `first`; pixels are left out where one of them is not finite.
/// Else why there are none.
pub(super) fn fit(first: &[f64], frame: &[f64], wanted: Wanted) -> Result<(f64, f64), &'static str> {
    let pairs = || first.iter().zip(frame).filter(|(y, x)| y.is_finite() && x.is_finite()).map(|(y, x)| (*y, *x));
    let Some((_, level)) = pairs().next() else { return Err("no pixel is good in both") };
    let (scale, zero) = match wanted {
        Wanted::Zero(of_first, of_frame) => {
            let [n, rest] = sums(pairs(), |y, x| [1.0, of_first * y - of_frame * x]);
            (of_frame, rest / n)
        }
        Wanted::Scale => {
            let [products, squares] = sums(pairs(), |y, x| [x * y, x * x]);
            if squares == 0.0 {
                return Err("it is 0 wherever both are good");
            }
            (products / squares, 0.0)
        }
        Wanted::Both => {
            if pairs().all(|(_, x)| x == level) {
                return Err("it is the same wherever both are good");
            }
            let [n, y, x] = sums(pairs(), |y, x| [1.0, y, x]);
            let (my, mx) = (y / n, x / n);
            let [products, squares] = sums(pairs(), |y, x| [(x - mx) * (y - my), (x - mx) * (x - mx)]);
            let scale = products / squares;
            (scale, my - scale * mx)
        }
    };
    if scale.is_finite() && scale > 0.0 && zero.is_finite() {
        Ok((scale, zero))
    } else {
        Err("the factor that fits best is not positive")
    }
}

/// Sums over pixels, each with what its additions lost.
fn sums<const N: usize>(pairs: impl Iterator<Item = (f64, f64)>, of: impl Fn(f64, f64) -> [f64; N]) -> [f64; N] {
    let (mut hi, mut lo) = ([0.0; N], [0.0; N]);
    for (y, x) in pairs {
        for (i, term) in of(y, x).into_iter().enumerate() {
            accumulate::<f64>(&mut hi[i], &mut lo[i], term);
        }
    }
    std::array::from_fn(|i| hi[i] + lo[i])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By hand, and with pixels that are left out.
    #[test]
    fn the_sums_of_the_textbook() {
        let y = [1.0, 2.0, 4.0, f64::NAN, 100.0, 3.0];
        let x = [2.0, 3.0, 6.0, 50.0, f64::INFINITY, 1.0];
        // Means 2.5 and 3: 1 * 1.5 + 0 + 3 * 1.5 - 2 * 0.5 = 5 over 1 + 0 + 9 + 4 = 14.
        let (s, z) = fit(&y, &x, Wanted::Both).unwrap();
        assert!((s - 5.0 / 14.0).abs() < 1e-15 && (z - (2.5 - 15.0 / 14.0)).abs() < 1e-15, "{s} {z}");
        // 2 + 6 + 24 + 3 = 35 over 4 + 9 + 36 + 1 = 50.
        assert_eq!(fit(&y, &x, Wanted::Scale), Ok((0.7, 0.0)));
        assert_eq!(fit(&y, &x, Wanted::Zero(1.0, 1.0)), Ok((1.0, -0.5)));
        // 2 * 10 / 4 - 0.5 * 12 / 4.
        assert_eq!(fit(&y, &x, Wanted::Zero(2.0, 0.5)), Ok((0.5, 3.5)));
    }

    /// A signal of some thousandths of the level: sums of squares themselves would have few digits of it left.
    #[test]
    fn small_signals_on_large_levels() {
        let x: Vec<f64> = (0..10_000).map(|i| 1e9 + f64::from(i % 97) / 8.0).collect();
        let y: Vec<f64> = x.iter().map(|x| 3.0 * (x - 1e9) + 7.0).collect();
        let (s, z) = fit(&y, &x, Wanted::Both).unwrap();
        assert!((s - 3.0).abs() < 1e-9 && (s * 1e9 + z - 7.0).abs() < 1e-5, "{s} {z}");
    }

    #[test]
    fn what_has_no_fit_says_why() {
        let nan = f64::NAN;
        let cases = [
            (&[nan, 1.0][..], &[1.0, nan][..], Wanted::Zero(1.0, 1.0), "no pixel"),
            (&[], &[], Wanted::Both, "no pixel"),
            (&[1.0, 2.0, 3.0], &[0.1, 0.1, 0.1], Wanted::Both, "the same"),
            (&[1.0], &[2.0], Wanted::Both, "the same"),
            (&[1.0, 2.0], &[0.0, 0.0], Wanted::Scale, "is 0"),
            (&[1.0, 2.0], &[2.0, 1.0], Wanted::Both, "not positive"),
            (&[5.0, 5.0], &[2.0, 1.0], Wanted::Both, "not positive"),
            (&[1.0, 2.0], &[-1.0, -2.0], Wanted::Scale, "not positive"),
            (&[1e200, 2.0], &[1e200, 2.0], Wanted::Scale, "not positive"),
        ];
        for (y, x, wanted, why) in cases {
            let said = fit(y, x, wanted).unwrap_err();
            assert!(said.contains(why), "{said}");
        }
    }
}
