//! The engine: what a job will cost, carrying it out on every core, going on after a kill.

mod audit;
mod auto_chunk;
mod budget;
mod digest;
mod empty;
mod executor;
mod footprint;
mod halo_cache;
mod journal;
mod keeper;
mod mask;
mod plan;
mod reader;
mod reread;
mod run_job;
mod spool;
mod sweep;
mod todo;

pub use audit::{Audit, Differing, audit_seams};
pub use budget::ByteBudget;
pub use digest::digest;
pub use executor::{Control, Progress, for_each_chunk};
pub use journal::{Journal, Receipt};
pub use mask::{Mask, chunks_outside};
pub use plan::{Memory, Plan, PlanRequest, StorageRequest, plan};
pub use reread::{Altered, Reread, reread};
pub use run_job::{Report, RunOptions, run, run_with};
pub use spool::Spool;
pub use sweep::sweep;
