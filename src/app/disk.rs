//! Watches how full the file system of the data folder is, and has databases and indexes grow no
//! more beyond the thresholds of `[disk_monitor]` (couchdb-api.md 1.22).

use std::path::Path;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::config::DiskMonitorSettings;

use super::App;

const INTERVAL: Duration = Duration::from_secs(5);

impl App {
    /// Looks at the disk from time to time, where that is asked for.
    pub(super) async fn watch_disk(&self, stop: CancellationToken) {
        let watch = async {
            loop {
                tokio::time::sleep(INTERVAL).await;
                let settings = self.config.snapshot();
                if settings.disk_monitor.enable {
                    self.check_disk(&settings.disk_monitor);
                }
            }
        };
        stop.run_until_cancelled(watch).await;
    }

    /// Looks at the disk now. Where it cannot be looked at, nothing is refused.
    pub(super) fn check_disk(&self, settings: &DiskMonitorSettings) {
        let used = if settings.enable { used_percent(&self.scratch) } else { None };
        let is_above = |threshold: u64| used.is_some_and(|used| used > threshold);
        let limits = self.registry.limits();
        limits.set_disk_full(
            is_above(settings.interactive_database_writes_threshold),
            is_above(settings.interactive_view_indexing_threshold),
        );
        limits
            .set_disk_full_for_builds_ahead(is_above(settings.background_view_indexing_threshold));
    }
}

/// How much of a folder's file system is in use, as `df` shows it: of what is not set aside for
/// the system.
fn used_percent(folder: &Path) -> Option<u64> {
    let space = rustix::fs::statvfs(folder).ok()?;
    let used = space.f_blocks.checked_sub(space.f_bfree)?;
    let usable = used.checked_add(space.f_bavail).filter(|usable| *usable > 0)?;
    Some(used.saturating_mul(100).div_ceil(usable))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares() {
        let folder = tempfile::tempdir().unwrap();
        let used = used_percent(folder.path()).unwrap();
        assert!(used <= 100, "{used}");
        assert_eq!(used_percent(Path::new("/none/such")), None);
    }
}
