//! Events as a web SDK sends them: some 750 bytes, 20 properties, mostly short strings.
//!
//! Deterministic: the same seed gives the same bytes on every machine.

use std::fmt::Write;

/// A small, fast, seedable source of numbers (SplitMix64); good enough to vary text.
#[derive(Clone, Debug)]
pub struct Numbers(u64);

impl Numbers {
    /// A source whose whole sequence the seed decides.
    #[must_use]
    pub fn new(seed: u64) -> Numbers {
        Numbers(seed)
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// One of these.
    pub fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.next_u64() % of.len() as u64).unwrap_or(0)]
    }
}

const NAMES: &[&str] = &[
    "$mp_web_page_view",
    "Product Viewed",
    "Added to Cart",
    "Checkout Started",
    "Order Completed",
    "Search",
    "Signed Up",
    "Video Played",
];
const BROWSERS: &[&str] = &["Chrome", "Safari", "Firefox", "Microsoft Edge", "Samsung Internet"];
const SYSTEMS: &[&str] = &["Windows", "Mac OS X", "Android", "iOS", "Linux"];
const CITIES: &[&str] = &["København", "Zürich", "São Paulo", "Osaka", "Austin", "Leeds", "Łódź"];
const PLANS: &[&str] = &["free", "starter", "pro", "enterprise"];
const PATHS: &[&str] = &["/", "/pricing", "/products/trail-shoes-gtx", "/cart", "/account/orders", "/search"];

/// Appends one event's JSON to `out`.
pub fn event(token: &str, numbers: &mut Numbers, out: &mut String) {
    let id = numbers.next_u64();
    let (name, path, city) = (numbers.pick(NAMES), numbers.pick(PATHS), numbers.pick(CITIES));
    let (browser, system, plan) = (numbers.pick(BROWSERS), numbers.pick(SYSTEMS), numbers.pick(PLANS));
    let time = 1_700_000_000_000 + numbers.next_u64() % 10_000_000_000;
    let (seconds, millis) = (time / 1000, time % 1000);
    let (price, quantity) = (numbers.next_u64() % 100_000, 1 + numbers.next_u64() % 5);
    let insert_id = numbers.next_u64();
    let person = numbers.next_u64() % 1_000_000;
    let (version, cents, price, member) = (100 + id % 50, price % 100, price / 100, id.is_multiple_of(2));
    // Writing to a string does not fail.
    let _ = write!(
        out,
        r#"{{"event":"{name}","properties":{{"$os":"{system}","$browser":"{browser}","$browser_version":{version},"$current_url":"https://shop.example.com{path}?utm_source=newsletter&utm_medium=email","$screen_height":1080,"$screen_width":1920,"mp_lib":"web","$lib_version":"2.71.0","$insert_id":"{insert_id:016x}","time":{seconds}.{millis:03},"#
    );
    let _ = write!(
        out,
        r#""distinct_id":"user-{person}","$device_id":"{id:016x}-0c1d2e3f4a5b6c7d","$user_id":"user-{person}","$initial_referrer":"https://www.google.com/","$initial_referring_domain":"www.google.com","city":"{city}","plan":"{plan}","price":{price}.{cents:02},"quantity":{quantity},"tags":["spring","outdoor",null],"is_member":{member},"note":"said \"hello\" at {path}","token":"{token}"}}}}"#
    );
}

/// A request body with `count` events: the bare object for one, an array for more.
#[must_use]
pub fn batch(token: &str, count: usize, seed: u64) -> String {
    let mut numbers = Numbers::new(seed);
    let mut out = String::with_capacity(count * 800 + 2);
    if count == 1 {
        event(token, &mut numbers, &mut out);
        return out;
    }
    out.push('[');
    for i in 0..count {
        if i > 0 {
            out.push(',');
        }
        event(token, &mut numbers, &mut out);
    }
    out.push(']');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_json_of_some_750_bytes() {
        let text = batch("0123456789abcdef0123456789abcdef", 100, 7);
        let events: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
        assert_eq!(events.len(), 100);
        assert!((700..800).contains(&(text.len() / 100)), "{} bytes each", text.len() / 100);
        assert!(events.iter().all(|e| e["properties"]["token"] == "0123456789abcdef0123456789abcdef"));
        assert_eq!(batch("t", 3, 1), batch("t", 3, 1));
        assert_ne!(batch("t", 3, 1), batch("t", 3, 2));
    }
}
