//! Events as the web and mobile SDKs send them: 750 bytes on average, 22 properties, most of them short strings.
//!
//! Deterministic: the same seed gives the same bytes on every machine. The sizes are those of real traffic (a tenth
//! below 590 bytes, a tenth above 920), and so is what makes parsing hard: text beyond ASCII, escaped quotes, slashes
//! that iOS escapes and everyone else does not, numbers with and without a fraction, lists and an object.
//!
//! # Invariants
//! * An event starts with `{"event"`, ends with `}}`, and holds the word `said`: benchmarks change it there.
//! * The token stands in it once, as given; an event of web shape has it near the end, of mobile shape in front.

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

    /// A number below `end`; 0 if that is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The bias of the remainder is below 2^-32 for every `end` used here.
        self.next_u64() % end.max(1)
    }

    /// One of these.
    pub fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[usize::try_from(self.below(of.len() as u64)).unwrap_or(0)]
    }
}

const NAMES: &[&str] = &[
    "$mp_web_page_view",
    "Product Viewed",
    "Added to Cart",
    "Checkout Started",
    "Order Completed",
    "Search",
    "Signed Up ✓",
    "Video Played",
];
const BROWSERS: &[&str] = &["Chrome", "Safari", "Firefox", "Microsoft Edge", "Samsung Internet"];
const DESKTOPS: &[&str] = &["Windows", "Mac OS X", "Linux", "Chrome OS"];
const CITIES: &[&str] = &["København", "Zürich", "São Paulo", "大阪", "Austin", "Leeds", "Łódź", "Αθήνα"];
const PLANS: &[&str] = &["free", "starter", "pro", "enterprise"];
const PATHS: &[&str] = &[
    "/",
    "/pricing",
    "/products/trail-shoes-gtx-2?color=moss&size=43",
    "/cart",
    "/account/orders",
    "/search?q=rain%20jacket",
    "/blog/2026/how-we-sized-our-own-boots",
];
const CAMPAIGNS: &[&str] =
    &["", "?utm_source=newsletter&utm_medium=email", "?utm_source=ads&utm_medium=cpc&utm_campaign=spring_26"];
const REFERRERS: &[&str] = &["$direct", "https://www.google.com/", "https://news.example.org/a/9913"];
const PHONES: &[(&str, &str, &str)] =
    &[("Apple", "iPhone16,2", "iOS"), ("samsung", "SM-S928B", "Android"), ("Google", "Pixel 9", "Android")];
const CARRIERS: &[&str] = &["T-Mobile", "Orange F", "Vodafone", "中国移动"];

/// Appends one event's JSON to `out`.
pub fn event(token: &str, numbers: &mut Numbers, out: &mut String) {
    if numbers.below(5) < 3 { web(token, numbers, out) } else { mobile(token, numbers, out) }
}

/// As the JavaScript SDK sends it.
fn web(token: &str, numbers: &mut Numbers, out: &mut String) {
    let (name, path, campaign) = (numbers.pick(NAMES), numbers.pick(PATHS), numbers.pick(CAMPAIGNS));
    let (browser, system, referrer) =
        (numbers.pick(BROWSERS), numbers.pick(DESKTOPS), numbers.pick(REFERRERS));
    let (seconds, millis) = (1_700_000_000 + numbers.below(10_000_000), numbers.below(1000));
    let (version, insert_id) = (100 + numbers.below(50), numbers.next_u64() >> 4);
    let device = numbers.next_u64();
    let person = numbers.below(1_000_000);
    let height = [1080, 1440, 900, 700][usize::try_from(numbers.below(4)).unwrap_or(0)];
    // Writing to a string does not fail, here and below.
    let _ = write!(
        out,
        r#"{{"event":"{name}","properties":{{"$os":"{system}","$browser":"{browser}","$browser_version":{version},"$current_url":"https://shop.example.com{path}{campaign}","$screen_height":{height},"$screen_width":1920,"mp_lib":"web","$lib_version":"2.71.0","$insert_id":"{insert_id:015x}","time":{seconds}.{millis:03},"distinct_id":"user-{person}","$device_id":"{device:016x}-0c1d","$user_id":"user-{person}","$initial_referrer":"{referrer}","#
    );
    own(path, numbers, out);
    let _ = write!(out, r#""token":"{token}","mp_sent_by_lib_version":"2.71.0"}}}}"#);
}

/// As the iOS and Android SDKs send it; iOS escapes its slashes.
fn mobile(token: &str, numbers: &mut Numbers, out: &mut String) {
    let (name, path, carrier) = (numbers.pick(NAMES), numbers.pick(PATHS), numbers.pick(CARRIERS));
    let (maker, model, system) = PHONES[usize::try_from(numbers.below(PHONES.len() as u64)).unwrap_or(0)];
    let time_ms = 1_700_000_000_000 + numbers.below(10_000_000_000);
    let (session, insert_id, device) = (numbers.next_u64(), numbers.next_u64(), numbers.next_u64());
    let (person, build, major) = (numbers.below(1_000_000), 4000 + numbers.below(400), 13 + numbers.below(6));
    let wifi = numbers.below(3) > 0;
    let _ = write!(
        out,
        r#"{{"event":"{name}","$mp_metadata":{{"$mp_session_id":"{session:016x}","$mp_session_seq_id":{}}},"properties":{{"token":"{token}","time":{time_ms},"distinct_id":"user-{person}","$device_id":"{device:016X}","$insert_id":"{insert_id:016x}","$app_build_number":"{build}","$app_version_string":"7.{}.0","$carrier":"{carrier}","$manufacturer":"{maker}","$model":"{model}","$os":"{system}","$os_version":"{major}.1","$screen_height":2556,"$wifi":{wifi},"mp_lib":"{}","$lib_version":"8.2.1","#,
        build % 97,
        build % 40,
        if system == "iOS" { "swift" } else { "android" },
    );
    let escaped;
    let path = if system == "iOS" {
        escaped = path.replace('/', "\\/");
        &escaped
    } else {
        path
    };
    own(path, numbers, out);
    // The last comma becomes the end.
    out.pop();
    out.push_str("}}");
}

/// What the team adds itself: a few properties, more of them now and then.
fn own(path: &str, numbers: &mut Numbers, out: &mut String) {
    let (city, plan) = (numbers.pick(CITIES), numbers.pick(PLANS));
    let _ = write!(out, r#""city":"{city}","plan":"{plan}","note":"said \"hello\" at {path}","#);
    let more = numbers.below(8);
    let (price, quantity) = (numbers.below(100_000), 1 + numbers.below(5));
    for property in 0..more {
        let _ = match property {
            0 => write!(out, r#""price":{}.{:02},"#, price / 100, price % 100),
            1 => write!(out, r#""experiment":"checkout-{}, variant b, not held out","#, price % 40),
            2 => write!(out, r#""tags":["spring","outdoor","größe {quantity}","new in"],"#),
            3 => write!(out, r#""headline":"Wear it, don\u2019t carry it 👟\nnew this week","#),
            4 => {
                write!(out, r#""cart":{{"items":{quantity},"total":{},"currency":"EUR"}},"#, price * quantity)
            }
            5 => write!(out, r#""coupon":null,"#),
            _ => write!(out, r#""source_list":"autumn collection, page {quantity}, sorted by price","#),
        };
    }
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

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn events_are_as_large_and_as_varied_as_real_ones() {
        let mut numbers = Numbers::new(7);
        let mut texts: Vec<String> = (0..5000)
            .map(|_| {
                let mut out = String::new();
                event(TOKEN, &mut numbers, &mut out);
                out
            })
            .collect();
        let mut properties = 0;
        for text in &texts {
            let event: serde_json::Value = serde_json::from_str(text).expect("JSON");
            let of = event["properties"].as_object().expect("properties");
            properties += of.len();
            assert_eq!(of["token"], TOKEN);
            assert_eq!(text.matches(TOKEN).count(), 1);
            assert!(
                text.starts_with(r#"{"event""#) && text.ends_with("}}") && text.contains("said "),
                "{text}"
            );
        }
        texts.sort_by_key(String::len);
        let mean = texts.iter().map(String::len).sum::<usize>() / texts.len();
        let (tenth, ninth) = (texts[texts.len() / 10].len(), texts[texts.len() * 9 / 10].len());
        assert!((735..765).contains(&mean), "{mean} bytes on average");
        assert!((585..615).contains(&tenth) && (885..920).contains(&ninth), "{tenth} and {ninth} bytes");
        let properties = properties as f64 / texts.len() as f64;
        assert!((21.0..23.0).contains(&properties), "{properties} properties");
        for rare in ["大阪", "\\/", "\\u2019", "👟", "null", "said \\\"hello"] {
            assert!(texts.iter().any(|text| text.contains(rare)), "no {rare}");
        }
    }

    #[test]
    fn the_seed_decides_every_byte() {
        assert_eq!(batch("t", 3, 1), batch("t", 3, 1));
        assert_ne!(batch("t", 3, 1), batch("t", 3, 2));
    }
}
