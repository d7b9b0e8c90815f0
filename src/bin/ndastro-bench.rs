//! The benchmark. All of it is in the library's `cli::bench` module, where the tests can reach it.

fn main() -> std::process::ExitCode {
    ndastro::cli::bench::main()
}
