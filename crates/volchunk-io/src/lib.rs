//! Reads and writes the volume formats that volchunk works on.
//!
//! Every format has the same shape: [`open`] gives a [`Source`](volchunk::Source), [`create`] gives
//! a [`Sink`](volchunk::Sink), [`resume`] the same for an output that was begun.
//!
//! - [`open`], [`create`], [`resume`], [`Format`]: which format a path means.
//! - [`describe`]: axes and voxel size that the user gives.
//! - [`output_state`], [`remove_output`], [`same_or_inside`]: what stands where an output is to go.
//! - [`open_table`], [`create_table`], [`TableFormat`], [`BlobTable`]: tables of points, found cells.
//! - [`OutputLock`], [`output_writers`], [`Part`]: who may write there.

mod describe;
mod file;
mod flat;
mod format;
mod lock;
mod npy;
mod output;
mod table;
mod tiff;
mod zarr;

pub use describe::describe;
pub use file::{CountedFile, companion_path, partial_path};
pub use format::{CreateOptions, Format, create, open, resume, write_overhead};
pub use lock::{OutputLock, Part, output_writers};
pub use output::{OutputState, has_journal, output_state, remove_output, same_or_inside};
pub use table::{
    BlobTable, Column, ColumnKind, TableFormat, TableInfo, TableReader, TableWriter, create_table,
    open_table,
};
pub use zarr::{Pyramid, ome_describable};
