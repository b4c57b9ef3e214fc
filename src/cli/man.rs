//! `man`: the manual page that the definition of the command line gives, every verb in one page.
//!
//! clap_mangen renders one page a command and refers from one to the other. A binary that is its own installation
//! has no place for many files, so the verbs' parts are laid behind each other here, each under a heading of its own.

use std::io::{Result as Printed, Write};

use clap::{Arg, ArgAction, Command, CommandFactory};
use clap_mangen::Man;
use tableflow_model::Result;

use crate::cli::args::Arguments;
use crate::config;
use crate::exit::Exit;
use crate::output::printed;

/// What no definition of words says.
const REST: &str = r#".SH ENVIRONMENT
.TP
\fBTABLEFLOW_DATA_DIR\fR
The folder of everything embedded, where \-\-data\-dir is not given.
.TP
\fBTABLEFLOW__\fISECTION\fB__\fIKEY\fR
A setting of the configuration file, such as TABLEFLOW__SERVICE__LISTEN or TABLEFLOW__MEMORY__BUDGET.
.TP
\fBTABLEFLOW_LOG_FORMAT\fR
How the log on standard error is written, text or json, where \-\-log\-format is not given.
.TP
\fBXDG_CONFIG_HOME\fR
Where the user's configuration file is looked for; ~/.config without it.
.TP
\fBNO_COLOR\fR
Anything in it: no colours on standard error.
.TP
\fBRUST_LOG\fR
What is logged to standard error, in the words of tracing; it overrules \-q and \-v.
.SH FILES
.TP
\fI./tableflow\-data\fR
The data directory: \fIcatalog.db\fR (the catalog, in PyIceberg's layout), \fIwarehouse/\fR (the tables),
\fItopics/\fR (the embedded topics), \fIstate/\fR (what was enabled, and how it is).
`topic create`, `up` and `demo \-\-keep` make it; every other verb wants it to be there.
.TP
\fI/etc/tableflow/tableflow.toml\fR, \fI~/.config/tableflow/tableflow.toml\fR, \fI./tableflow.toml\fR
Settings, read in this order after the compiled\-in defaults; then come \-\-config FILE, the environment and flags.
The last one wins, key by key.
.SH "EXIT STATUS"
.TP
\fB0\fR
Done. A closed pipe is success.
.TP
\fB1\fR
Failed.
.TP
\fB2\fR
Usage or configuration; a data directory that is not there, too.
.TP
\fB3\fR
A check failed or data is bad: a record in `sync`, a line in `produce`, a schema in `schema check`.
.TP
\fB4\fR
A table is degraded or suspended (`status \-\-check`).
.TP
\fB130\fR
Interrupted at once, whatever the verb was busy with; `up` drains and ends with 0, and with 130 at a second signal.
"#;

pub fn run(out: &mut dyn Write) -> Result<Exit> {
    let mut page = Vec::new();
    printed(render(&mut page))?;
    printed(out.write_all(&page))?;
    Ok(Exit::Done)
}

fn render(page: &mut Vec<u8>) -> Printed<()> {
    let mut command = Arguments::command();
    command.build();
    let command = command.override_usage("tableflow [OPTIONS] VERB ...");
    let man = Man::new(command.clone());
    man.render_title(page)?;
    man.render_name_section(page)?;
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    writeln!(page, ".SH OPTIONS")?;
    part(page, |part| man.render_options_section(part))?;
    writeln!(page, ".SH VERBS")?;
    for verb in verbs(&command) {
        verb_part(verb, "tableflow", page)?;
    }
    page.write_all(REST.as_bytes())?;
    settings(page)
}

/// The file of defaults, which a binary alone has nowhere else.
fn settings(page: &mut Vec<u8>) -> Printed<()> {
    writeln!(page, ".SH SETTINGS\nAll of them with their defaults, as a configuration file has them:\n.PP\n.nf")?;
    for line in config::DEFAULTS.lines() {
        writeln!(page, "\\&{}", as_it_is(line))?;
    }
    writeln!(page, ".fi")
}

/// Text that roff is to show, not to read.
fn as_it_is(line: &str) -> String {
    line.replace('\\', "\\e").replace('-', "\\-")
}

fn verbs(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|verb| verb.get_name() != "help")
}

fn verb_part(verb: &Command, parent: &str, page: &mut Vec<u8>) -> Printed<()> {
    let name = format!("{parent} {}", verb.get_name());
    if verb.has_subcommands() {
        return verbs(verb).try_for_each(|inner| verb_part(inner, &name, page));
    }
    // What holds everywhere stands at the top of the page once.
    let verb = verb.clone().mut_args(|arg| {
        let elsewhere = arg.is_global_set() || arg.get_id() == "help";
        arg.hide(elsewhere)
    });
    let own: Vec<&Arg> = verb.get_arguments().filter(|arg| !arg.is_hide_set()).collect();
    let man = Man::new(verb.clone().override_usage(usage(&name, &verb, &own)));
    writeln!(page, ".SS \"{name}\"")?;
    part(page, |part| man.render_synopsis_section(part))?;
    writeln!(page, ".PP")?;
    part(page, |part| man.render_description_section(part))?;
    if !own.is_empty() {
        part(page, |part| man.render_options_section(part))?;
    }
    let example = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
    writeln!(page, ".PP\nExample:\n.PP\n.nf")?;
    for line in example.lines().skip(1) {
        writeln!(page, "{}", as_it_is(line))?;
    }
    writeln!(page, ".fi")
}

/// All words of a verb with the names of their values: clap's own usage says `[OPTIONS]`.
fn usage(name: &str, verb: &Command, arguments: &[&Arg]) -> String {
    let mut words = vec![name.to_owned()];
    let (places, flags): (Vec<&Arg>, Vec<&Arg>) = arguments.iter().partition(|arg| arg.is_positional());
    let choices: Vec<_> = verb.get_groups().filter(|group| group.is_required_set()).collect();
    let is_choice = |arg: &Arg| choices.iter().any(|group| group.get_args().any(|id| id == arg.get_id()));
    for choice in &choices {
        let members = flags.iter().filter(|arg| choice.get_args().any(|id| id == arg.get_id()));
        words.push(format!("<{}>", members.map(|arg| word(arg)).collect::<Vec<_>>().join("|")));
    }
    for arg in flags.iter().chain(&places).filter(|arg| !is_choice(arg)) {
        let repeats = if matches!(arg.get_action(), ArgAction::Append) { "..." } else { "" };
        let word = word(arg);
        words.push(if arg.is_required_set() { format!("{word}{repeats}") } else { format!("[{word}]{repeats}") });
    }
    words.join(" ")
}

/// A flag and the name of its value.
fn word(arg: &Arg) -> String {
    let value = arg.get_value_names().unwrap_or_default().join(" ");
    let flag = match (arg.get_long(), arg.get_short()) {
        (Some(long), _) => format!("--{long}"),
        (None, Some(short)) => format!("-{short}"),
        (None, None) => return value,
    };
    if arg.get_action().takes_values() { format!("{flag} {value}") } else { flag }
}

/// A section of clap_mangen's without its headings and its preamble, which the page has once.
fn part(page: &mut Vec<u8>, render: impl FnOnce(&mut Vec<u8>) -> Printed<()>) -> Printed<()> {
    let mut section = Vec::new();
    render(&mut section)?;
    for line in String::from_utf8_lossy(&section).lines() {
        if ![".SH", ".ie ", ".el "].iter().any(|heading| line.starts_with(heading)) {
            writeln!(page, "{line}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_every_verb_and_its_words() {
        let mut page = Vec::new();
        run(&mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains(".TH tableflow 1"));
        for heading in [".SS \"tableflow enable\"", ".SS \"tableflow topic create\"", ".SS \"tableflow rollback\""] {
            assert!(page.contains(heading), "{heading}");
        }
        for section in ["ENVIRONMENT", "FILES", "\"EXIT STATUS\"", "SETTINGS"] {
            assert_eq!(page.matches(&format!(".SH {section}\n")).count(), 1, "{section}");
        }
        assert!(page.contains("[\\-\\-partition\\-by TRANSFORMS]"), "the synopsis names values");
        assert!(page.contains("<\\-\\-replay|\\-\\-keep\\-offsets>"), "one of the two is needed");
        assert!(page.contains("tableflow rollback bronze.orders \\-\\-to 4511836127356128302"), "examples are there");
        assert!(
            page.contains("\n\\&[service]\n") && page.contains("\n\\&commit_interval = \"10s\"\n"),
            "settings are there"
        );
        assert!(page.contains("TABLEFLOW_LOG_FORMAT"));
        assert!(!page.contains("(1)"), "there is one page, and no other to refer to");
    }
}
