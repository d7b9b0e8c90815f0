//! A sorting network for any number of samples: which pairs are put in order, whatever the samples are.
//!
//! Batcher's merge exchange (Knuth, "The Art of Computer Programming", volume 3, 5.2.2, algorithm M): about
//! n (log2 n)^2 / 4 comparators, none of them dependent on a result. So neighbouring pixels do the same at the same time,
//! and nothing but minimum and maximum is needed.

/// Pairs (i, j), i < j < n, in order. After "the smaller to i, the larger to j" for each of them n samples are sorted.
pub(super) fn network(n: usize) -> impl Iterator<Item = (u16, u16)> {
    rounds(n).flat_map(move |Round { p, r, d }| {
        let first = (0..n.saturating_sub(d)).filter(move |i| i & p == r);
        first.map(move |i| (i as u16, (i + d) as u16))
    })
}

/// Comparators (i, i + d) for all i with i & p = r and i + d < n: they touch no sample twice, so their order is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Round {
    pub p: usize,
    pub r: usize,
    pub d: usize,
}

/// The rounds of [`network`].
pub(super) fn rounds(n: usize) -> impl Iterator<Item = Round> {
    let top = n.next_power_of_two() / 2;
    let halves = |from: usize| std::iter::successors((from > 0).then_some(from), |&p| (p > 1).then_some(p / 2));
    halves(top).flat_map(move |p| {
        let merges = halves(top).take_while(move |&q| q > p).map(move |q| Round { p, r: p, d: q - p });
        std::iter::once(Round { p, r: 0, d: p }).chain(merges)
    })
}

/// What a step leaves of a comparator: both samples, or only the one that is wanted later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wants {
    Both,
    Lesser,
    Greater,
}

/// A comparator of rows `i` and `j` of a network that leaves out what no wanted place depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub i: usize,
    pub j: usize,
    pub wants: Wants,
}

/// The steps of [`rounds`] that these places of `n` depend on: after them those places have what they have in order, and
/// the others anything.
pub(super) fn selection(n: usize, places: std::ops::RangeInclusive<usize>) -> Vec<Step> {
    let mut wanted: Vec<bool> = (0..n).map(|k| places.contains(&k)).collect();
    let all: Vec<Round> = rounds(n).collect();
    let mut steps = Vec::new();
    for Round { p, r, d } in all.into_iter().rev() {
        for i in (0..n.saturating_sub(d)).rev().filter(|i| i & p == r) {
            let j = i + d;
            let wants = match (wanted[i], wanted[j]) {
                (false, false) => continue,
                (true, false) => Wants::Lesser,
                (false, true) => Wants::Greater,
                (true, true) => Wants::Both,
            };
            (wanted[i], wanted[j]) = (true, true);
            steps.push(Step { i, j, wants });
        }
    }
    steps.reverse();
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wanted is in its place, of all zeros and ones.
    #[test]
    fn what_is_wanted_is_selected() {
        for n in 1..=12 {
            for (first, last) in (0..n).flat_map(|first| (first..n).map(move |last| (first, last))) {
                let steps = selection(n, first..=last);
                for bits in 0..1u32 << n {
                    let mut v: Vec<u32> = (0..n).map(|i| bits >> i & 1).collect();
                    for &Step { i, j, wants } in &steps {
                        let (a, b) = (v[i], v[j]);
                        // What is not wanted is not written, and nothing may depend on it.
                        v[i] = if wants == Wants::Greater { 7 } else { a.min(b) };
                        v[j] = if wants == Wants::Lesser { 7 } else { a.max(b) };
                    }
                    let zeros = n - bits.count_ones() as usize;
                    assert!(
                        (first..=last).all(|k| v[k] == u32::from(k >= zeros)),
                        "{n}: {first} to {last} of {bits:b}"
                    );
                }
            }
        }
        assert_eq!(selection(20, 7..=10).len(), 84);
        assert_eq!(selection(20, 0..=19).len(), network(20).count());
    }

    fn sort<T: Copy + Ord>(v: &mut [T]) {
        for (i, j) in network(v.len()) {
            let (a, b) = (v[usize::from(i)], v[usize::from(j)]);
            (v[usize::from(i)], v[usize::from(j)]) = (a.min(b), a.max(b));
        }
    }

    /// A network that sorts all zeros and ones sorts everything.
    #[test]
    fn zeros_and_ones_are_sorted() {
        for n in 0..=16 {
            for bits in 0..1u32 << n {
                let mut v: Vec<u32> = (0..n).map(|i| bits >> i & 1).collect();
                sort(&mut v);
                assert!(v.is_sorted(), "{n} samples, {bits:b}");
            }
        }
    }

    #[test]
    fn any_number_of_samples_is_sorted() {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 40
        };
        for n in (17..140).chain([255, 256, 257, 300, 1000, 1025]) {
            for ties in [4, 1 << 24] {
                let mut v: Vec<u64> = (0..n).map(|_| next() % ties).collect();
                let mut want = v.clone();
                want.sort_unstable();
                sort(&mut v);
                assert_eq!(v, want, "{n} samples");
            }
        }
    }

    #[test]
    fn each_round_touches_a_sample_once() {
        for n in [2, 3, 7, 20, 33, 300] {
            for Round { p, r, d } in rounds(n) {
                let mut seen = vec![0; n];
                for i in (0..n - d).filter(|i| i & p == r) {
                    seen[i] += 1;
                    seen[i + d] += 1;
                }
                assert!(seen.iter().all(|&s| s <= 1), "{n} samples, p {p}, r {r}, d {d}");
            }
        }
        assert_eq!(network(16).count(), 63);
        assert_eq!((network(0).count(), network(1).count(), network(2).count()), (0, 0, 1));
    }
}
