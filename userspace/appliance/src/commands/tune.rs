//! `wirebook tune`: the host as the appliance wants it, and as it was before.

use crate::cli::TuneArgs;
use crate::config::Config;
use crate::host::{Host, Needs};
use crate::tune::{self, KNOBS, Notes, Outcome, Setting, Wishes};
use anyhow::bail;
use serde_json::json;
use std::process::ExitCode;

/// Runs the command: exit status 1 where something is not, or could not be made, as it should be.
///
/// # Errors
/// Fails where the interface is not there, or the configuration or the notes cannot be used.
pub fn run(args: &TuneArgs) -> anyhow::Result<ExitCode> {
    let host = Host::system();
    if !host.exists(format!("sys/class/net/{}/ifindex", args.interface)) {
        bail!("expected an interface of this network namespace, found no {}", args.interface);
    }
    let config = args.config.as_deref().map(Config::read).transpose()?;
    let wishes = Wishes {
        interface: args.interface.clone(),
        needs: config.as_ref().map(Needs::of),
        napi: args.napi,
        rx_usecs: args.rx_usecs,
        irq_cores: args.irq_cores.clone(),
    };
    let notes = || Notes::open(&host, &args.state_dir, &args.interface);
    if args.apply {
        let outcomes = tune::apply(&host, &wishes, &mut notes()?)?;
        let settings = tune::plan(&host, &wishes);
        return report_outcomes(
            args,
            "applied",
            &outcomes,
            Some(&settings),
            &suggest(&host, &wishes),
        );
    }
    if args.undo {
        let mut notes = notes()?;
        let nothing = notes.is_empty();
        let outcomes = tune::undo(&host, &mut notes)?;
        if nothing && !args.json {
            println!("nothing was changed since the host started");
        }
        return report_outcomes(args, "undone", &outcomes, None, &[]);
    }
    let settings = tune::plan(&host, &wishes);
    let is_tuned = settings.iter().all(Setting::is_as_wanted);
    let words = suggest(&host, &wishes);
    if args.json {
        println!(
            "{}",
            json!({ "schema": 1, "tuned": is_tuned, "settings": settings, "kernel_command_line": words })
        );
    } else {
        print!("{}", plan_as_text(&settings));
        print_suggestions(&words);
        match (is_tuned, args.check) {
            (true, _) => println!("\n{} is as it should be", args.interface),
            (false, true) => println!("\n{} is not as it should be", args.interface),
            (false, false) => println!("\nnothing was changed: --apply does it"),
        }
    }
    Ok(if args.check && !is_tuned { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn suggest(host: &Host, wishes: &Wishes) -> Vec<String> {
    tune::suggestions(host, wishes)
}

fn plan_as_text(settings: &[Setting]) -> String {
    let mut text = String::new();
    for knob in KNOBS {
        text += &format!("{} ({})\n", knob.id, knob.source);
        for setting in settings.iter().filter(|setting| setting.knob == knob.id) {
            text += &setting_as_text(setting);
        }
    }
    text
}

fn setting_as_text(setting: &Setting) -> String {
    let place = &setting.place;
    let now = setting.now.as_deref().unwrap_or("?");
    match (&setting.skipped, &setting.want, &setting.command) {
        (Some(why), _, _) => format!("  left out  {place}: {why}\n"),
        (None, Some(want), Some(command)) => {
            format!("  change    {place}: {now} → {want}\n              {command}\n")
        }
        _ => format!("  as it is  {place}: {now}\n"),
    }
}

fn print_suggestions(words: &[String]) {
    if !words.is_empty() {
        println!(
            "\nfor the kernel command line (never written here; GRUB_CMDLINE_LINUX in \
             /etc/default/grub, then update-grub and a reboot):\n  {}",
            words.join(" ")
        );
    }
}

fn report_outcomes(
    args: &TuneArgs,
    done: &str,
    outcomes: &[Outcome],
    settings: Option<&[Setting]>,
    words: &[String],
) -> anyhow::Result<ExitCode> {
    let failed = outcomes.iter().filter(|outcome| outcome.error.is_some()).count();
    if args.json {
        println!(
            "{}",
            json!({ "schema": 1, done: outcomes, "failed": failed, "settings": settings, "kernel_command_line": words })
        );
    } else {
        for outcome in outcomes {
            let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "?".into());
            let (before, now) = (shown(&outcome.before), shown(&outcome.now));
            match &outcome.error {
                None => println!("{done}  {}: {before} → {now}", outcome.place),
                Some(error) => println!("FAILED   {}: {error}", outcome.place),
            }
        }
        let skipped =
            settings.unwrap_or_default().iter().filter(|setting| setting.skipped.is_some());
        skipped.for_each(|setting| print!("{}", setting_as_text(setting)));
        print_suggestions(words);
        println!("{} {done}, {failed} failed", outcomes.len() - failed);
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
