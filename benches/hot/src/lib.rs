//! A generated day as input, and our decoder and books over it: what `hot` and the benchmarks share.
//!
//! A crate of its own, so that counting instructions builds neither the appliance nor a peer.
#![forbid(unsafe_code)]

pub mod feed;
pub mod ours;
pub mod slots;
