//! Who may come without a password: clients of the addresses that a subscription has named.
//!
//! A guest's tunnels are cut when its address is taken off the list, those that were opened with a password go on. So a guest is
//! served under a route of its own: the subscription's, with a token that ends with the address's permission. All guests of one
//! address share it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use ipnet::IpNet;

use crate::route::ActiveRoute;

/// Below so many addresses nobody looks for those that have gone.
const FEW: usize = 64;

/// A subscription's guests, whichever route it has.
#[derive(Debug, Default)]
pub(crate) struct Guests(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    allowed: Vec<IpNet>,
    /// The route of each address's guests, as long as one of them is there.
    inside: HashMap<IpAddr, Weak<ActiveRoute>>,
    /// How many there may be before those that have gone are looked for.
    most: usize,
}

/// A client that may come in without a password, and perhaps has.
#[derive(Debug)]
pub(crate) struct Guest {
    route: Arc<ActiveRoute>,
    is_in: AtomicBool,
}

impl Guests {
    /// From here on these are the addresses, and what guests of others have opened ends.
    pub(crate) fn allow(&self, networks: &[IpNet]) {
        let mut books = self.lock();
        books.allowed = networks.to_vec();
        let Books { allowed, inside, .. } = &mut *books;
        inside.retain(|address, route| {
            let stays = is_in(allowed, *address);
            if !stays && let Some(route) = route.upgrade() {
                route.cut.cancel();
            }
            stays
        });
    }

    /// A client from `address`, if it may come without a password. `route` is the subscription's.
    pub(crate) fn invite(&self, address: IpAddr, route: &ActiveRoute) -> Option<Guest> {
        let address = address.to_canonical();
        let mut books = self.lock();
        if !is_in(&books.allowed, address) {
            return None;
        }
        let known = books.inside.get(&address).and_then(Weak::upgrade);
        let route = match known.filter(|known| !known.cut.is_cancelled()) {
            Some(known) => known,
            None => {
                let own = route.cut_by(route.cut.child_token());
                books.enter(address, &own);
                own
            }
        };
        Some(Guest {
            route,
            is_in: AtomicBool::new(false),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn enter(&mut self, address: IpAddr, route: &Arc<ActiveRoute>) {
        if self.inside.len() >= self.most.max(FEW) {
            self.inside.retain(|_, route| route.strong_count() > 0);
            self.most = self.inside.len() * 2;
        }
        self.inside.insert(address, Arc::downgrade(route));
    }
}

fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

impl Guest {
    /// Lets it in: the route under which it is served. Absent where its address has been taken off the list meanwhile.
    pub(crate) fn come_in(&self) -> Option<Arc<ActiveRoute>> {
        // Noted before the look, as `shown_out` looks before it reads the note: one of the two sees the other.
        self.is_in.store(true, Ordering::SeqCst);
        (!self.route.cut.is_cancelled()).then(|| Arc::clone(&self.route))
    }

    /// Waits until it must leave. One that has shown a password instead never must.
    pub(crate) async fn shown_out(&self) {
        self.route.cut.cancelled().await;
        if !self.is_in.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
    }
}
