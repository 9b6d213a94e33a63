//! Which voxels around a voxel an op looks at.

use volchunk::{Error, Result, VolumeInfo};

/// The neighbourhoods of `skimage.morphology`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `Σ |x| / radius ≤ 1`: the diamond, in any number of axes.
    Octahedron,
    /// `Σ (x / radius)² ≤ 1`; an ellipsoid where the radii differ.
    Ball,
    /// `|x| ≤ radius` on every axis.
    Cube,
}

/// A neighbourhood, symmetric about its centre: a shape, and a radius in voxels for each axis.
///
/// An axis of radius 0 is left alone: `0,2,2` is a disk in every plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footprint {
    shape: Shape,
    radius: Vec<u64>,
}

/// Part of a footprint that is gone through at once: runs along the last axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lines {
    /// Voxels beyond the centre, per axis.
    pub(super) reach: Vec<usize>,
    /// Where a run lies on the axes before the last, from 0 to twice their reach, and how far it
    /// goes from its middle to either side.
    pub(super) runs: Vec<(Vec<usize>, usize)>,
}

/// A longer radius is taken for a mistake.
const MAX_RADIUS: u64 = 1 << 10;
/// More runs than this would take longer than anyone waits.
const MAX_RUNS: u64 = 1 << 20;

impl Footprint {
    /// One radius per axis of `input`, 0 where it is not to be looked along.
    ///
    /// # Errors
    /// Not one radius per axis; a radius above 1024; an octahedron or ball of more than 2²⁰ runs.
    pub fn new(shape: Shape, radius: Vec<u64>, input: &VolumeInfo) -> Result<Self> {
        if radius.len() != input.ndim() {
            return Err(Error::argument(format!(
                "a footprint was given {} radii; legal: one for each of the {} axes ({})",
                radius.len(),
                input.ndim(),
                input.axis_names()
            )));
        }
        if let Some(a) = radius.iter().position(|&r| r > MAX_RADIUS) {
            return Err(Error::argument(format!(
                "radius of axis {} is {}; legal: 0 to {MAX_RADIUS}",
                input.axes[a].name, radius[a]
            )));
        }
        let before = &radius[..radius.len().saturating_sub(1)];
        let runs = before.iter().map(|r| 2 * r + 1).fold(1, u64::saturating_mul);
        if shape != Shape::Cube && runs > MAX_RUNS {
            return Err(Error::argument(format!(
                "a footprint of radius {radius:?} has {runs} runs; legal: up to {MAX_RUNS}"
            )));
        }
        Ok(Self { shape, radius })
    }

    /// Voxels on either side of the centre, per axis.
    pub fn radius(&self) -> &[u64] {
        &self.radius
    }

    /// Whether the voxel at `offset` from the centre belongs to it.
    ///
    /// ```
    /// use volchunk::{Dtype, VolumeInfo};
    /// use volchunk_ops::{Footprint, Shape};
    /// let volume = VolumeInfo::new(&[9, 9, 9], Dtype::U8);
    /// let ball = Footprint::new(Shape::Ball, vec![2, 2, 2], &volume)?;
    /// assert!(ball.contains(&[0, 0, 2]) && ball.contains(&[1, 1, 1]));
    /// assert!(!ball.contains(&[1, 1, 2]));
    /// # Ok::<(), volchunk::Error>(())
    /// ```
    pub fn contains(&self, offset: &[i64]) -> bool {
        let within = offset.iter().zip(&self.radius).all(|(x, &r)| x.unsigned_abs() <= r);
        // In whole numbers: over the product of all radii, so that nothing is rounded.
        let power = match self.shape {
            Shape::Cube => return within,
            Shape::Octahedron => 1,
            Shape::Ball => 2,
        };
        let whole = |r: u64| u128::from(r.max(1)).pow(power);
        let all = self.radius.iter().map(|&r| whole(r)).fold(1, u128::saturating_mul);
        let sum = offset.iter().zip(&self.radius).map(|(x, &r)| {
            (all / whole(r)).saturating_mul(u128::from(x.unsigned_abs()).pow(power))
        });
        within && sum.fold(0, u128::saturating_add) <= all
    }

    /// Parts that, gone through one after the other, are the footprint; none where it is one voxel.
    pub(super) fn parts(&self) -> Vec<Lines> {
        let ndim = self.radius.len();
        let along = |axes: &[usize]| {
            let on = |a: usize| if axes.contains(&a) { self.radius[a] as usize } else { 0 };
            self.lines((0..ndim).map(on).collect())
        };
        let long: Vec<usize> = (0..ndim).filter(|&a| self.radius[a] > 0).collect();
        match (self.shape, long.is_empty()) {
            (_, true) => Vec::new(),
            // A cube is a line after a line.
            (Shape::Cube, _) => long.iter().map(|&a| along(&[a])).collect(),
            _ => vec![along(&long)],
        }
    }

    fn lines(&self, reach: Vec<usize>) -> Lines {
        let before = &reach[..reach.len().saturating_sub(1)];
        let last = reach.last().map_or(0, |&r| r as i64);
        let count = before.iter().map(|r| 2 * r + 1).product();
        let mut runs = Vec::new();
        for number in 0..count {
            let place = place(number, before.iter().map(|r| 2 * r + 1));
            let mut offset: Vec<i64> =
                place.iter().zip(before).map(|(&p, &r)| p as i64 - r as i64).collect();
            offset.push(0);
            let at = offset.len() - 1;
            let width = (0..=last).rev().find(|&x| {
                offset[at] = x;
                self.contains(&offset)
            });
            runs.extend(width.map(|width| (place, width as usize)));
        }
        Lines { reach, runs }
    }
}

/// The index whose C-order number is `number`, on axes of `lengths`.
pub(super) fn place(
    mut number: usize,
    lengths: impl DoubleEndedIterator<Item = usize> + ExactSizeIterator,
) -> Vec<usize> {
    let mut place = vec![0; lengths.len()];
    for (p, n) in place.iter_mut().rev().zip(lengths.rev()) {
        *p = number % n;
        number /= n;
    }
    place
}
