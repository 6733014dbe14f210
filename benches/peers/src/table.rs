//! What comes out: medians, ranges, ratios and targets as markdown, and every sample as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::cell::{Cell, Measure};
use crate::run::{Cost, Sample, Stuck};
use crate::tally::Fault;
use crate::targets::{self, Target};

/// All that was measured of one cell.
pub struct Row {
    pub cell: Cell,
    /// In the order of the contenders.
    pub results: Vec<Results>,
}

/// What one contender did in one cell.
pub struct Results {
    pub contender: &'static str,
    /// Why it does not play this cell at all, if so.
    pub absent: Option<&'static str>,
    pub samples: Vec<Sample>,
    pub faults: Vec<Fault>,
}

/// What counts, a line a cell; then all that was measured, a table a pattern; then why something is missing.
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::new();
    summary(&mut text, rows);
    for pattern in rows.chunk_by(|a, b| a.cell.pattern == b.cell.pattern) {
        details(&mut text, pattern);
    }
    notes(&mut text, rows);
    text
}

/// Every sample.
pub fn json(rows: &[Row], head: &Value) -> Value {
    let results = |results: &Results| {
        let samples: Vec<Value> = results.samples.iter().map(sample_json).collect();
        let faults: Vec<String> = results.faults.iter().map(ToString::to_string).collect();
        json!({ "contender": results.contender, "absent": results.absent, "samples": samples, "faults": faults })
    };
    let row = |row: &Row| {
        let results: Vec<Value> = row.results.iter().map(results).collect();
        json!({ "cell": row.cell.to_string(), "target": row.target(), "results": results })
    };
    let rows: Vec<Value> = rows.iter().map(row).collect();
    json!({ "run": head, "cells": rows })
}

impl Row {
    fn of(&self, contender: &str) -> Option<&Results> {
        let mut results = self.results.iter();
        results.find(|results| results.contender == contender)
    }

    fn median_of(&self, contender: &str) -> Option<f64> {
        self.of(contender)?.median()
    }

    /// The library other than our own that did best, and lost nothing.
    fn best_rival(&self) -> Option<(&Results, f64)> {
        let rivals = self
            .results
            .iter()
            .filter(|results| ![FLOOR, OURS, SINGLE].contains(&results.contender))
            .filter(|results| results.lost() == 0);
        let medians = rivals.filter_map(|results| Some((results, results.median()?)));
        medians.max_by(|(_, a), (_, b)| self.times_better(*a, *b).total_cmp(&1.0))
    }

    fn times_better(&self, own: f64, base: f64) -> f64 {
        match self.cell.pattern.measure {
            Measure::Rate => own / base,
            Measure::RoundTrip | Measure::Gather => base / own,
        }
    }

    /// How many times better than `base`, as text.
    fn ratio(&self, own: Option<f64>, base: Option<f64>) -> String {
        match (own, base) {
            (Some(own), Some(base)) => format!("{:.2}", self.times_better(own, base)),
            _ => NOTHING.to_owned(),
        }
    }

    /// What is aimed at, and whether it is reached.
    fn target(&self) -> String {
        let Some(target) = targets::of(&self.cell) else {
            return NOTHING.to_owned();
        };
        let own = self.median_of(OURS);
        let (text, met) = match target {
            Target::Libzmq(times) => {
                let base = self.median_of(LIBZMQ);
                let met = own.zip(base).map(|(own, base)| own >= times * base);
                let floor = self.median_of(FLOOR);
                let beyond = base
                    .zip(floor)
                    .is_some_and(|(base, floor)| times * base > floor);
                let beyond = if beyond { ", beyond the floor" } else { "" };
                (format!("≥ {times} × libzmq{beyond}"), met)
            }
            Target::Floor(times) => {
                let base = self.median_of(FLOOR);
                let met = own.zip(base).map(|(own, base)| own <= times * base);
                (format!("≤ {times} × floor"), met)
            }
            Target::Seconds(seconds) => {
                let met = own.map(|own| own <= seconds);
                (format!("≤ {}", time(seconds)), met)
            }
            Target::Gather { seconds, octets } => {
                let grown = |results: &Results| {
                    let cost = |of: fn(&Sample) -> Option<Cost>| {
                        middle(results.samples.iter().filter_map(of).map(|cost| cost.grown))
                    };
                    let (binds, connects) = (
                        cost(|sample| Some(sample.binds)),
                        cost(|sample| sample.connects),
                    );
                    binds.into_iter().chain(connects).fold(0.0, f64::max)
                };
                let grown = self
                    .of(OURS)
                    .map(|results| grown(results) / self.cell.senders as f64);
                let met = own
                    .zip(grown)
                    .map(|(own, grown)| own <= seconds && grown <= octets);
                (format!("≤ {}, ≤ {}", time(seconds), memory(octets)), met)
            }
        };
        match met {
            Some(true) => format!("{text}: met"),
            Some(false) => format!("{text}: **missed**"),
            None => text,
        }
    }
}

impl Results {
    fn median(&self) -> Option<f64> {
        middle(self.samples.iter().map(|sample| sample.value))
    }

    fn lost(&self) -> u64 {
        self.samples.iter().map(|sample| sample.lost).sum()
    }

    /// What went wrong, in a word or two; nothing if all went well.
    pub fn trouble(&self) -> Option<String> {
        match (self.faults.last(), self.lost()) {
            (Some(fault), _) if fault.is::<Stuck>() => Some("stuck".to_owned()),
            (Some(_), _) => Some("failed".to_owned()),
            (None, 0) => None,
            (None, lost) => Some(format!("lost {lost}")),
        }
    }

    /// The latest value, or what went wrong.
    pub fn latest(&self, cell: &Cell) -> String {
        if self.absent.is_some() {
            return NOTHING.to_owned();
        }
        let value = self.samples.last().map(|sample| show(cell, sample.value));
        self.trouble().or(value).unwrap_or_default()
    }

    /// Median and range.
    fn shown(&self, cell: &Cell) -> String {
        let mut text = match self.median() {
            Some(median) => show(cell, median),
            None if self.absent.is_some() || self.faults.is_empty() => NOTHING.to_owned(),
            None => String::new(),
        };
        if self.samples.len() > 1 {
            let values = self.samples.iter().map(|sample| sample.value);
            let (least, most) = values.fold((f64::MAX, 0.0_f64), |(a, b), v| (a.min(v), b.max(v)));
            let _ = write!(text, " ({}–{})", show(cell, least), show(cell, most));
        }
        if let Some(trouble) = self.trouble() {
            let _ = write!(text, " **{trouble}**");
        }
        text.trim_start().to_owned()
    }

    fn side(&self, cell: &Cell, of: fn(&Cost) -> f64, show: impl Fn(f64) -> String) -> String {
        let binds = middle(self.samples.iter().map(|sample| of(&sample.binds)));
        let connects = self.samples.iter().filter_map(|sample| sample.connects);
        let connects = middle(connects.map(|cost| of(&cost)));
        let sides = if cell.pattern.binds.leads() {
            [binds, connects]
        } else {
            [connects, binds]
        };
        let sides: Vec<String> = sides.into_iter().flatten().map(show).collect();
        if sides.is_empty() {
            NOTHING.to_owned()
        } else {
            sides.join(" + ")
        }
    }
}

fn summary(text: &mut String, rows: &[Row]) {
    text.push_str("### Summary\n\n");
    text.push_str(
        "| cell | floor | libzmq | best rival | jackstay | × floor | × libzmq | × best rival | target | a message a call | × libzmq |\n",
    );
    text.push_str(
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for row in rows {
        let value = |contender| {
            let results = row.of(contender);
            results.map_or(NOTHING.to_owned(), |results| {
                match (results.median(), results.trouble()) {
                    (Some(median), None) => show(&row.cell, median),
                    (Some(median), Some(trouble)) => {
                        format!("{} **{trouble}**", show(&row.cell, median))
                    }
                    (None, trouble) => trouble.unwrap_or(NOTHING.to_owned()),
                }
            })
        };
        let best = row.best_rival();
        let best_shown = best.map_or(NOTHING.to_owned(), |(rival, median)| {
            format!("{} {}", rival.contender, show(&row.cell, median))
        });
        let own = row.median_of(OURS);
        let _ = writeln!(
            text,
            "| {} | {} | {} | {best_shown} | {} | {} | {} | {} | {} | {} | {} |",
            row.cell,
            value(FLOOR),
            value(LIBZMQ),
            value(OURS),
            row.ratio(own, row.median_of(FLOOR)),
            row.ratio(own, row.median_of(LIBZMQ)),
            row.ratio(own, best.map(|(_, median)| median)),
            row.target(),
            value(SINGLE),
            row.ratio(row.median_of(SINGLE), row.median_of(LIBZMQ)),
        );
    }
    text.push('\n');
}

fn details(text: &mut String, rows: &[Row]) {
    let Some(first) = rows.first() else {
        return;
    };
    let measure = first.cell.pattern.measure;
    let more = match measure {
        Measure::Rate => "",
        Measure::RoundTrip => " mean, p99 |",
        Measure::Gather => " memory a connection |",
    };
    let _ = writeln!(text, "### {}\n", first.cell.pattern.title);
    let _ = writeln!(
        text,
        "| cell | contender | median (range) | × libzmq | × best rival | processor a message | peak memory |{more}"
    );
    let columns = if more.is_empty() { 5 } else { 6 };
    let _ = writeln!(text, "| --- | --- |{}", " ---: |".repeat(columns));
    for row in rows {
        for results in &row.results {
            let median = results.median();
            let _ = write!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} |",
                row.cell,
                results.contender,
                results.shown(&row.cell),
                row.ratio(median, row.median_of(LIBZMQ)),
                row.ratio(median, row.best_rival().map(|(_, median)| median)),
                results.side(&row.cell, |cost| cost.processor, time),
                results.side(&row.cell, |cost| cost.peak, memory),
            );
            match measure {
                Measure::Rate => {}
                Measure::RoundTrip => {
                    let trips = || results.samples.iter().filter_map(|sample| sample.trips);
                    let mean = middle(trips().map(|(mean, _)| mean)).map(time);
                    let p99 = middle(trips().map(|(_, p99)| p99)).map(time);
                    let (mean, p99) = mean.zip(p99).unwrap_or_default();
                    let _ = write!(text, " {mean}, {p99} |");
                }
                Measure::Gather => {
                    let connections = row.cell.senders as f64;
                    let each = |grown| memory(grown / connections);
                    let _ = write!(
                        text,
                        " {} |",
                        results.side(&row.cell, |cost| cost.grown, each)
                    );
                }
            }
            text.push('\n');
        }
    }
    text.push('\n');
}

/// Why something is missing: each reason once, with all it explains.
fn notes(text: &mut String, rows: &[Row]) {
    let mut notes: Vec<(String, Vec<String>)> = Vec::new();
    for row in rows {
        for results in &row.results {
            let absent = results
                .absent
                .map(|why| format!("{}, {NOTHING}: {why}", results.contender));
            let faults = results
                .faults
                .iter()
                .map(|fault| format!("{}, {}: {fault}", results.contender, word(fault)));
            let lost =
                (results.lost() > 0).then(|| format!("{}: lost messages", results.contender));
            for note in absent.into_iter().chain(faults).chain(lost) {
                let cell = row.cell.to_string();
                match notes.iter_mut().find(|(known, _)| *known == note) {
                    Some((_, cells)) if cells.contains(&cell) => {}
                    Some((_, cells)) => cells.push(cell),
                    None => notes.push((note, vec![cell])),
                }
            }
        }
    }
    if notes.is_empty() {
        return;
    }
    text.push_str("### Notes\n\n");
    for (note, cells) in notes {
        let _ = writeln!(text, "- {note} ({})", cells.join(", "));
    }
    text.push('\n');
}

fn word(fault: &Fault) -> &'static str {
    if fault.is::<Stuck>() {
        "stuck"
    } else {
        "failed"
    }
}

fn sample_json(sample: &Sample) -> Value {
    let cost = |cost: Cost| {
        json!({
            "processor_seconds_per_message": cost.processor,
            "peak_octets": cost.peak,
            "octets_since_first_connection": cost.grown,
        })
    };
    json!({
        "value": sample.value,
        "round_trip_seconds": sample.trips.map(|(mean, p99)| json!({ "mean": mean, "p50": sample.value, "p99": p99 })),
        "lost": sample.lost,
        "binds": cost(sample.binds),
        "connects": sample.connects.map(cost),
    })
}

fn show(cell: &Cell, value: f64) -> String {
    match cell.pattern.measure {
        Measure::Rate => rate(value),
        Measure::RoundTrip | Measure::Gather => time(value),
    }
}

pub fn rate(value: f64) -> String {
    match value {
        value if value >= 1e6 => format!("{} M", three(value / 1e6)),
        value if value >= 1e3 => format!("{} k", three(value / 1e3)),
        value => three(value),
    }
}

pub fn time(seconds: f64) -> String {
    match seconds {
        seconds if seconds >= 1.0 => format!("{} s", three(seconds)),
        seconds if seconds >= 1e-3 => format!("{} ms", three(seconds * 1e3)),
        seconds if seconds >= 1e-6 => format!("{} µs", three(seconds * 1e6)),
        seconds => format!("{:.0} ns", seconds * 1e9),
    }
}

pub fn memory(octets: f64) -> String {
    if octets >= 1024.0 * 1024.0 {
        format!("{} MiB", three(octets / (1024.0 * 1024.0)))
    } else {
        format!("{} KiB", three(octets / 1024.0))
    }
}

/// Three digits that count.
fn three(value: f64) -> String {
    match value {
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

pub fn middle(values: impl Iterator<Item = f64>) -> Option<f64> {
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

const FLOOR: &str = "floor";
const LIBZMQ: &str = "libzmq";
const OURS: &str = "jackstay";
const SINGLE: &str = "jackstay-single";
const NOTHING: &str = "–";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cells;

    fn results(contender: &'static str, values: &[f64]) -> Results {
        let cost = Cost {
            processor: 1e-7,
            peak: 1e7,
            grown: 4e6,
        };
        let sample = |&value: &f64| Sample {
            value,
            trips: Some((value, value)),
            lost: 0,
            binds: cost,
            connects: Some(cost),
        };
        Results {
            contender,
            absent: None,
            samples: values.iter().map(sample).collect(),
            faults: Vec::new(),
        }
    }

    fn row(name: &str, results: Vec<Results>) -> Row {
        let cell = cells::all()
            .into_iter()
            .find(|cell| cell.to_string() == name);
        Row {
            cell: cell.unwrap(),
            results,
        }
    }

    #[test]
    fn medians_ranges_ratios_and_targets() {
        let rivals = [results("libzmq", &[2e6, 3e6]), results("other", &[5e6])];
        let ours = results("jackstay", &[9e6, 12e6, 10e6]);
        let text = markdown(&[row(
            "push-pull/tcp/64B",
            rivals.into_iter().chain([ours]).collect(),
        )]);
        for line in [
            "| push-pull/tcp/64B | – | 2.50 M | other 5.00 M | 10.0 M | – | 4.00 | 2.00 | ≥ 4 × libzmq: met | – | – |",
            "| push-pull/tcp/64B | libzmq | 2.50 M (2.00 M–3.00 M) | 1.00 | 0.50 | 100 ns + 100 ns | 9.54 MiB + 9.54 MiB |",
            "| push-pull/tcp/64B | jackstay | 10.0 M (9.00 M–12.0 M) | 4.00 | 2.00 | 100 ns + 100 ns | 9.54 MiB + 9.54 MiB |",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains("Notes"), "{text}");
    }

    #[test]
    fn a_shorter_round_trip_is_a_better_one() {
        let ours = results("jackstay", &[20e-6]);
        let row = row(
            "req-rep/tcp/64B/task/awake",
            vec![
                results("floor", &[16e-6]),
                results("libzmq", &[60e-6]),
                ours,
            ],
        );
        let text = markdown(&[row]);
        let line = "20.0 µs | 0.80 | 3.00 | 3.00 | ≤ 1.15 × floor: **missed** | – | – |";
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn who_loses_messages_is_no_best_rival() {
        let mut lossy = results("lossy", &[9e6]);
        lossy.samples[0].lost = 7;
        let mut stuck = results("stuck", &[]);
        stuck.faults.push("late".into());
        let row = row(
            "pub-sub/tcp/64B/1-8",
            vec![
                results("libzmq", &[1e6]),
                lossy,
                stuck,
                results("jackstay", &[5e6]),
            ],
        );
        let text = markdown(&[row]);
        assert!(
            text.contains("libzmq 1.00 M | 5.00 M | – | 5.00 | 5.00 | ≥ 5 × libzmq: met | – | – |"),
            "{text}"
        );
        assert!(text.contains("| 9.00 M **lost 7** |"), "{text}");
        assert!(
            text.contains("- stuck, failed: late (pub-sub/tcp/64B/1-8)"),
            "{text}"
        );
    }

    #[test]
    fn connections_have_to_be_quick_and_small() {
        let ours = results("jackstay", &[0.1]);
        let text = markdown(&[row("connections/tcp/64B/1000-1", vec![ours])]);
        assert!(text.contains("≤ 190 ms, ≤ 8.00 KiB: met"), "{text}");
        assert!(text.contains("3.91 KiB + 3.91 KiB"), "{text}");
    }
}
