//! Seams measured in a volume itself, whatever program made it: is it rougher across the planes of
//! a grid than across the planes beside them?

mod judge;
mod jumps;
mod sites;

use std::sync::{Mutex, PoisonError, atomic::AtomicBool};

use crate::{
    Buffer, Error, ErrorKind, Region, Result, Scratch, Source, VolumeInfo, Wants, for_each_chunk,
    run::{inside, mask_bytes},
};
use jumps::{KINDS, Measure, jumps};
use sites::{Lattice, Site, sites};

pub use judge::{Finding, SCORE_GRID, SCORE_PLANE};
pub use jumps::Jump;

/// What [`measure_seams`] looks for, and by which means.
#[derive(Debug, Clone)]
pub struct SeamRequest<'a> {
    /// Distance between the grid's planes on every axis, in voxels.
    pub chunk: &'a [u64],
    /// A voxel that begins a chunk, on every axis.
    pub offset: &'a [u64],
    /// Threads.
    pub workers: usize,
    /// Bytes that they may hold together.
    pub memory: u64,
    /// Set it, from any thread, to stop.
    pub cancel: &'a AtomicBool,
}

/// What was found on the planes of one axis.
#[derive(Debug, Clone)]
pub struct AxisSeams {
    /// The axis that the planes stand on.
    pub axis: usize,
    /// Planes of the grid inside the volume.
    pub planes: u64,
    /// Patches that were looked at.
    pub patches: usize,
    /// All planes that were looked at, taken together; None where nothing could be measured.
    pub grid: Option<Finding>,
    /// Each plane that was looked at: the first voxel behind it, and what was found there.
    pub each: Vec<(u64, Finding)>,
    /// Where the worst can be seen: a box across a plane, and that plane.
    pub worst: Option<(Region, u64)>,
    /// Why nothing was measured.
    pub skipped: Option<String>,
}

impl AxisSeams {
    /// Whether there are seams.
    pub fn found(&self) -> bool {
        self.grid.iter().chain(self.each.iter().map(|(_, f)| f)).any(|f| f.found)
    }

    /// The strongest finding: of the grid as a whole, or of one plane.
    pub fn strongest(&self) -> Option<&Finding> {
        let all = self.grid.iter().chain(self.each.iter().map(|(_, f)| f));
        all.max_by(|a, b| a.found.cmp(&b.found).then(a.score.total_cmp(&b.score)))
    }
}

/// Compares, on every axis, what changes across the planes of a grid with what changes across the
/// planes beside them.
///
/// A plane lies between two voxels. At up to 24 planes of each axis, patches of up to 64 × 64
/// voxels inside the faces of chunks are read with 32 voxels on both sides. Across each plane in
/// them, of the grid or not, differences of order 1, 3, 5 and 7 are taken: higher orders see a step
/// in a smooth volume, lower ones in a noisy volume. Their mean magnitude over a patch tells
/// roughness, the magnitude of their mean a step. Each is held against its own patch's median, the
/// logarithms are averaged over patches, and the plane stands out if it lies [`SCORE_PLANE`] robust
/// standard deviations (1.4826 × the median absolute deviation) above the median of the off-grid
/// planes, all planes together [`SCORE_GRID`], *and* half as far again as any off-grid plane.
///
/// An axis on whose planes lie fewer than 256 voxels, or around none of whose planes 20 can be compared,
/// is too small to judge. A volume whose content has the period of the grid is seen as one with seams.
///
/// ```
/// use std::sync::atomic::AtomicBool;
/// use volchunk::{ArraySource, Buffer, SeamRequest, measure_seams};
/// // Noise, a step of the same size in its middle.
/// let noise = |i: u64| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 33) % 100;
/// let values: Vec<u16> =
///     (0..64 * 64 * 64).map(|i| (noise(i * i) + 100 * (i / 64 % 64 / 32)) as u16).collect();
/// let volume = Buffer::from_slice(&[64, 64, 64], &values);
/// let cancel = AtomicBool::new(false);
/// let request =
///     SeamRequest { chunk: &[32; 3], offset: &[0; 3], workers: 1, memory: 1 << 28, cancel: &cancel };
/// let axes = measure_seams(&ArraySource::new(volume.view()), &request)?;
/// let found: Vec<bool> = axes.iter().map(|axis| axis.found()).collect();
/// assert_eq!(found, [false, true, false]);
/// # Ok::<(), volchunk::Error>(())
/// ```
///
/// # Errors
/// A zero chunk, another number of axes; a budget too small for one patch; what the source reports;
/// [`ErrorKind::Cancelled`].
pub fn measure_seams(source: &dyn Source, request: &SeamRequest<'_>) -> Result<Vec<AxisSeams>> {
    SeamSearch::new(source.info(), request.chunk, request.offset)?.finish(source, request)
}

/// As [`measure_seams`], of what is read anyway: its patches are [wanted](Wants) of
/// [`reread`](crate::reread); [`finish`](Self::finish) reads what did not pass there.
pub struct SeamSearch<'a> {
    lattice: Lattice<'a>,
    info: &'a VolumeInfo,
    sites: Vec<Site>,
    /// Where voxels count, and where the volume begins in it.
    mask: Option<(&'a dyn Source, &'a [u64])>,
    measured: Vec<Mutex<Option<Measure>>>,
}

impl std::fmt::Debug for SeamSearch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SeamSearch").field("patches", &self.sites.len()).finish_non_exhaustive()
    }
}

impl<'a> SeamSearch<'a> {
    /// The patches on the planes of a grid; `chunk` and `offset` as in [`SeamRequest`].
    ///
    /// # Errors
    /// A zero chunk, another number of axes.
    pub fn new(info: &'a VolumeInfo, chunk: &'a [u64], offset: &[u64]) -> Result<Self> {
        let lattice = Lattice::new(info, chunk, offset)?;
        let measurable = (0..info.ndim()).filter(|&axis| lattice.hindrance(axis).is_none());
        let sites: Vec<Site> = measurable.flat_map(|axis| sites(&lattice, axis)).collect();
        let measured = sites.iter().map(|_| Mutex::default()).collect();
        Ok(Self { lattice, info, sites, mask: None, measured })
    }

    /// Counts voxels where `mask`, in which the volume begins at `start`, is not zero, and no others:
    /// the edge of a mask is no seam, wherever it lies.
    ///
    /// # Errors
    /// A mask in which the volume does not lie.
    pub fn within(self, mask: &'a dyn Source, start: &'a [u64]) -> Result<Self> {
        let own = Region::whole(&self.info.shape);
        if start.len() != own.ndim() {
            return Err(Error::argument(format!(
                "the volume {:?} cannot begin at {start:?} of a mask",
                self.info.shape
            )));
        }
        own.translate(start).check_within(&mask.info().shape, "the volume in its mask")?;
        Ok(Self { mask: Some((mask, start)), ..self })
    }

    /// Measures the patches that were not taken, and judges.
    ///
    /// # Errors
    /// As [`measure_seams`].
    pub fn finish(self, source: &dyn Source, request: &SeamRequest<'_>) -> Result<Vec<AxisSeams>> {
        self.measure_left(source, request)?;
        let measured: Vec<Measure> = self
            .measured
            .iter()
            .filter_map(|m| m.lock().unwrap_or_else(PoisonError::into_inner).take())
            .collect();
        let axes = (0..self.info.ndim()).map(|axis| {
            let own: Vec<(&Site, &Measure)> =
                self.sites.iter().zip(&measured).filter(|(site, _)| site.axis == axis).collect();
            let mut found = AxisSeams {
                axis,
                planes: self.lattice.planes(axis),
                patches: own.len(),
                grid: None,
                each: Vec::new(),
                worst: None,
                skipped: self.lattice.hindrance(axis),
            };
            if found.skipped.is_none() {
                judge::judge(&mut found, &self.lattice, &own);
            }
            found
        });
        Ok(axes.collect())
    }

    fn measure_left(&self, source: &dyn Source, request: &SeamRequest<'_>) -> Result<()> {
        let is_left =
            |k: &usize| self.measured[*k].lock().unwrap_or_else(PoisonError::into_inner).is_none();
        let left: Vec<usize> = (0..self.sites.len()).filter(is_left).collect();
        let info = source.info();
        let size = info.dtype.size() as u64;
        let decoded = info
            .storage
            .as_ref()
            .map_or(0, |s| s.chunk.iter().fold(size, |bytes, &n| bytes.saturating_mul(n)));
        let patch = self.largest().saturating_mul(size).saturating_add(Wants::bytes(self));
        let need = patch.saturating_add(decoded).saturating_add(source.read_overhead()).max(1);
        let workers = request.workers.min((request.memory / need) as usize);
        if workers == 0 && !left.is_empty() {
            return Err(Error::new(
                ErrorKind::OverMemory,
                format!(
                    "a look at one patch needs {need} bytes, of which {decoded} are a storage \
                     chunk; {} are granted",
                    request.memory
                ),
            ));
        }
        for_each_chunk(
            left.len() as u64,
            workers,
            request.cancel,
            |_| Ok(Scratch::with_limit(need)),
            |scratch, k| {
                let number = left[k as usize];
                let region = &self.sites[number].region;
                let mut voxels = scratch.take(region.shape(), info.dtype);
                source.read(region, voxels.view_mut(), scratch)?;
                let measured = self.measure(number, &voxels, scratch);
                scratch.give(voxels);
                measured
            },
        )?;
        Ok(())
    }

    fn measure(&self, number: usize, voxels: &Buffer, scratch: &mut Scratch) -> Result<()> {
        let site = &self.sites[number];
        let inside = self
            .mask
            .map(|(mask, start)| inside(mask, &site.region.translate(start), scratch))
            .transpose()?;
        let found = jumps(voxels, inside.as_deref(), site, self.lattice.reach(site.axis));
        *self.measured[number].lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(())
    }

    /// Voxels of the largest patch.
    fn largest(&self) -> u64 {
        self.sites.iter().map(|site| site.region.voxels()).max().unwrap_or(0)
    }
}

impl Wants for SeamSearch<'_> {
    fn regions(&self) -> Vec<Region> {
        self.sites.iter().map(|site| site.region.clone()).collect()
    }

    fn take(&self, number: usize, voxels: &Buffer, scratch: &mut Scratch) {
        // What fails here is tried again by `finish`, which tells it.
        let _ = self.measure(number, voxels, scratch);
    }

    fn bytes(&self) -> u64 {
        // A block of columns, and where they lie: a word for each, which are fewer than voxels.
        const BLOCK: u64 = 64 << 10;
        let across = |site: &Site| site.region.voxels() / site.region.shape()[site.axis].max(1);
        let columns = self.sites.iter().map(across).max().unwrap_or(0);
        let patch = self.largest();
        let mask = self.mask.map_or(0, |(mask, _)| mask_bytes(mask, patch).1.saturating_add(patch));
        columns.saturating_mul(16).saturating_add(BLOCK).saturating_add(mask)
    }
}

#[cfg(test)]
mod tests;
