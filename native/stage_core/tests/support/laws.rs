//! What is judged after every step, and in the end.

use std::collections::VecDeque;

use stage_core::{DispatcherKind, Lag};

use super::player::{Producer, Subscriber};
use super::{PARTITIONS, Step, partition_of};

/// Has a producer go through these steps, and somebody take over in the end.
pub fn play(kind: DispatcherKind, steps: &[Step]) {
    let mut producer = Producer::new(kind);
    for step in steps {
        producer.run(step);
        producer.judge();
    }
    finish(&mut producer);
}

impl Producer {
    /// What holds after every step.
    pub fn judge(&self) {
        let dispatcher = self.output.dispatcher();
        assert!(dispatcher.demand() == 0 || self.output.buffer().is_empty(), "stuck");
        assert!(self.asked_upstream <= self.asked, "{} of {}", self.asked_upstream, self.asked);
        assert!(dispatcher.claimed() <= self.asked_upstream);
        for (key, subscriber) in &self.subscribers {
            assert_eq!(dispatcher.demand_of(key), Some(subscriber.demand));
        }
        match self.kind() {
            DispatcherKind::Demand => {
                let waiting: u64 = self.subscribers.values().map(|subscriber| subscriber.demand).sum();
                assert_eq!(dispatcher.demand(), waiting);
                assert_eq!(self.sent[0], (1..=self.dealt).collect::<Vec<_>>());
            }
            DispatcherKind::Broadcast => self.subscribers.values().for_each(|one| self.judge_share(one)),
            DispatcherKind::Partition => {
                for (partition, queue) in self.queues.iter().enumerate() {
                    let mut home = self.subscribers.values().filter(|one| one.partition == partition);
                    assert!(queue.is_empty() || home.all(|one| one.demand == 0), "stuck in {partition}");
                    let came = (1..=self.dealt).filter(|event| partition_of(*event) == partition);
                    assert!(self.sent[partition].iter().chain(queue).copied().eq(came));
                }
            }
        }
    }

    fn judge_share(&self, one: &Subscriber) {
        let mine: Vec<_> = one.got.iter().chain(&one.queue).copied().collect();
        assert_eq!(mine.len() as u64 + one.dropped, u64::from(self.dealt - one.since));
        match one.lag {
            Lag::DropOldest(limit) => {
                assert!(one.queue.len() as u64 <= limit, "more is queued than may be");
                assert!(one.queue.is_empty() || one.demand == 0, "stuck in its queue");
                assert!(mine.windows(2).all(|two| two[0] < two[1]), "doubled or overtaken");
                assert!(mine.last().is_none_or(|event| *event == self.dealt), "the newest are kept");
            }
            Lag::Block | Lag::Cancel => assert_eq!(mine, (one.since + 1..=self.dealt).collect::<Vec<_>>()),
        }
    }
}

/// Whoever takes over from all that went gets all that is left.
fn finish(producer: &mut Producer) {
    for key in 0..5 {
        producer.run(&Step::Cancel(key));
    }
    for partition in 0..PARTITIONS {
        producer.run(&Step::Subscribe(100 + partition as u8, partition, Lag::Block));
    }
    for partition in 0..PARTITIONS {
        producer.run(&Step::Ask(100 + partition as u8, 1_000_000));
    }
    producer.judge();
    assert_eq!(producer.dealt, producer.next, "all is dealt");
    assert_eq!(producer.marks_out, producer.marks.len());
    assert!(producer.queues.iter().all(VecDeque::is_empty));
}
