//! Faults as the command line names them.

use clap::Args;
use std::ops::Range;
use std::str::FromStr;
use wirebook_simulator::{BurstLoss, Chance, LineFaults};

const NS_PER_MICROSECOND: f64 = 1e3;
const NS_PER_SECOND: f64 = 1e9;

/// What is to go wrong, by line and by seed.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Faults (X for both lines, A,B for each)")]
pub struct FaultArgs {
    /// Lose packets, each with this probability.
    #[arg(long, value_name = "P[,P]")]
    pub loss: Option<PerLine<Chance>>,
    /// Lose packets in bursts that begin and end, at each packet, with these probabilities.
    #[arg(long, value_name = "BEGIN:END[,BEGIN:END]", value_parser = burst_losses)]
    pub burst_loss: Option<PerLine<BurstLoss>>,
    /// Deliver packets twice with this probability.
    #[arg(long, value_name = "P[,P]")]
    pub duplicate: Option<PerLine<Chance>>,
    /// Hold packets back with this probability, so that later ones overtake them.
    #[arg(long, value_name = "P[,P]")]
    pub reorder: Option<PerLine<Chance>>,
    /// Longest time that a packet is held back, microseconds.
    #[arg(long, value_name = "US", default_value_t = 500.0, value_parser = microseconds)]
    pub reorder_delay_us: f64,
    /// Cut packets somewhere with this probability.
    #[arg(long, value_name = "P[,P]")]
    pub truncate: Option<PerLine<Chance>>,
    /// Damage the framing of packets with this probability: a count or a length that cannot be.
    #[arg(long, value_name = "P[,P]")]
    pub corrupt: Option<PerLine<Chance>>,
    /// How long every packet is under way, microseconds: `0,200` lets line A lead.
    #[arg(long, value_name = "US[,US]")]
    pub lag_us: Option<PerLine<Microseconds>>,
    /// A line is dead from and to these seconds after the first packet: `b:0-`, `ab:5-7`.
    #[arg(long, value_name = "LINE:FROM-TO")]
    pub dead: Vec<LineTime>,
    /// A line holds its packets and delivers them all at the end.
    #[arg(long, value_name = "LINE:FROM-TO")]
    pub stall: Vec<LineTime>,
    /// A line is dead and then first repeats its last packets.
    #[arg(long, value_name = "LINE:FROM-TO")]
    pub restart: Vec<LineTime>,
    /// Seed of the faults; that of the market where none is given.
    #[arg(long, value_name = "N")]
    pub fault_seed: Option<u64>,
}

/// A value for each line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerLine<T>(pub [T; 2]);

/// A time of at most an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Microseconds {
    /// The same in nanoseconds.
    pub ns: u64,
}

/// Lines and a time after the first packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineTime {
    lines: [bool; 2],
    ns: Range<u64>,
}

impl FaultArgs {
    /// The faults of the first `count` lines.
    pub fn lines(&self, count: usize) -> Vec<LineFaults> {
        (0..count.min(2)).map(|line| self.line(line)).collect()
    }

    /// True where anything is to go wrong.
    pub fn any(&self) -> bool {
        self.lines(2).iter().any(|line| {
            let reorder_ns_max = line.reorder_ns_max;
            *line != LineFaults { reorder_ns_max, ..LineFaults::default() }
        })
    }

    fn line(&self, line: usize) -> LineFaults {
        let chance =
            |chances: Option<PerLine<Chance>>| chances.map_or(Chance::NEVER, |c| c.0[line]);
        let times = |times: &[LineTime]| {
            times.iter().filter(|time| time.lines[line]).map(|time| time.ns.clone()).collect()
        };
        LineFaults {
            loss: chance(self.loss),
            burst_loss: self.burst_loss.map(|burst| burst.0[line]),
            duplicate: chance(self.duplicate),
            reorder: chance(self.reorder),
            reorder_ns_max: (self.reorder_delay_us * NS_PER_MICROSECOND) as u64,
            truncate: chance(self.truncate),
            corrupt: chance(self.corrupt),
            lag_ns: self.lag_us.map_or(0, |lag| lag.0[line].ns),
            dead: times(&self.dead),
            stalled: times(&self.stall),
            restarts: times(&self.restart),
        }
    }
}

/// One value for both lines, or one for each.
fn per_line<T: Copy>(
    text: &str,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<PerLine<T>, String> {
    Ok(PerLine(match text.split_once(',') {
        Some((a, b)) => [parse(a)?, parse(b)?],
        None => [parse(text)?; 2],
    }))
}

fn chance(text: &str) -> Result<Chance, String> {
    let chance = text.parse().ok().and_then(Chance::new);
    chance.ok_or_else(|| format!("expected a probability from 0 to 1, found {text:?}"))
}

fn microseconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(us) if (0.0..=3.6e9).contains(&us) => Ok(us),
        _ => Err(format!("expected microseconds from 0 to 3.6e9, found {text:?}")),
    }
}

fn burst_losses(text: &str) -> Result<PerLine<BurstLoss>, String> {
    per_line(text, |text| {
        let Some((begin, end)) = text.split_once(':') else {
            return Err(format!("expected two probabilities as BEGIN:END, found {text:?}"));
        };
        Ok(BurstLoss { begin: chance(begin)?, end: chance(end)? })
    })
}

impl FromStr for PerLine<Chance> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        per_line(text, chance)
    }
}

impl FromStr for PerLine<Microseconds> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        per_line(text, |text| {
            microseconds(text).map(|us| Microseconds { ns: (us * NS_PER_MICROSECOND) as u64 })
        })
    }
}

impl FromStr for LineTime {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || format!("expected LINE:FROM-TO in seconds as a:1-2, ab:5- or b:-3, found {text:?}");
        let (lines, times) = text.split_once(':').ok_or_else(wrong)?;
        let lines = match lines.to_ascii_lowercase().as_str() {
            "a" => [true, false],
            "b" => [false, true],
            "ab" => [true, true],
            _ => return Err(wrong()),
        };
        let (from, to) = times.split_once('-').ok_or_else(wrong)?;
        let ns = |text: &str, absent| match text {
            "" => Ok(absent),
            _ => match text.parse::<f64>() {
                Ok(seconds) if (0.0..=1e9).contains(&seconds) => {
                    Ok((seconds * NS_PER_SECOND) as u64)
                }
                _ => Err(wrong()),
            },
        };
        let ns = ns(from, 0)?..ns(to, u64::MAX)?;
        if ns.is_empty() { Err(wrong()) } else { Ok(Self { lines, ns }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        faults: FaultArgs,
    }

    fn faults(arguments: &[&str]) -> Result<FaultArgs, clap::Error> {
        Ok(Command::try_parse_from([&["sim"], arguments].concat())?.faults)
    }

    #[test]
    fn one_value_is_for_both_lines_and_two_for_each() {
        let arguments = ["--loss", "0.5", "--lag-us", "0,200", "--burst-loss", "0.1:0.2,0:1"];
        let lines = faults(&arguments).unwrap().lines(2);
        assert_eq!(lines[0].loss, lines[1].loss);
        assert_eq!(Some(lines[0].loss), Chance::new(0.5));
        assert_eq!((lines[0].lag_ns, lines[1].lag_ns), (0, 200_000));
        assert_eq!(lines[1].burst_loss.unwrap().end, Chance::ALWAYS);
        assert_eq!(faults(&arguments).unwrap().lines(1).len(), 1);
        assert!(!faults(&[]).unwrap().any() && faults(&["--loss", "0,0.1"]).unwrap().any());
    }

    #[test]
    fn times_name_their_lines() {
        let arguments = ["--dead", "b:0-", "--dead", "ab:5-7.5", "--restart", "a:-1"];
        let lines = faults(&arguments).unwrap().lines(2);
        assert_eq!(lines[0].dead, std::slice::from_ref(&(5_000_000_000..7_500_000_000)));
        assert_eq!(lines[1].dead, [0..u64::MAX, 5_000_000_000..7_500_000_000]);
        assert_eq!(lines[0].restarts, std::slice::from_ref(&(0..1_000_000_000)));
        assert!(lines[1].restarts.is_empty());
    }

    #[test]
    fn what_cannot_be_is_said() {
        for wrong in [
            ["--loss", "1.1"],
            ["--loss", "-0"],
            ["--loss", "0.1,x"],
            ["--burst-loss", "0.1"],
            ["--dead", "c:1-2"],
            ["--dead", "a:2-1"],
            ["--dead", "a:1"],
            ["--lag-us", "1e12"],
        ] {
            assert!(faults(&wrong).is_err(), "{wrong:?}");
        }
    }
}
