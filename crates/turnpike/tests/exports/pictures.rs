//! QR codes, read by another's eyes.

use std::fs;
use std::process::Command;

use testbed::{program, skip};

use crate::world::{PROTOCOLS, World, loaded};

/// What zbar sees in a picture.
pub(crate) fn seen(svg: &str) -> Option<String> {
    let (Some(draws), Some(reads)) = (program("rsvg-convert"), program("zbarimg")) else {
        skip("no rsvg-convert and zbarimg on this machine (Debian: librsvg2-bin, zbar-tools)");
        return None;
    };
    let folder = tempfile::tempdir().unwrap();
    let (picture, pixels) = (folder.path().join("qr.svg"), folder.path().join("qr.png"));
    fs::write(&picture, svg).unwrap();
    assert!(
        Command::new(draws)
            .arg("--output")
            .arg(&pixels)
            .arg(&picture)
            .status()
            .unwrap()
            .success()
    );
    let output = Command::new(reads)
        .args(["--quiet", "--raw", "--oneshot"])
        .arg(&pixels)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    Some(
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end_matches('\n')
            .to_owned(),
    )
}

#[test]
fn zbar_reads_every_link_and_the_url_itself() {
    let world = World::new();
    let (bought, _) = &world.bought[0];
    for protocol in PROTOCOLS {
        let Some(link) = seen(&loaded(
            &bought.subscription_url,
            &format!("format=qr&protocol={protocol}"),
        )) else {
            return;
        };
        let listed = loaded(&bought.subscription_url, &format!("format=links&protocol={protocol}"));
        assert_eq!(link, listed.trim_end());
    }
    for url in [&bought.subscription_url, &world.own_url] {
        assert_eq!(seen(&loaded(url, "format=qr")).as_ref(), Some(url));
    }
}
