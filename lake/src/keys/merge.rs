//! Entries in the order of their hashes, from several that have that order.
//!
//! Owns [`Merged`].
//! - I1: each entry of each source comes once, and none comes before one with a smaller hash.

use tableflow_model::Result;

use super::{Hash, Location};

pub type Entry = (Hash, Location);

/// An iterator over entries that may fail to be read.
pub type Entries<'a> = Box<dyn Iterator<Item = Result<Entry>> + 'a>;

/// Few sources as one: the smallest head is looked for among all of them.
pub struct Merged<'a> {
    sources: Vec<(Option<Entry>, Entries<'a>)>,
}

impl<'a> Merged<'a> {
    pub fn of(sources: Vec<Entries<'a>>) -> Result<Self> {
        let begun = sources.into_iter().map(|mut source| Ok((source.next().transpose()?, source)));
        Ok(Merged { sources: begun.collect::<Result<_>>()? })
    }

    pub fn next(&mut self) -> Result<Option<Entry>> {
        let heads = self.sources.iter_mut().filter(|(head, _)| head.is_some());
        let Some((head, source)) = heads.min_by_key(|(head, _)| *head) else { return Ok(None) };
        let next = source.next().transpose()?;
        Ok(std::mem::replace(head, next))
    }
}
