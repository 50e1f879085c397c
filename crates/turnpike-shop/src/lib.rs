//! The shop: accounts, catalogue, ledger, orders, subscriptions, rotations.
//!
//! A library of verbs. Each is one transaction: all of it happens or none. Nothing here knows HTTP or a socket.
//!
//! | verbs | module |
//! | --- | --- |
//! | [`purchase`], [`trial`], [`renew`], [`switch_network`], [`change_credentials`], [`set_allowed_addresses`] | one file each |
//! | [`plans`], [`renewal_plans`], [`available_networks`], [`subscriptions`] | [`mod@catalogue`], `offers`, [`mod@subscription`] |
//! | [`rotation::set_policy`], [`rotation::request`] and the queue behind it, links and who may use them | [`rotation`] |
//! | [`profile::open`], what client programs load from a subscription URL | [`profile`] |
//! | accounts, keys, money | [`account`], [`account_search`], [`api_key`], [`ledger`] |
//! | for operators: how the shop stands, what was ordered, [`refund`], exits, trials | [`mod@overview`], [`mod@orders`], [`exits`], [`mod@trials`] |
//! | who is signed in, the second factor, the first operator | [`session`], [`second_factor`], [`first_operator`] |
//! | an operator who looks at a customer's pages | [`view_as`] |
//! | what gateways are told and tell | [`routes`], [`traffic`], [`refusals`] |
//! | what customers are told of | [`notices`] |
//! | what plans limit | [`limits`] |
//! | what time does by itself | [`upkeep`], [`auto_renew`] |
//! | proof | [`audit`] |

pub mod account;
pub mod account_search;
pub mod address_list;
pub mod allowed_addresses;
pub mod api_key;
mod attempt;
pub mod audit;
pub mod audit_log;
pub mod auto_renew;
pub mod catalogue;
mod coupon;
pub mod credentials;
mod error;
pub mod exits;
pub mod first_operator;
pub mod idempotency;
pub mod ledger;
pub mod limits;
mod note;
pub mod notices;
mod offers;
mod order;
pub mod orders;
pub mod overview;
mod passwords;
pub mod price;
pub mod profile;
mod purchase;
mod refund;
pub mod refusals;
mod renew;
pub mod rotation;
pub mod routes;
pub mod search;
pub mod second_factor;
pub mod secrets;
pub mod session;
mod shop;
mod slot;
mod sources;
pub mod store;
pub mod subscription;
mod switch_network;
pub mod traffic;
mod trial;
pub mod trials;
pub mod types;
pub mod upkeep;
pub mod view_as;
mod written;

pub use allowed_addresses::{allowed_addresses, set_allowed_addresses};
pub use catalogue::plans;
pub use credentials::change_credentials;
pub use error::{CouponProblem, Error, Refusal, Result};
pub use note::{NOTE_LENGTH, set_note};
pub use offers::{available_networks, renewal_plans};
pub use purchase::{PurchaseOrder, Purchased, purchase, quote};
pub use refund::{Refunded, Shortened, refund};
pub use renew::{RenewOrder, Renewed, quote_renewal, renew};
pub use shop::{Clock, OpenError, Settings, Shop};
pub use subscription::subscriptions;
pub use switch_network::switch_network;
pub use trial::{BETWEEN_TRIALS, TrialOrder, trial};
