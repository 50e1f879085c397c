//! Bytes that wait: in pooled buffers, which are taken when there is something to keep and given back when it has been read.

use std::collections::VecDeque;

use super::{Buffer, Buffers};

#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// None of them is empty.
    buffers: VecDeque<Buffer>,
    length: usize,
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds bytes behind what there is.
    pub(crate) fn put(&mut self, pool: &Buffers, mut bytes: &[u8]) {
        self.length += bytes.len();
        while !bytes.is_empty() {
            if self
                .buffers
                .back_mut()
                .is_none_or(|last| last.room(usize::MAX).is_empty())
            {
                self.buffers.push_back(pool.take());
            }
            let Some(last) = self.buffers.back_mut() else { return };
            let room = last.room(usize::MAX);
            let (now, rest) = bytes.split_at(room.len().min(bytes.len()));
            room[..now.len()].copy_from_slice(now);
            last.advance(now.len());
            bytes = rest;
        }
    }

    /// The first of them, as many as lie together; none where the queue is empty.
    pub(crate) fn front(&self) -> &[u8] {
        self.buffers.front().map_or(&[], Buffer::filled)
    }

    /// Forgets the first `count` bytes of [`Queue::front`].
    pub(crate) fn consume(&mut self, count: usize) {
        let Some(first) = self.buffers.front_mut() else { return };
        let count = count.min(first.filled().len());
        first.consume(count);
        self.length -= count;
        if first.is_empty() {
            self.buffers.pop_front();
        }
        if self.buffers.is_empty() {
            self.buffers = VecDeque::new();
        }
    }

    /// Moves as many as there are and fit.
    pub(crate) fn read(&mut self, room: &mut [u8]) -> usize {
        let mut count = 0;
        while !self.is_empty() && count < room.len() {
            let front = self.front();
            let now = front.len().min(room.len() - count);
            room[count..count + now].copy_from_slice(&front[..now]);
            self.consume(now);
            count += now;
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a plain vector; buffers are held for what waits and for nothing else.
        #[test]
        fn bytes_come_out_as_they_went_in(
            steps in proptest::collection::vec((any::<bool>(), 0_usize..40_000), 0..30),
        ) {
            let pool = Buffers::default();
            let (mut queue, mut expected) = (Queue::default(), Vec::new());
            for (number, (puts, length)) in steps.into_iter().enumerate() {
                if puts {
                    let bytes = vec![u8::try_from(number).unwrap_or_default(); length];
                    queue.put(&pool, &bytes);
                    expected.extend(bytes);
                } else {
                    let mut room = vec![0; length];
                    let count = queue.read(&mut room);
                    prop_assert_eq!(count, length.min(expected.len()));
                    let was: Vec<u8> = expected.drain(..count).collect();
                    prop_assert!(room[..count] == was);
                }
                prop_assert_eq!(queue.len(), expected.len());
                prop_assert!(expected.starts_with(queue.front()));
                prop_assert_eq!(queue.front().is_empty(), expected.is_empty());
                prop_assert!(pool.in_use() <= expected.len().div_ceil(16 * 1024) + 1);
                prop_assert_eq!(pool.in_use() == 0, expected.is_empty());
            }
        }
    }
}
