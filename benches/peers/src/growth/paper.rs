//! What comes out of growth: a table and a plot a series, and everything as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::table::{memory, rate, time};

/// How something grows.
pub struct Series {
    pub name: &'static str,
    title: &'static str,
    /// What is aimed at, and how it is measured.
    about: &'static str,
    /// What grows.
    axis: &'static str,
    columns: Vec<Column>,
    pub lines: Vec<Line>,
}

/// Something that is measured at each point.
#[derive(Clone)]
pub struct Column {
    title: &'static str,
    unit: Unit,
    plotted: bool,
}

#[derive(Clone, Copy)]
pub enum Unit {
    Octets,
    Seconds,
    Rate,
    Percent,
}

/// A point of the series.
pub struct Line {
    pub who: &'static str,
    /// `usize::MAX` is no limit.
    pub x: usize,
    /// One for each column; none if there is a fault.
    pub values: Vec<f64>,
    pub fault: Option<String>,
}

impl Column {
    pub fn new(title: &'static str, unit: Unit) -> Self {
        let plotted = false;
        Self {
            title,
            unit,
            plotted,
        }
    }

    /// The one that the plot shows.
    pub fn plotted(title: &'static str, unit: Unit) -> Self {
        let plotted = true;
        Self {
            plotted,
            ..Self::new(title, unit)
        }
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::Octets if value < 1024.0 => format!("{value:.0} B"),
            Self::Octets => memory(value),
            Self::Seconds => time(value),
            Self::Rate => rate(value),
            Self::Percent => format!("{value:.1} %"),
        }
    }
}

impl Series {
    pub fn new(
        name: &'static str,
        [title, about, axis]: [&'static str; 3],
        columns: &[Column],
    ) -> Self {
        Self {
            name,
            title,
            about,
            axis,
            columns: columns.to_vec(),
            lines: Vec::new(),
        }
    }

    /// A line as it is told while the series runs.
    pub fn told(&self, line: &Line) -> String {
        let mut text = format!("{:>10} {:<10}", place(line.x), line.who);
        for (column, value) in self.columns.iter().zip(&line.values) {
            let _ = write!(text, "{:>12} {}", column.unit.show(*value), column.title);
        }
        text + line.fault.as_deref().unwrap_or_default()
    }

    fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n\n", self.title, self.about);
        if self.plot().is_some() {
            let _ = writeln!(text, "![{}](growth-{}.svg)\n", self.title, self.name);
        }
        let _ = write!(text, "| {} | |", self.axis);
        for column in &self.columns {
            let _ = write!(text, " {} |", column.title);
        }
        let _ = writeln!(
            text,
            "\n| ---: | --- |{}",
            " ---: |".repeat(self.columns.len())
        );
        for line in &self.lines {
            let _ = write!(text, "| {} | {} |", place(line.x), line.who);
            for (index, column) in self.columns.iter().enumerate() {
                let value = line.values.get(index);
                let shown = value.map_or("–".to_owned(), |value| column.unit.show(*value));
                let _ = write!(text, " {shown} |");
            }
            text.push('\n');
        }
        for line in &self.lines {
            if let Some(fault) = &line.fault {
                let _ = write!(text, "\n- {}, {}: {fault}", line.who, place(line.x));
            }
        }
        text + "\n"
    }

    /// The plotted column over what grows, both in powers of ten; none if there is nothing to draw.
    pub fn plot(&self) -> Option<String> {
        let index = self.columns.iter().position(|column| column.plotted)?;
        let column = &self.columns[index];
        let value = |line: &Line| line.values.get(index).copied().filter(|value| *value > 0.0);
        let largest = self.lines.iter().map(|line| line.x);
        let largest = largest.filter(|x| *x != usize::MAX).max()?;
        // No limit stands one step beyond the largest limit.
        let x_of = |line: &Line| match line.x {
            usize::MAX => largest as f64 * 10.0,
            x => x as f64,
        };
        let points = self.lines.iter().filter(|line| value(line).is_some());
        let x = Axis::over(points.clone().map(x_of))?;
        let y = Axis::over(points.clone().filter_map(value))?;

        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
             font-size=\"12\">\n<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
        );
        text(
            &mut svg,
            WIDTH / 2.0,
            18.0,
            "middle",
            &format!("{} by {}", column.title, self.axis),
        );
        for power in y.powers() {
            let at = HEIGHT - BOTTOM - y.share(power) * (HEIGHT - TOP - BOTTOM);
            let right = WIDTH - RIGHT;
            let _ = writeln!(svg, "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/>");
            text(
                &mut svg,
                LEFT - 6.0,
                at + 4.0,
                "end",
                &column.unit.show(power),
            );
        }
        for power in x.powers() {
            let at = LEFT + x.share(power) * (WIDTH - LEFT - RIGHT);
            let endless = power > largest as f64 && points.clone().any(|line| line.x == usize::MAX);
            let shown = if endless {
                "∞".to_owned()
            } else {
                rate(power)
            };
            text(&mut svg, at, HEIGHT - BOTTOM + 18.0, "middle", &shown);
        }
        let mut names: Vec<&str> = self.lines.iter().map(|line| line.who).collect();
        names.sort_unstable();
        names.dedup();
        for (row, name) in names.into_iter().enumerate() {
            let colour = match name {
                "jackstay" => "#c0392b",
                "libzmq" => "#2c5aa0",
                _ => "#888888",
            };
            let mut path = String::new();
            for line in points.clone().filter(|line| line.who == name) {
                let Some(value) = value(line) else { continue };
                let at_x = LEFT + x.share(x_of(line)) * (WIDTH - LEFT - RIGHT);
                let at_y = HEIGHT - BOTTOM - y.share(value) * (HEIGHT - TOP - BOTTOM);
                let _ = write!(path, "{at_x:.1},{at_y:.1} ");
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"3\" fill=\"{colour}\"/>"
                );
            }
            let path = path.trim_end();
            let _ = writeln!(
                svg,
                "<polyline points=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            );
            let at = TOP + 14.0 * row as f64 + 6.0;
            let _ = writeln!(
                svg,
                "<path d=\"M{} {at}h16\" stroke=\"{colour}\" stroke-width=\"3\"/>",
                WIDTH - 86.0
            );
            text(&mut svg, WIDTH - 64.0, at + 4.0, "start", name);
        }
        Some(svg + "</svg>\n")
    }
}

/// A page with all series, and how to make it again.
pub fn markdown(all: &[Series], head: &Value) -> String {
    let of = |what: &str| head[what].as_str().unwrap_or_default();
    let mut text = format!(
        "# Growth\n\nWhat things cost as they become many. Written, with the plots, by\n\n```sh\n{COMMAND}\n```\n\n\
         jackstay at commit {}; {}; {} × {}, shared by both sides; {}; {}. Windows of {} s; of sizes and marks half \
         of that, and the median of {} rounds.\n",
        of("commit"),
        of("compiler"),
        head["processors"],
        of("processor"),
        of("system"),
        of("date"),
        head["seconds"],
        head["rounds"],
    );
    for series in all {
        let _ = write!(text, "\n{}", series.markdown());
    }
    text
}

/// Everything, with the circumstances.
pub fn json(all: &[Series], head: &Value) -> Value {
    let line = |series: &Series, line: &Line| {
        let x = (line.x != usize::MAX).then_some(line.x);
        let values = series.columns.iter().zip(&line.values);
        let values: serde_json::Map<_, _> = values
            .map(|(column, value)| (column.title.to_owned(), json!(value)))
            .collect();
        json!({ "who": line.who, "x": x, "values": values, "fault": line.fault })
    };
    let series = |series: &Series| {
        let lines: Vec<Value> = series.lines.iter().map(|one| line(series, one)).collect();
        json!({ "name": series.name, "title": series.title, "axis": series.axis, "points": lines })
    };
    let all: Vec<Value> = all.iter().map(series).collect();
    json!({ "run": head, "series": all })
}

/// Powers of ten, from the one at or below the least to the one at or above the most.
struct Axis {
    from: i32,
    to: i32,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>) -> Option<Self> {
        let (mut least, mut most) = (f64::MAX, f64::MIN);
        for value in values {
            (least, most) = (least.min(value), most.max(value));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "powers of ten that people meet"
        )]
        let power = |value: f64| value as i32;
        let from = power(least.log10().floor());
        let to = power(most.log10().ceil()).max(from + 1);
        (least <= most).then_some(Self { from, to })
    }

    fn powers(&self) -> impl Iterator<Item = f64> {
        (self.from..=self.to).map(|power| 10_f64.powi(power))
    }

    /// Where on the axis, from 0 to 1.
    fn share(&self, value: f64) -> f64 {
        (value.log10() - f64::from(self.from)) / f64::from(self.to - self.from)
    }
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

fn place(x: usize) -> String {
    match x {
        usize::MAX => "no limit".to_owned(),
        x => x.to_string(),
    }
}

const COMMAND: &str = "cargo run --release --manifest-path benches/peers/Cargo.toml -- growth --markdown docs/growth.md --plots docs";
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 100.0;
const TOP: f64 = 34.0;
const BOTTOM: f64 = 34.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_told_drawn_and_kept() {
        let mut series = Series::new(
            "s",
            ["Title", "About it.", "things"],
            &[Column::plotted("cost", Unit::Seconds)],
        );
        for (who, x, value) in [
            ("jackstay", 1, 1e-7),
            ("jackstay", 100, 2e-7),
            ("libzmq", usize::MAX, 4e-7),
        ] {
            let (values, fault) = (vec![value], None);
            series.lines.push(Line {
                who,
                x,
                values,
                fault,
            });
        }
        series.lines.push(Line {
            who: "libzmq",
            x: 1,
            values: Vec::new(),
            fault: Some("stuck".to_owned()),
        });
        let table = markdown(std::slice::from_ref(&series), &Value::Null);
        assert!(table.contains("| 100 | jackstay | 200 ns |"), "{table}");
        assert!(table.contains("- libzmq, 1: stuck"), "{table}");
        let plot = series.plot().unwrap();
        assert!(
            plot.contains("∞") && plot.contains("cost by things"),
            "{plot}"
        );
        let kept = json(&[series], &Value::Null);
        assert_eq!(kept["series"][0]["points"][1]["values"]["cost"], 2e-7);
    }
}
