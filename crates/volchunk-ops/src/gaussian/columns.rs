//! Which columns of a padded row are computed, and which are copies of them.

use volchunk::Dtype;

/// The positions of a padded row along x.
///
/// Beyond the true edge most boundaries show voxels that stand in the row anyway: they are computed
/// once, then copied.
pub(super) struct Columns {
    /// First position that is computed.
    pub(super) first: usize,
    /// Number of positions that are computed.
    pub(super) len: usize,
    /// Where their voxels lie.
    bytes: Bytes,
    /// Bytes of a voxel.
    size: usize,
    /// Every other position, and the position that it is a copy of; None is the constant.
    copies: Vec<(usize, Option<usize>)>,
}

/// Byte offsets of neighbouring voxels.
enum Bytes {
    /// The first; the others follow without gaps.
    Dense(usize),
    /// Each.
    Each(Vec<usize>),
}

impl Columns {
    /// For positions that stand for voxels `at` of a view with `step` bytes between neighbours.
    pub(super) fn new(at: &[Option<usize>], step: usize, dtype: Dtype) -> Self {
        let (first, len) = longest_run(at);
        let voxel = at.get(first).copied().flatten().unwrap_or(0);
        let copies = (0..at.len()).filter(|p| !(first..first + len).contains(p)).map(|p| {
            // Some(None) is the constant, None a voxel that the run lacks.
            let Some(v) = at[p] else { return Some((p, None)) };
            (voxel..voxel + len).contains(&v).then(|| (p, Some(first + v - voxel)))
        });
        if let Some(copies) = copies.collect() {
            let bytes = if step == dtype.size() {
                Bytes::Dense(voxel * step)
            } else {
                Bytes::Each((voxel..voxel + len).map(|v| v * step).collect())
            };
            return Self { first, len, bytes, size: dtype.size(), copies };
        }
        let bytes = Bytes::Each(at.iter().map(|v| v.unwrap_or(0) * step).collect());
        let copies = (0..at.len()).filter(|&p| at[p].is_none()).map(|p| (p, None)).collect();
        Self { first: 0, len: at.len(), bytes, size: dtype.size(), copies }
    }

    /// Copies the voxels to compute from a row that begins at `from[0]`, side by side.
    pub(super) fn copy(&self, from: &[u8], to: &mut [u8]) {
        match &self.bytes {
            Bytes::Dense(first) => {
                let bytes = self.len * self.size;
                to[..bytes].copy_from_slice(&from[*first..first + bytes]);
            }
            Bytes::Each(offsets) => match self.size {
                1 => gather::<1>(offsets, from, to),
                2 => gather::<2>(offsets, from, to),
                4 => gather::<4>(offsets, from, to),
                _ => gather::<8>(offsets, from, to),
            },
        }
    }

    /// Fills the positions of `row` that were not computed.
    #[inline(always)]
    pub(super) fn pad(&self, row: &mut [f64], constant: f64) {
        for &(position, copy_of) in &self.copies {
            row[position] = copy_of.map_or(constant, |p| row[p]);
        }
    }
}

/// First position and length of the longest run of positions that stand for neighbouring voxels.
fn longest_run(at: &[Option<usize>]) -> (usize, usize) {
    let (mut best, mut start) = ((0, 0), 0);
    for p in 0..at.len() {
        let follows = p > start && at[p].is_some() && at[p] == at[p - 1].map(|v| v + 1);
        if !follows {
            start = p;
        }
        if at[p].is_some() && p + 1 - start > best.1 {
            best = (start, p + 1 - start);
        }
    }
    best
}

fn gather<const SIZE: usize>(offsets: &[usize], from: &[u8], to: &mut [u8]) {
    for (&at, to) in offsets.iter().zip(to.chunks_exact_mut(SIZE)) {
        to.copy_from_slice(&from[at..at + SIZE]);
    }
}
