//! Just enough SVG for a chart: text, lines, bars and curves, on a canvas of fixed size.
//!
//! By hand because that is two dozen lines, and what draws charts elsewhere brings fonts and knows nothing of dark pages:
//! colours here follow the reader's preference.
//!
//! # Invariants
//! * What comes out is well-formed, whatever the text is.

use std::fmt::Write;

/// A picture under construction.
pub(crate) struct Canvas(String);

/// Where a text lies relative to its point.
#[derive(Clone, Copy)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// Colours of series that are told apart also by who sees few colours (Okabe and Ito).
const COLOURS: [&str; 7] = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999"];

/// The colour of the nth series.
pub(crate) fn colour(nth: usize) -> &'static str {
    COLOURS[nth % COLOURS.len()]
}

impl Canvas {
    pub(crate) fn new(width: f64, height: f64) -> Canvas {
        Canvas(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
             height=\"{height}\" font-family=\"system-ui, sans-serif\" font-size=\"12\">\n\
             <style>text{{fill:#222}}.g{{stroke:#8884}}@media(prefers-color-scheme:dark){{text{{fill:#ddd}}}}</style>\n"
        ))
    }

    pub(crate) fn text(&mut self, x: f64, y: f64, anchor: Anchor, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        self.add(format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{escaped}</text>"));
    }

    /// A line of the grid.
    pub(crate) fn grid(&mut self, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(format_args!(
            "<line class=\"g\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    /// A line across a bar, such as the range of its value.
    pub(crate) fn whisker(&mut self, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        self.add(format_args!(
            "<line stroke=\"#888\" stroke-width=\"2\" x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>"
        ));
    }

    pub(crate) fn bar(&mut self, x: f64, y: f64, width: f64, height: f64, fill: &str) {
        let width = width.max(0.0);
        self.add(format_args!(
            "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" fill=\"{fill}\"/>"
        ));
    }

    pub(crate) fn curve(&mut self, points: &[(f64, f64)], stroke: &str) {
        let mut list = String::new();
        for (x, y) in points {
            // Writing to a string does not fail.
            let _ = write!(list, "{x:.1},{y:.1} ");
        }
        let list = list.trim_end();
        self.add(format_args!(
            "<polyline fill=\"none\" stroke=\"{stroke}\" stroke-width=\"2\" points=\"{list}\"/>"
        ));
    }

    pub(crate) fn finish(mut self) -> String {
        self.0.push_str("</svg>\n");
        self.0
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        let _ = writeln!(self.0, "{element}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_text_leaves_it_well_formed() {
        let mut canvas = Canvas::new(100.0, 50.0);
        canvas.text(1.0, 2.0, Anchor::Middle, "a < b & \"c\" > 'd' µs");
        canvas.bar(0.0, 0.0, -3.0, 1.0, colour(9));
        canvas.curve(&[], colour(0));
        let text = canvas.finish();
        let parsed = roxmltree::Document::parse(&text).expect("XML");
        let texts: Vec<_> = parsed.descendants().filter(|n| n.has_tag_name("text")).collect();
        assert_eq!(texts[0].text(), Some("a < b & \"c\" > 'd' µs"));
        assert_eq!(parsed.root_element().attribute("viewBox"), Some("0 0 100 50"));
    }
}
