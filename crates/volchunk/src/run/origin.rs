//! What a job computes, and from what.

use std::fmt;

use super::mask::{Mask, over};
use crate::{Buffer, Pipeline, Region, Result, Scratch, Source};

/// What a job computes, and from what.
#[derive(Clone, Copy)]
pub struct Origin<'a> {
    /// The ops; what they find in the whole volume does not matter.
    pub pipeline: &'a Pipeline,
    /// One for each of the pipeline's.
    pub sources: &'a [&'a dyn Source],
    /// Where the result counts.
    pub mask: Option<&'a Mask<'a>>,
}

impl Origin<'_> {
    /// What the job makes at `core`, in one piece.
    pub(super) fn compute(&self, core: &Region, scratch: &mut Scratch) -> Result<Buffer> {
        let compute =
            |scratch: &mut Scratch| Ok((self.pipeline.compute(self.sources, core, scratch)?, ()));
        Ok(over(self.mask, core, self.pipeline.columns(), scratch, compute)?.0)
    }
}

impl fmt::Debug for Origin<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Origin").field("pipeline", self.pipeline).finish_non_exhaustive()
    }
}
