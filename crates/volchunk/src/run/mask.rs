//! Which voxels of the result count; the others are one fill value.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::executor::for_each_chunk;
use crate::{
    Buffer, ChunkGrid, Dtype, Element, Error, Region, Result, Scratch, Source, VolumeInfo, dispatch,
};

/// A volume of the result's shape: non-zero (NaN too) is inside. Outside, the output is the fill
/// value, voxel by voxel; inside it is what it would be without a mask, for ops see the input
/// unmasked. A chunk whose core lies wholly outside is not computed.
///
/// ```
/// use volchunk::{ArraySource, Buffer, Dtype, Mask, VolumeInfo};
/// let inside = Buffer::from_slice(&[2, 2], &[0u8, 1, 1, 0]);
/// let source = ArraySource::new(inside.view());
/// let result = VolumeInfo::new(&[2, 2], Dtype::F32);
/// let mask = Mask::new(&source, Buffer::from_slice(&[], &[-1.0f32]), &result)?;
/// assert!(Mask::new(&source, Buffer::from_slice(&[], &[0u8]), &result).is_err());
/// # let _ = mask;
/// # Ok::<(), volchunk::Error>(())
/// ```
pub struct Mask<'a> {
    source: &'a dyn Source,
    fill: Buffer,
}

impl std::fmt::Debug for Mask<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let info = self.source.info();
        f.debug_struct("Mask").field("source", info).field("fill", &self.fill).finish()
    }
}

/// How much of a chunk's core is inside.
enum Cover {
    /// Nothing.
    Outside,
    /// Some; the mask there.
    Partly(Buffer),
    /// All.
    Inside,
}

impl<'a> Mask<'a> {
    /// The mask in `source` for a `result`; `fill` is one voxel of the result's dtype.
    ///
    /// # Errors
    /// Another shape than the result's; a fill of another dtype or number of voxels.
    pub fn new(source: &'a dyn Source, fill: Buffer, result: &VolumeInfo) -> Result<Self> {
        check_shape(source.info(), result)?;
        check_voxel(&fill, result.dtype, "the fill value")?;
        Ok(Self { source, fill })
    }

    pub(super) fn source(&self) -> &'a dyn Source {
        self.source
    }

    /// What a run's plan must have allowed for.
    pub(super) fn check(&self, result: &VolumeInfo) -> Result<()> {
        check_shape(self.source.info(), result)?;
        check_voxel(&self.fill, result.dtype, "the fill value")
    }

    /// Reads the mask over `core`, a region of the whole result.
    fn cover(&self, core: &Region, scratch: &mut Scratch) -> Result<Cover> {
        let mut voxels = scratch.take(core.shape(), self.source.info().dtype);
        self.source.read(core, voxels.view_mut(), scratch)?;
        let (some, all) = dispatch!(voxels.dtype(), T => coverage(voxels.as_slice::<T>()));
        if some && !all {
            return Ok(Cover::Partly(voxels));
        }
        scratch.give(voxels);
        Ok(if some { Cover::Inside } else { Cover::Outside })
    }

    /// The result over a core that lies outside; where it is a table, one of `columns` without rows.
    fn outside(&self, core: &Region, columns: Option<u64>, scratch: &mut Scratch) -> Buffer {
        match columns {
            Some(columns) => Buffer::zeros(&[0, columns], Dtype::F64),
            None => filled(&self.fill, core.shape(), scratch),
        }
    }

    /// What is left of `result` over a core that `inside` covers partly; `columns` as above.
    fn laid_over(
        &self,
        inside: &Buffer,
        core: &Region,
        columns: Option<u64>,
        mut result: Buffer,
    ) -> Buffer {
        match columns {
            Some(_) => rows_inside(inside, core, &result),
            None => {
                self.apply(inside, &mut result);
                result
            }
        }
    }

    /// Puts the fill value at every voxel of `result` where `mask`, of its shape, is zero.
    fn apply(&self, mask: &Buffer, result: &mut Buffer) {
        let (size, fill) = (result.dtype().size(), self.fill.bytes());
        let result = result.bytes_mut();
        dispatch!(mask.dtype(), T => {
            let mask = mask.as_slice::<T>();
            // By size, so that a voxel is one move.
            match size {
                1 => blank::<T, u8>(mask, result, fill),
                2 => blank::<T, u16>(mask, result, fill),
                4 => blank::<T, u32>(mask, result, fill),
                _ => blank::<T, u64>(mask, result, fill),
            }
        });
    }
}

/// What `compute` makes at `core`, with whatever it tells of that, as far as `mask` leaves it; not called,
/// and None, where the core lies wholly outside. Tables have so many `columns`.
pub(super) fn over<T>(
    mask: Option<&Mask<'_>>,
    core: &Region,
    columns: Option<u64>,
    scratch: &mut Scratch,
    compute: impl FnOnce(&mut Scratch) -> Result<(Buffer, T)>,
) -> Result<(Buffer, Option<T>)> {
    let whole = |(buffer, told): (Buffer, T)| (buffer, Some(told));
    let Some(mask) = mask else { return compute(scratch).map(whole) };
    match mask.cover(core, scratch)? {
        Cover::Outside => Ok((mask.outside(core, columns, scratch), None)),
        Cover::Inside => compute(scratch).map(whole),
        Cover::Partly(inside) => {
            let (buffer, told) = compute(scratch)?;
            let buffer = mask.laid_over(&inside, core, columns, buffer);
            scratch.give(inside);
            Ok((buffer, Some(told)))
        }
    }
}

/// Whether each voxel of `region` is inside of `mask`, in C order.
///
/// # Errors
/// What the mask reports.
pub(crate) fn inside(
    mask: &dyn Source,
    region: &Region,
    scratch: &mut Scratch,
) -> Result<Vec<bool>> {
    let mut voxels = scratch.take(region.shape(), mask.info().dtype);
    mask.read(region, voxels.view_mut(), scratch)?;
    let inside = dispatch!(voxels.dtype(), T => {
        voxels.as_slice::<T>().iter().map(|&v| v != T::default()).collect()
    });
    scratch.give(voxels);
    Ok(inside)
}

/// Bytes of so many voxels of `mask`, and what reading them takes together with them.
pub(crate) fn mask_bytes(mask: &dyn Source, voxels: u64) -> (u64, u64) {
    let info = mask.info();
    let bytes = |voxels: u64| voxels.saturating_mul(info.dtype.size() as u64);
    let held = bytes(voxels);
    let decoded = info.storage.as_ref().map_or(0, |s| bytes(Region::whole(&s.chunk).voxels()));
    (held, held.saturating_add(decoded).saturating_add(mask.read_overhead()))
}

/// Whether some, and whether all voxels are not zero.
fn coverage<T: Element>(voxels: &[T]) -> (bool, bool) {
    let zero = T::default();
    // In pieces: no branch within, an early end between.
    let (mut some, mut all) = (false, true);
    for piece in voxels.chunks(1 << 12) {
        let inside = piece.iter().filter(|&&v| v != zero).count();
        some |= inside > 0;
        all &= inside == piece.len();
        if some && !all {
            break;
        }
    }
    (some, all)
}

fn blank<T: Element, W: bytemuck::Pod>(mask: &[T], result: &mut [u8], fill: &[u8]) {
    let fill: W = bytemuck::pod_read_unaligned(fill);
    for (voxel, &inside) in bytemuck::cast_slice_mut::<u8, W>(result).iter_mut().zip(mask) {
        if inside == T::default() {
            *voxel = fill;
        }
    }
}

/// The rows of a table of `core` whose voxel is not zero in `mask`, of the core's shape.
fn rows_inside(mask: &Buffer, core: &Region, table: &Buffer) -> Buffer {
    let columns = table.shape()[1];
    let inside = |row: &&[f64]| {
        let place = (0..core.ndim()).fold(0, |place, a| {
            place * core.shape()[a] + (row[a] as u64).saturating_sub(core.start()[a])
        });
        dispatch!(mask.dtype(), T => {
            mask.as_slice::<T>().get(place as usize).is_some_and(|&v| v != T::default())
        })
    };
    let rows = table.as_slice::<f64>().chunks_exact(columns.max(1) as usize);
    let kept: Vec<f64> = rows.filter(inside).flatten().copied().collect();
    Buffer::from_slice(&[kept.len() as u64 / columns.max(1), columns], &kept)
}

/// An array of `shape` that holds `voxel` everywhere.
pub(super) fn filled(voxel: &Buffer, shape: &[u64], scratch: &mut Scratch) -> Buffer {
    let mut all = scratch.take(shape, voxel.dtype());
    dispatch!(voxel.dtype(), T => {
        let value = voxel.as_slice::<T>()[0];
        all.as_slice_mut::<T>().fill(value);
    });
    all
}

/// Refuses a mask that is not of the result's shape.
pub(super) fn check_shape(mask: &VolumeInfo, result: &VolumeInfo) -> Result<()> {
    if mask.shape == result.shape {
        return Ok(());
    }
    Err(Error::argument(format!(
        "the mask is {:?}, the result is {:?}; legal: a mask of the whole result's shape, also where \
         a region of it is wanted",
        mask.shape, result.shape
    )))
}

/// Refuses what is not one voxel of `dtype`.
pub(super) fn check_voxel(voxel: &Buffer, dtype: Dtype, what: &str) -> Result<()> {
    if voxel.dtype() == dtype && voxel.bytes().len() == dtype.size() {
        return Ok(());
    }
    Err(Error::argument(format!(
        "{what} is {:?} {}; legal: one voxel of {dtype}",
        voxel.shape(),
        voxel.dtype()
    )))
}

/// How many chunks of `grid` have a core that lies wholly outside of `mask`, which a run will not
/// compute.
///
/// The mask is read once, core by core, on `workers` threads that hold one core of it each.
///
/// # Errors
/// A mask of another shape than the volume of `grid`; what its source reports;
/// [`Cancelled`](crate::ErrorKind::Cancelled).
pub fn chunks_outside(
    mask: &dyn Source,
    grid: &ChunkGrid,
    workers: usize,
    cancel: &AtomicBool,
) -> Result<u64> {
    let info = mask.info();
    check_shape(info, &VolumeInfo::new(grid.volume(), info.dtype))?;
    let fill = Buffer::zeros(&[], info.dtype);
    let (mask, outside) = (Mask { source: mask, fill }, AtomicU64::new(0));
    let start = |_| Ok(Scratch::new());
    for_each_chunk(grid.len(), workers, cancel, start, |scratch, number| {
        match mask.cover(&grid.core(&grid.index_of(number)), scratch)? {
            Cover::Outside => drop(outside.fetch_add(1, Ordering::Relaxed)),
            Cover::Partly(voxels) => scratch.give(voxels),
            Cover::Inside => {}
        }
        Ok(())
    })?;
    Ok(outside.into_inner())
}
