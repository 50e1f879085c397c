//! Another machine of a shop, with a gateway alone.

use std::process::{Child, Stdio};

use testbed::eventually;
use testbed::ports::Ports;
use testbed::turnpike::Turnpike;

use crate::database;

pub(crate) struct Other {
    process: Child,
    _ports: Ports,
}

impl Other {
    /// Starts it; the shop knows it under this name.
    pub(crate) fn start(shop: &Turnpike, name: &str) -> Self {
        let ports = Ports::reserve(4);
        let sold = ports.from(0);
        let mut command = shop.command(&["serve"]);
        command
            .env("TURNPIKE__ROLES", "gateway")
            .env("TURNPIKE__GATEWAY__NAME", name)
            .env("TURNPIKE__GATEWAY__PORTS", format!("{}-{}", sold.start(), sold.end()))
            .env("TURNPIKE__SERVER__METRICS_LISTEN", "off")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = command.spawn().expect("starting the other machine");
        let is_known = || {
            let found = database(shop).query_row("SELECT 1 FROM gateway WHERE name = ?1", [name], |_| Ok(()));
            found.is_ok()
        };
        eventually("the other machine is known", is_known);
        Self { process, _ports: ports }
    }

    /// It says nothing any more.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("killing the other machine");
        self.process.wait().expect("its end");
    }
}
