//! The engine: what a job will cost, and carrying it out on every core.

mod auto_chunk;
mod budget;
mod executor;
mod footprint;
mod halo_cache;
mod plan;
mod run_job;

pub use budget::ByteBudget;
pub use executor::{Control, Progress, for_each_chunk};
pub use plan::{Memory, Plan, PlanRequest, StorageRequest, plan};
pub use run_job::{Report, run};
