//! seccomp filters: lists of what may be called, made into programs for the kernel.
//!
//! A call that is on no list fails with EPERM, and nothing is killed: a library that begins to use a
//! new call gets an error that it can live with, where a signal would take the whole feed down at
//! night. What an intruder wants fails all the same.
//!
//! `clone3` hides its flags in memory, where no filter can look, so it is said not to exist: the C
//! library then calls `clone`, which may make threads and nothing else.

use super::Role;
use super::calls::{self, Argument, Call};
use crate::config::Seccomp;
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter, apply_filter_all_threads,
};
use std::collections::BTreeMap;

/// The filters of all threads. The kernel asks every one that a thread has and takes the strictest
/// answer, so those of a role come on top of the one for all.
#[derive(Clone, Debug)]
pub(super) struct Filters {
    no_clone3: BpfProgram,
    all: BpfProgram,
    closed: BpfProgram,
    service: BpfProgram,
    hot: BpfProgram,
}

impl Filters {
    /// The filters of every role.
    pub(super) fn new(mode: Seccomp) -> Result<Self, Error> {
        let service = [calls::HOT, calls::SERVICE].concat();
        let closed = [&service[..], calls::READER].concat();
        Ok(Self {
            no_clone3: no_clone3()?,
            all: allow(&[&closed[..], calls::OPENER].concat(), mode)?,
            closed: allow(&closed, mode)?,
            service: allow(&service, mode)?,
            hot: allow(calls::HOT, mode)?,
        })
    }

    /// Onto every thread of the process.
    pub(super) fn apply_to_all(&self) -> Result<(), Error> {
        apply_filter_all_threads(&self.no_clone3)?;
        apply_filter_all_threads(&self.all)
    }

    /// Onto the thread that keeps house, once nothing is to be opened any more.
    pub(super) fn close(&self) -> Result<(), Error> {
        apply_filter(&self.closed)
    }

    /// Onto the calling thread.
    pub(super) fn apply_to_this(&self, role: Role) -> Result<(), Error> {
        apply_filter(match role {
            Role::Hot => &self.hot,
            Role::Service => &self.service,
        })
    }
}

/// Only these.
fn allow(calls: &[Call], mode: Seccomp) -> Result<BpfProgram, Error> {
    let refused = match mode {
        Seccomp::Log => SeccompAction::Log,
        Seccomp::Enforce | Seccomp::Off => SeccompAction::Errno(libc::EPERM as u32),
    };
    let mut rules = BTreeMap::<i64, Vec<SeccompRule>>::new();
    for call in calls {
        let rule = call.arguments.iter().map(rule).collect::<Result<Vec<_>, _>>()?;
        rules.entry(call.number).or_default().extend(rule);
    }
    // A call without rules is allowed whatever its arguments.
    for call in calls.iter().filter(|call| call.arguments.is_empty()) {
        rules.insert(call.number, Vec::new());
    }
    compile(rules, refused, SeccompAction::Allow)
}

fn no_clone3() -> Result<BpfProgram, Error> {
    let absent = SeccompAction::Errno(libc::ENOSYS as u32);
    compile(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), SeccompAction::Allow, absent)
}

fn rule(argument: &Argument) -> Result<SeccompRule, Error> {
    let Argument { index, mask, value } = *argument;
    let compare = SeccompCmpOp::MaskedEq(mask);
    let condition = SeccompCondition::new(index, SeccompCmpArgLen::Qword, compare, value)?;
    Ok(SeccompRule::new(vec![condition])?)
}

fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    matched: SeccompAction,
) -> Result<BpfProgram, Error> {
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    Ok(SeccompFilter::new(rules, otherwise, matched, arch)?.try_into()?)
}
