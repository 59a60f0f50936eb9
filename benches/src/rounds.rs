//! Contestants on the same input, in turns.
//!
//! In a round each contestant takes the same parts of a day, one part after the other, and who begins
//! changes from part to part. What is compared is the processor time of the thread, which holds waits
//! for memory, and not the time in which another program had the core.

use crate::Spread;
use crate::feed::Part;
use nix::time::{ClockId, clock_gettime};
use serde::Serialize;
use std::time::Duration;

/// One who takes messages.
pub struct Contestant<'a> {
    /// How it is called in tables and raw data.
    pub name: &'static str,
    /// Takes a part.
    pub take: Box<dyn FnMut(&Part) + 'a>,
}

/// What a contestant needed in one round.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Which round.
    pub round: u32,
    /// Which input.
    pub input: String,
    /// Who.
    pub name: &'static str,
    /// Messages taken.
    pub messages: u64,
    /// Processor time of the thread.
    pub cpu_ns: u64,
}

impl Measured {
    /// Processor time a message, in nanoseconds.
    pub fn cpu_ns_a_message(&self) -> f64 {
        self.cpu_ns as f64 / self.messages as f64
    }
}

/// A round's times so far, of each contestant.
pub struct Round {
    number: u32,
    input: String,
    parts: usize,
    measured: Vec<(u64, u64)>,
}

impl Round {
    /// The round of this number, of so many contestants.
    pub fn new(number: u32, input: &str, contestants: usize) -> Self {
        Self { number, input: input.to_owned(), parts: 0, measured: vec![(0, 0); contestants] }
    }

    /// Gives a part to all.
    ///
    /// # Errors
    /// Fails where the clock cannot be read.
    pub fn part(&mut self, contestants: &mut [Contestant<'_>], part: &Part) -> nix::Result<()> {
        self.parts += 1;
        let first = self.parts + self.number as usize;
        for at in 0..contestants.len() {
            let at = (first + at) % contestants.len();
            let before = cpu_time()?;
            (contestants[at].take)(part);
            let (messages, cpu_ns) = &mut self.measured[at];
            *cpu_ns += (cpu_time()? - before).as_nanos() as u64;
            *messages += part.messages;
        }
        Ok(())
    }

    /// What each needed.
    pub fn end(self, contestants: &[Contestant<'_>]) -> impl Iterator<Item = Measured> {
        contestants.iter().zip(self.measured).map(move |(contestant, (messages, cpu_ns))| {
            let (round, input) = (self.number, self.input.clone());
            Measured { round, input, name: contestant.name, messages, cpu_ns }
        })
    }
}

/// Processor time that this thread has had.
///
/// # Errors
/// Fails where the clock cannot be read.
pub fn cpu_time() -> nix::Result<Duration> {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Into::into)
}

/// Prints a table of one input: time a message, and its ratio to `ours` in the same round: above one
/// for those that need longer.
pub fn print_table(input: &str, ours: &str, all: &[Measured]) {
    println!("\n{input}: median (lowest to highest) of the rounds\n");
    println!("{:<28} {:>28} {:>28}", "", "CPU ns a message", "times ours");
    let of_input = || all.iter().filter(|measured| measured.input == input);
    let mut names: Vec<_> = of_input().map(|measured| measured.name).collect();
    let first = names.first().copied();
    let end = names.iter().skip(1).position(|&name| Some(name) == first);
    names.truncate(end.map_or(names.len(), |end| end + 1));
    for name in names {
        let rounds = || of_input().filter(|measured| measured.name == name);
        let ratio = |of: &Measured| {
            let same = |other: &&Measured| other.round == of.round && other.name == ours;
            let ours = of_input().find(same)?;
            Some(of.cpu_ns_a_message() / ours.cpu_ns_a_message())
        };
        let shown = |spread: Option<Spread>| spread.map_or_else(String::new, |s| format!("{s:.2}"));
        let time = shown(Spread::of(rounds().map(Measured::cpu_ns_a_message)));
        println!("{name:<28} {time:>28} {:>28}", shown(Spread::of(rounds().filter_map(ratio))));
    }
}
