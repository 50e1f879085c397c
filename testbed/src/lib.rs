//! What black-box tests stand on: a PostgreSQL cluster, ports, and the Turnpike binary itself, each private to its test and
//! gone when the test ends.
//!
//! Everything here blocks and uses the standard library, so that a test needs no runtime of its own. A fixture that cannot be
//! set up panics: there is no test to run without it.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a fixture that cannot be set up fails its test on the spot, and says on standard output why a test was skipped"
)]

pub mod authority;
pub mod client;
pub mod clock;
pub mod disk;
pub mod dns;
pub mod faulty;
pub mod http;
mod machine;
pub mod netns;
pub mod origin;
pub mod ports;
pub mod postgres;
pub mod race;
pub mod relay;
mod running;
pub mod shadowsocks;
pub mod tunnel;
pub mod turnpike;
mod wait;

pub use machine::{SKIPPED_VARIABLE, node_modules, program, python, python_environment, shadowsocks_rust, skip};
pub use running::Running;
pub use wait::{eventually, poll};

/// Makes two tests of each function that takes a [`turnpike::Builder`]: one on SQLite, and one on PostgreSQL, which is ignored
/// unless a whole run asks for it.
#[macro_export]
macro_rules! on_both_engines {
    ($($test:ident),+ $(,)?) => {$(
        mod $test {
            #[test]
            fn on_sqlite() {
                super::$test($crate::turnpike::Turnpike::with());
            }

            #[test]
            #[ignore = "needs PostgreSQL; `cargo xtask test` runs it"]
            fn on_postgres() {
                super::$test($crate::turnpike::Turnpike::with().postgres());
            }
        }
    )+};
}
