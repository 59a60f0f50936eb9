//! The files with which a host runs the appliance, held against the tools that will read them.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

/// The exposure that docs/zero-to-live.md tells, in tenths; 0 is best, 100 worst.
const EXPOSURE: &str = "24";

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy")
}

fn read(name: &str) -> String {
    fs::read_to_string(deploy().join(name)).unwrap()
}

/// What a program answered; none where it is not installed.
fn run(program: &str, arguments: &[&str]) -> Option<Output> {
    let ran = Command::new(program).args(arguments).env("SYSTEMD_COLORS", "0").output().ok();
    if ran.is_none() {
        println!("SKIP: {program} is not installed");
    }
    ran
}

/// The units as systemd finds them, with an instance of each template.
fn units() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str, text: String| fs::write(folder.path().join(name), text).unwrap();
    // What is looked for on this host and is on the other alone.
    let here = |text: String| {
        text.replace("/usr/bin/wirebook ", "/bin/true ")
            .replace("man:wirebook", "https://man/wirebook")
    };
    place("wirebook.service", here(read("systemd/wirebook.service")));
    place("wirebook@.service", here(read("systemd/wirebook@.service")));
    place("wirebook@nasdaq.service", here(read("systemd/wirebook@.service")));
    place("wirebook-tune@eth0.service", here(read("systemd/wirebook-tune@.service")));
    folder
}

#[test]
fn systemd_takes_the_units_without_a_word() {
    let folder = units();
    for unit in ["wirebook.service", "wirebook@nasdaq.service", "wirebook-tune@eth0.service"] {
        let unit = folder.path().join(unit);
        let unit = unit.to_str().unwrap();
        let Some(ran) =
            run("systemd-analyze", &["verify", "--man=no", "--recursive-errors=no", unit])
        else {
            return;
        };
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && said.is_empty(), "{said}");
    }
}

#[test]
fn the_units_are_as_closed_as_the_documents_say() {
    let folder = units();
    for unit in ["wirebook.service", "wirebook@nasdaq.service"] {
        let unit = folder.path().join(unit);
        let threshold = format!("--threshold={EXPOSURE}");
        let arguments =
            ["security", "--offline=true", "--no-pager", &threshold, unit.to_str().unwrap()];
        let Some(ran) = run("systemd-analyze", &arguments) else { return };
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(ran.status.success(), "{said}{}", String::from_utf8_lossy(&ran.stderr));
    }
    let told = format!("an exposure of {}.{}", &EXPOSURE[..1], &EXPOSURE[1..]);
    let document = fs::read_to_string(deploy().join("../docs/zero-to-live.md")).unwrap();
    assert!(document.contains(&told), "docs/zero-to-live.md does not say {told:?}");
}

#[test]
fn the_template_differs_in_names_alone() {
    let settings = |name: &str| -> Vec<String> {
        let text = read(name).replace("/etc/wirebook/%i.toml", "/etc/wirebook/wirebook.toml");
        let text = text.replace(" appliance %i", " appliance");
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        lines.map(str::to_owned).collect()
    };
    assert_eq!(settings("systemd/wirebook.service"), settings("systemd/wirebook@.service"));
}

#[test]
fn the_service_has_the_five_capabilities_and_no_more() {
    let unit = read("systemd/wirebook.service");
    let set = |key: &str| {
        let line = unit.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        let mut names: Vec<_> = line.split(' ').collect();
        names.sort_unstable();
        names
    };
    let five = ["CAP_BPF", "CAP_IPC_LOCK", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_PERFMON"];
    assert_eq!(set("AmbientCapabilities="), five);
    assert_eq!(set("CapabilityBoundingSet="), five);
}

#[test]
fn users_and_folders_are_made_as_they_are_written() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("etc")).unwrap();
    let at_root = format!("--root={}", root.path().display());
    let file = |name: &str| deploy().join(name).to_str().unwrap().to_owned();
    let users = file("sysusers.d/wirebook.conf");
    let Some(ran) = run("systemd-sysusers", &[&at_root, &users]) else { return };
    assert!(ran.status.success(), "{ran:?}");
    let passwd = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    let user = passwd.lines().find(|line| line.starts_with("wirebook:")).unwrap();
    assert!(user.ends_with(":/var/lib/wirebook:/usr/sbin/nologin"), "{user}");
    if !nix::unistd::geteuid().is_root() {
        println!("SKIP: only root gives folders to another user");
        return;
    }
    let folders = file("tmpfiles.d/wirebook.conf");
    let Some(ran) = run("systemd-tmpfiles", &[&at_root, "--create", &folders]) else { return };
    assert!(ran.status.success() && ran.stderr.is_empty(), "{ran:?}");
    for (folder, mode) in [("run", 0o755), ("var/lib", 0o750), ("var/log", 0o750)] {
        use std::os::unix::fs::MetadataExt;
        let metadata = fs::metadata(root.path().join(folder).join("wirebook")).unwrap();
        assert_eq!(metadata.mode() & 0o7777, mode, "{folder}");
        assert_ne!(metadata.uid(), 0, "{folder}");
    }
}
