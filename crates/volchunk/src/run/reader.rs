//! How a chunk's input is read: through halo caches, where they gain.

use std::sync::atomic::{AtomicU64, Ordering};

use super::{
    footprint::Visit,
    halo_cache::HaloCache,
    halo_need::HOLES,
    plan::{Plan, stored_span},
    todo::Todo,
};
use crate::{Input, Region, Result, Scratch, Source, View, ViewMut, op::Reader};

/// A halo cache for each source that gains by one, the budget shared evenly.
pub(super) fn caches<'a>(
    plan: &'a Plan,
    todo: &'a Todo,
    visits: &[Visit],
    sources: &[&'a dyn Source],
) -> Vec<Option<HaloCache<'a>>> {
    let voxels = plan.memory.halo_cache - plan.memory.halo_cache / HOLES;
    let share = voxels / sources.len().max(1) as u64;
    (0..sources.len())
        .map(|i| {
            let mut reads = visits.iter().filter(|v| v.node == Input::Source(i));
            // Two steps that read one source need different regions: that one goes without.
            match (reads.next(), reads.next()) {
                (Some(visit), None) => {
                    HaloCache::new(sources[i], &plan.grid, todo, &visit.footprint, share)
                }
                _ => None,
            }
        })
        .collect()
}

/// Reads for one chunk, through the caches.
pub(super) struct ChunkReader<'a> {
    pub(super) number: u64,
    pub(super) sources: &'a [&'a dyn Source],
    pub(super) caches: &'a [Option<HaloCache<'a>>],
    /// Bytes decoded without a cache.
    pub(super) plain: &'a AtomicU64,
}

impl Reader for ChunkReader<'_> {
    fn borrow(&self, source: usize, region: &Region) -> Option<View<'_>> {
        self.sources[source].borrow(region)
    }

    fn read(
        &self,
        source: usize,
        region: &Region,
        out: ViewMut<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        match self.caches.get(source).and_then(Option::as_ref) {
            Some(cache) => cache.read(self.number, region, out, scratch),
            None => {
                let info = self.sources[source].info();
                let voxels = match &info.storage {
                    None => region.voxels(),
                    Some(storage) => (0..region.ndim())
                        .map(|a| stored_span(&region.range(a), storage.chunk[a], info.shape[a]))
                        .product(),
                };
                self.plain.fetch_add(voxels * info.dtype.size() as u64, Ordering::Relaxed);
                self.sources[source].read(region, out, scratch)
            }
        }
    }
}
