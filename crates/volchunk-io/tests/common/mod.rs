//! What the integration tests share: a seeded generator, random voxels, regions and chunks.

// Every test binary uses its own part of this.
#![allow(dead_code, unreachable_pub)]

use std::{
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use volchunk::{Buffer, Coords, Dtype, Region, Result, Scratch, Sink, Source, ViewMut};

/// SplitMix64: a few lines, the same numbers everywhere.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// A non-empty region of a volume of `shape`.
    pub fn region(&mut self, shape: &[u64]) -> Region {
        let ranges: Vec<_> = shape
            .iter()
            .map(|&n| {
                let (a, b) = (self.below(n), self.below(n));
                a.min(b)..a.max(b) + 1
            })
            .collect();
        Region::from_ranges(ranges)
    }

    /// Voxels of arbitrary bits, but booleans of 0 and 1.
    pub fn voxels(&mut self, shape: &[u64], dtype: Dtype) -> Buffer {
        let mut buffer = Buffer::zeros(shape, dtype);
        for byte in buffer.bytes_mut() {
            *byte = self.next() as u8;
            if dtype == Dtype::Bool {
                *byte &= 1;
            }
        }
        buffer
    }
}

/// The part of `whole` that `region` names, in C order.
pub fn part(whole: &Buffer, region: &Region) -> Buffer {
    let mut out = Buffer::zeros(region.shape(), whole.dtype());
    out.view_mut().copy_from(&whole.view().part(region));
    out
}

/// Reads `region` in C order.
pub fn read(source: &dyn Source, region: &Region) -> Result<Buffer> {
    let mut out = Buffer::zeros(region.shape(), source.info().dtype);
    source.read(region, out.view_mut(), &mut Scratch::new())?;
    Ok(out)
}

/// Reads `region` into the middle of a larger array whose axes lie in another order, and checks
/// that nothing around it is touched.
pub fn read_strided(source: &dyn Source, region: &Region) -> Buffer {
    let dtype = source.info().dtype;
    // One voxel of margin on every side, the first axis fastest.
    let outer: Coords = region.shape().iter().map(|n| n + 2).collect();
    let mut strides = Coords::new();
    let mut step = dtype.size() as u64;
    for &n in &outer {
        strides.push(step);
        step *= n;
    }
    let inner = Region::new(outer.iter().map(|_| 1).collect::<Coords>(), region.shape());
    let mut bytes = vec![0xa5u8; step as usize];
    let mut view = ViewMut::strided(&outer, &strides, dtype, &mut bytes);
    source.read(region, view.part_mut(&inner), &mut Scratch::new()).unwrap();
    let mut out = Buffer::zeros(region.shape(), dtype);
    out.view_mut().copy_from(&view.as_view().part(&inner));
    // Wiping what was asked for must leave nothing but the margin's own bytes.
    let wiped = vec![0xa5u8; out.bytes().len()];
    let wiped = volchunk::View::contiguous(region.shape(), dtype, &wiped);
    view.part_mut(&inner).copy_from(&wiped);
    assert!(bytes.iter().all(|&b| b == 0xa5), "voxels outside {region} were written");
    out
}

/// Writes `whole` to `sink` in random chunks from `threads` threads, from strided views.
pub fn write(sink: &dyn Sink, whole: &Buffer, threads: usize, rng: &mut Rng) {
    let shape = whole.shape();
    let unit: Coords = match &sink.info().storage {
        Some(grid) => Coords::from_slice(grid.write_unit()),
        None => shape.iter().map(|_| 1).collect(),
    };
    let chunk: Vec<u64> = (0..shape.len())
        .map(|a| unit[a] * (1 + rng.below(shape[a].div_ceil(unit[a]).min(4))))
        .collect();
    let mut chunks = vec![Vec::new()];
    for a in 0..shape.len() {
        let starts: Vec<u64> = (0..shape[a]).step_by(chunk[a] as usize).collect();
        chunks = chunks
            .iter()
            .flat_map(|c| starts.iter().map(move |&s| [c.as_slice(), &[s]].concat()))
            .collect();
    }
    for i in (1..chunks.len()).rev() {
        chunks.swap(i, rng.below(i as u64 + 1) as usize);
    }
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut scratch = Scratch::new();
                while let Some(start) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let ranges =
                        (0..shape.len()).map(|a| start[a]..(start[a] + chunk[a]).min(shape[a]));
                    let region = Region::from_ranges(ranges);
                    sink.write(&region, whole.view().part(&region), &mut scratch).unwrap();
                }
            });
        }
    });
}

/// Every file below `path`, or `path` itself.
pub fn files_below(path: &Path) -> Vec<std::path::PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    let mut all = Vec::new();
    for entry in std::fs::read_dir(path).unwrap() {
        all.extend(files_below(&entry.unwrap().path()));
    }
    all.sort();
    all
}
