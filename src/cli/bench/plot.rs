//! What was measured, as a picture: a bar for each job, as long as its fraction of the limit, in an SVG file.

use std::fmt::{self, Write};

use super::Results;
use super::report::processor;

/// Where bars begin, and how long one of the whole limit is.
const LEFT: f64 = 350.0;
const LENGTH: f64 = 440.0;
/// Of the picture; beyond the bars there is place for seconds.
const WIDTH: f64 = 920.0;
/// From one bar to the next, and its thickness.
const STEP: f64 = 20.0;
const THICK: f64 = 14.0;
/// Above the first group.
const TOP: f64 = 76.0;
/// What the name of a group takes.
const HEAD: f64 = 28.0;

/// A group of bars, with a name.
struct Group {
    name: String,
    bars: Vec<Bar>,
}

struct Bar {
    label: String,
    /// Of the limit. A longer bar than the whole limit ends there.
    fraction: f64,
    seconds: f64,
    /// By an adapter, else by the CPU.
    adapter: bool,
}

impl Results {
    /// The picture, a group for each chapter.
    pub(super) fn to_svg(&self) -> String {
        let group = |chapter: &super::chapter::Chapter| {
            let bars = chapter.jobs.iter().map(|row| Bar {
                label: format!(
                    "{}, {}, {}, {}",
                    row.job.about,
                    chapter.sets[row.set].kind.name(),
                    chapter.frames,
                    self.engine_label(row.engine)
                ),
                fraction: chapter.of_limit(row),
                seconds: row.median(),
                adapter: row.engine.is_some_and(|i| self.contenders[i].engine.adapter().is_some()),
            });
            let notes: String = chapter.notes.iter().map(|n| format!(" ({n})")).collect();
            Group { name: format!("{}{notes}", chapter.title), bars: bars.collect() }
        };
        let groups: Vec<Group> = self.chapters.iter().map(group).collect();
        let title = format!("ndastro {} on {}, {} threads", env!("CARGO_PKG_VERSION"), processor(), self.threads);
        let mut svg = String::new();
        // A string takes all that is written to it.
        let _ = draw(&mut svg, &title, &groups);
        svg
    }
}

fn draw(out: &mut String, title: &str, groups: &[Group]) -> fmt::Result {
    let bars = groups.iter().map(|g| HEAD + STEP * g.bars.len() as f64).sum::<f64>();
    let (bottom, height) = (TOP + bars, TOP + bars + 16.0);
    writeln!(out, r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" "#)?;
    writeln!(out, r#"     viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">"#)?;
    writeln!(out, "<title>{}</title>", escaped(title))?;
    writeln!(out, r##"<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>"##)?;
    text(out, (12.0, 22.0), r##"font-size="14" font-weight="bold" fill="#111111""##, title)?;
    let about =
        "Fraction of the machine's own limit, 1 at most is drawn. At the end of a bar: seconds of the job (fraction).";
    text(out, (12.0, 42.0), r##"fill="#444444""##, about)?;
    for quarter in 0..=4 {
        let fraction = f64::from(quarter) / 4.0;
        let x = LEFT + LENGTH * fraction;
        writeln!(out, r##"<line x1="{x}" y1="{TOP}" x2="{x}" y2="{bottom}" stroke="#cccccc"/>"##)?;
        text(out, (x, TOP - 8.0), r##"text-anchor="middle" fill="#444444""##, &fraction.to_string())?;
    }
    let mut y = TOP;
    for group in groups {
        text(out, (12.0, y + HEAD - 9.0), r##"font-weight="bold" fill="#111111""##, &group.name)?;
        y += HEAD;
        for bar in &group.bars {
            draw_bar(out, y, bar)?;
            y += STEP;
        }
    }
    writeln!(out, "</svg>")
}

fn draw_bar(out: &mut String, y: f64, bar: &Bar) -> fmt::Result {
    let base = y + THICK - 3.0;
    text(out, (LEFT - 8.0, base), r##"text-anchor="end" fill="#111111""##, &bar.label)?;
    // What is no number is no bar.
    let length = if bar.fraction.is_finite() { LENGTH * bar.fraction.clamp(0.0, 1.0) } else { 0.0 };
    let fill = if bar.adapter { "#d97706" } else { "#2563eb" };
    writeln!(out, r#"<rect class="bar" x="{LEFT}" y="{y:.1}" width="{length:.1}" height="{THICK}" fill="{fill}"/>"#)?;
    let end = format!("{:.4} s ({:.2})", bar.seconds, bar.fraction);
    text(out, (LEFT + length + 6.0, base), r##"fill="#111111""##, &end)
}

fn text(out: &mut String, (x, y): (f64, f64), style: &str, what: &str) -> fmt::Result {
    writeln!(out, r#"<text x="{x:.1}" y="{y:.1}" {style}>{}</text>"#, escaped(what))
}

/// As XML has text. What it cannot have at all becomes a question mark.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '&' => out += "&amp;",
            '"' => out += "&quot;",
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('?'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bar(label: &str, fraction: f64) -> Bar {
        Bar { label: label.into(), fraction, seconds: 0.25, adapter: false }
    }

    #[test]
    fn each_job_has_its_bar() {
        let groups = [
            Group { name: "5 frames".into(), bars: vec![bar("a", 0.5), bar("b", 1.5)] },
            Group { name: "20 frames".into(), bars: vec![bar("c", f64::NAN)] },
        ];
        let mut svg = String::new();
        draw(&mut svg, "title", &groups).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        assert_eq!(svg.matches(r#"class="bar""#).count(), 3);
        assert_eq!(svg.matches("0.2500 s").count(), 3);
        for width in ["220.0", "440.0", "0.0"] {
            assert!(svg.contains(&format!(r#"width="{width}" height="14""#)), "{width} in {svg}");
        }
        assert_eq!(svg.matches("<text ").count(), svg.matches("</text>").count());
    }

    #[test]
    fn text_is_escaped() {
        let mut svg = String::new();
        draw(&mut svg, "a < b & \"c\"\u{7}", &[Group { name: "<g>".into(), bars: vec![bar("x&y", 0.1)] }]).unwrap();
        assert!(svg.contains("<title>a &lt; b &amp; &quot;c&quot;?</title>"), "{svg}");
        assert!(svg.contains("&lt;g&gt;") && svg.contains(">x&amp;y<"), "{svg}");
    }
}
