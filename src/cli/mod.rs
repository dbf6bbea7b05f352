//! The command line: arguments, the environment, and what is printed.

mod arguments;
mod serve;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Command, Settee};

/// Runs the command that `arguments` (the program's name among them) ask for.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let settee = match Settee::try_parse_from(arguments) {
        Ok(settee) => settee,
        Err(told) => {
            // Help and version come this way, too. Where nobody reads, nobody is told.
            let _ = told.print();
            return u8::try_from(told.exit_code()).map_or(ExitCode::FAILURE, ExitCode::from);
        }
    };
    let ended = match settee.command {
        Command::Serve(arguments) => serve::run(&arguments),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("settee: {error}");
            ExitCode::FAILURE
        }
    }
}
