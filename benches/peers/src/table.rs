//! What comes out: medians, ranges and ratios as markdown, and every sample as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::cell::{Cell, Measure};
use crate::run::{Cost, Sample};

/// All that was measured of one cell.
pub struct Row {
    pub cell: Cell,
    /// In the order of the contenders.
    pub results: Vec<Results>,
}

/// What one contender did in one cell.
pub struct Results {
    pub contender: &'static str,
    /// Whether it plays this cell at all.
    pub offered: bool,
    pub samples: Vec<Sample>,
    pub faults: Vec<String>,
}

/// A markdown table for each pattern, then one of costs, then what failed.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::new();
    for pattern in rows.chunk_by(|a, b| a.cell.pattern == b.cell.pattern) {
        let Some(first) = pattern.first() else {
            continue;
        };
        let names: Vec<_> = first
            .results
            .iter()
            .map(|results| results.contender)
            .collect();
        let others: Vec<_> = names.iter().filter(|name| !BASES.contains(name)).collect();
        let ratios: Vec<_> = others
            .iter()
            .flat_map(|name| BASES.map(|base| format!("{name} × {base}")))
            .collect();
        let _ = writeln!(text, "### {}\n", first.cell.pattern.title);
        let _ = writeln!(
            text,
            "| cell | {} | {} |",
            names.join(" | "),
            ratios.join(" | ")
        );
        let _ = writeln!(
            text,
            "| --- |{}",
            " ---: |".repeat(names.len() + ratios.len())
        );
        for row in pattern {
            let values = row.results.iter().map(|results| results.summary(&row.cell));
            let ratios = others
                .iter()
                .flat_map(|name| BASES.map(|base| row.ratio(name, base)));
            let cells: Vec<_> = values.chain(ratios).collect();
            let _ = writeln!(text, "| {} | {} |", row.cell, cells.join(" | "));
        }
        text.push('\n');
    }
    costs(&mut text, rows);
    faults(&mut text, rows);
    text
}

/// Every sample.
pub fn json(rows: &[Row], head: Value) -> Value {
    let results = |row: &Row| -> Vec<Value> {
        let one = |results: &Results| {
            let samples: Vec<Value> = results.samples.iter().map(sample_json).collect();
            json!({ "contender": results.contender, "offered": results.offered, "samples": samples, "faults": results.faults })
        };
        row.results.iter().map(one).collect()
    };
    let rows: Vec<Value> = rows
        .iter()
        .map(|row| json!({ "cell": row.cell.to_string(), "results": results(row) }))
        .collect();
    json!({ "run": head, "cells": rows })
}

/// A value as the tables show it.
pub fn shown(cell: &Cell, sample: &Sample) -> String {
    show(cell.pattern.measure, value(cell, sample))
}

impl Row {
    /// How many times better `name` is than `base`, by their medians.
    fn ratio(&self, name: &str, base: &str) -> String {
        let median = |name| {
            let results = self
                .results
                .iter()
                .find(|results| results.contender == name)?;
            middle(
                results
                    .samples
                    .iter()
                    .map(|sample| value(&self.cell, sample)),
            )
        };
        match (median(name), median(base), self.cell.pattern.measure) {
            (Some(own), Some(base), Measure::Rate) => format!("{:.2}", own / base),
            (Some(own), Some(base), Measure::RoundTrip) => format!("{:.2}", base / own),
            _ => NOTHING.to_owned(),
        }
    }
}

impl Results {
    fn summary(&self, cell: &Cell) -> String {
        let values = || self.samples.iter().map(|sample| value(cell, sample));
        let show = |value| show(cell.pattern.measure, value);
        let failed = if self.faults.is_empty() {
            String::new()
        } else {
            format!(" **{} failed**", self.faults.len())
        };
        match middle(values()) {
            Some(median) if self.samples.len() > 1 => {
                let (least, most) =
                    values().fold((f64::MAX, 0.0_f64), |(a, b), v| (a.min(v), b.max(v)));
                format!("{} ({}–{}){failed}", show(median), show(least), show(most))
            }
            Some(median) => format!("{}{failed}", show(median)),
            None if self.offered => failed.trim().to_owned(),
            None => NOTHING.to_owned(),
        }
    }

    fn median(&self, of: impl Fn(&Sample) -> Option<f64>, show: impl Fn(f64) -> String) -> String {
        middle(self.samples.iter().filter_map(of)).map_or(NOTHING.to_owned(), show)
    }
}

fn costs(text: &mut String, rows: &[Row]) {
    text.push_str("### Cost, medians\n\n");
    text.push_str("Sending side + receiving side: processor time a message delivered, and peak of memory. For round trips the asking side comes first, with mean and p99 of the trip.\n\n");
    text.push_str("| cell | contender | processor | peak memory | round trip mean | p99 |\n| --- | --- | ---: | ---: | ---: | ---: |\n");
    for row in rows {
        for results in row
            .results
            .iter()
            .filter(|results| !results.samples.is_empty())
        {
            let connects_sends = !row.cell.pattern.connects.measures()
                || row.cell.pattern.measure == Measure::RoundTrip;
            let side = |of: fn(&Cost) -> f64, show: fn(f64) -> String| {
                let binds = results.median(|sample| Some(of(&sample.binds)), show);
                if results
                    .samples
                    .iter()
                    .all(|sample| sample.connects.is_none())
                {
                    return binds;
                }
                let connects = results.median(|sample| sample.connects.as_ref().map(of), show);
                if connects_sends {
                    format!("{connects} + {binds}")
                } else {
                    format!("{binds} + {connects}")
                }
            };
            let mean = results.median(|sample| sample.times.map(|times| times.mean), time);
            let p99 = results.median(|sample| sample.times.map(|times| times.p99), time);
            let (processor, peak) = (
                side(|cost| cost.processor, time),
                side(|cost| cost.peak, memory),
            );
            let _ = writeln!(
                text,
                "| {} | {} | {processor} | {peak} | {mean} | {p99} |",
                row.cell, results.contender
            );
        }
    }
    text.push('\n');
}

fn faults(text: &mut String, rows: &[Row]) {
    let told: Vec<_> = rows
        .iter()
        .flat_map(|row| row.results.iter().map(move |results| (row, results)))
        .flat_map(|(row, results)| {
            results
                .faults
                .iter()
                .map(move |fault| (row.cell, results.contender, fault))
        })
        .collect();
    if told.is_empty() {
        return;
    }
    text.push_str("### Failed runs\n\n");
    for (cell, contender, fault) in told {
        let _ = writeln!(text, "- {cell}, {contender}: {fault}");
    }
    text.push('\n');
}

fn sample_json(sample: &Sample) -> Value {
    let cost = |cost: Cost| json!({ "processor_seconds_per_message": cost.processor, "peak_octets": cost.peak });
    json!({
        "rate": sample.rate,
        "round_trip_seconds": sample.times.map(|times| json!({ "mean": times.mean, "p50": times.p50, "p99": times.p99 })),
        "binds": cost(sample.binds),
        "connects": sample.connects.map(cost),
    })
}

/// What the cell is about: messages a second, or seconds.
fn value(cell: &Cell, sample: &Sample) -> f64 {
    match (cell.pattern.measure, sample.times) {
        (Measure::RoundTrip, Some(times)) => times.p50,
        _ => sample.rate,
    }
}

fn show(measure: Measure, value: f64) -> String {
    match measure {
        Measure::Rate => rate(value),
        Measure::RoundTrip => time(value),
    }
}

fn rate(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{} M", three(value / 1e6)),
        value if value >= 1e3 => format!("{} k", three(value / 1e3)),
        value => three(value),
    }
}

fn time(seconds: f64) -> String {
    match seconds {
        seconds if seconds >= 1e-3 => format!("{} ms", three(seconds * 1e3)),
        seconds if seconds >= 1e-6 => format!("{} µs", three(seconds * 1e6)),
        seconds => format!("{:.0} ns", seconds * 1e9),
    }
}

fn memory(octets: f64) -> String {
    format!("{} MiB", three(octets / (1024.0 * 1024.0)))
}

/// Three digits that count.
fn three(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn middle(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    match values.len() % 2 {
        0 => values
            .get(values.len() / 2 - 1)
            .map(|lower| f64::midpoint(*lower, upper)),
        _ => Some(upper),
    }
}

/// Those against whom the others are measured.
const BASES: [&str; 2] = ["libzmq", "floor"];
const NOTHING: &str = "–";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell;
    use crate::run::RoundTrips;

    fn results(contender: &'static str, values: &[f64], round_trip: bool) -> Results {
        let cost = Cost {
            processor: 1e-7,
            peak: 1e7,
        };
        let sample = |&value: &f64| {
            let times = round_trip.then_some(RoundTrips {
                mean: value,
                p50: value,
                p99: value,
            });
            Sample {
                rate: value,
                times,
                binds: cost,
                connects: Some(cost),
            }
        };
        Results {
            contender,
            offered: true,
            samples: values.iter().map(sample).collect(),
            faults: Vec::new(),
        }
    }

    fn cell(name: &str) -> Cell {
        cell::all()
            .into_iter()
            .find(|cell| cell.to_string() == name)
            .unwrap()
    }

    #[test]
    fn medians_ranges_and_ratios() {
        let us = results("us", &[9e6, 12e6, 10e6], false);
        let row = Row {
            cell: cell("push-pull/tcp/64B"),
            results: vec![results("libzmq", &[4e6, 6e6], false), us],
        };
        let text = markdown(&[row]);
        assert!(
            text.contains(
                "| push-pull/tcp/64B | 5.00 M (4.00 M–6.00 M) | 10.0 M (9.00 M–12.0 M) | 2.00 | – |"
            ),
            "{text}"
        );
        assert!(
            text.contains("| us | 100 ns + 100 ns | 9.54 MiB + 9.54 MiB | – | – |"),
            "{text}"
        );
        assert!(!text.contains("Failed"), "{text}");
    }

    #[test]
    fn a_shorter_round_trip_is_a_better_one() {
        let mut us = results("us", &[20e-6], true);
        us.faults.push("late".to_owned());
        let row = Row {
            cell: cell("req-rep/tcp/64B/task"),
            results: vec![results("libzmq", &[60e-6], true), us],
        };
        let text = markdown(&[row]);
        assert!(
            text.contains("| 60.0 µs | 20.0 µs **1 failed** | 3.00 | – |"),
            "{text}"
        );
        assert!(text.contains("- req-rep/tcp/64B/task, us: late"), "{text}");
    }
}
