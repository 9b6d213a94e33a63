//! One file for each command.

mod convert;
mod info;
mod plan;
mod run;

pub(crate) use convert::convert;
pub(crate) use info::info;
pub(crate) use plan::plan;
pub(crate) use run::{Manner, carry_out, run};
