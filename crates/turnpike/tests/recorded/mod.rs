//! What the store has recorded that no operation of the API shows.

use testbed::turnpike::{Subscription, Turnpike};
use turnpike_shop::store::{Store, Value};

/// Bytes from the customer and to the customer, over all hours, as the store has them.
pub(crate) fn traffic(shop: &Turnpike, bought: &Subscription) -> (i64, i64) {
    let url = shop.database_url();
    let id = bought.id.clone();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async move {
        let store = Store::open(&url).await.unwrap();
        let sums = "SELECT CAST(COALESCE(SUM(bytes_up), 0) AS BIGINT) AS up,
                           CAST(COALESCE(SUM(bytes_down), 0) AS BIGINT) AS down
                    FROM traffic WHERE subscription_id = $1";
        let row = store
            .transaction(move |tx| {
                let id = Value::Text(id.clone());
                Box::pin(async move { tx.one(sums, &[id]).await })
            })
            .await
            .unwrap();
        store.close().await;
        (row.int("up").unwrap(), row.int("down").unwrap())
    })
}
