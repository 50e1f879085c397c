//! The process's metrics: what is counted anywhere, in Prometheus' text format.

use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use rustix::process::{Resource, getrlimit};
use tokio_util::sync::CancellationToken;

/// Answers of the API, in seconds.
const REQUEST_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];
/// Rotations, in seconds: a pool takes none, a modem many.
const ROTATION_BUCKETS: &[f64] = &[0.01, 0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0];

/// How often gauges are set and histograms folded.
const EVERY: Duration = Duration::from_secs(10);

/// Starts counting. The recorder belongs to the process and can be installed once.
pub(super) fn start() -> PrometheusHandle {
    let buckets = |builder: PrometheusBuilder, name: &str, buckets: &[f64]| {
        builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets)
    };
    let builder = buckets(
        PrometheusBuilder::new(),
        "turnpike_http_request_seconds",
        REQUEST_BUCKETS,
    )
    .and_then(|builder| buckets(builder, "turnpike_rotation_seconds", ROTATION_BUCKETS))
    .unwrap_or_else(|_| PrometheusBuilder::new());
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if ::metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("another metrics recorder is installed; /metrics stays empty");
    }
    ::metrics::describe_gauge!("turnpike_build_info", "1, with the program's version.");
    ::metrics::describe_gauge!("turnpike_fd_used_ratio", "Open descriptors of all that may be open.");
    ::metrics::describe_gauge!(
        "turnpike_tasks",
        "Tasks that run or wait: connections, tunnels, listeners."
    );
    ::metrics::describe_gauge!(
        "turnpike_route_lag_revisions",
        "Revisions of routes that the gateway has not applied yet."
    );
    ::metrics::describe_gauge!(
        "turnpike_ledger_imbalance_cents",
        "The sum of all postings, which should be zero."
    );
    ::metrics::gauge!("turnpike_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    handle
}

/// What is counted, in Prometheus' text format. A gauge that is not a number belongs to something that is no more, such as an exit
/// that was taken away: the recorder cannot forget it, so it is left out here.
pub(super) fn render(handle: &PrometheusHandle) -> String {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        #[allow(clippy::cast_precision_loss, reason = "a gauge is a float")]
        ::metrics::gauge!("turnpike_tasks").set(runtime.metrics().num_alive_tasks() as f64);
    }
    let mut text = String::new();
    for line in handle.render().lines().filter(|line| !line.ends_with(" NaN")) {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Sets the process's gauges, and folds histograms, which otherwise grow until somebody asks for `/metrics`; until `stop`.
pub(super) async fn keep(handle: PrometheusHandle, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(EVERY);
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        handle.run_upkeep();
        if let Some(ratio) = descriptors_used().await {
            ::metrics::gauge!("turnpike_fd_used_ratio").set(ratio);
        }
    }
}

/// Open descriptors by the process's limit. Absent where the system does not say.
#[allow(clippy::cast_precision_loss, reason = "a ratio needs no more digits")]
async fn descriptors_used() -> Option<f64> {
    let limit = getrlimit(Resource::Nofile).current?;
    // Since Linux 6.2 the directory's size is their number. Before, it is 0, and a directory of 100,000 entries takes a while to read.
    let open = tokio::task::spawn_blocking(|| match std::fs::metadata("/proc/self/fd")?.len() {
        0 => std::fs::read_dir("/proc/self/fd").map(|entries| entries.count() as u64),
        open => Ok(open),
    });
    let open = open.await.ok()?.ok()?;
    Some(open as f64 / limit as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gauge_that_is_not_a_number_is_not_shown() {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        ::metrics::with_local_recorder(&recorder, || {
            ::metrics::gauge!("turnpike_exit_up", "exit" => "gone").set(f64::NAN);
            ::metrics::gauge!("turnpike_exit_up", "exit" => "there").set(0.0);
        });
        assert!(handle.render().contains("gone"));
        let shown = render(&handle);
        assert!(!shown.contains("gone"), "{shown}");
        assert!(shown.contains("\nturnpike_exit_up{exit=\"there\"} 0\n"), "{shown}");
    }
}
