//! The command line: arguments, the environment, and what is printed.

mod arguments;
mod config_show;
mod export;
mod health;
mod import;
mod serve;
mod store;
mod systemd;
mod transfer;

use std::error::Error;
use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use arguments::{Command, ConfigCommand, Settee};

/// Runs the command that `arguments` (the program's name among them) ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parsed = Settee::command().try_get_matches_from(arguments);
    let parsed = parsed.and_then(|matches| Ok((Settee::from_arg_matches(&matches)?, matches)));
    let (settee, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(told) => {
            // Help and version come this way, too. Where nobody reads, nobody is told.
            let _ = told.print();
            return u8::try_from(told.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    let ended: Result<(), Box<dyn Error>> = match settee.command {
        Command::Serve(arguments) => serve::run(&arguments).map_err(Into::into),
        Command::Backup(arguments) => store::back_up(&arguments).map_err(Into::into),
        Command::Restore(arguments) => store::restore(&arguments).map_err(Into::into),
        Command::Verify(arguments) => store::verify(&arguments).map_err(Into::into),
        Command::Compact(arguments) => store::compact(&arguments).map_err(Into::into),
        Command::Export(arguments) => export::run(&arguments).map_err(Into::into),
        Command::Import(arguments) => import::run(&arguments).map_err(Into::into),
        Command::Config(ConfigCommand::Show(show)) => {
            config_show::run(&show, &matches).map_err(Into::into)
        }
        Command::Health(arguments) => health::run(arguments.address()).map_err(Into::into),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("settee: {error}");
            ExitCode::FAILURE
        }
    }
}
