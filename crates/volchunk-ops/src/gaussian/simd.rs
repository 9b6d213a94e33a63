//! Which instructions the kernels use.

use volchunk::{Error, Result};

/// The environment variable that forces a path.
const VARIABLE: &str = "VOLCHUNK_SIMD";

/// Instruction set of the vectorised kernels. The bits of a result are the same on each.
///
/// ```
/// use volchunk_ops::Simd;
/// assert_eq!(Simd::parse("portable")?, Simd::portable());
/// assert!(Simd::parse("mmx").is_err());
/// # Ok::<(), volchunk::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Simd(Path);

#[derive(Debug, Clone, Copy)]
enum Path {
    /// What every CPU of the target has: SSE2 on x86-64, NEON on aarch64.
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2(pulp::x86::V3),
}

impl PartialEq for Path {
    fn eq(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }
}

impl Eq for Path {}

impl Simd {
    /// What every CPU of the target has.
    pub fn portable() -> Self {
        Self(Path::Portable)
    }

    /// AVX2, if this CPU has it.
    pub fn avx2() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            pulp::x86::V3::try_new().map(|v3| Self(Path::Avx2(v3)))
        }
        #[cfg(not(target_arch = "x86_64"))]
        None
    }

    /// The best that this CPU has.
    pub fn best() -> Self {
        Self::avx2().unwrap_or_else(Self::portable)
    }

    /// `portable`, or `avx2` where the CPU has it.
    ///
    /// # Errors
    /// Any other text; `avx2` on a CPU without it.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "portable" => Ok(Self::portable()),
            "avx2" => Self::avx2().ok_or_else(|| {
                Error::argument(format!(
                    "{VARIABLE} is 'avx2', which this CPU lacks; legal: portable"
                ))
            }),
            _ => Err(Error::argument(format!(
                "{VARIABLE} is '{text}'; legal: portable, avx2, or unset for the best that the CPU has"
            ))),
        }
    }

    /// What the environment variable `VOLCHUNK_SIMD` says; [`best`](Self::best) where it is unset.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    pub fn from_env() -> Result<Self> {
        match std::env::var_os(VARIABLE) {
            Some(text) => Self::parse(&text.to_string_lossy()),
            None => Ok(Self::best()),
        }
    }

    /// Runs `kernel` compiled for this instruction set. Its `call` and all that it calls must be
    /// `#[inline(always)]`: a function that is not inlined is compiled for every CPU. (Closures
    /// cannot be marked so, which is why kernels are structs.)
    #[inline(always)]
    pub(crate) fn run<K: pulp::NullaryFnOnce>(self, kernel: K) -> K::Output {
        match self.0 {
            Path::Portable => kernel.call(),
            #[cfg(target_arch = "x86_64")]
            Path::Avx2(v3) => v3.vectorize(kernel),
        }
    }

    /// Has the CPU fetch what will be read soon, where it can be asked to.
    #[inline(always)]
    pub(crate) fn prefetch(self, bytes: &[u8]) {
        #[cfg(target_arch = "x86_64")]
        if let Path::Avx2(v3) = self.0 {
            for line in bytes.chunks(64) {
                v3.sse._mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T1 }>(line.as_ptr().cast());
            }
        }
    }
}
