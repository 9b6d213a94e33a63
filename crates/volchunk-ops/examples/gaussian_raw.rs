//! Filters a raw array with the gaussian op, for comparison with other programs:
//! `gaussian_raw DTYPE SHAPE OP < input > output`, lengths by commas, the op as `volchunk` takes it
//! (`gaussian:sigma=2,2,0`), voxels in C order and native byte order.

#![allow(clippy::expect_used, clippy::panic)]

use std::io::{Read, Write};

use volchunk::{ArraySource, Buffer, Dtype, Region, Scratch, VolumeInfo};
use volchunk_ops::{OpSpec, bind_chain};

fn main() -> volchunk::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dtype, shape, op] = args.as_slice() else {
        panic!("usage: gaussian_raw DTYPE SHAPE OP < input > output");
    };
    let shape: Vec<u64> = shape.split(',').map(|n| n.parse().expect("SHAPE: integers")).collect();
    let mut volume = Buffer::zeros(&shape, Dtype::from_name(dtype)?);
    std::io::stdin().read_exact(volume.bytes_mut()).expect("as many bytes as SHAPE and DTYPE say");

    let info = VolumeInfo::new(&shape, volume.dtype());
    let pipeline = bind_chain(&[OpSpec::parse(op)?], info)?;
    let source = ArraySource::new(volume.view());
    let out = pipeline.compute(&[&source], &Region::whole(&shape), &mut Scratch::new())?;
    std::io::stdout().write_all(out.bytes()).expect("stdout");
    Ok(())
}
