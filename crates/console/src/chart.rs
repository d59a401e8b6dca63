//! A project's level over the last hour, as plain SVG.
//!
//! # Invariants
//! * What is written into the markup is made of numbers and of words that stand here: no text of anybody's gets into it.

use std::fmt::Write as _;

/// What became of the events of a minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Minute {
    pub(crate) stored: u64,
    pub(crate) refused: u64,
}

const WIDTH: u64 = 720;
const HEIGHT: u64 = 112;
/// Room for the axis below the bars.
const BOTTOM: u64 = 1;

/// The most events in one of the minutes.
pub(crate) fn most(minutes: &[Minute]) -> u64 {
    minutes.iter().map(|m| m.stored.saturating_add(m.refused)).max().unwrap_or_default()
}

/// A bar for each minute, oldest first, stored below and refused above. It is stretched to the width there is, so its
/// words stand beside it.
pub(crate) fn minutes(minutes: &[Minute]) -> String {
    let most = most(minutes).max(1);
    let room = HEIGHT - BOTTOM;
    let step = WIDTH / (minutes.len() as u64).max(1);
    let sum = |of: fn(&Minute) -> u64| minutes.iter().map(of).fold(0, u64::saturating_add);
    let total = sum(|m| m.stored);
    let refused = sum(|m| m.refused);
    let mut svg = String::with_capacity(4096);
    let _ = write!(
        svg,
        "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Events per minute in the last \
         hour: {total} stored, {refused} refused, at most {most} in one minute\">"
    );
    let base = HEIGHT - BOTTOM;
    for (at, minute) in minutes.iter().enumerate() {
        let x = at as u64 * step + 1;
        let width = step.saturating_sub(2).max(1);
        let stored = scaled(minute.stored, most, room);
        let refused = scaled(minute.refused, most, room).min(room - stored.min(room));
        let mut bar = |class: &str, bottom: u64, height: u64| {
            if height > 0 {
                let y = bottom - height;
                let _ = write!(
                    svg,
                    "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"1\"/>"
                );
            }
        };
        bar("bar", base, stored);
        bar("bar-bad", base - stored, refused);
    }
    let _ = write!(svg, "<line class=\"axis\" x1=\"0\" y1=\"{base}\" x2=\"{WIDTH}\" y2=\"{base}\"/></svg>");
    svg
}

/// What there was shows, however little it is beside the most.
fn scaled(n: u64, most: u64, room: u64) -> u64 {
    let height = u128::from(n) * u128::from(room) / u128::from(most.max(1));
    let height = u64::try_from(height).unwrap_or(room).min(room);
    if n > 0 { height.max(2) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_high_as_its_share_and_seen_if_there_was_anything() {
        assert_eq!(scaled(0, 100, 112), 0);
        assert_eq!(scaled(1, 1_000_000, 112), 2);
        assert_eq!(scaled(50, 100, 112), 56);
        assert_eq!(scaled(u64::MAX, u64::MAX, 112), 112);
        assert_eq!(scaled(1, 0, 112), 112, "no division by nothing");
    }

    #[test]
    fn bars_stay_inside_the_picture() {
        let hour: Vec<_> = (0..60)
            .map(|m| Minute { stored: m * 7, refused: if m == 59 { u64::MAX - 500 } else { 0 } })
            .collect();
        let svg = minutes(&hour);
        for part in svg.split("<rect").skip(1) {
            let number = |name: &str| -> u64 {
                part.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
            };
            assert!(number("x") + number("width") <= WIDTH, "{part}");
            assert!(number("y") + number("height") <= HEIGHT - BOTTOM, "{part}");
        }
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>"));
        assert!(minutes(&[]).contains("0 stored"));
    }
}
