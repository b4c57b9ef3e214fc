//! The protocol in a hostile world: thousands of seeded schedules of crashes, lost replies, late requests, zombies,
//! foreign engines and collectors around the real machines of `tableflow_model::protocol`.
//!
//! Two things are shown: under the law every invariant of `checks` holds in every schedule, and with any one rule
//! taken away some schedule of the same cases and seeds breaks one. A failing seed prints how to play it again.
//!
//! ```text
//!  TABLEFLOW_SIM_SEEDS=n     schedules per case (`make deep`)
//!  TABLEFLOW_SIM_SEED=s TABLEFLOW_SIM_CASE=c [TABLEFLOW_SIM_OFF=Rule]   one schedule, with its trace
//! ```

#[cfg(test)]
mod acts;
#[cfg(test)]
mod case;
#[cfg(test)]
mod checks;
#[cfg(test)]
mod feed;
#[cfg(test)]
mod keyed;
#[cfg(test)]
mod law;
#[cfg(test)]
mod letters;
#[cfg(test)]
mod process;
#[cfg(test)]
mod rng;
#[cfg(test)]
mod sweep;
#[cfg(test)]
mod table;
#[cfg(test)]
mod world;
