//! Built-in volchunk operations, each with its declared halo.
//!
//! - [`OpSpec`] reads `name:key=value[:key=value…]`, the form in which the command line and job
//!   files name an op, and binds it to a volume; [`OPS`] lists every op and key.
//! - [`Gaussian`], [`Downsample`], [`Rescale`], [`Transpose`] look beyond one voxel, as do those that
//!   prepare an image for detection: [`Extremum`] (erosion, dilation), [`opening`], [`closing`],
//!   [`tophat`], [`Median`], [`highpass`], [`unsharp`], [`TotalVariation`], [`LocalPercentile`];
//!   [`Elementwise`] carries the [`Kernel`]s that don't: [`Cast`], [`Clip`], [`Threshold`],
//!   [`Subtract`], [`Multiply`].
//! - [`Blobs`] makes no image but a table: bright spots at [`Scales`].
//! - [`means_around`] measures the voxels around points, such as the blobs that were found.
//! - [`Percentile`] needs to know of the whole volume: [`resolve`] finds that in passes of its own.
//! - [`preset`] names ops that are commonly used together.
//!
//! A further op is one file here and one row in `spec/table.rs`.
//!
//! ```
//! use volchunk::{ArraySource, Buffer, Dtype, Region, Scratch, Source};
//! use volchunk_ops::{OpSpec, bind_chain};
//!
//! # fn main() -> volchunk::Result<()> {
//! let volume = Buffer::from_slice(&[2, 4], &[1u8, 3, 10, 20, 5, 7, 30, 41]);
//! let source = ArraySource::new(volume.view());
//! let ops = [OpSpec::parse("downsample:factor=2")?, OpSpec::parse("threshold:value=4")?];
//! let pipeline = bind_chain(&ops, source.info().clone())?;
//! let whole = Region::whole(&pipeline.output().shape);
//! let result = pipeline.compute(&[&source], &whole, &mut Scratch::new())?;
//! // The means are 4 and 25.25, which rounds to 25.
//! assert_eq!(result.as_slice::<u8>(), [0, 1]);
//! assert_eq!(pipeline.output().dtype, Dtype::U8);
//! # Ok(())
//! # }
//! ```

mod around;
mod blobs;
mod combine;
mod composite;
mod downsample;
mod elementwise;
mod gaussian;
mod made;
mod median;
mod morphology;
mod number;
mod percentile;
mod preset;
mod rescale;
mod rows;
mod spec;
#[cfg(test)]
mod testing;
mod transpose;
mod tv;

pub use around::{Ellipsoids, means_around};
pub use blobs::{Blobs, Scales};
pub use downsample::Downsample;
pub use elementwise::{Cast, Clip, Elementwise, Kernel, Multiply, Subtract, Threshold};
pub use gaussian::{Gaussian, GaussianAxis, Reach, Simd};
pub use made::{closing, erosion_where, highpass, opening, tophat, unsharp};
pub use median::Median;
pub use morphology::{Extremum, Footprint, Shape};
pub use number::Number;
pub use percentile::{
    LocalPercentile, Pass, PassOptions, Percentile, pass_bytes, percentile_of, percentiles, resolve,
};
pub use preset::{PRESETS, preset};
pub use rescale::{Order, Rescale};
pub use spec::{Detector, Key, Kind, Length, OPS, OpInfo, OpSpec, bind_chain, help};
pub use transpose::Transpose;
pub use tv::TotalVariation;

pub(crate) use elementwise::float_for;
use volchunk::{Error, Port, Result, VolumeInfo};

/// The one image port of an op's input, refused where an axis holds no voxel.
fn input_port(op: &str, input: VolumeInfo) -> Result<[Port; 1]> {
    match input.shape.iter().position(|&n| n == 0) {
        Some(a) => Err(Error::argument(format!(
            "op {op}: axis {} of its input has no voxels (shape {:?}); legal: at least 1 on every axis",
            input.axes.get(a).map_or("?", |x| &x.name),
            input.shape
        ))),
        None => Ok([Port::image(input)]),
    }
}

/// The one image port of an op's output, refused where no computer could address it.
fn output_port(op: &str, mut output: VolumeInfo) -> Result<[Port; 1]> {
    let bytes = output.shape.iter().try_fold(output.dtype.size() as u64, |b, &n| b.checked_mul(n));
    if bytes.is_none_or(|b| b > i64::MAX as u64) {
        return Err(Error::argument(format!(
            "op {op}: its output of shape {:?} {} would hold more than 2^63 bytes",
            output.shape, output.dtype
        )));
    }
    // A result is not stored yet.
    output.storage = None;
    Ok([Port::image(output)])
}
