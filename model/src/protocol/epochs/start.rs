//! How an epoch job starts: load, fence, read, claim (rules S3, M2, M3).
//!
//! Owns the first half of [`EpochJob`]. Whatever surprises it (a conflict, an unknown outcome, a manifest that was
//! collected while it read) sends it back to the beginning: nothing has been staged, so nothing is lost.
//! - I1: no manifest is put before every sink's ledger was written by a manifest or a fence.
//! - I2: reading is contiguous; the claim takes the first absent name.
//!
//! A fence is an empty snapshot that moves the generation on, so that a commit of a direct writer that is still in
//! flight finds another base, and the writer itself a ledger that it must not touch. It passes one epoch number, and so
//! decides what that writer has staged (G2). A sink that nobody wrote yet takes the highest epoch of the others: no
//! name below a claim may be left free for somebody to win later.

use super::super::manifest::unbroken;
use super::{Attempt, CommitReply, Positions, PutReply, Rule, Sink, Suspend, Then, is_won, misfit};
use super::{Cut, Epoch, EpochEvent, EpochJob, EpochManifest, EpochStep, Generation, Intent, Ledger, Phase};
use crate::error::Result;

/// What the start has found so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Contiguous, ascending.
    manifests: Vec<EpochManifest>,
    /// A manifest that was absent although these ledgers, lowest and highest, say that it must be there.
    missing: Option<(Epoch, Bounds)>,
}

/// The lowest and the highest ledger epoch of the sinks; every sink has one once it is fenced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    lowest: Epoch,
    highest: Epoch,
}

impl Bounds {
    fn of(epochs: impl Iterator<Item = Epoch> + Clone) -> Self {
        Bounds { lowest: epochs.clone().min().unwrap_or_default(), highest: epochs.max().unwrap_or_default() }
    }
}

#[derive(Clone, Debug)]
pub(super) enum Start {
    Fresh,
    Loading { sink: usize, seen: Seen },
    Fencing { sink: usize, ledger: Box<Ledger>, seen: Seen },
    Reading { epoch: Epoch, seen: Seen },
    Claiming { claim: Box<EpochManifest>, seen: Seen },
    ReadingBack { claim: Box<EpochManifest>, seen: Seen },
}

impl EpochJob {
    pub(super) fn start(&mut self, start: Start, event: EpochEvent) -> Result<EpochStep> {
        match (start, event) {
            (Start::Fresh, EpochEvent::Start) => self.begin(Seen::default()),
            (Start::Loading { sink, seen }, EpochEvent::LoadFailed) => self.load(sink, seen),
            (Start::Loading { sink, seen }, EpochEvent::Loaded(facts)) => match self.look(sink, *facts)? {
                None => self.load(sink + 1, seen),
                Some(end) => Ok(end),
            },
            (Start::Fencing { sink, ledger, seen }, EpochEvent::Published(CommitReply::Applied(facts))) => {
                self.landed(sink, *ledger, *facts)?;
                self.fence(seen)
            }
            (Start::Fencing { seen, .. }, EpochEvent::Published(_)) => self.begin(seen),
            (Start::Reading { epoch, seen }, EpochEvent::ReadFailed) => Ok(self.read(epoch, seen)),
            (Start::Reading { epoch, seen }, EpochEvent::ManifestRead(Some(manifest))) if self.belies(&manifest) => {
                self.absent(epoch, seen)
            }
            (Start::Reading { mut seen, .. }, EpochEvent::ManifestRead(Some(manifest))) => {
                let next = manifest.epoch.next();
                seen.manifests.push(*manifest);
                Ok(self.read(next, seen))
            }
            (Start::Reading { epoch, seen }, EpochEvent::ManifestRead(None)) => self.absent(epoch, seen),
            (Start::Claiming { seen, .. }, EpochEvent::ManifestPut(PutReply::Created)) => self.recover(seen),
            (Start::Claiming { claim, seen }, EpochEvent::ManifestPut(_))
            | (Start::ReadingBack { claim, seen }, EpochEvent::ReadFailed) => Ok(self.read_claim(claim, seen)),
            (Start::ReadingBack { claim, seen }, EpochEvent::ManifestRead(found)) => {
                self.claim_read(claim, found, seen)
            }
            (start, event) => Err(misfit(&Phase::Start(start), &event)),
        }
    }

    fn begin(&mut self, seen: Seen) -> Result<EpochStep> {
        self.generation = Generation::default();
        self.load(0, Seen { manifests: Vec::new(), ..seen })
    }

    pub(super) fn load(&mut self, place: usize, seen: Seen) -> Result<EpochStep> {
        let Some((sink, is_topic)) = self.sinks.get(place).map(|sink| (sink.name.clone(), sink.is_topic)) else {
            return self.fence(seen);
        };
        if is_topic {
            return self.open(place, Then::Start(seen));
        }
        self.phase = Phase::Start(Start::Loading { sink: place, seen });
        Ok(EpochStep::Load { sink })
    }

    /// S3: the next sink that manifests do not decide yet; those that were written before come first, so that the
    /// others take over their positions.
    fn fence(&mut self, seen: Seen) -> Result<EpochStep> {
        let open = |sink: &Sink| !sink.is_topic && sink.ledger.as_ref().is_none_or(|ledger| ledger.cut == Cut::Commit);
        let written = self.sinks.iter().position(|sink| open(sink) && sink.ledger.is_some());
        let place = written.or_else(|| self.sinks.iter().position(open)).filter(|_| self.rules.hold(Rule::FenceFirst));
        let ledger = self.fence_ledger();
        let Some((place, sink)) = place.and_then(|place| Some((place, self.sinks.get(place)?))) else {
            return self.read_first(seen);
        };
        let Some(facts) = &sink.facts else { return self.begin(seen) };
        let positions = sink.ledger.as_ref().map_or(ledger.positions, |own| own.positions.clone());
        let ledger = Ledger { positions, ..ledger };
        let assertion = Attempt::new(facts, ledger.clone()).assertion;
        let step = EpochStep::Publish { sink: sink.name.clone(), assertion, ledger: ledger.clone(), files: Vec::new() };
        self.phase = Phase::Start(Start::Fencing { sink: place, ledger: Box::new(ledger), seen });
        Ok(step)
    }

    fn fence_ledger(&self) -> Ledger {
        let ledgers = || self.sinks.iter().filter_map(|sink| sink.ledger.as_ref());
        let own = |ledger: &Ledger| ledger.writer == self.writer && ledger.cut == Cut::Fence;
        let generation = |ledger: &Ledger| if own(ledger) { ledger.generation } else { ledger.generation.next() };
        let epoch = |ledger: &Ledger| if ledger.cut == Cut::Commit { ledger.epoch.next() } else { ledger.epoch };
        Ledger {
            generation: ledgers().map(generation).max().unwrap_or(Generation(1)),
            epoch: ledgers().map(epoch).max().unwrap_or_default(),
            writer: self.writer,
            cut: Cut::Fence,
            positions: self.newest_ledger().map(|ledger| ledger.positions.clone()).unwrap_or_default(),
        }
    }

    fn newest_ledger(&self) -> Option<&Ledger> {
        self.sinks.iter().filter_map(|sink| sink.ledger.as_ref()).max_by_key(|ledger| ledger.epoch)
    }

    fn bounds(&self) -> Bounds {
        let is_known = |sink: &&Sink| sink.ledger.is_some() || sink.recorded.is_some();
        Bounds::of(self.sinks.iter().filter(is_known).map(|sink| self.at(sink)))
    }

    /// What the tables alone need.
    fn bounds_of_tables(&self) -> Bounds {
        Bounds::of(self.sinks.iter().filter_map(|sink| sink.ledger.as_ref()).map(|ledger| ledger.epoch))
    }

    /// From the first manifest that a sink within these bounds still needs, or the one that the highest ledger stands
    /// for.
    fn first_of(&self, bounds: Bounds) -> Epoch {
        let decided = |ledger: &Ledger| ledger.epoch == bounds.highest && ledger.cut == Cut::Manifest;
        let stands = self.sinks.iter().any(|sink| sink.ledger.as_ref().is_some_and(decided));
        let newest = if stands { bounds.highest } else { bounds.highest.next() };
        newest.min(bounds.lowest.next())
    }

    /// M2, M3.
    fn read_first(&mut self, seen: Seen) -> Result<EpochStep> {
        let bounds = self.bounds();
        if let Some((epoch, _)) = seen.missing.filter(|(_, before)| *before == bounds) {
            let missing = EpochStep::Suspend { sink: None, reason: Suspend::ManifestMissing { epoch } };
            return Ok(self.elsewhere(epoch, self.first_of(self.bounds_of_tables())).unwrap_or(missing));
        }
        Ok(self.read(self.first_of(bounds), seen))
    }

    fn read(&mut self, epoch: Epoch, seen: Seen) -> EpochStep {
        self.phase = Phase::Start(Start::Reading { epoch, seen });
        EpochStep::ReadManifest { epoch }
    }

    /// A ledger says what this epoch came to, and the manifest says otherwise: the name was collected and won again, so
    /// the ledgers that were loaded are old.
    fn belies(&self, manifest: &EpochManifest) -> bool {
        let decided = |ledger: &&Ledger| ledger.epoch == manifest.epoch && ledger.cut == Cut::Manifest;
        let mut ledgers = self.sinks.iter().filter_map(|sink| sink.ledger.as_ref()).filter(decided);
        match &manifest.intent {
            Intent::Claim => ledgers.next().is_some(),
            Intent::Work { positions, .. } => ledgers.any(|ledger| ledger.positions != *positions),
        }
    }

    /// The first absent name is where the claim goes; below the highest ledger it means that the ledgers that were
    /// loaded are old by now, or that the manifest is lost.
    fn absent(&mut self, epoch: Epoch, seen: Seen) -> Result<EpochStep> {
        let bounds = self.bounds();
        if epoch <= bounds.highest {
            return self.begin(Seen { missing: Some((epoch, bounds)), ..seen });
        }
        let ledgers = self.sinks.iter().filter_map(|sink| sink.ledger.as_ref()).map(|ledger| ledger.generation);
        let manifests = seen.manifests.iter().map(|manifest| manifest.generation);
        self.generation = ledgers.chain(manifests).max().unwrap_or_default().next();
        self.next = epoch;
        self.after = seen.manifests.last().map(|manifest| manifest.writer);
        if !self.rules.hold(Rule::ClaimFirst) {
            return self.recover(seen);
        }
        let claim = EpochManifest {
            job: self.job.clone(),
            epoch,
            generation: self.generation,
            writer: self.writer,
            after: self.after,
            intent: Intent::Claim,
        };
        Ok(self.put_claim(Box::new(claim), seen))
    }

    fn put_claim(&mut self, claim: Box<EpochManifest>, seen: Seen) -> EpochStep {
        self.phase = Phase::Start(Start::Claiming { claim: claim.clone(), seen });
        EpochStep::PutManifest { manifest: claim }
    }

    fn read_claim(&mut self, claim: Box<EpochManifest>, seen: Seen) -> EpochStep {
        let epoch = claim.epoch;
        self.phase = Phase::Start(Start::ReadingBack { claim, seen });
        EpochStep::ReadManifest { epoch }
    }

    fn claim_read(
        &mut self,
        claim: Box<EpochManifest>,
        found: Option<Box<EpochManifest>>,
        mut seen: Seen,
    ) -> Result<EpochStep> {
        match found {
            None => Ok(self.put_claim(claim, seen)),
            Some(found) if is_won(&claim, &found, self.rules) => self.recover(seen),
            Some(found) => {
                let next = found.epoch.next();
                seen.manifests.push(*found);
                Ok(self.read(next, seen))
            }
        }
    }

    /// M3: every name below the claim is decided. Takes position and state from the newest work and queues what a sink
    /// still lacks.
    fn recover(&mut self, seen: Seen) -> Result<EpochStep> {
        if self.rules.hold(Rule::ClaimFirst) {
            self.next = self.next.next();
            self.after = Some(self.writer);
        }
        let ledger = self.newest_ledger().map(|ledger| ledger.positions.clone());
        self.positions = ledger.clone().filter(|positions| !positions.0.is_empty());
        let stand_at: Vec<Epoch> = self.sinks.iter().map(|sink| self.at(sink)).collect();
        for (sink, at) in self.sinks.iter_mut().zip(stand_at) {
            sink.follows = at;
        }
        let lowest = self.bounds().lowest;
        for manifest in unbroken(&seen.manifests, self.rules).iter().filter(|manifest| manifest.is_work()) {
            self.adopt(manifest);
            if manifest.epoch > lowest {
                self.pending.push_back(manifest.clone());
            }
        }
        self.forget(ledger);
        self.recovering = true;
        self.proceed()
    }

    /// What recovery does with one of its rules off.
    fn forget(&mut self, newest_ledger: Option<Positions>) {
        if !self.rules.hold(Rule::RecoverEvery) {
            self.pending.drain(..self.pending.len().saturating_sub(1));
        }
        if !self.rules.hold(Rule::ResumeFromNewestWork) {
            self.positions = newest_ledger;
        }
        if !self.rules.hold(Rule::NeverDecodeAgain) && !self.pending.is_empty() {
            self.pending.clear();
            let ledgers = self.sinks.iter().filter_map(|sink| sink.ledger.as_ref());
            self.positions = ledgers.min_by_key(|ledger| ledger.epoch).map(|ledger| ledger.positions.clone());
        }
    }
}
