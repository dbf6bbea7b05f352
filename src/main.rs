//! The `settee` command.

use std::process::ExitCode;

/// Returns memory to the system and keeps threads apart better than the system's own.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    settee::cli::run(std::env::args_os())
}
