//! Split and merge: a volume as chunks, chunk results as one array or table again.

mod cores;
mod image;
mod points;
mod rows;
mod shape;
mod share;
mod split;
mod suppress;

pub use cores::join_cores;
pub use image::{merge_chunks, merge_chunks_into};
pub use points::{merge_points, merge_points_into};
pub use shape::merged_shape;
pub use share::share;
pub use split::split;
pub use suppress::{
    ChannelPairs, Overlap, Pair, Rule, Suppressor, Survivors, Tolerance, colocalize, mean_points,
    mean_tables, suppress_points, suppress_tables,
};
