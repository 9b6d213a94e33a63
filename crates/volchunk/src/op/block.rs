//! What an op is given of one input.

use smallvec::SmallVec;

use crate::{
    dispatch,
    volume::{AxisMap, Boundary, Element, View, ViewMut},
};

/// The voxels of one input that an output region needs, and where each position lies among them.
///
/// The view holds only voxels of the volume; position `k` of axis `a` (unclipped coordinate
/// `axes[a].start() + k`) is voxel `axes[a].get(k)` of the view, or the constant.
#[derive(Debug)]
pub struct Block<'a> {
    /// The voxels, any strides.
    pub view: View<'a>,
    /// One map per axis of the view.
    pub axes: Vec<AxisMap>,
    /// What lies beyond the true edge, per axis.
    pub boundaries: Vec<Boundary>,
}

/// Voxels of one axis that lie side by side in the block: from where, None for the constant; to
/// where; how many.
type Run = (Option<usize>, usize, usize);

impl Block<'_> {
    /// Copies every position into `out`, padding included: for kernels that know no boundaries.
    /// Where two axes read different constants, the later axis's stands.
    ///
    /// ```
    /// use volchunk::{AxisMap, Block, Boundary, Buffer, Dtype};
    /// let voxels = Buffer::from_slice(&[3], &[1u8, 2, 3]);
    /// let map = AxisMap::new(Boundary::Mirror, -2, 4, 3, &[0..3]);
    /// let block =
    ///     Block { view: voxels.view(), axes: vec![map], boundaries: vec![Boundary::Mirror] };
    /// let mut padded = Buffer::zeros(&[6], Dtype::U8);
    /// block.copy_padded(padded.view_mut());
    /// assert_eq!(padded.as_slice::<u8>(), [3, 2, 1, 2, 3, 2]);
    /// ```
    ///
    /// # Panics
    /// If `out` is not as long as the maps on every axis, or of another dtype.
    pub fn copy_padded(&self, mut out: ViewMut<'_>) {
        assert_eq!(self.view.dtype(), out.dtype(), "dtypes differ");
        assert!(self.axes.iter().map(|m| m.len() as u64).eq(out.shape().iter().copied()));
        let runs: Vec<Vec<Run>> = self.axes.iter().map(runs).collect();
        if out.shape().contains(&0) {
            return;
        }
        if let Some(starts) =
            runs.iter().map(|r| if let [r] = r[..] { r.0 } else { None }).collect()
        {
            let starts: SmallVec<[usize; 5]> = starts;
            let part = crate::Region::from_ranges(
                starts.iter().zip(out.shape()).map(|(&s, &n)| s as u64..s as u64 + n),
            );
            return out.copy_from(&self.view.part(&part));
        }
        let constants: Vec<[u8; 8]> = self.boundaries.iter().map(|b| self.constant(*b)).collect();
        let axes: Vec<PaddedAxis<'_>> = (0..runs.len())
            .map(|a| PaddedAxis {
                runs: &runs[a],
                from: self.view.strides()[a] as usize,
                to: out.strides()[a] as usize,
                constant: &constants[a][..self.view.dtype().size()],
            })
            .collect();
        copy_axis(&axes, Ok(self.view.data()), out.data_mut(), self.view.dtype().size());
    }

    /// The bytes of a boundary's constant in the block's dtype.
    fn constant(&self, boundary: Boundary) -> [u8; 8] {
        let value = if let Boundary::Constant(value) = boundary { value } else { 0.0 };
        let mut bytes = [0; 8];
        dispatch!(self.view.dtype(), T => {
            bytes[..size_of::<T>()].copy_from_slice(bytemuck::bytes_of(&T::from_f64(value)));
        });
        bytes
    }
}

/// The longest runs of a map.
fn runs(map: &AxisMap) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for k in 0..map.len() {
        let from = map.get(k);
        match (runs.last_mut(), from) {
            (Some((None, _, n)), None) => *n += 1,
            (Some((Some(first), _, n)), Some(i)) if *first + *n == i => *n += 1,
            _ => runs.push((from, k, 1)),
        }
    }
    runs
}

/// One axis of a padded copy: its runs, its strides in bytes, its constant.
struct PaddedAxis<'a> {
    runs: &'a [Run],
    from: usize,
    to: usize,
    constant: &'a [u8],
}

/// Copies the positions of `axes`; `from` is the memory at the place that the axes before have
/// reached, or the constant that one of them reads.
fn copy_axis(axes: &[PaddedAxis<'_>], from: Result<&[u8], &[u8]>, to: &mut [u8], item: usize) {
    let [axis, rest @ ..] = axes else {
        let (Ok(voxel) | Err(voxel)) = from;
        to[..item].copy_from_slice(&voxel[..item]);
        return;
    };
    for &(start, place, n) in axis.runs {
        let from = match (from, start) {
            (Ok(data), Some(start)) => Ok(&data[start * axis.from..]),
            (_, None) => Err(axis.constant),
            (Err(constant), Some(_)) => Err(constant),
        };
        let to = &mut to[place * axis.to..];
        match from {
            Ok(data) if rest.is_empty() && (axis.from, axis.to) == (item, item) => {
                to[..n * item].copy_from_slice(&data[..n * item]);
            }
            _ => {
                for i in 0..n {
                    let from = from.map(|data| &data[i * axis.from..]);
                    copy_axis(rest, from, &mut to[i * axis.to..], item);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Buffer, Dtype};

    fn boundary() -> impl Strategy<Value = Boundary> {
        prop_oneof![
            Just(Boundary::Reflect),
            Just(Boundary::Mirror),
            Just(Boundary::Nearest),
            Just(Boundary::Wrap),
            (0u8..9).prop_map(|v| Boundary::Constant(f64::from(v))),
        ]
    }

    proptest! {
        /// Every position holds the voxel that the boundaries name, on any axes.
        #[test]
        fn padded_copy_is_the_index_of_each_position(
            axes in prop::collection::vec((1u64..6, -9i64..9, 1i64..12, boundary()), 0..4),
        ) {
            let shape: Vec<u64> = axes.iter().map(|a| a.0).collect();
            let count: u64 = shape.iter().product();
            let voxels: Vec<u16> = (100..100 + count as u16).collect();
            let volume = Buffer::from_slice(&shape, &voxels);
            let maps = axes.iter().map(|&(n, start, len, b)| {
                AxisMap::new(b, start, start + len, n, std::slice::from_ref(&(0..n)))
            });
            let block = Block {
                view: volume.view(),
                axes: maps.collect(),
                boundaries: axes.iter().map(|a| a.3).collect(),
            };
            let lengths: Vec<u64> = axes.iter().map(|a| a.2 as u64).collect();
            let mut out = Buffer::zeros(&lengths, Dtype::U16);
            block.copy_padded(out.view_mut());
            for (at, &voxel) in out.as_slice::<u16>().iter().enumerate() {
                let (mut rest, mut place, mut step, mut constant) = (at as u64, 0, 1, None);
                for &(n, start, len, b) in axes.iter().rev() {
                    let k = (rest % len as u64) as i64;
                    rest /= len as u64;
                    match (b.index(start + k, n), b) {
                        (Some(i), _) => place += i * step,
                        (None, Boundary::Constant(v)) => constant = constant.or(Some(v as u16)),
                        _ => prop_assert!(false, "only constants lie nowhere"),
                    }
                    step *= n;
                }
                prop_assert_eq!(voxel, constant.unwrap_or(100 + place as u16));
            }
        }
    }
}
