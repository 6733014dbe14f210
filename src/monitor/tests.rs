use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake};

use super::*;

/// An event that says its number.
fn numbered(number: u64) -> Event {
    Event::new(None, EventKind::Retrying(Duration::from_secs(number)))
}

fn number(event: &Event) -> u64 {
    match event.kind {
        EventKind::Retrying(number) => number.as_secs(),
        _ => panic!("{event}"),
    }
}

fn told(monitor: &mut Monitor) -> Vec<u64> {
    let events = std::iter::from_fn(|| monitor.try_recv());
    events.map(|event| number(&event)).collect()
}

#[test]
fn each_monitor_is_told_all_from_its_beginning() {
    let reporter = Reporter::default();
    reporter.report([numbered(0)]);
    let mut first = reporter.monitor();
    reporter.report([numbered(1)]);
    let mut second = reporter.monitor();
    reporter.report(vec![numbered(2), numbered(3)]);
    assert_eq!(told(&mut first), [1, 2, 3]);
    assert_eq!(told(&mut second), [2, 3]);
    reporter.report([numbered(4)]);
    assert_eq!(told(&mut first), [4]);
}

#[test]
fn of_a_monitor_that_is_not_read_the_last_are_kept() {
    let reporter = Reporter::default();
    let mut monitor = reporter.monitor();
    let kept = KEPT as u64;
    (0..kept + 7).for_each(|number| reporter.report([numbered(number)]));
    assert_eq!(told(&mut monitor), (7..kept + 7).collect::<Vec<_>>());
    reporter.report((0..2 * kept).map(numbered).collect::<Vec<_>>());
    assert_eq!(told(&mut monitor), (kept..2 * kept).collect::<Vec<_>>());
}

#[derive(Default)]
struct Counting(AtomicUsize);

impl Wake for Counting {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_monitor_is_woken_once_for_several_and_by_the_end() {
    let reporter = Reporter::default();
    let mut monitor = reporter.monitor();
    let wakes = Arc::new(Counting::default());
    let waker = wakes.clone().into();
    let mut cx = Context::from_waker(&waker);
    {
        let mut first = pin!(monitor.recv());
        assert!(first.as_mut().poll(&mut cx).is_pending());
        reporter.report((0..3).map(numbered).collect::<Vec<_>>());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 1);
        let Poll::Ready(Some(event)) = first.as_mut().poll(&mut cx) else {
            panic!("it was told");
        };
        assert_eq!(number(&event), 0);
    }
    assert_eq!(told(&mut monitor), [1, 2]);
    let mut end = pin!(monitor.recv());
    assert!(end.as_mut().poll(&mut cx).is_pending());
    drop(reporter);
    assert_eq!(wakes.0.load(Ordering::Relaxed), 2);
    assert!(matches!(end.as_mut().poll(&mut cx), Poll::Ready(None)));
}

#[test]
fn faults_beyond_the_rate_are_not_logged_and_the_next_one_tells_how_many() {
    let start = Instant::now();
    let mut warnings = Warnings::default();
    assert!((0..100).all(|_| warnings.next(start) == Some(0)));
    assert!((0..7).all(|_| warnings.next(start).is_none()));
    let later = start + Duration::from_secs(1);
    assert_eq!(warnings.next(later), Some(7));
    assert_eq!(warnings.next(later), Some(0));
}

/// A subscriber of `tracing` that panics at each event.
struct Touchy;

impl tracing::Subscriber for Touchy {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::Id {
        tracing::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::Id, _: &tracing::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        panic!("on purpose");
    }

    fn enter(&self, _: &tracing::Id) {}

    fn exit(&self, _: &tracing::Id) {}
}

#[test]
fn a_subscriber_of_events_that_panics_does_not_break_what_they_tell_of() {
    let reporter = Reporter::default();
    let mut monitor = reporter.monitor();
    tracing::subscriber::with_default(Touchy, || {
        for kind in [EventKind::Listening, EventKind::GaveUp, EventKind::Closed] {
            reporter.report([Event::new(None, kind)]);
        }
    });
    let told: Vec<_> = std::iter::from_fn(|| monitor.try_recv()).collect();
    assert!(matches!(
        told.iter().map(|event| &event.kind).collect::<Vec<_>>()[..],
        [EventKind::Listening, EventKind::GaveUp, EventKind::Closed]
    ));
}
