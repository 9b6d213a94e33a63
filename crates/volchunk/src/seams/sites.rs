//! Where a volume is looked at: patches across planes of the grid, each inside one face.

use crate::geometry::comma;
use crate::{AxisKind, Coords, Error, Region, Result, VolumeInfo};

/// Planes of one axis that are looked at.
const PLANES: u64 = 24;
/// Patches of one axis, at the least planes.
const PATCHES: u64 = 96;
/// Voxels of all patches of all axes, at the least planes; an eighth of the volume's where that is more.
const VOXELS: u64 = 48 << 20;
/// Voxels along the sides of a patch.
const SIDE: u64 = 64;
/// Voxels on both sides of a plane among which off-grid planes are looked for.
pub(super) const BESIDE: u64 = 32;
/// The least chunk between whose planes off-grid planes can be told.
const THINNEST: u64 = 8;
/// Fewer off-grid planes beside a plane tell nothing: one in so many may be an edge of the content.
pub(super) const FEWEST: usize = 20;
/// Fewer voxels on a plane tell nothing.
const SMALLEST: u64 = 256;

/// The planes of a grid in a volume.
pub(super) struct Lattice<'a> {
    info: &'a VolumeInfo,
    chunk: &'a [u64],
    /// The first voxel that begins a chunk, below `chunk`.
    first: Coords,
}

/// A patch across a plane.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) axis: usize,
    /// The first voxel behind the plane.
    pub(super) plane: u64,
    pub(super) region: Region,
}

impl<'a> Lattice<'a> {
    pub(super) fn new(info: &'a VolumeInfo, chunk: &'a [u64], offset: &[u64]) -> Result<Self> {
        if chunk.len() != info.ndim() || offset.len() != info.ndim() || chunk.contains(&0) {
            return Err(Error::argument(format!(
                "the grid {} from {} does not suit a volume of shape {:?}; legal: a length of at \
                 least 1 voxel and an offset for every axis",
                comma(chunk),
                comma(offset),
                info.shape
            )));
        }
        let first = offset.iter().zip(chunk).map(|(&o, &c)| o % c).collect();
        Ok(Self { info, chunk, first })
    }

    /// Highest order's reach on each side of a plane, beyond the voxels beside it.
    pub(super) fn reach(&self, axis: usize) -> u64 {
        if self.chunk[axis] < 16 { 1 } else { 3 }
    }

    /// Planes inside the volume.
    pub(super) fn planes(&self, axis: usize) -> u64 {
        let (n, c, first) = (self.info.shape[axis], self.chunk[axis], self.first[axis]);
        let inside = if n > first { (n - first).div_ceil(c) } else { 0 };
        inside - u64::from(first == 0 && inside > 0)
    }

    /// Why nothing can be measured on `axis`.
    pub(super) fn hindrance(&self, axis: usize) -> Option<String> {
        let c = self.chunk[axis];
        let n = &self.info.shape;
        let across = (0..n.len()).filter(|&a| a != axis).map(|a| n[a]).product::<u64>();
        if self.planes(axis) == 0 {
            Some("no plane of the grid lies inside the volume".into())
        } else if c < THINNEST {
            Some(format!(
                "chunks of {c} leave no off-grid planes to compare; legal: from {THINNEST}"
            ))
        } else if across < SMALLEST {
            Some(format!("too small to judge: {across} voxels on a plane, from {SMALLEST} tell"))
        } else if self.measurable(axis).next().is_none() {
            Some(format!("too small to judge: around none of its planes lie {FEWEST} off the grid"))
        } else {
            None
        }
    }

    /// The planes, a few evenly among them where there are many, about which enough is known.
    fn measurable(&self, axis: usize) -> impl Iterator<Item = u64> + '_ {
        let (c, first, count) = (self.chunk[axis], self.first[axis], self.planes(axis));
        let base = if first == 0 { c } else { first };
        let taken = count.min(PLANES);
        (0..taken)
            .map(move |k| {
                let at = (u128::from(k) * 2 + 1) * u128::from(count) / (u128::from(taken) * 2);
                base + at as u64 * c
            })
            .filter(move |&p| {
                let beside = (1..=BESIDE as i64).flat_map(|k| [-k, k]);
                self.inside(axis, p, 0)
                    && beside.filter(|&k| self.is_off_grid(axis, p, k)).count() >= FEWEST
            })
    }

    /// Whether the differences across the plane `k` voxels from `plane` lie in the volume.
    fn inside(&self, axis: usize, plane: u64, k: i64) -> bool {
        let reach = self.reach(axis);
        plane
            .checked_add_signed(k)
            .is_some_and(|p| p > reach && p.saturating_add(reach) < self.info.shape[axis])
    }

    /// Whether the plane `k` voxels from `plane`, one of the grid, lies in the volume, and no
    /// difference across it spans one of the grid.
    pub(super) fn is_off_grid(&self, axis: usize, plane: u64, k: i64) -> bool {
        let (c, reach) = (self.chunk[axis], self.reach(axis));
        let beyond = k.unsigned_abs() % c;
        self.inside(axis, plane, k) && beyond.min(c - beyond) > reach
    }

    /// The ranges of one axis that a patch may have: within one chunk.
    fn slots(&self, axis: usize) -> u64 {
        let sides = self.chunk[axis].min(self.info.shape[axis]).div_ceil(self.side(axis));
        (self.planes(axis) + 1).saturating_mul(sides)
    }

    /// Patches that are wanted of an axis, at the least planes: measuring them is to be a small part of
    /// reading the volume.
    fn patches(&self, axis: usize) -> u64 {
        let n = &self.info.shape;
        let sides = (0..n.len()).map(|a| if a == axis { 2 * BESIDE } else { self.side(a) });
        let patch = sides.zip(n).fold(1, |voxels: u64, (side, &n)| voxels * side.min(n).max(1));
        let voxels = (Region::whole(n).voxels() / 8).max(VOXELS) / n.len() as u64;
        PATCHES.min(voxels / patch)
    }

    fn side(&self, axis: usize) -> u64 {
        let space = self.info.axes[axis].kind == AxisKind::Space;
        if space { SIDE.min(self.chunk[axis]) } else { 1 }
    }

    fn slot(&self, axis: usize, number: u64) -> std::ops::Range<u64> {
        let (n, c, first) = (self.info.shape[axis], self.chunk[axis], self.first[axis]);
        let sides = c.min(n).div_ceil(self.side(axis));
        let (chunk, k) = (number / sides, number % sides);
        let base = if first == 0 { c } else { first };
        let start = if chunk == 0 { 0 } else { base + (chunk - 1) * c };
        let stop = base.saturating_add(chunk.saturating_mul(c)).min(n);
        let length = self.side(axis).min(stop - start);
        let at = (start + k * self.side(axis)).min(stop - length);
        at..at + length
    }
}

/// The patches of an axis: all there are, or some that are spread over the volume, the same in
/// every call.
pub(super) fn sites(lattice: &Lattice<'_>, axis: usize) -> Vec<Site> {
    let planes: Vec<u64> = lattice.measurable(axis).collect();
    let wanted = (lattice.patches(axis) / planes.len().max(1) as u64).max(4);
    let others: Vec<usize> = (0..lattice.info.ndim()).filter(|&a| a != axis).collect();
    let faces = others.iter().fold(1u64, |n, &a| n.saturating_mul(lattice.slots(a)));
    let taken = faces.min(wanted);
    let mut random = Random(axis as u64 + 1);
    let mut sites = Vec::new();
    for &plane in &planes {
        for k in 0..taken {
            // One somewhere in each of as many stretches of equal length.
            let (from, to) = (
                u128::from(k) * u128::from(faces) / u128::from(taken),
                u128::from(k + 1) * u128::from(faces) / u128::from(taken),
            );
            let mut number = (from + u128::from(random.next()) % (to - from)) as u64;
            let span = BESIDE + lattice.reach(axis) + 1;
            let along = plane.saturating_sub(span)
                ..plane.saturating_add(span).min(lattice.info.shape[axis]);
            let mut ranges = vec![along; lattice.info.ndim()];
            for &a in others.iter().rev() {
                ranges[a] = lattice.slot(a, number % lattice.slots(a));
                number /= lattice.slots(a);
            }
            sites.push(Site { axis, plane, region: Region::from_ranges(ranges) });
        }
    }
    sites
}

/// Method: G. L. Steele et al., SplitMix64, 2014.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
