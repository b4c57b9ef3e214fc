//! Sinks that are topics (rules T).
//!
//! Owns the part of [`EpochJob`] that brings epochs into them: open a producer, which fences the one before; read what
//! the topic records; then a transaction for each epoch.
//! - I1: no epoch is produced before the recorded one was read behind an opened producer (T1).
//! - I2: after any answer but "committed" the producer is opened anew and the recorded epoch read again (T3).
//! - I3: topics are committed before tables: where a topic has forgotten its epoch, it is at least where the tables are
//!   (T2).
//! - I4: an epoch without rows is recorded only up to where the tables are, so that it can be forgotten.
//! - I5: a producer that was fenced looks for the claim of a later generation before it fences that one in turn (M2).
//! - I6: a manifest that only a topic's recorded epoch asks for is not missing: what the topic records is wrong, or the
//!   tables were restored from before it, and a person is asked (T2).

use super::super::topic::{ProduceReply, Recorded};
use super::start::Seen;
use super::{
    Epoch, EpochEvent, EpochJob, EpochStep, Known, Phase, Result, Rule, Sink, SinkName, Stop, Suspend, epoch_of, misfit,
};

/// What comes after a topic was looked at, or produced to.
#[derive(Clone, Debug)]
pub(super) enum Then {
    Start(Seen),
    /// The oldest pending manifest.
    Commit,
    Proceed,
}

#[derive(Clone, Debug)]
pub(super) enum TopicPhase {
    /// Whether the producer was opened, and what was read: both are needed.
    Opening {
        opened: bool,
        recorded: Option<Recorded>,
    },
    Producing {
        epoch: Epoch,
        files: Vec<String>,
    },
    /// I5.
    LookingForClaim,
}

impl EpochJob {
    /// The same job with topics beside its tables (I3).
    #[must_use]
    pub fn with_topics(mut self, topics: Vec<SinkName>) -> Self {
        let sink = |name| Sink {
            name,
            is_topic: true,
            known: Known::default(),
            facts: None,
            ledger: None,
            recorded: None,
            follows: Epoch::default(),
        };
        let place = if self.rules.hold(Rule::TopicsFirst) { 0 } else { self.sinks.len() };
        self.sinks.splice(place..place, topics.into_iter().map(sink));
        self
    }

    /// The last epoch that is in a sink.
    pub(super) fn at(&self, sink: &Sink) -> Epoch {
        match &sink.recorded {
            Some(recorded) => recorded.epoch(self.highest_of_tables(), self.rules),
            None => epoch_of(sink.ledger.as_ref()),
        }
    }

    pub(super) fn highest_of_tables(&self) -> Epoch {
        self.sinks.iter().map(|sink| epoch_of(sink.ledger.as_ref())).max().unwrap_or_default()
    }

    /// What a topic records; none of a table, or before it was read.
    pub fn recorded(&self, name: &SinkName) -> Option<Epoch> {
        let sink = self.sinks.iter().find(|sink| sink.name == *name)?;
        sink.recorded.map(|_| self.at(sink))
    }

    pub(super) fn open(&mut self, place: usize, then: Then) -> Result<EpochStep> {
        self.sink(place)?.recorded = None;
        self.opening(place, (false, None), then)
    }

    /// I1.
    fn opening(&mut self, place: usize, (opened, recorded): (bool, Option<Recorded>), then: Then) -> Result<EpochStep> {
        let fence_first = self.rules.hold(Rule::FenceThenRead);
        let sink = self.sink(place)?;
        let name = sink.name.clone();
        let step = match (opened, recorded) {
            (true, Some(recorded)) => {
                sink.recorded = Some(recorded);
                return self.resume(place, then);
            }
            (false, None) if fence_first => EpochStep::OpenProducer { sink: name },
            (_, None) => EpochStep::ReadRecorded { sink: name },
            (false, Some(_)) => EpochStep::OpenProducer { sink: name },
        };
        self.phase = Phase::Topic { sink: place, phase: TopicPhase::Opening { opened, recorded }, then };
        Ok(step)
    }

    /// The topic was looked at.
    fn resume(&mut self, place: usize, then: Then) -> Result<EpochStep> {
        match then {
            Then::Start(seen) => self.load(place + 1, seen),
            Then::Commit => self.commit(place),
            Then::Proceed => self.proceed(),
        }
    }

    pub(super) fn produce(&mut self, place: usize, epoch: Epoch, files: Vec<String>, then: Then) -> Result<EpochStep> {
        let sink = self.sink(place)?.name.clone();
        let phase = TopicPhase::Producing { epoch, files: files.clone() };
        self.phase = Phase::Topic { sink: place, phase, then };
        Ok(EpochStep::Produce { sink, epoch, files })
    }

    /// T2: nobody can say whether the rows are in the topic.
    pub(super) fn doubt(&self, place: usize, epoch: Epoch) -> Option<EpochStep> {
        let sink = self.sinks.get(place)?;
        let doubtful = sink.recorded.is_some_and(|recorded| recorded.is_doubtful(self.rules));
        let name = sink.name.clone();
        doubtful.then_some(EpochStep::Suspend { sink: Some(name), reason: Suspend::EpochForgotten { epoch } })
    }

    /// I6: what a manifest that is missing says, where no table needs it; the first that a table needs is given.
    pub(super) fn elsewhere(&self, missing: Epoch, first_of_tables: Epoch) -> Option<EpochStep> {
        let tables = self.highest_of_tables();
        if (first_of_tables..=tables).contains(&missing) {
            return None;
        }
        let is_ahead = missing > tables;
        let asks = |sink: &&Sink| sink.is_topic && (self.at(sink) >= missing) == is_ahead;
        let sink = self.sinks.iter().find(asks)?;
        let decided = if is_ahead { Epoch(missing.0.saturating_sub(1)) } else { tables };
        let reason = Suspend::EpochElsewhere { recorded: self.at(sink), decided, tables };
        Some(EpochStep::Suspend { sink: Some(sink.name.clone()), reason })
    }

    /// Once everything that was decided is in all sinks, a topic that records nothing is told where it is (I4).
    pub(super) fn record(&mut self) -> Result<Option<EpochStep>> {
        let silent = |sink: &Sink| sink.recorded.is_some_and(|recorded| recorded.offset.is_none());
        let topic = self.sinks.iter().enumerate().find(|(_, sink)| silent(sink));
        let Some((place, at)) = topic.map(|(place, sink)| (place, self.at(sink))) else { return Ok(None) };
        self.produce(place, at, Vec::new(), Then::Proceed).map(Some)
    }

    pub(super) fn topic(
        &mut self,
        place: usize,
        phase: TopicPhase,
        then: Then,
        event: EpochEvent,
    ) -> Result<EpochStep> {
        match (phase, event) {
            (TopicPhase::Opening { recorded, .. }, EpochEvent::Opened) => self.opening(place, (true, recorded), then),
            (TopicPhase::Opening { opened, .. }, EpochEvent::RecordedRead(recorded)) => {
                self.opening(place, (opened, Some(recorded)), then)
            }
            (TopicPhase::Opening { .. }, EpochEvent::OpenFailed) => self.open(place, then),
            (TopicPhase::Opening { opened, .. }, EpochEvent::ReadFailed) => self.opening(place, (opened, None), then),
            (TopicPhase::Producing { epoch, .. }, EpochEvent::Produced(ProduceReply::Committed)) => {
                self.sink(place)?.recorded = Some(Recorded::by(epoch));
                match then {
                    Then::Commit => self.commit(place + 1),
                    then => self.resume(place, then),
                }
            }
            (TopicPhase::Producing { .. }, EpochEvent::Produced(ProduceReply::Fenced)) => {
                Ok(self.look_for_claim(place, then))
            }
            (TopicPhase::Producing { epoch, files }, EpochEvent::Produced(ProduceReply::Failed)) => {
                if self.rules.hold(Rule::StartOver) {
                    self.open(place, then)
                } else {
                    self.produce(place, epoch, files, then)
                }
            }
            (TopicPhase::LookingForClaim, EpochEvent::ManifestRead(Some(found))) => {
                let (epoch, own) = (found.epoch, self.generation);
                Ok(EpochStep::Stop(Stop::ManifestTaken { epoch, own, by: found.generation, writer: found.writer }))
            }
            (TopicPhase::LookingForClaim, EpochEvent::ManifestRead(None)) => self.open(place, then),
            (TopicPhase::LookingForClaim, EpochEvent::ReadFailed) => Ok(self.look_for_claim(place, then)),
            (phase, event) => Err(misfit(&Phase::Topic { sink: place, phase, then }, &event)),
        }
    }

    fn look_for_claim(&mut self, place: usize, then: Then) -> EpochStep {
        self.phase = Phase::Topic { sink: place, phase: TopicPhase::LookingForClaim, then };
        EpochStep::ReadManifest { epoch: self.next }
    }
}
