//! Seams measured in a volume itself, whatever program made it: is it rougher across the planes of
//! a grid than across the planes beside them?

mod judge;
mod jumps;
mod sites;

use std::sync::{Mutex, PoisonError, atomic::AtomicBool};

use crate::{Error, ErrorKind, Region, Result, Scratch, Source, for_each_chunk};
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
/// A volume whose content has the period of the grid is seen as one with seams.
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
    let info = source.info();
    let lattice = Lattice::new(info, request.chunk, request.offset)?;
    let (mut axes, mut all) = (Vec::new(), Vec::new());
    for axis in 0..info.ndim() {
        let planes = lattice.planes(axis);
        let (found, skipped) = match lattice.hindrance(axis) {
            Some(why) => (Vec::new(), Some(why)),
            None => (sites(&lattice, axis), None),
        };
        let patches = found.len();
        all.extend(found);
        let (grid, each, worst) = (None, Vec::new(), None);
        axes.push(AxisSeams { axis, planes, patches, grid, each, worst, skipped });
    }
    let measured = measure(source, &lattice, &all, request)?;
    for axis in axes.iter_mut().filter(|a| a.skipped.is_none()) {
        let own: Vec<(&Site, &Measure)> =
            all.iter().zip(&measured).filter(|(site, _)| site.axis == axis.axis).collect();
        judge::judge(axis, &lattice, &own);
    }
    Ok(axes)
}

/// The jumps at every site.
fn measure(
    source: &dyn Source,
    lattice: &Lattice<'_>,
    sites: &[Site],
    request: &SeamRequest<'_>,
) -> Result<Vec<Measure>> {
    let size = source.info().dtype.size() as u64;
    let decoded = source
        .info()
        .storage
        .as_ref()
        .map_or(0, |s| s.chunk.iter().fold(size, |bytes, &n| bytes.saturating_mul(n)));
    // The patch, the same with its axis first, twice as f64.
    let patch = sites.iter().map(|s| s.region.voxels()).max().unwrap_or(0) * (2 * size + 16);
    let need = patch.saturating_add(decoded).saturating_add(source.read_overhead()).max(1);
    let workers = request.workers.min((request.memory / need) as usize);
    if workers == 0 {
        return Err(Error::new(
            ErrorKind::OverMemory,
            format!(
                "a look at one patch needs {need} bytes, of which {decoded} are a storage chunk; \
                 {} are granted",
                request.memory
            ),
        ));
    }
    let done: Mutex<Vec<Measure>> = Mutex::new(vec![Measure::default(); sites.len()]);
    for_each_chunk(
        sites.len() as u64,
        workers,
        request.cancel,
        |_| Ok(Scratch::with_limit(need)),
        |scratch, k| {
            let site = &sites[k as usize];
            let mut voxels = scratch.take(site.region.shape(), source.info().dtype);
            source.read(&site.region, voxels.view_mut(), scratch)?;
            let found = jumps(&voxels, site, lattice.reach(site.axis));
            scratch.give(voxels);
            done.lock().unwrap_or_else(PoisonError::into_inner)[k as usize] = found;
            Ok(())
        },
    )?;
    Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// All axes' `values` in one word, for messages.
fn comma(values: &[u64]) -> String {
    values.iter().map(u64::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests;
