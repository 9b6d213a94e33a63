//! Built-in volchunk operations, each with its declared halo.

mod gaussian;

pub use gaussian::{Gaussian, Simd};
