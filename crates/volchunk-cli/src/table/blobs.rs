//! From the peaks that chunks found to the blobs of a volume.

use volchunk::{Error, Pipeline, Result, Spool, VolumeInfo, sweep};
use volchunk_io::{BlobTable, TableInfo};
use volchunk_ops::{Detector, OpSpec};

use super::{
    TableRows,
    prune::{Layout, Pruner},
    share,
};

/// The rows of the table that a job with a detector at its end makes.
///
/// ```
/// use volchunk::{Axis, ChunkGrid, Dtype, Region, Scratch, Sink, Spool, VolumeInfo, Buffer};
/// use volchunk_cli::{BlobRows, TableRows};
/// use volchunk_ops::{OpSpec, bind_chain};
/// let volume = VolumeInfo::new(&[32, 32, 32], Dtype::F32);
/// let ops = [OpSpec::parse("log:min-sigma=2:max-sigma=4:num-sigma=3")?];
/// let pipeline = bind_chain(&ops, volume.clone())?;
/// let grid = ChunkGrid::new(&[32, 32, 32], &[32, 32, 32])?;
/// let spool = Spool::temporary(volume, &grid, 5)?;
/// // Two peaks in one cell: coordinates, number of the scale, response.
/// let peaks = Buffer::from_slice(&[2, 5], &[9.0, 9.0, 9.0, 1.0, 0.5, 9.0, 9.0, 10.0, 0.0, 0.4]);
/// spool.write(&Region::whole(&[32, 32, 32]), peaks.view(), &mut Scratch::new())?;
/// let blobs = BlobRows::new(&ops, &pipeline)?;
/// let sigma = blobs.info().index_of("sigma")?;
/// let mut sigmas = Vec::new();
/// let found = blobs.each(&[&spool], 1 << 20, &mut |rows| {
///     Ok(sigmas.extend(rows.chunks_exact(8).map(|row| row[sigma])))
/// })?;
/// assert_eq!((found, sigmas), (2, vec![3.0]));
/// # Ok::<(), volchunk::Error>(())
/// ```
#[derive(Debug)]
pub struct BlobRows {
    volume: VolumeInfo,
    detector: Detector,
    table: BlobTable,
    info: TableInfo,
}

impl BlobRows {
    /// For the blobs that `ops`, bound as `pipeline`, find.
    ///
    /// # Errors
    /// Ops that do not end in a detector; axes that no table of blobs can have.
    pub fn new(ops: &[OpSpec], pipeline: &Pipeline) -> Result<Self> {
        let (Some(step), Some(spec)) = (pipeline.steps().last(), ops.last()) else {
            return Err(Error::argument("a job without ops makes no table"));
        };
        let detector = spec.detector(&step.op.inputs()[0].info)?.ok_or_else(|| {
            Error::argument(format!("op {} makes no table of blobs", step.op.name()))
        })?;
        let volume = pipeline.output().clone();
        let scales = &detector.scales;
        let isotropic =
            (0..scales.len()).all(|k| scales.sigmas(k).iter().all(|s| *s == scales.sigmas(k)[0]));
        let table = BlobTable::new(&volume.axes, isotropic)?;
        let lengths: Vec<u64> = volume.spatial_axes().iter().map(|&a| volume.shape[a]).collect();
        // The archive of blobs tells the volume's size.
        let attributes = Some(serde_json::json!({ "shape": lengths }));
        let info = TableInfo { attributes, ..table.info().clone() };
        Ok(Self { volume, detector, table, info })
    }
}

impl TableRows for BlobRows {
    fn info(&self) -> &TableInfo {
        &self.info
    }

    /// Of the peaks that `spools` hold together, those that are not pruned.
    fn each(
        &self,
        spools: &[&Spool],
        memory: u64,
        each: &mut dyn FnMut(&[f64]) -> Result<()>,
    ) -> Result<u64> {
        let ndim = self.volume.ndim();
        let (scales, mut table) = (&self.detector.scales, self.table.clone());
        let mut rows = Vec::new();
        let mut hand_on = |peaks: &mut Vec<f64>| {
            rows.clear();
            for peak in peaks.chunks_exact(ndim + 2) {
                let (coordinates, found) = peak.split_at(ndim);
                table.push(coordinates, scales.sigmas(found[0] as usize), found[1], &mut rows);
            }
            peaks.clear();
            each(&rows)
        };
        let layout = Layout::new(&self.volume, &self.detector)?;
        let mut pruner = Pruner::new(&layout);
        let mut kept = Vec::new();
        let found = sweep(spools, share(memory), &mut |peaks| {
            pruner.push(peaks, &mut kept)?;
            hand_on(&mut kept)
        })?;
        pruner.finish(&mut kept)?;
        hand_on(&mut kept)?;
        Ok(found)
    }
}
