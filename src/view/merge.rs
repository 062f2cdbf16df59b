//! Merge: how do the rows of several workers come in one order?

use std::iter::Peekable;

/// The items of sorted iterators in one order.
pub(super) struct Merge<I: Iterator>(Vec<Peekable<I>>);

/// Merges what is sorted.
///
/// Cost: of each item, a comparison for each source; nothing but one item a source is held.
pub(super) fn merge<I: Iterator<Item: Ord>>(sources: impl Iterator<Item = I>) -> Merge<I> {
    Merge(sources.map(Iterator::peekable).collect())
}

impl<I: Iterator<Item: Ord>> Iterator for Merge<I> {
    type Item = I::Item;

    fn next(&mut self) -> Option<I::Item> {
        let mut least: Option<&mut Peekable<I>> = None;
        for source in &mut self.0 {
            let Some(item) = source.peek() else { continue };
            if least.as_mut().and_then(|least| least.peek()).is_none_or(|least| item < least) {
                least = Some(source);
            }
        }
        least?.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sorted_is_merged() {
        let sources = [vec![1, 4, 9], vec![], vec![2, 3, 10], vec![5]];
        let merged: Vec<i32> = merge(sources.into_iter().map(Vec::into_iter)).collect();
        assert_eq!(merged, [1, 2, 3, 4, 5, 9, 10]);
    }
}
