//! Means of groups of voxels.

use volchunk::{
    AxisNeed, Block, Buffer, Dtype, Element, Error, Op, Port, Region, Result, Scratch, View,
    VolumeInfo, dispatch,
};

use crate::rows::{PIECE, axes, each, row};

/// The mean of every group of `factor` voxels per axis; the dtype stays.
///
/// An axis of `n` voxels becomes one of `ceil(n / factor)`; the last group averages what is there.
/// Integers are summed exactly and rounded once, half to even; floats are summed in float64 in
/// raster order and divided once.
#[derive(Debug)]
pub struct Downsample {
    inputs: [Port; 1],
    outputs: [Port; 1],
    needs: Vec<AxisNeed>,
    factor: Vec<u64>,
}

impl Downsample {
    /// `factor`: one per axis of `input`, 1 leaves an axis as it is. A factor above the length of
    /// its axis counts as that length. The scale of each axis is multiplied by its factor, and its
    /// origin moves to the centre of the first group.
    ///
    /// # Errors
    /// A factor of 0, or another number of factors than of axes.
    pub fn new(input: VolumeInfo, factor: &[u64]) -> Result<Self> {
        if factor.len() != input.ndim() || factor.contains(&0) {
            return Err(Error::argument(format!(
                "downsample: factor is {factor:?}; legal: {} integers of at least 1",
                input.ndim()
            )));
        }
        let inputs = crate::input_port("downsample", input)?;
        let mut output = inputs[0].info.clone();
        let factor: Vec<u64> = factor.iter().zip(&output.shape).map(|(&k, &n)| k.min(n)).collect();
        for ((n, axis), &k) in output.shape.iter_mut().zip(&mut output.axes).zip(&factor) {
            *n = n.div_ceil(k);
            if let Some(scale) = axis.scale {
                axis.origin += (k - 1) as f64 / 2.0 * scale;
                axis.scale = Some(scale * k as f64);
            }
        }
        let needs = (0..factor.len()).map(|a| AxisNeed::identity(a).with_scale(factor[a], 1));
        Ok(Self {
            needs: needs.collect(),
            outputs: crate::output_port("downsample", output)?,
            inputs,
            factor,
        })
    }
}

impl Op for Downsample {
    fn name(&self) -> &'static str {
        "downsample"
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

    fn keeps_constant(&self) -> bool {
        // A sum of floats is rounded, and a short group at the end rounds its own way.
        let input = &self.inputs[0].info;
        let full = || input.shape.iter().zip(&self.factor).all(|(n, &k)| n.is_multiple_of(k));
        !input.dtype.is_float() || full()
    }

    fn compute(
        &self,
        inputs: &[Block<'_>],
        _: &Region,
        outputs: &mut [Buffer],
        _: &mut Scratch,
    ) -> Result<()> {
        let view = &inputs[0].view;
        let factor: Vec<usize> = self.factor.iter().map(|&k| k as usize).collect();
        let voxels = self.factor.iter().fold(1u64, |v, &k| v.saturating_mul(k));
        dispatch!(view.dtype(), T => {
            let out = &mut outputs[0];
            // The narrowest accumulator that cannot overflow, rounding included.
            match (T::DTYPE, T::DTYPE.size()) {
                (Dtype::F32 | Dtype::F64, _) => means::<T, f64>(view, &factor, out),
                (_, 1 | 2) if voxels <= 1 << 15 => means::<T, i32>(view, &factor, out),
                (_, 1 | 2 | 4) if voxels <= 1 << 31 => means::<T, i64>(view, &factor, out),
                _ => means::<T, i128>(view, &factor, out),
            }
        });
        Ok(())
    }
}

/// Means of the groups of `view`, whose first voxel begins a group.
fn means<T: Element, A: Accumulator>(view: &View<'_>, factor: &[usize], out: &mut Buffer) {
    let mut shape: Vec<usize> = out.shape().iter().map(|&n| n as usize).collect();
    let out = out.as_slice_mut::<T>();
    let mut lines = axes(view);
    let (n, stride) = lines.pop().unwrap_or((1, size_of::<T>()));
    let length = shape.pop().unwrap_or(1);
    let k = factor.last().copied().unwrap_or(1);
    let arch = pulp::Arch::new();
    let (mut sums, mut spare) = (vec![A::default(); (PIECE / k).max(1).min(length)], Vec::new());
    let mut place = vec![0; shape.len()];
    for out in out.chunks_mut(length.max(1)) {
        let mut first = 0;
        let mut group = Vec::with_capacity(place.len());
        for (a, &(n, stride)) in lines.iter().enumerate() {
            let start = place[a] * factor[a];
            first += start * stride;
            group.push((factor[a].min(n - start), stride));
        }
        let rows: usize = group.iter().map(|g| g.0).product();
        let step = sums.len();
        for (piece, out) in out.chunks_mut(step).enumerate() {
            let start = piece * step * k;
            let voxels = (out.len() * k).min(n - start);
            let sums = &mut sums[..out.len()];
            sums.fill(A::default());
            each(&group, first + start * stride, &mut |at| {
                let row = row::<T>(view.data(), at, stride, voxels, &mut spare);
                arch.dispatch(
                    #[inline(always)]
                    || add(sums, row, k),
                );
            });
            // Only the last group of a line can be short.
            let full = voxels / k;
            arch.dispatch(
                #[inline(always)]
                || A::means(&sums[..full], (rows * k) as u64, &mut out[..full]),
            );
            A::means(&sums[full..], (rows * (voxels - full * k)) as u64, &mut out[full..]);
        }
        for (i, &n) in place.iter_mut().zip(&shape).rev() {
            *i += 1;
            if *i < n {
                break;
            }
            *i = 0;
        }
    }
}

/// Adds to each sum its `k` voxels of `row`; the last sum may have fewer.
#[inline(always)]
fn add<T: Element, A: Accumulator>(sums: &mut [A], row: &[T], k: usize) {
    if k == 2 {
        let pairs = row.chunks_exact(2);
        if let ([last], Some(sum)) = (pairs.remainder(), sums.last_mut()) {
            sum.add(*last);
        }
        for (sum, pair) in sums.iter_mut().zip(pairs) {
            sum.add(pair[0]);
            sum.add(pair[1]);
        }
    } else {
        for (sum, group) in sums.iter_mut().zip(row.chunks(k)) {
            group.iter().for_each(|&v| sum.add(v));
        }
    }
}

/// A sum of voxels.
trait Accumulator: Copy + Default {
    fn add<T: Element>(&mut self, voxel: T);
    /// Each of `sums`, of `count` voxels, divided and rounded.
    fn means<T: Element>(sums: &[Self], count: u64, out: &mut [T]);
}

impl Accumulator for f64 {
    #[inline(always)]
    fn add<T: Element>(&mut self, voxel: T) {
        *self += voxel.to_f64();
    }

    #[inline(always)]
    fn means<T: Element>(sums: &[Self], count: u64, out: &mut [T]) {
        for (out, sum) in out.iter_mut().zip(sums) {
            *out = T::from_f64(sum / count as f64);
        }
    }
}

macro_rules! integer {
    ($($t:ty),*) => {$(
        impl Accumulator for $t {
            #[inline(always)]
            fn add<T: Element>(&mut self, voxel: T) {
                *self += voxel.to_i128().unwrap_or(0) as $t;
            }

            #[inline(always)]
            fn means<T: Element>(sums: &[Self], count: u64, out: &mut [T]) {
                let c = count as $t;
                let shift = count.trailing_zeros();
                if count == 1 {
                    for (out, &sum) in out.iter_mut().zip(sums) {
                        *out = T::from_i128(sum as i128);
                    }
                } else if count.is_power_of_two() {
                    // Half to even: just under a half more, and the bit that makes odd go up.
                    for (out, &sum) in out.iter_mut().zip(sums) {
                        let odd = (sum >> shift) & 1;
                        *out = T::from_i128(((sum + c / 2 - 1 + odd) >> shift) as i128);
                    }
                } else {
                    for (out, &sum) in out.iter_mut().zip(sums) {
                        let (floor, rest) = (sum.div_euclid(c), sum.rem_euclid(c));
                        let up = rest > c - rest || (rest == c - rest && floor & 1 == 1);
                        *out = T::from_i128((floor + <$t>::from(up)) as i128);
                    }
                }
            }
        }
    )*};
}
integer!(i32, i64, i128);

#[cfg(test)]
mod tests;
