//! The peaks of one raw volume, for measurements beside other programs:
//! `blobs_raw INPUT SHAPE DTYPE log|dog MIN MAX COUNT|RATIO THRESHOLD CHUNK BORDER`, lists with commas,
//! prints a row each: coordinates, number of the scale, response.

#![allow(clippy::unwrap_used)]

use volchunk::{ArraySource, Buffer, ChunkGrid, Dtype, Pipeline, Scratch, Source};
use volchunk_ops::{Blobs, Scales};

fn list<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> Vec<T> {
    text.split(',').map(|n| n.parse().unwrap()).collect()
}

fn main() {
    let a: Vec<String> = std::env::args().skip(1).collect();
    let shape: Vec<u64> = list(&a[1]);
    let mut volume = Buffer::zeros(&shape, Dtype::from_name(&a[2]).unwrap());
    volume.bytes_mut().copy_from_slice(&std::fs::read(&a[0]).unwrap());
    let (min, max) = (list(&a[4]), list(&a[5]));
    let scales = match a[3].as_str() {
        "log" => Scales::linear(&min, &max, a[6].parse().unwrap()),
        _ => Scales::geometric(&min, &max, a[6].parse().unwrap()),
    }
    .unwrap();
    let source = ArraySource::new(volume.view());
    let threshold = a[7].parse().unwrap();
    let op =
        Blobs::new(source.info().clone(), &scales, threshold, &list::<u64>(&a[9]), None).unwrap();
    let pipeline = Pipeline::chain(source.info().clone(), [Box::new(op) as _]).unwrap();
    let mut scratch = Scratch::new();
    for chunk in ChunkGrid::new(&shape, &list::<u64>(&a[8])).unwrap().iter() {
        let table = pipeline.compute(&[&source], &chunk.core, &mut scratch).unwrap();
        for row in table.as_slice::<f64>().chunks_exact(shape.len() + 2) {
            println!("{}", row.iter().map(f64::to_string).collect::<Vec<_>>().join(" "));
        }
    }
}
