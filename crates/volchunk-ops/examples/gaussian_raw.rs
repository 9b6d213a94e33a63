//! Filters a raw array with the gaussian op, for comparison with other programs:
//! `gaussian_raw DTYPE SHAPE SIGMA BOUNDARY < input > output`, per-axis values by commas, voxels in
//! C order and native byte order.

#![allow(clippy::expect_used, clippy::panic)]

use std::io::{Read, Write};

use volchunk::{ArraySource, Boundary, Buffer, Dtype, Pipeline, Region, Scratch, VolumeInfo};
use volchunk_ops::Gaussian;

fn main() -> volchunk::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dtype, shape, sigma, boundary] = args.as_slice() else {
        panic!("usage: gaussian_raw DTYPE SHAPE SIGMA BOUNDARY < input > output");
    };
    let shape: Vec<u64> = shape.split(',').map(|n| n.parse().expect("SHAPE: integers")).collect();
    let sigma: Vec<f64> = sigma.split(',').map(|s| s.parse().expect("SIGMA: numbers")).collect();
    let mut volume = Buffer::zeros(&shape, Dtype::from_name(dtype)?);
    std::io::stdin().read_exact(volume.bytes_mut()).expect("as many bytes as SHAPE and DTYPE say");

    let info = VolumeInfo::new(&shape, volume.dtype());
    let op = Gaussian::new(info.clone(), &sigma, Boundary::parse(boundary)?)?;
    let pipeline = Pipeline::chain(info, [Box::new(op) as _])?;
    let source = ArraySource::new(volume.view());
    let out = pipeline.compute(&[&source], &Region::whole(&shape), &mut Scratch::new())?;
    std::io::stdout().write_all(out.bytes()).expect("stdout");
    Ok(())
}
