//! `man`: the manual page that the definition of the command line gives, every verb in one page.
//!
//! clap_mangen renders one page a command; the verbs' pages are laid behind each other here, because a binary
//! that is its own installation has no place for many files.

use std::io::Write;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use tableflow_model::Result;

use crate::cli::args::Arguments;
use crate::exit::Exit;
use crate::output::printed;

pub fn run(out: &mut dyn Write) -> Result<Exit> {
    let mut page = Vec::new();
    let mut command = Arguments::command();
    command.build();
    printed(Man::new(command.clone()).render(&mut page))?;
    for verb in command.get_subcommands().filter(|verb| verb.get_name() != "help") {
        printed(verb_section(verb, "tableflow", &mut page))?;
    }
    printed(out.write_all(&page))?;
    Ok(Exit::Done)
}

fn verb_section(verb: &Command, parent: &str, page: &mut Vec<u8>) -> std::io::Result<()> {
    let name = format!("{parent} {}", verb.get_name());
    writeln!(page, ".SH \"{}\"", name.to_uppercase())?;
    let man = Man::new(verb.clone());
    man.render_synopsis_section(page)?;
    man.render_description_section(page)?;
    man.render_options_section(page)?;
    for inner in verb.get_subcommands().filter(|inner| inner.get_name() != "help") {
        verb_section(inner, &name, page)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_holds_every_verb_and_its_flags() {
        let mut page = Vec::new();
        run(&mut page).unwrap();
        let page = String::from_utf8(page).unwrap();
        assert!(page.contains(".TH tableflow 1"));
        for heading in ["TABLEFLOW ENABLE", "TABLEFLOW TOPIC CREATE", "TABLEFLOW ROLLBACK"] {
            assert!(page.contains(&format!(".SH \"{heading}\"")), "{heading}");
        }
        assert!(page.contains("keep\\-offsets"));
    }
}
