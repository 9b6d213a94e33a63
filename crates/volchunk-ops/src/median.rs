//! Median of a box.

use volchunk::{
    AxisNeed, Block, Boundary, Buffer, Dtype, Element, Error, Op, Port, Region, Result, Scratch,
    VolumeInfo, dispatch,
};

use crate::Footprint;

/// The median of the box of `2·radius + 1` voxels per axis about each voxel, beyond the true edge
/// reflected; the dtype stays.
///
/// The result is that of `scipy.ndimage.median_filter`. NaN counts as above everything.
///
/// Bools and integers of 8 bits, and of 16 bits in large boxes, are counted: a step along the last axis takes two faces of
/// the box, and the median is walked to from the one before (T. S. Huang, 1979). Other voxels are
/// selected from each box anew. Either is exact, so that a count carried along a row is no seam.
#[derive(Debug)]
pub struct Median {
    inputs: [Port; 1],
    outputs: [Port; 1],
    needs: Vec<AxisNeed>,
    radius: Vec<usize>,
}

/// Voxels of a box, beyond which a median is taken for a mistake.
const MOST: u64 = 1 << 20;

impl Median {
    /// The median over a cube footprint.
    ///
    /// # Errors
    /// A box of more than 2²⁰ voxels; an axis of `input` without voxels.
    pub fn new(input: VolumeInfo, cube: &Footprint) -> Result<Self> {
        let radius = cube.radius();
        let voxels = radius.iter().map(|r| 2 * r + 1).fold(1, u64::saturating_mul);
        if voxels > MOST {
            return Err(Error::argument(format!(
                "the box of radius {radius:?} has {voxels} voxels; legal: up to {MOST}"
            )));
        }
        let need =
            |(a, &r): (usize, &u64)| AxisNeed::identity(a).with_halo(r, r, Boundary::Reflect);
        Ok(Self {
            needs: radius.iter().enumerate().map(need).collect(),
            radius: radius.iter().map(|&r| r as usize).collect(),
            outputs: crate::output_port("median", input.clone())?,
            inputs: crate::input_port("median", input)?,
        })
    }

    fn padded(&self, shape: &[u64]) -> Vec<u64> {
        shape.iter().zip(&self.radius).map(|(n, &r)| n + 2 * r as u64).collect()
    }
}

impl Op for Median {
    fn name(&self) -> &'static str {
        "median"
    }

    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn needs(&self, _: usize) -> &[AxisNeed] {
        &self.needs
    }

    fn scratch_bytes(&self, shape: &[u64]) -> u64 {
        let item = self.inputs[0].info.dtype.size() as u64;
        let padded = self.padded(shape).iter().fold(item, |b, &n| b.saturating_mul(n));
        // The counts, or the box that is selected from, and where its lines lie.
        let own: usize = self.radius.iter().map(|r| 2 * r + 1).product::<usize>() * 16 + (1 << 19);
        padded.saturating_add(own as u64)
    }

    fn keeps_constant(&self) -> bool {
        true
    }

    fn compute(
        &self,
        inputs: &[Block<'_>],
        region: &Region,
        outputs: &mut [Buffer],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let ([block], [out]) = (inputs, outputs) else {
            return Err(Error::argument("median has one input and one output"));
        };
        if region.is_empty() {
            return Ok(());
        }
        let mut padded = scratch.take(&self.padded(region.shape()), out.dtype());
        block.copy_padded(padded.view_mut());
        if out.dtype() == Dtype::Bool {
            padded.bytes_mut().iter_mut().for_each(|b| *b = u8::from(*b != 0));
        }
        let lines = Lines::new(&padded, region.shape(), &self.radius);
        match out.dtype() {
            Dtype::Bool | Dtype::U8 => lines.count(padded.bytes(), out.bytes_mut()),
            Dtype::I8 => lines.count(padded.as_slice::<i8>(), out.as_slice_mut()),
            Dtype::U16 if lines.is_worth_counting() => {
                lines.count(padded.as_slice::<u16>(), out.as_slice_mut());
            }
            Dtype::I16 if lines.is_worth_counting() => {
                lines.count(padded.as_slice::<i16>(), out.as_slice_mut());
            }
            other => dispatch!(other, T => {
                lines.select(padded.as_slice::<T>(), out.as_slice_mut::<T>());
            }),
        }
        scratch.give(padded);
        Ok(())
    }
}

/// Where the lines of boxes lie.
struct Lines {
    /// Of every row of the result, its first voxel's box: where its first line begins.
    starts: Vec<usize>,
    /// From there on, where each line of a box begins.
    lines: Vec<usize>,
    /// Voxels of a line.
    length: usize,
    /// Voxels of a row of the result.
    row: usize,
}

impl Lines {
    fn new(padded: &Buffer, wanted: &[u64], radius: &[usize]) -> Self {
        let ndim = wanted.len();
        let mut steps = vec![1; ndim];
        for a in (1..ndim).rev() {
            steps[a - 1] = steps[a] * padded.shape()[a] as usize;
        }
        let before = ndim.saturating_sub(1);
        let listed = |lengths: &mut dyn Iterator<Item = usize>| {
            let axes: Vec<(usize, usize)> = lengths.zip(steps.iter().copied()).collect();
            let mut all = Vec::new();
            crate::rows::each(&axes, 0, &mut |at| all.push(at));
            all
        };
        Self {
            starts: listed(&mut wanted[..before].iter().map(|&n| n as usize)),
            lines: listed(&mut radius[..before].iter().map(|r| 2 * r + 1)),
            length: radius.last().map_or(1, |r| 2 * r + 1),
            row: wanted.last().map_or(1, |&n| n as usize),
        }
    }

    /// The rank of the median, from 0.
    fn rank(&self) -> usize {
        self.lines.len() * self.length / 2
    }

    /// Whether counting 16-bit voxels is faster than selecting: the walk from one median to the next
    /// is long, however small the box.
    fn is_worth_counting(&self) -> bool {
        const LARGE: usize = 500;
        self.lines.len() * self.length > LARGE
    }

    fn count<T: Binned>(&self, from: &[T], to: &mut [T]) {
        let mut counts = Counts::new();
        let rank = self.rank() as u32;
        for (&start, to) in self.starts.iter().zip(to.chunks_exact_mut(self.row)) {
            for &line in &self.lines {
                from[start + line..][..self.length].iter().for_each(|v| counts.add(v.bin()));
            }
            for (x, to) in to.iter_mut().enumerate() {
                if x > 0 {
                    for &line in &self.lines {
                        let place = start + line + x - 1;
                        counts.remove(from[place].bin());
                        counts.add(from[place + self.length].bin());
                    }
                }
                *to = T::of(counts.walk(rank));
            }
            // Only what the row has left behind, since most bins were never touched.
            for &line in &self.lines {
                let left = &from[start + line + self.row - 1..][..self.length];
                left.iter().for_each(|v| counts.remove(v.bin()));
            }
        }
    }

    fn select<T: Element>(&self, from: &[T], to: &mut [T]) {
        let rank = self.rank();
        let mut held = Vec::with_capacity(self.lines.len() * self.length);
        for (&start, to) in self.starts.iter().zip(to.chunks_exact_mut(self.row)) {
            for (x, to) in to.iter_mut().enumerate() {
                held.clear();
                for &line in &self.lines {
                    held.extend_from_slice(&from[start + line + x..][..self.length]);
                }
                let (_, median, _) = held.select_nth_unstable_by(rank, crate::number::order);
                *to = *median;
            }
        }
    }
}

/// How many voxels of a box have each value, and which of them are below the one last asked for.
struct Counts {
    fine: Vec<u32>,
    /// The same by 256 values, to walk over empty stretches.
    coarse: Vec<u32>,
    at: usize,
    /// Voxels below `at`.
    below: u32,
}

impl Counts {
    fn new() -> Self {
        Self { fine: vec![0; 1 << 16], coarse: vec![0; 1 << 8], at: 0, below: 0 }
    }

    fn add(&mut self, bin: usize) {
        self.fine[bin] += 1;
        self.coarse[bin >> 8] += 1;
        self.below += u32::from(bin < self.at);
    }

    fn remove(&mut self, bin: usize) {
        self.fine[bin] -= 1;
        self.coarse[bin >> 8] -= 1;
        self.below -= u32::from(bin < self.at);
    }

    /// The bin that the voxel of this rank is in.
    fn walk(&mut self, rank: u32) -> usize {
        while self.below > rank {
            let stretch = (self.at >> 8).wrapping_sub(1);
            if self.at & 255 == 0 && self.below - self.coarse[stretch] > rank {
                self.at -= 256;
                self.below -= self.coarse[stretch];
            } else {
                self.at -= 1;
                self.below -= self.fine[self.at];
            }
        }
        loop {
            let stretch = self.coarse[self.at >> 8];
            if self.at & 255 == 0 && self.below + stretch <= rank {
                self.at += 256;
                self.below += stretch;
            } else if self.below + self.fine[self.at] <= rank {
                self.below += self.fine[self.at];
                self.at += 1;
            } else {
                return self.at;
            }
        }
    }
}

/// A value that has one of 65536 numbers, in order.
trait Binned: Copy {
    fn bin(self) -> usize;
    fn of(bin: usize) -> Self;
}

macro_rules! binned {
    ($($t:ty, $unsigned:ty, $flip:expr;)*) => {$(
        impl Binned for $t {
            #[inline(always)]
            fn bin(self) -> usize {
                usize::from(self as $unsigned ^ $flip)
            }
            #[inline(always)]
            fn of(bin: usize) -> Self {
                (bin as $unsigned ^ $flip) as Self
            }
        }
    )*};
}
binned!(u8, u8, 0; i8, u8, 0x80; u16, u16, 0; i16, u16, 0x8000;);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_medians_are_those_selected() {
        let voxels: Vec<u16> =
            (0..14 * 15 * 60u64).map(|i| ((i * 40503 * i) >> 7) as u16).collect();
        let padded = Buffer::from_slice(&[14, 15, 60], &voxels);
        for radius in [[0, 0, 0], [1, 0, 2], [2, 3, 4]] {
            let wanted: Vec<u64> =
                padded.shape().iter().zip(radius).map(|(n, r)| n - 2 * r as u64).collect();
            let lines = Lines::new(&padded, &wanted, &radius);
            let count = wanted.iter().product::<u64>() as usize;
            let (mut counted, mut selected) = (vec![0u16; count], vec![0u16; count]);
            lines.count(&voxels, &mut counted);
            lines.select(&voxels, &mut selected);
            assert_eq!(counted, selected, "{radius:?}");
            let signed: Vec<i16> = voxels.iter().map(|&v| v as i16).collect();
            let (mut counted, mut selected) = (vec![0i16; count], vec![0i16; count]);
            lines.count(&signed, &mut counted);
            lines.select(&signed, &mut selected);
            assert_eq!(counted, selected, "{radius:?}");
        }
    }
}
