//! One file for each command.

mod convert;
mod detect;
mod finish;
mod info;
mod plan;
mod points;
mod run;
mod status;

pub(crate) use convert::convert;
pub(crate) use detect::detect;
pub(crate) use finish::finish;
pub(crate) use info::info;
pub(crate) use plan::plan;
pub(crate) use points::{check_places, points};
pub(crate) use run::{Manner, run};
pub(crate) use status::status;
