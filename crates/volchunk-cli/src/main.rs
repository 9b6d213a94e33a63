//! The volchunk program.

fn main() -> std::process::ExitCode {
    volchunk_cli::program(std::env::args_os()).into()
}
