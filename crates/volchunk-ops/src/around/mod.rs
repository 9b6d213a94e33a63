//! Mean intensities within ellipsoids: one table of all of them, from one pass over a volume.

mod mean;
mod places;
mod sink;

use std::sync::Arc;

use volchunk::{
    AxisNeed, Block, Boundary, Buffer, Dtype, Error, Mask, Op, Pipeline, PlanRequest, Port, Region,
    Result, RunOptions, Scratch, Source, StorageRequest, VolumeInfo, dispatch, plan, run_with,
};

pub use places::Ellipsoids;

use crate::PassOptions;
use mean::mean;
use sink::{Centres, Means};

/// The mean of each channel within each of `ellipsoids`: a row for each, a column for each channel.
///
/// A voxel counts if its centre lies within, or if the ellipsoid's centre lies in it; beyond the
/// volume there are none. Integers are summed exactly, floats as f64 in raster order, each ellipsoid
/// by one worker: the means depend neither on the chunks nor on the workers. A mean of NaN is NaN.
/// The volume is read chunk by chunk, where there are centres, and never held.
///
/// ```
/// use volchunk::{ArraySource, Axis, Buffer, Source};
/// use volchunk_ops::{Ellipsoids, PassOptions, means_around};
/// // Channels, x.
/// let voxels = Buffer::from_slice(&[2, 4], &[1u8, 2, 6, 0, 10, 10, 40, 0]);
/// let source = ArraySource::new(voxels.view()).with_axes(["c", "x"].map(Axis::new).to_vec());
/// // A centre and a semi-axis.
/// let ellipsoids = Ellipsoids::new(source.info(), vec![1.0, 1.0])?;
/// assert_eq!(means_around(ellipsoids, &source, &PassOptions::default())?, [3.0, 20.0]);
/// # Ok::<(), volchunk::Error>(())
/// ```
///
/// # Errors
/// A cap on memory that is too low; what the source reports; cancellation.
pub fn means_around(
    ellipsoids: Ellipsoids,
    source: &dyn Source,
    options: &PassOptions<'_>,
) -> Result<Vec<f64>> {
    let ellipsoids = Arc::new(ellipsoids);
    let input = ellipsoids.volume().clone();
    let means = Means::new(&ellipsoids)?;
    if ellipsoids.is_empty() {
        return Ok(means.into_values());
    }
    let op = Around::new(Arc::clone(&ellipsoids))?;
    let pipeline = Pipeline::chain(input, [Box::new(op) as _])?;
    let centres = Centres::new(&ellipsoids);
    let plan = plan(&PlanRequest {
        pipeline: &pipeline,
        roi: None,
        chunk: options.chunk.map(volchunk::Coords::from_slice),
        storage: StorageRequest::Flat,
        workers: options.workers,
        memory: options.memory,
        held: means.bytes(),
        read_overhead: source.read_overhead(),
        mask: Some(&centres),
        skip_empty: false,
        write_overhead: &|_| Ok(0),
    })?;
    let mask = Mask::new(&centres, Buffer::zeros(&[], Dtype::U8), pipeline.output())?;
    (options.watch)(plan.output.voxels(), &|control| {
        let options = RunOptions { control, mask: Some(&mask), ..RunOptions::default() };
        run_with(&plan, &pipeline, &[source], &means, &options)
    })?;
    Ok(means.into_values())
}

/// A row for each ellipsoid whose centre lies in the region, for each channel there: the voxel of
/// the centre, the number of the ellipsoid, the mean.
#[derive(Debug)]
struct Around {
    ellipsoids: Arc<Ellipsoids>,
    inputs: [Port; 1],
    outputs: [Port; 1],
    needs: Vec<AxisNeed>,
}

impl Around {
    fn new(ellipsoids: Arc<Ellipsoids>) -> Result<Self> {
        let input = ellipsoids.volume().clone();
        let reach = ellipsoids.reach();
        let needs = (0..input.ndim())
            .map(|a| AxisNeed::identity(a).with_halo(reach[a], reach[a], Boundary::Nearest));
        Ok(Self {
            needs: needs.collect(),
            outputs: crate::output_port(
                "around",
                VolumeInfo { dtype: Dtype::U8, ..input.clone() },
            )?,
            inputs: crate::input_port("around", input)?,
            ellipsoids,
        })
    }
}

impl Op for Around {
    fn name(&self) -> &'static str {
        "around"
    }

    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn needs(&self, _: usize) -> &[AxisNeed] {
        &self.needs
    }

    fn columns(&self) -> Option<u64> {
        Some(self.needs.len() as u64 + 2)
    }

    fn scratch_bytes(&self, shape: &[u64]) -> u64 {
        // The rows, and the table of them.
        let row = 16 * self.columns().unwrap_or(0);
        self.ellipsoids.most_within(shape).saturating_mul(row)
    }

    fn compute(
        &self,
        inputs: &[Block<'_>],
        region: &Region,
        outputs: &mut [Buffer],
        scratch: &mut Scratch,
    ) -> Result<()> {
        let ([block], [out]) = (inputs, outputs) else {
            return Err(Error::argument("around has one input and one output"));
        };
        let ellipsoids = &*self.ellipsoids;
        let mut rows: Vec<f64> = Vec::new();
        let mut place = vec![0; region.ndim()];
        for channel in region.range(ellipsoids.channel_axis()) {
            ellipsoids.within(region, |number| {
                ellipsoids.centre_voxel(number, &mut place);
                place[ellipsoids.channel_axis()] = channel;
                let mean = dispatch!(block.view.dtype(), T => {
                    mean::<T>(block, ellipsoids, number, &place)
                });
                rows.extend(place.iter().map(|&at| at as f64));
                rows.extend([f64::from(number), mean]);
            });
        }
        let columns = region.ndim() + 2;
        let shape = [(rows.len() / columns) as u64, columns as u64];
        let mut table = scratch.take(&shape, Dtype::F64);
        table.as_slice_mut::<f64>().copy_from_slice(&rows);
        scratch.give(std::mem::replace(out, table));
        Ok(())
    }
}
