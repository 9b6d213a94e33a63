//! The engine: what a job will cost, carrying it out on every core, going on after a kill.

mod audit;
mod auto_chunk;
mod budget;
mod digest;
mod empty;
mod executor;
mod footprint;
mod gather;
mod halo_cache;
mod journal;
mod keeper;
mod look;
mod mask;
mod plan;
mod reader;
mod reread;
mod run_job;
mod shifted;
mod spool;
mod sweep;
mod todo;

pub use audit::audit_tables;
pub use budget::ByteBudget;
pub use digest::digest;
pub use executor::{Control, Progress, for_each_chunk};
pub use gather::{Gather, Wants};
pub use journal::{Journal, Receipt};
pub use look::{Looked, Origin, look};
pub use mask::{Mask, chunks_outside};
pub(crate) use mask::{inside, mask_bytes};
pub use plan::{Memory, Plan, PlanRequest, StorageRequest, plan};
pub use reread::{Altered, Reread, reread, reread_tables};
pub use run_job::{Report, RunOptions, run, run_with};
pub use shifted::{Audit, Differing, ShiftedAudit};
pub use spool::Spool;
pub use sweep::sweep;
