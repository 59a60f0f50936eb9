//! The commands, one file each.

pub mod book;
pub mod completions;
pub mod convert;
pub mod counters;
pub mod decode;
pub mod doctor;
pub mod lines;
pub mod record;
pub mod replay;
pub mod run;
pub mod sim;
pub mod tail;
pub mod top;
pub mod tune;
