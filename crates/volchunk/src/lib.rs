//! Divide image volumes into overlapping chunks, work on every core, reassemble without seams.
//!
//! This is the core: geometry, volumes in memory, the op trait, the engine and the merges. It
//! knows no file format.
//!
//! - [`Region`], [`Halo`], [`ChunkGrid`], [`Chunk`]: how a volume is divided.
//! - [`View`], [`Buffer`], [`Source`], [`Sink`]: where voxels lie, come from and go to.
//! - [`SharedArray`], [`share`]: an array in memory that another process opens.
//! - [`split`], [`merge_chunks`], [`join_cores`], [`merge_points`]: a volume as chunks, and chunk
//!   results as one array or table.
//! - [`suppress_tables`], [`suppress_points`], [`mean_points`], [`Suppressor`]: of points in conflict, the
//!   strongest: found twice ([`Tolerance`]), or sharing their volume ([`Overlap`]).
//! - [`colocalize`]: points of different channels that are each other's nearest.
//! - [`Op`], [`Pipeline`]: what is computed, and which input a region of the output needs.
//! - [`plan()`] and [`run()`]: what a job will cost, and carrying it out on every core.
//! - [`Journal`] and [`run_with`]: the same with receipts, to go on after a kill.
//! - [`reread`], [`ShiftedAudit`], [`SeamSearch`]: whether an output is what was written, and whether
//!   it shows seams.
//! - [`Spool`] and [`sweep`]: the tables that ops like detectors make of chunks, and all of them in one
//!   order.
//! - [`Mask`]: chunks and voxels whose result does not count.
//!
//! Coordinates are `u64` voxels, half-open, slowest axis first; voxel centres lie at integers.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod error;
mod geometry;
mod merge;
mod op;
pub mod os;
mod run;
mod seams;
mod volume;

pub use error::{Error, ErrorKind, Result};
pub use geometry::{Chunk, ChunkGrid, Coords, Halo, Region};
pub use merge::{
    ChannelPairs, Overlap, Pair, Rule, Suppressor, Survivors, Tolerance, colocalize, join_cores,
    mean_points, mean_tables, merge_chunks, merge_chunks_into, merge_points, merge_points_into,
    merged_shape, share, split, suppress_points, suppress_tables,
};
pub use op::{AxisNeed, Block, Input, Op, Pipeline, Port, Scale, Step};
pub use run::{
    Altered, Audit, ByteBudget, Control, Differing, Gather, Journal, Looked, Mask, Memory, Origin,
    Plan, PlanRequest, Progress, Receipt, Report, Reread, RunOptions, ShiftedAudit, Spool,
    StorageRequest, Wants, audit_tables, chunks_outside, digest, for_each_chunk, look, plan,
    reread, reread_tables, run, run_with, sweep,
};
pub use seams::{
    AxisSeams, Finding, Jump, SCORE_GRID, SCORE_PLANE, SeamRequest, SeamSearch, measure_seams,
};
pub use volume::{
    ArraySink, ArraySource, Axis, AxisKind, AxisMap, Bool, Boundary, Buffer, Dtype, Element,
    Scratch, SharedArray, SharedMemory, Sink, Source, StorageGrid, View, ViewMut, VolumeInfo,
};
