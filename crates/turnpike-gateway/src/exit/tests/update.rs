use super::*;

#[tokio::test]
async fn an_address_that_is_taken_away_ends_its_tunnels() {
    let (world, origin) = (World::new(), Origin::start().await);
    let exit = world.exit(pool(&[loopback(11), loopback(12)]));
    let dialed = exit.dial(&to(origin.address), Opening::Unknown).await.unwrap();
    exit.update(pool(&[loopback(12), loopback(13)]));
    assert!(dialed.lease.is_cancelled());
    assert_eq!(origin.sees(&exit).await, Ok(loopback(12)));
    assert_eq!(exit.generation(), 2);
}

#[tokio::test]
async fn a_change_elsewhere_leaves_tunnels_alone() {
    let (world, origin) = (World::new(), Origin::start().await);
    let exit = world.exit(pool(&[loopback(11), loopback(12)]));
    let dialed = exit.dial(&to(origin.address), Opening::Unknown).await.unwrap();
    exit.update(ExitSpec {
        allow_smtp: true,
        ..pool(&[loopback(10), loopback(11)])
    });
    assert!(!dialed.lease.is_cancelled());
    assert_eq!(origin.sees(&exit).await, Ok(loopback(11)));
    assert_eq!(exit.generation(), 1);
}

#[tokio::test]
async fn a_new_present_address_is_taken_unless_a_rotation_knows_better() {
    let (world, origin) = (World::new(), Origin::start().await);
    let all = [loopback(11), loopback(12), loopback(13)];
    let exit = world.exit(pool(&all));
    let told = |address| ExitSpec {
        present_address: Some(address),
        ..pool(&all)
    };
    exit.update(told(loopback(13)));
    assert_eq!(origin.sees(&exit).await, Ok(loopback(13)));
    // Two rotations: the shop's news of the first arrives after the second.
    exit.rotate().await.unwrap();
    exit.rotate().await.unwrap();
    exit.update(told(loopback(11)));
    assert_eq!(origin.sees(&exit).await, Ok(loopback(12)));
}

#[tokio::test]
async fn another_way_ends_the_tunnels_of_the_old_one_after_the_drain_time() {
    let (world, origin) = (World::new(), Origin::start().await);
    let exit = world.exit(pool(&[loopback(11)]));
    let dialed = exit.dial(&to(origin.address), Opening::Unknown).await.unwrap();
    exit.update(ExitSpec {
        drain: Duration::from_millis(100),
        ..spec(ExitWay::Interface("lo".to_owned()))
    });
    assert!(!dialed.lease.is_cancelled());
    assert_eq!(origin.sees(&exit).await, Ok(loopback(1)));
    soon(|| dialed.lease.is_cancelled()).await;
}

#[tokio::test]
async fn a_closed_exit_ends_its_tunnels_and_dials_no_more() {
    let (world, origin) = (World::new(), Origin::start().await);
    let exit = world.exit(pool(&[loopback(11), loopback(12)]));
    let dialed = exit.dial(&to(origin.address), Opening::Unknown).await.unwrap();
    exit.close();
    assert!(dialed.lease.is_cancelled());
    let outcome = exit.dial(&to(origin.address), Opening::Unknown).await;
    assert!(matches!(outcome, Err(DialError::ExitUnavailable { .. })), "{outcome:?}");
    assert!(exit.udp(loopback(1)).is_err());
    assert_eq!(exit.rotate().await, Err(crate::exit::RotationError::UnknownExit));
}
