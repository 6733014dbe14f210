//! Memory, files and tasks: what they are now, and whether they grow.

use std::fmt;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::ALLOCATOR;
use crate::soak::Outcome;

/// What this process holds at one moment.
pub struct Now {
    /// Octets.
    pub resident: usize,
    /// Octets.
    pub heap: usize,
    pub files: usize,
    pub tasks: usize,
}

impl Now {
    pub fn take() -> Outcome<Self> {
        Ok(Self {
            resident: resident()?,
            heap: ALLOCATOR.allocated(),
            files: std::fs::read_dir("/proc/self/fd")?.count(),
            tasks: Handle::current().metrics().num_alive_tasks(),
        })
    }

    /// What is held when it has become as little as `before`, or does not for half a minute.
    pub async fn settle(before: &Self) -> Outcome<Self> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let now = Self::take()?;
            let settled = (now.files, now.tasks) == (before.files, before.tasks);
            if settled || Instant::now() > end {
                return Ok(now);
            }
            sleep(Duration::from_millis(10)).await;
        }
    }
}

impl fmt::Display for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { files, tasks, .. } = self;
        let (resident, heap) = (kibibytes(self.resident), kibibytes(self.heap));
        write!(
            f,
            "resident {resident} KiB, heap {heap} KiB, {files} files, {tasks} tasks"
        )
    }
}

fn kibibytes(octets: usize) -> usize {
    octets >> 10
}

/// The second figure of `statm`, in pages of 4 KiB as Linux has them on every machine that this runs on.
fn resident() -> Outcome<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split_whitespace().nth(1).ok_or("no such figure")?;
    Ok(pages.parse::<usize>()? * 4_096)
}

/// One sample a second, of which the mean of each minute is kept.
pub struct Samples {
    begun: Instant,
    warm: Duration,
    minute: Vec<Now>,
    minutes: Vec<Minute>,
}

struct Minute {
    hours: f64,
    resident: f64,
    heap: f64,
}

/// How something has changed since the warm-up, by least squares.
pub struct Growth {
    /// Octets.
    mean: f64,
    /// Octets.
    an_hour: f64,
    pub percent_an_hour: f64,
}

pub struct Growths {
    pub resident: Growth,
    pub heap: Growth,
}

impl Samples {
    /// For a run of `duration`, of which the first quarter, but no more than 20 minutes, is the warm-up.
    pub fn new(begun: Instant, duration: Duration) -> Self {
        Self {
            begun,
            warm: (duration / 4).min(Duration::from_secs(20 * 60)),
            minute: Vec::with_capacity(60),
            minutes: Vec::with_capacity(24 * 60),
        }
    }

    /// Takes one; at the end of a minute, what there was in it.
    pub fn sample(&mut self) -> Outcome<Option<String>> {
        self.minute.push(Now::take()?);
        if self.minute.len() < 60 {
            return Ok(None);
        }
        let mean = |of: fn(&Now) -> usize| {
            self.minute.iter().map(of).sum::<usize>() as f64 / self.minute.len() as f64
        };
        let minute = Minute {
            hours: self.begun.elapsed().as_secs_f64() / 3_600.0,
            resident: mean(|now| now.resident),
            heap: mean(|now| now.heap),
        };
        let line = format!(
            "minute {}: resident {:.0} KiB, heap {:.0} KiB, {:.0} files, {:.0} tasks",
            self.minutes.len() + 1,
            minute.resident / 1_024.0,
            minute.heap / 1_024.0,
            mean(|now| now.files),
            mean(|now| now.tasks),
        );
        self.minute.clear();
        self.minutes.push(minute);
        Ok(Some(line))
    }

    pub fn growth(&self) -> Outcome<Growths> {
        let warm = self.warm.as_secs_f64() / 3_600.0;
        let minutes: Vec<_> = self
            .minutes
            .iter()
            .filter(|each| each.hours > warm)
            .collect();
        let line = |of: fn(&Minute) -> f64| {
            let points = minutes.iter().map(|each| (each.hours, of(each)));
            Growth::of(&points.collect::<Vec<_>>())
        };
        Ok(Growths {
            resident: line(|each| each.resident),
            heap: line(|each| each.heap),
        })
    }
}

impl Growth {
    fn of(points: &[(f64, f64)]) -> Self {
        let n = points.len() as f64;
        let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / n;
        let (x, y) = (mean(|point| point.0), mean(|point| point.1));
        let covariance: f64 = points
            .iter()
            .map(|point| (point.0 - x) * (point.1 - y))
            .sum();
        let variance: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
        let an_hour = covariance / variance;
        Self {
            mean: y,
            an_hour,
            percent_an_hour: 100.0 * an_hour / y,
        }
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.0} KiB with {:+.1} KiB/h ({:+.3} %/h)",
            self.mean / 1_024.0,
            self.an_hour / 1_024.0,
            self.percent_an_hour
        )
    }
}
