//! What the program says about itself.

use crate::site::Site;

/// Every command, as it is typed.
const COMMANDS: [&[&str]; 19] = [
    &[],
    &["demo"],
    &["serve"],
    &["apply"],
    &["account"],
    &["account", "create"],
    &["account", "list"],
    &["account", "show"],
    &["account", "credit"],
    &["account", "suspend"],
    &["account", "resume"],
    &["key"],
    &["key", "create"],
    &["key", "list"],
    &["key", "revoke"],
    &["audit"],
    &["doctor"],
    &["firewall"],
    &["completions"],
];

#[test]
fn every_command_has_a_help_that_teaches() {
    let site = Site::new();
    for command in COMMANDS {
        let mut arguments = command.to_vec();
        arguments.push("--help");
        let help = site.well(&arguments);
        let longest = help.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        assert!(longest <= 100, "{command:?} is {longest} wide");
        let name = match command {
            [] => "turnpike".to_owned(),
            _ => command.join("_"),
        };
        insta::assert_snapshot!(format!("help_{name}"), help);
    }
    assert_eq!(site.files(), [""; 0]);
}

#[test]
fn the_version_is_the_packages() {
    let site = Site::new();
    let version = format!("turnpike {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(site.well(&["--version"]), version);
    assert_eq!(site.well(&["-V"]), version);
}

#[test]
fn every_command_is_in_the_list_above() {
    // What the snapshots cannot tell: that a command was forgotten.
    let site = Site::new();
    let of = |group: &[&str]| {
        let mut arguments = group.to_vec();
        arguments.push("--help");
        let help = site.well(&arguments);
        let mut listed: Vec<String> = help
            .lines()
            .skip_while(|line| *line != "Commands:")
            .skip(1)
            .take_while(|line| !line.is_empty())
            .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
            .filter_map(|line| line.split_whitespace().next().map(str::to_owned))
            .collect();
        listed.sort();
        let mut known: Vec<String> = COMMANDS
            .iter()
            .filter(|command| command.len() == group.len() + 1 && command.starts_with(group))
            .map(|command| command.last().unwrap().to_string())
            .collect();
        known.sort();
        assert_eq!(listed, known, "{group:?}");
    };
    of(&[]);
    of(&["account"]);
    of(&["key"]);
}

#[test]
fn a_wrong_command_line_is_answered_with_2() {
    let site = Site::new();
    for arguments in [
        &[] as &[&str],
        &["frobnicate"],
        &["apply"],
        &["apply", "a.toml", "b.toml"],
        &["apply", "--dryrun", "a.toml"],
        &["account"],
        &["account", "create"],
        &["account", "credit", "ann@example.com"],
        &["account", "credit", "ann@example.com", "12.50"],
        &["account", "credit", "ann@example.com", "0"],
        &["account", "credit", "ann@example.com", "1000000000001"],
        &["account", "credit", "ann@example.com", "-1000000000001"],
        &["account", "show", "ann@example.com", "--limit", "-1"],
        &["key", "revoke"],
        &["key", "create", "ann@example.com", "--read-only", "--allow-trial"],
        &["completions", "tcsh"],
        &["audit", "--config"],
    ] {
        let ran = site.run(arguments);
        assert_eq!((ran.code, ran.output.as_str()), (2, ""), "{arguments:?}");
        assert!(
            ran.errors.contains("--help") || ran.errors.contains("Usage:"),
            "{arguments:?}: {}",
            ran.errors
        );
    }
    assert_eq!(site.files(), [""; 0]);
    let ran = site.run(&["account", "credit", "ann@example.com", "12.50"]);
    insta::assert_snapshot!(ran.errors);
}

#[test]
fn shells_can_complete_the_command_line() {
    let site = Site::new();
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = site.well(&["completions", shell]);
        assert!(
            script.contains("password-stdin") && script.contains("doctor"),
            "{shell}"
        );
    }
    site.write("completions.bash", &site.well(&["completions", "bash"]));
    let shell = std::process::Command::new("bash")
        .args(["--norc", "-c"])
        .arg("source completions.bash; COMP_WORDS=(turnpike acc); COMP_CWORD=1; _turnpike turnpike acc turnpike; echo ${COMPREPLY[@]}")
        .current_dir(site.path(""))
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&shell.stdout).trim(), "account");
}

#[test]
fn colours_are_for_terminals_whose_owner_wants_them() {
    let site = Site::with_ann();
    assert!(!site.well(&["audit"]).contains('\u{1b}'));
    // `script` of util-linux gives the program a terminal.
    let Some(script) = testbed::program("script") else {
        return testbed::skip("there is no `script`, which gives a program a terminal");
    };
    let on_a_terminal = |no_color: Option<&str>| {
        let audit = format!("{} audit", env!("CARGO_BIN_EXE_turnpike"));
        let mut command = std::process::Command::new(&script);
        command.args(["-qec", &audit, "/dev/null"]).current_dir(site.path(""));
        command.env("TERM", "xterm").env_remove("NO_COLOR");
        command.envs(no_color.map(|value| ("NO_COLOR", value)));
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert!(on_a_terminal(None).contains("\u{1b}[32mok\u{1b}[0m"));
    assert!(on_a_terminal(Some("")).contains('\u{1b}'));
    assert!(!on_a_terminal(Some("1")).contains('\u{1b}'));
}
