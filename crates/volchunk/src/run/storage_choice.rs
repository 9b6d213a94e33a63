//! How the output of a plan is stored: as was asked, and aligned with its chunks.

use crate::{ChunkGrid, Coords, Error, ErrorKind, Region, Result, StorageGrid, geometry::comma};

/// How the output is to be stored.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum StorageRequest {
    /// As voxels one behind the other: any region can be written.
    #[default]
    Flat,
    /// In storage chunks, perhaps in shards; what is None is chosen.
    Chunked {
        /// Shape of a storage chunk.
        chunk: Option<Coords>,
        /// Shape of a shard; None: no shards.
        shard: Option<Coords>,
    },
}

/// Refuses storage chunks and shards that no grid could serve.
pub(super) fn check(request: &StorageRequest, ndim: usize) -> Result<()> {
    let StorageRequest::Chunked { chunk, shard } = request else { return Ok(()) };
    for (what, shape) in [("storage chunk", chunk), ("shard", shard)] {
        let Some(shape) = shape else { continue };
        if shape.len() != ndim || shape.contains(&0) {
            return Err(Error::argument(format!(
                "{what} {} must have {ndim} lengths of at least 1",
                comma(shape)
            )));
        }
    }
    if let (Some(chunk), Some(shard)) = (chunk, shard)
        && let Some(axis) = (0..ndim).find(|&a| !shard[a].is_multiple_of(chunk[a]))
    {
        return Err(Error::argument(format!(
            "shard {} is not a multiple of storage chunk {} on axis {axis}",
            comma(shard),
            comma(chunk)
        )));
    }
    Ok(())
}

/// Storage chunks and shards for the output, aligned with the cores.
pub(super) fn choose(request: &StorageRequest, grid: &ChunkGrid) -> Result<Option<StorageGrid>> {
    let StorageRequest::Chunked { chunk, shard } = request else { return Ok(None) };
    let unit = shard.as_ref().or(chunk.as_ref());
    if let Some(unit) = unit {
        let aligns =
            |a: usize| grid.counts()[a] == 1 || grid.chunk_shape()[a].is_multiple_of(unit[a]);
        if let Some(axis) = (0..grid.ndim()).find(|&a| !aligns(a)) {
            let nearest: Coords = (0..grid.ndim())
                .map(|a| {
                    let (c, u) = (grid.chunk_shape()[a], unit[a]);
                    if aligns(a) { c } else { ((c + u / 2) / u).max(1) * u }
                })
                .collect();
            return Err(Error::new(
                ErrorKind::Misaligned,
                format!(
                    "chunk {} does not align with {} {} on axis {axis}: two chunks would write one \
                     of them and lose data; the nearest chunk that aligns is {}",
                    comma(grid.chunk_shape()),
                    if shard.is_some() { "shard" } else { "storage chunk" },
                    comma(unit),
                    comma(&nearest)
                ),
            ));
        }
    }
    let core: Coords = match shard {
        Some(shard) => shard.clone(),
        None => {
            (0..grid.ndim()).map(|a| grid.chunk_shape()[a].min(grid.domain().shape()[a])).collect()
        }
    };
    let chunk = match chunk {
        Some(chunk) => chunk.clone(),
        None => divide(core, |a| shard.is_none() && grid.counts()[a] == 1),
    };
    Ok(Some(StorageGrid { chunk, shard: shard.clone() }))
}

/// The shape that divides `core` and holds at most 4 Mi voxels, which viewers load at ease. Where
/// `free`, an axis has one core only, and any length aligns. A length without divisors stays.
fn divide(mut core: Coords, free: impl Fn(usize) -> bool) -> Coords {
    const MOST: u64 = 1 << 22;
    // Of a length beyond any volume's, a larger factor would take minutes to find.
    const SMALL: u64 = 1 << 16;
    while Region::whole(&core).voxels() > MOST {
        // The longest axis that has a divisor; one voxel thick it would only make many files.
        let divided = |a: usize| {
            let n = core[a];
            let small = (2..=SMALL.min(n)).take_while(|f| f * f <= n);
            let factor = small.into_iter().find(|&f| n.is_multiple_of(f));
            let half = if free(a) { Some(n.div_ceil(2)) } else { factor.map(|f| n / f) };
            half.filter(|&h| h >= 8 && h < n)
        };
        let axes = (0..core.len()).filter_map(|a| Some((core[a], a, divided(a)?)));
        let Some((_, axis, length)) = axes.max_by_key(|&(n, a, _)| (n, core.len() - a)) else {
            break;
        };
        core[axis] = length;
    }
    core
}
