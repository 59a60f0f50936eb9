//! The man pages: one for each command, made from its `--help`, and `wirebook.toml(5)`.

use crate::example::toml;
use crate::markdown;
use crate::schema::{Key, tables};
use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Inline, Roff, bold, italic, roman};
use jiff::Zoned;
use jiff::fmt::rfc2822;
use std::io;
use wirebook::cli::Cli;

const CHANGELOG: &str = include_str!("../../../../deploy/debian/changelog");

/// Each page's file name and text.
pub(crate) fn all() -> Vec<(String, Vec<u8>)> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let mut pages = vec![of_command(&program)];
    let commands = program.get_subcommands().filter(|command| !command.is_hide_set());
    pages.extend(commands.map(of_command));
    let configuration = title("wirebook.toml", 5) + &of_configuration().to_roff();
    pages.push(("wirebook.toml.5".into(), configuration.into_bytes()));
    pages
}

/// A page's head: its name, its section, and the day on which this version was made.
fn title(name: &str, section: u8) -> String {
    let day = released().strftime("%Y-%m-%d");
    let version = env!("CARGO_PKG_VERSION");
    format!(".TH {name} {section} \"{day}\" \"wirebook {version}\" \"Wirebook\"\n")
}

/// When the newest version in the package's changelog was made.
fn released() -> Zoned {
    let signed = CHANGELOG.lines().find(|line| line.starts_with(" -- "));
    let date = signed.and_then(|line| line.split_once(">  ")).map(|(_, date)| date);
    rfc2822::parse(date.expect("Debian's changelogs are signed")).expect("with a date of RFC 2822")
}

fn of_command(command: &Command) -> (String, Vec<u8>) {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let page = render_command(command).expect("a vector takes all that is written to it");
    (format!("{name}.1"), page)
}

fn render_command(command: &Command) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone());
    let name = command.get_display_name().unwrap_or(command.get_name());
    let mut page = title(name, 1).into_bytes();
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    let is_program = command.has_subcommands();
    if is_program {
        man.render_subcommands_section(&mut page)?;
    }
    let mut more = Roff::new();
    if let Some(help) = command.get_after_long_help().or_else(|| command.get_after_help()) {
        examples(&mut more, &help.to_string());
    }
    ending(&mut more, is_program, command.get_arguments().any(|arg| arg.get_id() == "config"));
    more.to_writer(&mut page)?;
    Ok(page)
}

/// The examples and remarks below `--help`: what is indented is to be typed.
fn examples(page: &mut Roff, help: &str) {
    let mut is_typed = false;
    for line in help.lines() {
        let typed = line.starts_with("  ");
        if typed != is_typed && !(line.is_empty() && is_typed) {
            page.control(if typed { "EX" } else { "EE" }, []);
            is_typed = typed;
        }
        match line {
            "Example:" | "Examples:" => page.control("SH", ["EXAMPLES"]),
            "" if is_typed => page.text([roman(" ")]),
            "" => page.control("PP", []),
            line => page.text([roman(line.strip_prefix("  ").unwrap_or(line))]),
        };
    }
    if is_typed {
        page.control("EE", []);
    }
}

fn ending(page: &mut Roff, is_program: bool, has_config: bool) {
    page.control("SH", ["EXIT STATUS"]);
    page.text([roman("0, 1 where it failed, 2 where it was called wrongly.")]);
    page.control("SH", ["ENVIRONMENT"]);
    page.control("TP", []);
    page.text([bold("WIREBOOK_LOG")]);
    page.text([roman(
        "What is logged to standard error: error, warn, info (the default), debug or trace.",
    )]);
    page.control("SH", ["SEE ALSO"]);
    let mut pages = Vec::new();
    if !is_program {
        pages.extend([bold("wirebook"), roman("(1), ")]);
    }
    if has_config || is_program {
        pages.extend([bold("wirebook.toml"), roman("(5), ")]);
    }
    pages.push(roman("/usr/share/doc/wirebook"));
    page.text(pages);
}

fn of_configuration() -> Roff {
    let mut page = Roff::new();
    page.control("SH", ["NAME"]);
    page.text([roman("wirebook.toml - configuration of the Wirebook appliance")]);
    page.control("SH", ["SYNOPSIS"]);
    page.text([
        italic("/etc/wirebook/wirebook.toml"),
        roman(", "),
        italic("/etc/wirebook/NAME.toml"),
    ]);
    page.control("SH", ["DESCRIPTION"]);
    page.text([
        roman("A TOML file of the tables below. The first is read by the service "),
        bold("wirebook"),
        roman(", another by "),
        bold("wirebook@NAME"),
        roman(". An unknown key is a mistake; "),
        bold("wirebook run --check --config FILE"),
        roman(" finds the mistakes without starting. Presets for venues are in "),
        italic("/usr/share/wirebook/feeds"),
        roman(", an example with every key is "),
        italic("/etc/wirebook/wirebook.toml.example"),
        roman("."),
    ]);
    page.control("SH", ["TABLES"]);
    for table in tables() {
        match table.path.as_slice() {
            [] => page.control("SS", ["At the top"]),
            _ => page.control("SS", [table.header().as_str()]).text([roman(&table.description)]),
        };
        for key in &table.keys {
            describe(&mut page, key);
        }
    }
    page.control("SH", ["SEE ALSO"]);
    page.text([bold("wirebook-run"), roman("(1), "), bold("wirebook-record"), roman("(1)")]);
    page
}

fn describe(page: &mut Roff, key: &Key) {
    page.control("TP", []);
    let value = markdown::value(&key.shape).replace('`', "");
    page.text([bold(&key.name), roman(" = "), italic(value)]);
    let mut about: Vec<Inline> = vec![roman(plain(&key.description))];
    match &key.default {
        _ if key.is_required => about.push(roman(" Required.")),
        Some(default) => about.extend([roman(" Default: "), bold(toml(default)), roman(".")]),
        None => {}
    }
    page.text(about);
}

/// Without Markdown's marks.
fn plain(text: &str) -> String {
    text.replace('`', "")
}
