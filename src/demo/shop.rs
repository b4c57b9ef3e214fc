//! A seeded shop: customers and products, clicks that become orders, payments that follow them.
//!
//! - I1: records come from a fixed seed and a fixed first day; nothing is asked of a clock.
//! - I2: an order's total is the sum of its lines, a payment's amount is its order's total.
//! - I3: orders are rows of a database: they come as its changes, as Debezium sends them. A paid one is paid in its row, and a cancelled
//!   one is gone.

use std::fmt::Write;

use crate::definition::Envelope;

/// 2026-01-01T00:00:00Z.
const FIRST_DAY_MS: i64 = 1_767_225_600_000;
const DAYS: i64 = 7;

const CITIES: [(&str, &str); 6] =
    [("Zürich", "CH"), ("Berlin", "DE"), ("Wien", "AT"), ("Lyon", "FR"), ("Porto", "PT"), ("Oslo", "NO")];
const CATEGORIES: [&str; 5] = ["books", "garden", "kitchen", "music", "toys"];
const PAGES: [&str; 5] = ["/", "/search", "/product", "/cart", "/checkout"];
const METHODS: [&str; 3] = ["card", "invoice", "wallet"];

/// The shop's topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    Customers,
    Products,
    Orders,
    Clicks,
    Payments,
}

impl Topic {
    pub const ALL: [Topic; 5] = [Topic::Customers, Topic::Products, Topic::Orders, Topic::Clicks, Topic::Payments];

    pub fn name(self) -> &'static str {
        match self {
            Topic::Customers => "customers",
            Topic::Products => "products",
            Topic::Orders => "orders",
            Topic::Clicks => "clicks",
            Topic::Payments => "payments",
        }
    }

    pub fn partitions(self) -> i32 {
        match self {
            Topic::Customers | Topic::Products => 1,
            Topic::Orders | Topic::Clicks | Topic::Payments => 4,
        }
    }

    /// What JSON cannot say by itself: times and exact amounts.
    pub fn columns(self) -> &'static str {
        match self {
            Topic::Customers => "since TIMESTAMP_LTZ(3)",
            Topic::Products => "price DECIMAL(10,2)",
            Topic::Orders => "ts TIMESTAMP_LTZ(3), total DECIMAL(10,2)",
            Topic::Clicks => "ts TIMESTAMP_LTZ(3)",
            Topic::Payments => "ts TIMESTAMP_LTZ(3), amount DECIMAL(10,2)",
        }
    }

    /// What identifies a row, where a table has one row a key.
    pub fn key(self) -> &'static [&'static str] {
        match self {
            Topic::Customers | Topic::Orders => &["id"],
            Topic::Products | Topic::Clicks | Topic::Payments => &[],
        }
    }

    /// What is around its rows.
    pub fn envelope(self) -> Option<Envelope> {
        (self == Topic::Orders).then_some(Envelope::Debezium)
    }

    pub fn partition_by(self) -> &'static str {
        match self {
            Topic::Customers | Topic::Products => "",
            Topic::Orders | Topic::Clicks | Topic::Payments => "day(ts)",
        }
    }
}

/// What happens to an order.
#[derive(Clone, Copy, Debug)]
enum Change {
    Placed,
    Paid,
    Cancelled,
}

/// The shop while it sells.
#[derive(Debug)]
pub struct Shop {
    orders: u64,
    chance: Chance,
    key: String,
    value: String,
    /// The order that is sold, without its end.
    row: String,
    changes: u64,
}

/// SplitMix64: enough chance for a shop, and the same everywhere.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> Option<T> {
        let index = self.below(choices.len() as u64);
        choices.get(usize::try_from(index).unwrap_or(0)).copied()
    }
}

impl Shop {
    pub fn new(orders: u64) -> Self {
        let (key, value, row) = Default::default();
        Shop { orders, chance: Chance(2026), key, value, row, changes: 0 }
    }

    fn customers(&self) -> u64 {
        (self.orders / 10).max(20)
    }

    fn products(&self) -> u64 {
        (self.orders / 100).clamp(10, 5_000)
    }

    /// The price of a product in cents: a function of its number, so that orders agree with the catalog.
    fn price_cents(product: u64) -> u64 {
        99 + product.wrapping_mul(7919) % 19_900
    }

    fn order_time(&self, order: u64) -> i64 {
        let share = order as f64 / self.orders.max(1) as f64;
        FIRST_DAY_MS + (share * (DAYS * 24 * 3_600_000) as f64) as i64
    }

    /// Hands every record of the shop to `send`, as topic, key, value and time, in the order of the days.
    pub fn sell<E>(&mut self, mut send: impl FnMut(Topic, &str, &str, i64) -> Result<(), E>) -> Result<(), E> {
        for customer in 1..=self.customers() {
            self.customer(customer);
            send(Topic::Customers, &self.key, &self.value, FIRST_DAY_MS)?;
        }
        for product in 1..=self.products() {
            self.product(product);
            send(Topic::Products, &self.key, &self.value, FIRST_DAY_MS)?;
        }
        for order in 1..=self.orders {
            let time = self.order_time(order);
            let customer = 1 + self.chance.below(self.customers());
            for step in 0..2 + self.chance.below(4) {
                let at = time - 60_000 + i64::try_from(step).unwrap_or(0) * 10_000;
                self.click(customer, at);
                send(Topic::Clicks, &self.key, &self.value, at)?;
            }
            let total_cents = self.order(order, customer, time);
            self.change(order, Change::Placed, time);
            send(Topic::Orders, &self.key, &self.value, time)?;
            let at = time + 1_000 + i64::try_from(self.chance.below(3_600_000)).unwrap_or(0);
            // One order in twenty is never paid; of those one in four is cancelled.
            if self.chance.below(20) > 0 {
                self.payment(order, total_cents, at);
                send(Topic::Payments, &self.key, &self.value, at)?;
                self.change(order, Change::Paid, at);
                send(Topic::Orders, &self.key, &self.value, at)?;
            } else if self.chance.below(4) == 0 {
                self.change(order, Change::Cancelled, at);
                send(Topic::Orders, &self.key, &self.value, at)?;
            }
        }
        Ok(())
    }

    /// One customer in ten moves: their records come once more.
    pub fn move_house<E>(&mut self, mut send: impl FnMut(Topic, &str, &str, i64) -> Result<(), E>) -> Result<(), E> {
        for customer in 1..=self.customers() {
            if self.chance.below(10) == 0 {
                self.customer(customer);
                send(Topic::Customers, &self.key, &self.value, FIRST_DAY_MS + DAYS * 86_400_000)?;
            }
        }
        Ok(())
    }

    fn begin(&mut self, key: u64) {
        self.key.clear();
        self.value.clear();
        // Writing to a string cannot fail.
        let _ = write!(self.key, "{key}");
    }

    fn customer(&mut self, id: u64) {
        self.begin(id);
        let (city, country) = self.chance.one_of(&CITIES).unwrap_or(("", ""));
        let since = FIRST_DAY_MS - i64::try_from(self.chance.below(1_000)).unwrap_or(0) * 86_400_000;
        let newsletter = self.chance.below(3) > 0;
        let _ = write!(
            self.value,
            r#"{{"id":{id},"name":"Customer {id}","address":{{"city":"{city}","country":"{country}"}},"newsletter":{newsletter},"since":{since}}}"#
        );
    }

    fn product(&mut self, id: u64) {
        self.begin(id);
        let category = self.chance.one_of(&CATEGORIES).unwrap_or("");
        let cents = Shop::price_cents(id);
        let _ = write!(
            self.value,
            r#"{{"id":{id},"name":"Product {id}","category":"{category}","price":{}.{:02},"tags":["{category}","no-{}"]}}"#,
            cents / 100,
            cents % 100,
            id % 7
        );
    }

    fn click(&mut self, customer: u64, ts: i64) {
        self.begin(customer);
        let page = self.chance.one_of(&PAGES).unwrap_or("");
        let product = 1 + self.chance.below(self.products());
        let _ = write!(
            self.value,
            r#"{{"customer_id":{customer},"page":"{page}","product_id":{product},"ts":{ts},"device":{{"mobile":{}}}}}"#,
            self.chance.below(2) == 0
        );
    }

    /// I2.
    fn order(&mut self, id: u64, customer: u64, ts: i64) -> u64 {
        self.row.clear();
        let _ = write!(self.row, r#"{{"id":{id},"customer_id":{customer},"ts":{ts},"lines":["#);
        let mut total_cents = 0;
        for line in 0..=self.chance.below(3) {
            let product = 1 + self.chance.below(self.products());
            let quantity = 1 + self.chance.below(4);
            total_cents += quantity * Shop::price_cents(product);
            let comma = if line > 0 { "," } else { "" };
            let _ = write!(self.row, r#"{comma}{{"product_id":{product},"quantity":{quantity}}}"#);
        }
        let _ = write!(self.row, r#"],"total":{}.{:02}"#, total_cents / 100, total_cents % 100);
        total_cents
    }

    /// I3.
    fn change(&mut self, id: u64, change: Change, ts: i64) {
        self.changes += 1;
        let (row, number) = (&self.row, self.changes);
        let of = |paid: bool| format!("{row},\"paid\":{paid}}}");
        let (op, before, after) = match change {
            Change::Placed => ("c", "null".to_owned(), of(false)),
            Change::Paid => ("u", of(false), of(true)),
            Change::Cancelled => ("d", of(false), "null".to_owned()),
        };
        self.key.clear();
        self.value.clear();
        let _ = write!(self.key, r#"{{"id":{id}}}"#);
        let source =
            format!(r#"{{"connector":"postgresql","db":"shop","schema":"public","table":"orders","lsn":{number}}}"#);
        let _ =
            write!(self.value, r#"{{"op":"{op}","before":{before},"after":{after},"source":{source},"ts_ms":{ts}}}"#);
    }

    fn payment(&mut self, order: u64, cents: u64, ts: i64) {
        self.begin(order);
        let method = self.chance.one_of(&METHODS).unwrap_or("");
        let _ = write!(
            self.value,
            r#"{{"order_id":{order},"method":"{method}","amount":{}.{:02},"ts":{ts}}}"#,
            cents / 100,
            cents % 100
        );
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn i1_to_i3_the_shop_is_the_same_every_time_and_its_sums_are_right() {
        let mut totals: HashMap<String, String> = HashMap::new();
        let mut counts: HashMap<&str, u32> = HashMap::new();
        let mut ops: HashMap<String, u32> = HashMap::new();
        let mut sold = Vec::new();
        for round in 0..2 {
            let mut this_time = Vec::new();
            let sell = Shop::new(200).sell(|topic, key, value, at| -> Result<(), std::convert::Infallible> {
                let json: serde_json::Value = serde_json::from_str(value).unwrap();
                if round == 0 {
                    *counts.entry(topic.name()).or_default() += 1;
                    match topic {
                        Topic::Orders if json["op"] == "c" => {
                            drop(totals.insert(json["after"]["id"].to_string(), json["after"]["total"].to_string()));
                        }
                        Topic::Orders => {
                            *ops.entry(json["op"].to_string()).or_default() += 1;
                            assert_eq!(json["before"]["paid"], false);
                        }
                        Topic::Payments => assert_eq!(totals[key], json["amount"].to_string()),
                        _ => {}
                    }
                }
                this_time.push((topic, key.to_owned(), value.to_owned(), at));
                Ok(())
            });
            sell.unwrap();
            sold.push(this_time);
        }
        assert_eq!(sold[0], sold[1]);
        assert_eq!((totals.len(), counts["customers"], counts["products"]), (200, 20, 10));
        assert_eq!(ops["\"u\""], counts["payments"]);
        assert!((1..=10).contains(&ops["\"d\""]), "{ops:?}");
        assert!(counts["payments"] > 150 && counts["payments"] < 200, "{counts:?}");
    }
}
