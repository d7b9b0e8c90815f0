//! Runtime dispatch: a loop written once, compiled for several instruction sets, the best one taken.
//!
//! A [`Loop`] is a struct of borrowed slices with an `#[inline(always)]` body, so that the body is compiled anew
//! inside each of the functions below, under the instruction set that the function enables. On other processors, and
//! where none of these is found, the portable body runs; NEON is part of every aarch64.

/// A body to be compiled for each instruction set.
pub(crate) trait Loop {
    /// Must be `#[inline(always)]`, as must everything it calls.
    fn run(self);
}

/// Runs the body with the best instruction set that this processor has.
pub(crate) fn dispatch<L: Loop>(body: L) {
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512dq")
        {
            // SAFETY: the features were detected.
            return unsafe { avx512(body) };
        }
        if is_x86_feature_detected!("avx2") {
            // SAFETY: the feature was detected.
            return unsafe { avx2(body) };
        }
    }
    body.run();
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq")]
fn avx512<L: Loop>(body: L) {
    body.run();
}

// Without `fma`: a fused multiply-add would round otherwise than the portable body does.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2<L: Loop>(body: L) {
    body.run();
}

/// Bytes of a line of a cache.
const LINE: usize = 64;

/// Tells the processor that these numbers are read soon, where it can be told.
#[inline(always)]
pub(crate) fn ahead<V>(numbers: &[V]) {
    #[cfg(target_arch = "x86_64")]
    for number in numbers.iter().step_by((LINE / size_of::<V>()).max(1)) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint; it reads nothing and changes nothing, and the address is that of a reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(number).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = numbers;
}
