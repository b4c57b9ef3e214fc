//! Many who ask the same kind of question at about the same time, answered by few calls.
//!
//! Owns [`Together`]; it knows nothing of what is asked, nor of whom.
//! - I1: an answer is never older than its question: who asks while a call is under way goes into the next one.
//! - I2: each gets the answers to what he asked, in his order; what is wrong with one thing is nobody else's matter. A
//!   call that fails as a whole is the failure of all who took part.
//! - I3: one call is under way, for at most [`THINGS_MAX`] things.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tableflow_model::{Error, Result};
use tokio::sync::oneshot;

use super::native::Failed;

/// Things asked for in one call: librdkafka compares each with each. A question for more is asked alone.
const THINGS_MAX: usize = 500;

/// What a call answers: for each thing asked, in order; or why nobody got an answer.
pub(super) type Answers<A> = Result<Vec<Result<A, Failed>>, Failed>;

/// One kind of question.
pub(super) struct Together<Q, A> {
    /// A call waits so long for further questions.
    gathered_within: Duration,
    waiting: Mutex<Waiting<Q, A>>,
}

struct Waiting<Q, A> {
    questions: VecDeque<Question<Q, A>>,
    /// Somebody calls, and takes what waits when that is done.
    is_calling: bool,
}

struct Question<Q, A> {
    asked: Vec<Q>,
    asker: oneshot::Sender<Result<Answers<A>>>,
}

impl<Q, A> fmt::Debug for Together<Q, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Together").finish_non_exhaustive()
    }
}

impl<Q: Clone + Ord + Send + Sync + 'static, A: Clone + Send + Sync + 'static> Together<Q, A> {
    pub fn new(gathered_within: Duration) -> Arc<Self> {
        let waiting = Mutex::new(Waiting { questions: VecDeque::new(), is_calling: false });
        Arc::new(Together { gathered_within, waiting })
    }

    /// An answer for each thing asked, in order. `call` asks for things of which each is another one.
    pub async fn ask<C, F>(self: &Arc<Self>, asked: Vec<Q>, call: C) -> Result<Answers<A>>
    where
        C: Fn(Arc<Vec<Q>>) -> F + Send + 'static,
        F: Future<Output = Result<Answers<A>>> + Send + 'static,
    {
        if asked.is_empty() {
            return Ok(Ok(Vec::new()));
        }
        let (asker, answer) = oneshot::channel();
        let is_first = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.questions.push_back(Question { asked, asker });
            !std::mem::replace(&mut waiting.is_calling, true)
        };
        if is_first {
            // A task of its own: who asked first may give up, and the others wait for his call.
            tokio::spawn(self.clone().call_for_all(call));
        }
        answer.await.unwrap_or_else(|_| Err(Error::internal("a question to Kafka ended early")))
    }

    /// Calls until nobody waits (I1).
    async fn call_for_all<C, F>(self: Arc<Self>, call: C)
    where
        C: Fn(Arc<Vec<Q>>) -> F + Send,
        F: Future<Output = Result<Answers<A>>> + Send,
    {
        loop {
            if !self.gathered_within.is_zero() {
                tokio::time::sleep(self.gathered_within).await;
            }
            let questions = self.next_call();
            if questions.is_empty() {
                return;
            }
            let mut things: Vec<Q> = questions.iter().flat_map(|question| question.asked.iter().cloned()).collect();
            things.sort_unstable();
            things.dedup();
            let things = Arc::new(things);
            let answers = call(things.clone()).await;
            answer_each(questions, &things, answers);
        }
    }

    /// What goes into one call (I3); nothing ends the calling.
    fn next_call(&self) -> Vec<Question<Q, A>> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut questions, mut things) = (Vec::new(), 0);
        while let Some(next) = waiting.questions.front() {
            things += next.asked.len();
            if things > THINGS_MAX && !questions.is_empty() {
                break;
            }
            questions.extend(waiting.questions.pop_front());
        }
        waiting.is_calling = !questions.is_empty();
        questions
    }
}

/// I2.
fn answer_each<Q: Ord, A: Clone>(questions: Vec<Question<Q, A>>, things: &[Q], answers: Result<Answers<A>>) {
    for Question { asked, asker } in questions {
        let answer = match &answers {
            Ok(Ok(answers)) => Ok(Ok(asked.iter().map(|thing| answer_to(thing, things, answers)).collect())),
            Ok(Err(failed)) => Ok(Err(failed.clone())),
            Err(error) => Err(again(error)),
        };
        // Who does not wait any more needs no answer.
        let _ = asker.send(answer);
    }
}

fn answer_to<Q: Ord, A: Clone>(thing: &Q, things: &[Q], answers: &[Result<A, Failed>]) -> Result<A, Failed> {
    let index = things.binary_search(thing).ok();
    index.and_then(|index| answers.get(index)).cloned().unwrap_or_else(|| Err(Failed::unknown_topic()))
}

/// The same error for another one; what caused it is in its words.
fn again(error: &Error) -> Error {
    let copy = Error::new(error.kind(), error.message());
    let copy = error.detail().into_iter().fold(copy, |copy, detail| copy.with_detail(detail));
    error.hint().into_iter().fold(copy, |copy, hint| copy.with_hint(hint))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Answers that are ten times the question, but to thirteen there is none; each call takes a while.
    #[derive(Default)]
    struct Oracle {
        calls: AtomicUsize,
        begun: AtomicUsize,
        largest: AtomicUsize,
    }

    impl Oracle {
        async fn answer(&self, things: &[usize]) -> Result<Answers<(usize, usize)>> {
            let call = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            assert_eq!(self.calls.load(Ordering::SeqCst) + 1, call, "one call at a time");
            self.largest.fetch_max(things.len(), Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await;
            self.calls.fetch_add(1, Ordering::SeqCst);
            let answer =
                |thing: &usize| if *thing == 13 { Err(Failed::unknown_topic()) } else { Ok((10 * thing, call)) };
            Ok(Ok(things.iter().map(answer).collect()))
        }
    }

    async fn ask(
        together: &Arc<Together<usize, (usize, usize)>>,
        oracle: &Arc<Oracle>,
        things: Vec<usize>,
    ) -> Vec<Result<(usize, usize), Failed>> {
        let oracle = oracle.clone();
        let call = move |things: Arc<Vec<usize>>| {
            let oracle = oracle.clone();
            async move { oracle.answer(&things).await }
        };
        together.ask(things, call).await.unwrap().unwrap()
    }

    #[tokio::test]
    async fn a_thousand_questions_are_a_few_calls_and_each_has_its_own_answers() {
        let (together, oracle) = (Together::new(Duration::ZERO), Arc::new(Oracle::default()));
        let questions = (0..1000).map(|index| {
            let (together, oracle) = (together.clone(), oracle.clone());
            tokio::spawn(async move {
                let begun = oracle.begun.load(Ordering::SeqCst);
                // In no order, and shared with others.
                let things = vec![index + 1, index, 13];
                let answers = ask(&together, &oracle, things.clone()).await;
                for (thing, answer) in things.into_iter().zip(answers) {
                    match answer {
                        Ok((answer, call)) => {
                            assert_eq!(answer, 10 * thing);
                            assert!(call > begun, "I1: call {call} had begun when it was asked, after {begun}");
                        }
                        Err(_) => assert_eq!(thing, 13, "I2"),
                    }
                }
            })
        });
        for question in questions.collect::<Vec<_>>() {
            question.await.unwrap();
        }
        let calls = oracle.calls.load(Ordering::SeqCst);
        assert!(calls <= 10, "{calls} calls");
        assert!(oracle.largest.load(Ordering::SeqCst) <= THINGS_MAX, "I3");
    }

    #[tokio::test]
    async fn i1_who_asks_while_a_call_is_under_way_gets_the_next_one() {
        let (together, oracle) = (Together::new(Duration::ZERO), Arc::new(Oracle::default()));
        let first = tokio::spawn({
            let (together, oracle) = (together.clone(), oracle.clone());
            async move { ask(&together, &oracle, vec![1]).await }
        });
        while oracle.begun.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let second = ask(&together, &oracle, vec![1]).await;
        let first = first.await.unwrap();
        assert_eq!((first[0].as_ref().unwrap().1, second[0].as_ref().unwrap().1), (1, 2));
    }

    #[tokio::test]
    async fn i2_a_call_that_fails_is_everybodys() {
        let together: Arc<Together<usize, usize>> = Together::new(Duration::from_millis(5));
        let fails = |_| async { Err(Error::unavailable("nobody is there").with_hint("look")) };
        let (one, other) = tokio::join!(together.ask(vec![1], fails), together.ask(vec![2], fails));
        for error in [one.unwrap_err(), other.unwrap_err()] {
            assert_eq!((error.message(), error.hint()), ("nobody is there", Some("look")));
        }
    }
}
