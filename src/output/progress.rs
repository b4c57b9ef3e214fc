//! How far a long verb is, for a person who waits.
//!
//! - I1: it goes to stderr and to terminals only; scripts and logs never see it.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Often enough to look alive, seldom enough to cost nothing.
const TICK: Duration = Duration::from_millis(150);

/// A bar over `bytes`, or a spinner where their number is not known. Silent with `quiet`, and off a terminal (I1).
pub fn bytes(quiet: bool, bytes: Option<u64>) -> ProgressBar {
    let bar = match bytes {
        Some(bytes) => ProgressBar::new(bytes).with_style(style("{bar:40} {bytes}/{total_bytes} {bytes_per_sec}")),
        None => ProgressBar::new_spinner().with_style(style("{spinner} {bytes} {bytes_per_sec}")),
    };
    shown(bar, quiet)
}

/// A spinner that counts rows.
pub fn rows(quiet: bool) -> ProgressBar {
    shown(ProgressBar::new_spinner().with_style(style("{spinner} {human_pos} rows committed {per_sec}")), quiet)
}

fn shown(bar: ProgressBar, quiet: bool) -> ProgressBar {
    // The standard target is hidden by itself where stderr is no terminal.
    bar.set_draw_target(if quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() });
    bar.enable_steady_tick(TICK);
    bar
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
