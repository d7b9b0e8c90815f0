//! The comparer: are these planes those planes, and if not, where and by how much.
//!
//! Data and variance are compared within a [`Tolerance`], DQ bit by bit. In every tolerance two
//! NaNs are equal (whatever their bits), a NaN differs from any number, an infinity equals only
//! itself, and +0 equals -0.
//!
//! A comparer that cannot fail proves nothing: the tests below change one pixel in each plane and
//! step just over each limit. A plane that neither side has is an empty slice on both.
#![allow(dead_code, unused_imports, reason = "each test binary includes this file and uses its own part of it")]

/// The planes of a container, all of one shape, widened to f64 and u32.
#[derive(Clone, Copy, Debug)]
pub struct Planes<'a> {
    pub data: &'a [f64],
    pub variance: &'a [f64],
    pub dq: &'a [u32],
}

/// How far two finite values may be apart and still agree.
#[derive(Clone, Copy, Debug)]
pub enum Tolerance {
    /// Not at all.
    Exact,
    /// So many units in the last place of f32, counted from the wanted value rounded to f32. `got`
    /// is meant to hold f32 values; one that does not is rounded to f32 too.
    Ulp32(u32),
    /// So many units in the last place of f64.
    Ulp64(u32),
    /// `rel` of the size of the wanted value, or `abs`, whichever is wider.
    Relative { rel: f64, abs: f64 },
}

/// The tolerances of a comparison. DQ has none: it is always exact.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub data: Tolerance,
    pub variance: Tolerance,
}

/// Compares all planes.
///
/// # Errors
///
/// One line per plane that differs: the first index at which it does, got, wanted, how far apart,
/// and how many pixels differ; or both lengths.
pub fn compare(got: &Planes, want: &Planes, bounds: &Bounds) -> Result<(), String> {
    let complaints: Vec<String> = [
        floats("data", got.data, want.data, bounds.data),
        floats("variance", got.variance, want.variance, bounds.variance),
        masks(got.dq, want.dq),
    ]
    .into_iter()
    .flatten()
    .collect();
    if complaints.is_empty() { Ok(()) } else { Err(complaints.join("\n")) }
}

fn floats(plane: &str, got: &[f64], want: &[f64], tolerance: Tolerance) -> Option<String> {
    differing(
        plane,
        got,
        want,
        |&got, &want| tolerance.agree(got, want),
        |&got, &want| format!("got {got:?}, want {want:?}, {}", tolerance.distance(got, want)),
    )
}

fn masks(got: &[u32], want: &[u32]) -> Option<String> {
    differing(
        "dq",
        got,
        want,
        |got, want| got == want,
        |&got, &want| format!("got {got}, want {want}, bits {:#x} differ", got ^ want),
    )
}

/// The complaint about one plane, if there is one.
fn differing<T>(
    plane: &str,
    got: &[T],
    want: &[T],
    agree: impl Fn(&T, &T) -> bool,
    describe: impl Fn(&T, &T) -> String,
) -> Option<String> {
    if got.len() != want.len() {
        return Some(format!("{plane}: {} pixels, want {}", got.len(), want.len()));
    }
    let bad: Vec<usize> = (0..got.len()).filter(|&i| !agree(&got[i], &want[i])).collect();
    let &first = bad.first()?;
    Some(format!(
        "{plane}: {} of {} pixels differ, the first at {first}: {}",
        bad.len(),
        got.len(),
        describe(&got[first], &want[first])
    ))
}

impl Tolerance {
    fn agree(self, got: f64, want: f64) -> bool {
        if got == want || (got.is_nan() && want.is_nan()) {
            return true;
        }
        // The value that the wanted one has in the type compared: 1e300 is infinite in f32.
        let want = if let Tolerance::Ulp32(_) = self { f64::from(want as f32) } else { want };
        if !got.is_finite() || !want.is_finite() {
            return got == want;
        }
        match self {
            Tolerance::Exact => false,
            // A finite f64 that overflows f32 is no f32 result: never within the limit.
            Tolerance::Ulp32(limit) => (got as f32).is_finite() && ulps32(got, want) <= u64::from(limit),
            Tolerance::Ulp64(limit) => ulps64(got, want) <= u64::from(limit),
            Tolerance::Relative { rel, abs } => (got - want).abs() <= (rel * want.abs()).max(abs),
        }
    }

    fn distance(self, got: f64, want: f64) -> String {
        let finite = got.is_finite() && want.is_finite();
        match self {
            Tolerance::Ulp32(limit) if finite => {
                format!("{} ULP of f32 apart, allowed {limit}", ulps32(got, want))
            }
            Tolerance::Ulp64(limit) if finite => {
                format!("{} ULP of f64 apart, allowed {limit}", ulps64(got, want))
            }
            Tolerance::Relative { rel, abs } if finite => {
                let off = (got - want).abs();
                format!("{off:e} apart ({:e} of it), allowed {rel:e} of it or {abs:e}", off / want.abs())
            }
            _ => format!("{:e} apart", (got - want).abs()),
        }
    }
}

/// How many f32 lie between the two. Neighbours have neighbouring bit patterns; those of the
/// negative numbers run backwards from -0, so they are mirrored, which also makes the two zeros
/// one.
fn ulps32(got: f64, want: f64) -> u64 {
    let place = |value: f64| {
        let bits = (value as f32).to_bits();
        let size = i64::from(bits & 0x7fff_ffff);
        if bits >> 31 == 0 { size } else { -size }
    };
    place(got).abs_diff(place(want))
}

/// How many f64 lie between the two.
fn ulps64(got: f64, want: f64) -> u64 {
    let place = |value: f64| {
        let size = (value.to_bits() & (u64::MAX >> 1)).cast_signed();
        if value.is_sign_positive() { size } else { -size }
    };
    place(got).abs_diff(place(want))
}

#[cfg(test)]
mod tests {
    use super::{Bounds, Planes, Tolerance, compare};

    const ALL: [Tolerance; 4] =
        [Tolerance::Exact, Tolerance::Ulp32(4), Tolerance::Ulp64(4), Tolerance::Relative { rel: 1e-6, abs: 1e-6 }];

    fn same(tolerance: Tolerance) -> Bounds {
        Bounds { data: tolerance, variance: tolerance }
    }

    /// Whether one value in the data plane passes; the variance plane must agree on it.
    fn passes(got: f64, want: f64, tolerance: Tolerance) -> bool {
        let (got, want) = ([got], [want]);
        let in_data = compare(
            &Planes { data: &got, variance: &[], dq: &[] },
            &Planes { data: &want, variance: &[], dq: &[] },
            &same(tolerance),
        );
        let in_variance = compare(
            &Planes { data: &[], variance: &got, dq: &[] },
            &Planes { data: &[], variance: &want, dq: &[] },
            &same(tolerance),
        );
        assert_eq!(in_data.is_ok(), in_variance.is_ok());
        in_data.is_ok()
    }

    fn up32(value: f32, steps: u32) -> f64 {
        f64::from((0..steps).fold(value, |value, _| value.next_up()))
    }

    fn up64(value: f64, steps: u32) -> f64 {
        (0..steps).fold(value, |value, _| value.next_up())
    }

    #[test]
    fn one_changed_pixel_in_any_plane_fails() {
        let (data, variance, dq) = ([1.0, 2.0, 3.0, f64::NAN], [0.5, 0.25, 0.0, 1.0], [0, 4, 16, 65535]);
        let want = Planes { data: &data, variance: &variance, dq: &dq };
        for tolerance in ALL {
            let bounds = same(tolerance);
            assert_eq!(compare(&want, &want, &bounds), Ok(()));
            for i in 0..data.len() {
                let mut changed = data;
                changed[i] = if changed[i].is_nan() { 0.0 } else { changed[i] + 0.001 };
                let message = compare(&Planes { data: &changed, ..want }, &want, &bounds).unwrap_err();
                assert!(message.starts_with(&format!("data: 1 of 4 pixels differ, the first at {i}: ")), "{message}");
                assert!(!message.contains('\n'), "{message}");

                let mut changed = variance;
                changed[i] += 0.001;
                let message = compare(&Planes { variance: &changed, ..want }, &want, &bounds).unwrap_err();
                assert!(
                    message.starts_with(&format!("variance: 1 of 4 pixels differ, the first at {i}: ")),
                    "{message}"
                );

                let mut changed = dq;
                changed[i] ^= 1 << (7 * i);
                let message = compare(&Planes { dq: &changed, ..want }, &want, &bounds).unwrap_err();
                assert!(message.starts_with(&format!("dq: 1 of 4 pixels differ, the first at {i}: ")), "{message}");
            }
        }
    }

    #[test]
    fn the_planes_have_their_own_tolerances() {
        let (one, off) = ([1.0], [1.0001]);
        let want = Planes { data: &one, variance: &one, dq: &[] };
        let wide = Tolerance::Relative { rel: 1e-3, abs: 0.0 };
        let (data, variance) = (Planes { data: &off, ..want }, Planes { variance: &off, ..want });
        let bounds = Bounds { data: wide, variance: Tolerance::Exact };
        assert!(compare(&data, &want, &bounds).is_ok() && compare(&variance, &want, &bounds).is_err());
        let bounds = Bounds { data: Tolerance::Exact, variance: wide };
        assert!(compare(&data, &want, &bounds).is_err() && compare(&variance, &want, &bounds).is_ok());
    }

    #[test]
    fn different_lengths_fail() {
        let (long, short) = ([1.0, 2.0], [1.0]);
        let all = Planes { data: &long, variance: &long, dq: &[1, 2] };
        for less in [
            Planes { data: &short, ..all },
            Planes { variance: &short, ..all },
            Planes { dq: &[1], ..all },
            Planes { variance: &[], ..all },
        ] {
            for tolerance in ALL {
                assert!(compare(&less, &all, &same(tolerance)).unwrap_err().contains("pixels, want 2"));
                assert!(compare(&all, &less, &same(tolerance)).unwrap_err().contains("2 pixels, want"));
            }
        }
    }

    #[test]
    fn ulps_of_f32_pass_at_the_limit_and_fail_beyond() {
        for want in [1.0f32, -1.0, 0.999_999_94, 3e38, -65504.0, 1e-45, -1e-45, -3e-45, 0.0, -0.0, 1.2e-38] {
            for limit in [0, 1, 4] {
                let tolerance = Tolerance::Ulp32(limit);
                let (low, high) = (-up32(-want, limit), up32(want, limit));
                assert!(
                    passes(high, want.into(), tolerance) && passes(low, want.into(), tolerance),
                    "{want:e} {limit}"
                );
                let (low, high) = (-up32(-want, limit + 1), up32(want, limit + 1));
                assert!(
                    !passes(high, want.into(), tolerance) && !passes(low, want.into(), tolerance),
                    "{want:e} {limit}"
                );
            }
        }
        // The wanted value is rounded to f32 first.
        assert!(passes(f64::from(0.1f32), 0.1, Tolerance::Ulp32(0)));
        assert!(!passes(f64::from(0.1f32), 0.1, Tolerance::Ulp64(1000)));
        // It may round to infinity, which is then the only right answer.
        assert!(passes(f64::INFINITY, 1e300, Tolerance::Ulp32(0)));
        assert!(!passes(f64::from(f32::MAX), 1e300, Tolerance::Ulp32(4)));
        assert!(!passes(f64::INFINITY, f64::from(f32::MAX), Tolerance::Ulp32(4)));
        // A finite value beyond f32 is no f32 result, however near.
        assert!(!passes(3.5e38, f64::from(f32::MAX), Tolerance::Ulp32(4)));
    }

    #[test]
    fn ulps_of_f64_pass_at_the_limit_and_fail_beyond() {
        for want in [1.0, -1.0, 1e300, -5e-324, 5e-324, 0.0, -0.0, 65504.0] {
            for limit in [0, 1, 4] {
                let tolerance = Tolerance::Ulp64(limit);
                let (low, high) = (-up64(-want, limit), up64(want, limit));
                assert!(passes(high, want, tolerance) && passes(low, want, tolerance), "{want:e} {limit}");
                let (low, high) = (-up64(-want, limit + 1), up64(want, limit + 1));
                assert!(!passes(high, want, tolerance) && !passes(low, want, tolerance), "{want:e} {limit}");
            }
        }
        assert!(!passes(f64::INFINITY, f64::MAX, Tolerance::Ulp64(4)));
        assert!(!passes(f64::MAX, -f64::MAX, Tolerance::Ulp64(u32::MAX)));
    }

    #[test]
    fn relative_takes_the_wider_of_its_two() {
        let tolerance = Tolerance::Relative { rel: 0.25, abs: 0.5 };
        assert!(passes(10.0, 8.0, tolerance) && passes(-6.0, -8.0, tolerance));
        assert!(!passes(10.001, 8.0, tolerance) && !passes(-5.999, -8.0, tolerance));
        assert!(passes(0.5, 0.0, tolerance) && !passes(0.501, 0.0, tolerance));
        assert!(passes(1.5, 1.0, tolerance) && !passes(1.501, 1.0, tolerance));
        // Bounds that are no numbers allow nothing, and the step from -max to max is no number
        // either.
        assert!(!passes(1.5, 1.0, Tolerance::Relative { rel: f64::NAN, abs: f64::NAN }));
        assert!(!passes(f64::MAX, -f64::MAX, tolerance));
    }

    #[test]
    fn exact_is_exact() {
        assert!(!passes(up64(1.0, 1), 1.0, Tolerance::Exact));
        assert!(!passes(5e-324, 0.0, Tolerance::Exact));
    }

    #[test]
    fn nan_infinity_and_zero_mean_the_same_in_every_tolerance() {
        let (nan, inf) = (f64::NAN, f64::INFINITY);
        for tolerance in ALL.into_iter().chain([
            Tolerance::Ulp32(u32::MAX),
            Tolerance::Ulp64(u32::MAX),
            Tolerance::Relative { rel: inf, abs: inf },
        ]) {
            assert!(passes(nan, nan, tolerance) && passes(-nan, nan, tolerance));
            assert!(passes(f64::from_bits(0x7ff8_0000_0000_0001), nan, tolerance));
            assert!(passes(0.0, -0.0, tolerance) && passes(-0.0, 0.0, tolerance));
            assert!(passes(inf, inf, tolerance) && passes(-inf, -inf, tolerance));
            for number in [0.0, 1.0, -3e38, inf, -inf] {
                assert!(!passes(nan, number, tolerance) && !passes(number, nan, tolerance));
            }
            for number in [0.0, f64::MAX, f64::from(f32::MAX), -1.0, -inf] {
                assert!(!passes(number, inf, tolerance), "{number} {tolerance:?}");
                assert!(!passes(-number, -inf, tolerance), "{number} {tolerance:?}");
            }
            assert!(!passes(inf, 1.0, tolerance) && !passes(-inf, inf, tolerance));
        }
    }

    #[test]
    fn the_message_tells_where_and_how_far() {
        // Between 2^23 and 2^24 the f32 are the integers.
        let (got, want) = ([1.0, 9e6 + 3.0, 9.0, 4.0], [1.0, 9e6, 3.0, 4.0]);
        let message = compare(
            &Planes { data: &got, variance: &[], dq: &[0, 0, 6, 0] },
            &Planes { data: &want, variance: &[], dq: &[0, 0, 3, 0] },
            &same(Tolerance::Ulp32(2)),
        );
        let expected = "data: 2 of 4 pixels differ, the first at 1: \
                        got 9000003.0, want 9000000.0, 3 ULP of f32 apart, allowed 2\n\
                        dq: 1 of 4 pixels differ, the first at 2: \
                        got 6, want 3, bits 0x5 differ";
        assert_eq!(message, Err(expected.into()));
    }
}
