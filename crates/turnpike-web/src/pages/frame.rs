//! What stands around every page: the head, the navigation, who is signed in, what was just done.

use turnpike_shop::account::Account;
use turnpike_shop::session::Session;
use turnpike_shop::types::Role;

use super::assets::{self, Assets};
use super::desk::Desk;
use super::texts::{Notice, OperatorTexts, Texts, operator_texts, texts};

/// Which entry of the navigation a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Overview,
    Plans,
    Subscriptions,
    Statement,
    Keys,
    Notices,
    /// What programs can ask for.
    Reference,
    Account,
    /// How the shop stands.
    Shop,
    /// Everybody's accounts.
    Accounts,
    /// Everybody's orders.
    Orders,
    /// The ways out.
    Exits,
    /// What is sold.
    Catalogue,
    /// Who tried what.
    Trials,
    /// The machines.
    Gateways,
    /// What operators did.
    Audit,
    /// What operators' programs can ask for.
    OperatorsReference,
    /// None of them.
    Elsewhere,
}

/// An entry of the navigation.
pub(crate) struct Entry {
    pub(crate) path: &'static str,
    pub(crate) label: &'static str,
    pub(crate) is_here: bool,
}

/// Who is signed in.
pub(crate) struct Person {
    pub(crate) email: String,
    pub(crate) balance: String,
    pub(crate) is_operator: bool,
    /// An operator looks at this person's pages.
    pub(crate) is_viewed: bool,
}

impl Person {
    pub(crate) fn of(account: &Account, session: &Session) -> Self {
        Self {
            email: account.email.clone(),
            balance: account.balance.to_string(),
            is_operator: session.role == Role::Operator,
            is_viewed: session.viewing.is_some(),
        }
    }
}

/// What every template has at hand.
pub(crate) struct Frame {
    pub(crate) t: &'static Texts,
    /// For operators' pages.
    pub(crate) o: &'static OperatorTexts,
    pub(crate) assets: &'static Assets,
    pub(crate) title: String,
    place: Place,
    pub(crate) person: Option<Person>,
    pub(crate) notice: Option<&'static str>,
    /// Whether strangers may make accounts.
    pub(crate) sign_up: bool,
}

impl Frame {
    pub(crate) fn new(desk: &Desk, place: Place, title: &str, person: Option<Person>, notice: Option<Notice>) -> Self {
        Self {
            t: texts(),
            o: operator_texts(),
            assets: assets::all(),
            title: title.to_owned(),
            place,
            person,
            notice: notice.map(Notice::text),
            sign_up: desk.app.config.sign_up,
        }
    }

    /// Around a page about a failure that kept us from knowing more.
    pub(crate) fn bare(desk: &Desk) -> Self {
        Self::new(desk, Place::Elsewhere, "", None, None)
    }

    /// Around a page for somebody of whom nothing is known.
    pub(crate) fn stranger() -> Self {
        Self {
            t: texts(),
            o: operator_texts(),
            assets: assets::all(),
            title: String::new(),
            place: Place::Elsewhere,
            person: None,
            notice: None,
            sign_up: false,
        }
    }

    /// The navigation, for whoever is signed in.
    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.listed([
            ("/overview", self.t.overview, Place::Overview),
            ("/plans", self.t.plans, Place::Plans),
            ("/subscriptions", self.t.subscriptions, Place::Subscriptions),
            ("/statement", self.t.statement, Place::Statement),
            ("/keys", self.t.keys, Place::Keys),
            ("/notices", self.t.notices, Place::Notices),
            ("/reference", self.t.reference, Place::Reference),
            ("/account", self.t.account, Place::Account),
        ])
    }

    /// Its part for operators.
    pub(crate) fn operators_entries(&self) -> Vec<Entry> {
        self.listed([
            ("/operator", self.t.shop, Place::Shop),
            ("/operator/accounts", self.t.accounts, Place::Accounts),
            ("/operator/orders", self.t.orders, Place::Orders),
            ("/operator/exits", self.o.exits, Place::Exits),
            ("/operator/catalogue", self.o.catalogue, Place::Catalogue),
            ("/operator/trials", self.o.trials, Place::Trials),
            ("/operator/gateways", self.o.gateways, Place::Gateways),
            ("/operator/audit", self.o.audit, Place::Audit),
            ("/operator/reference", self.t.reference, Place::OperatorsReference),
        ])
    }

    fn listed<const N: usize>(&self, entries: [(&'static str, &'static str, Place); N]) -> Vec<Entry> {
        entries
            .into_iter()
            .map(|(path, label, place)| Entry {
                path,
                label,
                is_here: place == self.place,
            })
            .collect()
    }
}
