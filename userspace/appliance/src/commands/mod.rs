//! The commands, one file each.

pub mod book;
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
pub mod tune;
