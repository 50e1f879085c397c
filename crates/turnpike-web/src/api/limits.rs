//! What may be used and what has been, as every answer shows it. Extra fields: the contract has none of them.

use serde::Serialize;
use turnpike_shop::limits;
use utoipa::ToSchema;

/// What may be used; `null` where there is no limit.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Limits {
    /// Connections to the port at a time.
    #[schema(minimum = 1, required)]
    max_connections: Option<i64>,
    /// Addresses that the port is used from at a time; an IPv6 one counts by its /64.
    #[schema(minimum = 1, required)]
    max_source_addresses: Option<i64>,
    /// Millions of bits per second each way, all connections together.
    #[schema(minimum = 1, required)]
    mbit_per_second: Option<i64>,
    /// Bytes both ways together: of a plan, for each of its periods; of a subscription, all that it has bought.
    #[schema(minimum = 1, required)]
    traffic_bytes: Option<i64>,
}

/// What a subscription has used, as it was a few seconds ago.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Usage {
    /// Bytes both ways that count against `limits.trafficBytes`; where that is `null`, all that were ever moved.
    #[schema(minimum = 0)]
    traffic_bytes: i64,
    /// Bytes that are left; `null` where there is no limit.
    #[schema(minimum = 0, required)]
    traffic_left_bytes: Option<i64>,
}

impl From<limits::Limits> for Limits {
    fn from(limits: limits::Limits) -> Self {
        Self {
            max_connections: limits.max_connections,
            max_source_addresses: limits.max_source_addresses,
            mbit_per_second: limits.mbit_per_second,
            traffic_bytes: limits.traffic_bytes,
        }
    }
}

impl Usage {
    pub(super) fn of(usage: &limits::Usage, limits: &limits::Limits) -> Self {
        Self {
            traffic_bytes: usage.used(),
            traffic_left_bytes: usage.left(limits),
        }
    }
}
