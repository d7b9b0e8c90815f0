//! The command line. All of it is in the library's `cli` module, where the tests can reach it.

fn main() -> std::process::ExitCode {
    ndastro::cli::main()
}
