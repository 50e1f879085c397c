//! Where a test takes place: an engine, and databases of its own that are removed at the end.

use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempDir;
use testbed::postgres::Database;
use turnpike_shop::notices::Ways;
use turnpike_shop::store::Engine;
use turnpike_shop::{Shop, audit};

use super::world::{World, config};
use crate::WebConfig;

/// Runs each of the named functions once per engine. One that is left out is dead code, which the compiler tells.
macro_rules! on_both_engines {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use turnpike_shop::store::Engine;

            use super::Site;

            #[tokio::test]
            async fn sqlite() {
                let site = Site::new(Engine::Sqlite);
                super::$name(&site).await;
                site.check_the_books().await;
            }

            #[tokio::test]
            #[ignore = "needs PostgreSQL: cargo xtask test"]
            async fn postgres() {
                let site = Site::new(Engine::Postgres);
                super::$name(&site).await;
                site.check_the_books().await;
            }
        }
    )+};
}
pub(super) use on_both_engines;

/// One test's engine, and the shops that it has opened.
pub(super) struct Site {
    engine: Engine,
    opened: Mutex<Vec<(Shop, Arc<Home>)>>,
}

impl Site {
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            engine,
            opened: Mutex::default(),
        }
    }

    pub(super) async fn world(&self) -> World {
        self.world_with(config()).await
    }

    pub(super) async fn world_with(&self, config: WebConfig) -> World {
        self.world_of(config, Ways::default()).await
    }

    /// One that tells its customers by these ways.
    pub(super) async fn world_of(&self, config: WebConfig, ways: Ways) -> World {
        let home = Arc::new(Home::new(self.engine));
        let world = World::telling(Arc::clone(&home), config, ways).await;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        opened.push((world.shop.clone(), home));
        world
    }

    /// Whatever the test did: money, slots, ports and the rest add up in each of its shops.
    pub(super) async fn check_the_books(self) {
        for (shop, home) in self.opened.into_inner().unwrap_or_default() {
            let findings = audit::audit(&shop).await.unwrap();
            let broken: Vec<_> = findings
                .into_iter()
                .filter(|finding| !finding.broken.is_empty())
                .collect();
            assert!(broken.is_empty(), "the audit found {broken:#?}");
            shop.close().await;
            drop(home);
        }
    }
}

/// A shop's files and its database; removed on drop.
pub(super) struct Home {
    pub(super) directory: TempDir,
    /// The database's address.
    pub(super) url: String,
    _database: Option<Database>,
}

impl Home {
    pub(super) fn new(engine: Engine) -> Self {
        match engine {
            Engine::Sqlite => {
                let directory = tempfile::tempdir().unwrap();
                let url = format!("sqlite://{}", directory.path().join("shop.db").display());
                Self {
                    directory,
                    url,
                    _database: None,
                }
            }
            Engine::Postgres => {
                let database = Database::fresh();
                Self {
                    directory: tempfile::tempdir().unwrap(),
                    url: database.url().to_owned(),
                    _database: Some(database),
                }
            }
        }
    }

    /// One whose database somebody else makes and removes.
    pub(super) fn at(url: &str) -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            url: url.to_owned(),
            _database: None,
        }
    }
}
