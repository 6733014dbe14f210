//! How many files the connections of this process may take.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The share of files that connections may take, if the file of this number is beyond it: four in five of those that
/// the process may have open.
///
/// The system gives a new file the lowest free number, so that all below are taken, by whatever. Nothing is beyond
/// where the system does not tell its limit.
pub(crate) fn beyond_share(file: usize) -> Option<usize> {
    /// As it was when it last mattered: asking takes some microseconds.
    static SHARE: AtomicUsize = AtomicUsize::new(0);
    let known = SHARE.load(Ordering::Relaxed);
    if file < known {
        return None;
    }
    // Not known yet, or it may have been raised.
    let share = allowed().map_or(known, |allowed| allowed - allowed / 5);
    SHARE.store(share, Ordering::Relaxed);
    (share > 0 && file >= share).then_some(share)
}

/// The soft limit of open files, where Linux tells it.
fn allowed() -> Option<usize> {
    soft_limit(&std::fs::read_to_string("/proc/self/limits").ok()?)
}

fn soft_limit(limits: &str) -> Option<usize> {
    let values = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?;
    values.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_is_read() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max processes             96350                96350                processes \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(soft_limit(limits), Some(1024));
        assert_eq!(soft_limit(&limits.replace("1024  ", "unlimited")), None);
        assert_eq!(soft_limit(""), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_fifth_is_kept_free() {
        let allowed = allowed().expect("Linux tells it");
        let share = allowed - allowed / 5;
        assert_eq!(beyond_share(0), None);
        assert_eq!(beyond_share(share - 1), None);
        assert_eq!(beyond_share(share), Some(share));
    }
}
