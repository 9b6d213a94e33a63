//! The largest response of a whole volume, in a pass of its own.

use std::sync::{Mutex, PoisonError};

use volchunk::{Pipeline, Region, Result, Scratch, Sink, Source, View, VolumeInfo, run};

use super::Blobs;
use crate::{PassOptions, percentile::pass_plan};

/// The largest response of `maximum` to the result of `before`; None where all are NaN.
pub(crate) fn largest_response(
    mut before: Pipeline,
    maximum: Blobs,
    source: &dyn Source,
    options: &PassOptions<'_>,
) -> Result<Option<f64>> {
    let input = before.result();
    before.push(Box::new(maximum), &[input])?;
    let plan = pass_plan(&before, source, 0, options)?;
    let largest = Largest { info: plan.output.clone(), found: Mutex::new(None) };
    (options.watch)(plan.output.voxels(), &|control| {
        run(&plan, &before, &[source], &largest, control)
    })?;
    Ok(largest.found.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Keeps the largest response of all tables.
struct Largest {
    info: VolumeInfo,
    found: Mutex<Option<f64>>,
}

impl Sink for Largest {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn write(&self, _: &Region, data: View<'_>, _: &mut Scratch) -> Result<()> {
        // The last number of a row is the response.
        let row = 8 * data.shape().last().map_or(1, |&columns| columns.max(1)) as usize;
        let rows = data.as_contiguous().unwrap_or_default().chunks_exact(row);
        let numbers = rows.map(|row| bytemuck::pod_read_unaligned::<f64>(&row[row.len() - 8..]));
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        *found = numbers.chain(*found).reduce(f64::max);
        Ok(())
    }

    fn finish(&self) -> Result<()> {
        Ok(())
    }
}
