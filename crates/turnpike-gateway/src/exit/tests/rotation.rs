use std::time::Instant;

use tokio::io::AsyncReadExt as _;

use super::*;
use crate::exit::RotationError;

#[tokio::test]
async fn a_pool_moves_to_its_next_address_and_round() {
    let (mut world, origin) = (World::new(), Origin::start().await);
    let exit = world.exit(pool(&[loopback(11), NOT_HERE, loopback(13)]));
    assert_eq!(world.event().await.0, "up 127.0.0.11");
    for (expected, previous) in [(13, 11), (11, 13), (13, 11)] {
        let rotated = exit.rotate().await.unwrap();
        assert_eq!(rotated.address, Some(loopback(expected)));
        assert_eq!(rotated.previous, Some(loopback(previous)));
        assert_eq!(exit.present_address(), Some(loopback(expected)));
        assert_eq!(origin.sees(&exit).await, Ok(loopback(expected)));
    }
    assert_eq!(exit.generation(), 4);
    assert!(world.has_no_event(), "the caller is told, not the events");
}

#[tokio::test]
async fn tunnels_keep_their_address_for_the_drain_time() {
    let (world, origin) = (World::new(), Origin::start().await);
    let exit = world.exit(ExitSpec {
        drain: Duration::from_millis(300),
        ..pool(&[loopback(11), loopback(12)])
    });
    let before = exit.dial(&to(origin.address), Opening::Unknown).await.unwrap();
    let rotated = Instant::now();
    exit.rotate().await.unwrap();
    let after = exit.dial(&to(origin.address), Opening::Unknown).await.unwrap();
    assert!(!before.lease.is_cancelled());
    soon(|| before.lease.is_cancelled()).await;
    assert!(rotated.elapsed() >= Duration::from_millis(300));
    assert!(!after.lease.is_cancelled());
}

#[tokio::test]
async fn without_drain_time_tunnels_end_at_once() {
    let (world, origin) = (World::new(), Origin::start().await);
    let exit = world.exit(pool(&[loopback(11), loopback(12)]));
    let before = exit.dial(&to(origin.address), Opening::Unknown).await.unwrap();
    exit.rotate().await.unwrap();
    assert!(before.lease.is_cancelled());
}

#[tokio::test]
async fn one_address_without_a_method_cannot_rotate() {
    let world = World::new();
    for addresses in [vec![loopback(11)], vec![loopback(11); 3]] {
        let exit = world.exit(pool(&addresses));
        assert_eq!(exit.rotate().await, Err(RotationError::CannotRotate));
    }
}

#[tokio::test]
async fn where_no_other_address_is_here_nothing_changes() {
    let (world, origin) = (World::new(), Origin::start().await);
    let exit = world.exit(pool(&[loopback(11), NOT_HERE]));
    let before = exit.dial(&to(origin.address), Opening::Unknown).await.unwrap();
    assert!(matches!(exit.rotate().await, Err(RotationError::Failed(_))));
    assert_eq!(exit.generation(), 1);
    assert!(!before.lease.is_cancelled());
    assert_eq!(origin.sees(&exit).await, Ok(loopback(11)));
}

#[tokio::test]
async fn a_prefix_draws_another_address_of_its_own() {
    let world = World::new();
    let prefix: ipnet::Ipv6Net = "2001:db8:1::/48".parse().unwrap();
    let exit = world.exit(spec(ExitWay::Prefix(prefix)));
    let mut seen = vec![exit.present_address().unwrap()];
    for _ in 0..20 {
        let rotated = exit.rotate().await.unwrap();
        assert_eq!(rotated.previous, seen.last().copied());
        let IpAddr::V6(address) = rotated.address.unwrap() else {
            panic!("an IPv4 address")
        };
        assert!(prefix.contains(&address));
        assert!(!seen.contains(&address.into()));
        seen.push(address.into());
    }
    let full = world.exit(spec(ExitWay::Prefix("2001:db8::1/128".parse().unwrap())));
    assert_eq!(full.rotate().await, Err(RotationError::CannotRotate));
}

#[tokio::test]
async fn a_prefixs_addresses_need_not_be_on_the_machine() {
    if tokio::net::TcpListener::bind("[::1]:0").await.is_err() {
        return; // No IPv6 on this machine.
    }
    let mut world = World::new();
    let exit = world.exit(spec(ExitWay::Prefix("2001:db8:1::/48".parse().unwrap())));
    let (event, reason) = world.event().await;
    assert!(event.starts_with("up 2001:db8:1:"), "{event} {reason}");
    assert!(exit.udp("::1".parse().unwrap()).is_ok());
}

#[tokio::test]
async fn a_command_rotates_a_device_and_may_tell_its_address() {
    let world = World::new();
    let device = |rotate| {
        world.exit(ExitSpec {
            rotate,
            ..spec(ExitWay::Interface("lo".to_owned()))
        })
    };
    let rotated = device(by_command(&["true"])).rotate().await.unwrap();
    assert_eq!((rotated.address, rotated.previous), (None, None));
    let exit = device(by_command(&["echo", "198.51.100.7"]));
    let rotated = exit.rotate().await.unwrap();
    assert_eq!(rotated.address, Some("198.51.100.7".parse().unwrap()));
    assert_eq!(exit.present_address(), rotated.address);
}

#[tokio::test]
async fn a_pool_with_a_command_runs_it_and_moves() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("ran");
    let world = World::new();
    let exit = world.exit(ExitSpec {
        rotate: by_command(&["touch", mark.to_str().unwrap()]),
        ..pool(&[loopback(11), loopback(12)])
    });
    assert_eq!(exit.rotate().await.unwrap().address, Some(loopback(12)));
    assert!(mark.exists());
    let alone = world.exit(ExitSpec {
        rotate: by_command(&["true"]),
        ..pool(&[loopback(11)])
    });
    assert_eq!(alone.rotate().await.unwrap().address, Some(loopback(11)));
    assert_eq!(alone.generation(), 2);
}

#[tokio::test]
async fn a_command_that_fails_says_why_and_changes_nothing() {
    let world = World::new();
    let script = "echo 'no carrier' >&2; echo 'more' >&2; exit 3";
    for (command, expected) in [
        (
            by_command(&["sh", "-c", script]),
            "sh failed (exit status: 3): no carrier",
        ),
        (by_command(&["false"]), "false failed (exit status: 1)"),
        (by_command(&[]), "the rotation's command names no program"),
    ] {
        let exit = world.exit(ExitSpec {
            rotate: command,
            ..pool(&[loopback(11), loopback(12)])
        });
        let failed = exit.rotate().await;
        assert_eq!(failed, Err(RotationError::Failed(expected.to_owned())));
        assert_eq!(exit.present_address(), Some(loopback(11)));
        assert_eq!(exit.generation(), 1);
    }
    let exit = world.exit(ExitSpec {
        rotate: by_command(&["/nonexistent/redial"]),
        ..pool(&[loopback(11)])
    });
    let failed = exit.rotate().await.unwrap_err().to_string();
    assert!(failed.starts_with("/nonexistent/redial cannot be run: "), "{failed}");
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_what_it_started() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("pid");
    let world = World::plan()
        .bounds(|bounds| bounds.rotation = Duration::from_millis(500))
        .start();
    let script = format!("sleep 300 & echo $! > {}; wait", mark.display());
    let exit = world.exit(ExitSpec {
        rotate: by_command(&["sh", "-c", &script]),
        ..pool(&[loopback(11)])
    });
    let failed = exit.rotate().await;
    assert_eq!(failed, Err(RotationError::TimedOut(Duration::from_millis(500))));
    let child = std::fs::read_to_string(&mark).unwrap();
    let status = PathBuf::from(format!("/proc/{}/status", child.trim()));
    soon(|| std::fs::read_to_string(&status).map_or(true, |text| text.contains("State:\tZ"))).await;
}

#[tokio::test]
async fn what_a_command_leaves_running_does_not_hold_up_the_rotation() {
    let world = World::new();
    let exit = world.exit(ExitSpec {
        rotate: by_command(&["sh", "-c", "sleep 3 & exit 0"]),
        ..pool(&[loopback(11)])
    });
    assert!(exit.rotate().await.unwrap().took < Duration::from_secs(2));
}

#[tokio::test]
async fn a_command_does_not_see_our_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let mark = directory.path().join("environment");
    let world = World::new();
    let exit = world.exit(ExitSpec {
        rotate: by_command(&["sh", "-c", &format!("env > {}", mark.display())]),
        ..pool(&[loopback(11)])
    });
    exit.rotate().await.unwrap();
    let environment = std::fs::read_to_string(&mark).unwrap();
    let ours: Vec<_> = environment
        .lines()
        .filter(|line| line.starts_with("TURNPIKE_"))
        .collect();
    assert_eq!(ours, ["TURNPIKE_EXIT=nl-ams-1"]);
}

#[tokio::test]
async fn one_rotation_at_a_time_and_it_goes_on_when_nobody_waits() {
    let world = World::new();
    let exit = world.exit(ExitSpec {
        rotate: by_command(&["sleep", "0.5"]),
        ..pool(&[loopback(11), loopback(12)])
    });
    let impatient = tokio::time::timeout(Duration::from_millis(100), exit.rotate()).await;
    assert!(impatient.is_err());
    assert_eq!(exit.rotate().await, Err(RotationError::Busy));
    soon(|| exit.present_address() == Some(loopback(12))).await;
    soon(|| !exit.is_rotating()).await;
    assert_eq!(exit.rotate().await.unwrap().address, Some(loopback(11)));
}

#[tokio::test]
async fn an_http_call_rotates() {
    let world = World::new();
    let call = |url| {
        world.exit(ExitSpec {
            rotate: Some(RotateMethod::Http(url)),
            ..pool(&[loopback(11)])
        })
    };
    let told = web("200 OK", "198.51.100.9\n").await;
    let rotated = call(format!("{told}/rotate?key=secret")).rotate().await.unwrap();
    assert_eq!(rotated.address, Some("198.51.100.9".parse().unwrap()));
    let ok = web("204 No Content", "").await;
    assert_eq!(call(ok).rotate().await.unwrap().address, Some(loopback(11)));
}

#[tokio::test]
async fn an_http_call_that_fails_is_told_without_the_address() {
    let world = World::new();
    let endless = "x".repeat(70 * 1024);
    for (url, expected) in [
        (web("503 Busy", "").await, "answered 503"),
        (
            web("302 Found\r\nLocation: http://127.0.0.1/", "").await,
            "answered 302",
        ),
        (web("200 OK", &endless).await, "more than 64 KiB"),
        (format!("http://{}", closed_port().await), "cannot be called"),
        ("not a url".to_owned(), "cannot be called"),
    ] {
        let exit = world.exit(ExitSpec {
            rotate: Some(RotateMethod::Http(format!("{url}/rotate?key=secret"))),
            ..pool(&[loopback(11)])
        });
        let failed = exit.rotate().await.unwrap_err().to_string();
        assert!(failed.contains(expected), "{failed}");
        assert!(!failed.contains("secret") && !failed.contains("127.0.0.1"), "{failed}");
        assert_eq!(exit.generation(), 1);
    }
}

/// A web server that answers everything alike; its URL.
async fn web(status: &str, body: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4_096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    url
}
