//! `completion SHELL`: the completion script that the definition of the command line gives.

use std::io::Write;

use clap::CommandFactory;
use tableflow_model::Result;

use crate::cli::args::{Arguments, CompletionArguments};
use crate::exit::Exit;
use crate::output::printed;

pub fn run(words: &CompletionArguments, out: &mut dyn Write) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(words.shell, &mut Arguments::command(), "tableflow", &mut script);
    printed(out.write_all(&script))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_gets_a_script_that_knows_the_verbs() {
        use clap_complete::Shell;
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
            let mut script = Vec::new();
            run(&CompletionArguments { shell }, &mut script).unwrap();
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("rollback") && script.contains("keep-offsets"), "{shell}");
            assert!(!script.contains("DELTA"), "{shell} offers a value that is not served");
        }
    }
}
