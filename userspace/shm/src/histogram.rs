//! Latency histograms, for anybody to read.
//!
//! What arrives: its name and how it is laid out, once, and its counts as they grow, from one writer.
//! What leaves: the same. A reader may see some counts of one moment and some of the next: each is one
//! that was, and none goes back.

use crate::label::{self, NAME_WORDS, NameError};
use crate::sync::{AtomicU64, Ordering};
use crate::view::View;

/// Words before the counts: a cache line with the shape, and two with the name.
pub(crate) const HEAD_WORDS: usize = 24;
/// Where the name lies.
const NAME: std::ops::Range<usize> = 8..8 + NAME_WORDS;

/// How a histogram's counts are laid out: as `HdrHistogram` lays out its array of counts for these
/// three parameters (<https://github.com/HdrHistogram/HdrHistogram>, "Internal implementation").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistogramShape {
    /// The lowest value told from 0.
    pub lowest: u64,
    /// The highest value; higher ones are counted as this.
    pub highest: u64,
    /// Decimal digits to which a value is kept.
    pub digits: u64,
}

/// The one writer of a histogram.
pub struct HistogramWriter {
    words: View<AtomicU64>,
}

impl HistogramWriter {
    pub(crate) fn new(words: View<AtomicU64>) -> Self {
        Self { words }
    }

    /// Says what it is of: `wire-to-worker{worker="w0"}`. Names are the caller's to keep apart.
    ///
    /// # Errors
    ///
    /// [`NameError`].
    pub fn set_name(&self, name: &str) -> Result<(), NameError> {
        label::store(&self.words[NAME], label::encode(name)?);
        Ok(())
    }

    /// Says how the counts are laid out.
    pub fn set_shape(&self, shape: HistogramShape) {
        let HistogramShape { lowest, highest, digits } = shape;
        for (word, value) in self.words.iter().zip([lowest, highest, digits]) {
            word.store(value, Ordering::Relaxed);
        }
    }

    /// Sets how many values were beyond the highest; they are counted as that too.
    pub fn set_saturated(&self, values: u64) {
        self.words[3].store(values, Ordering::Relaxed);
    }

    /// Sets one count; one beyond the array does nothing.
    #[inline]
    pub fn set(&self, index: usize, count: u64) {
        if let Some(word) = self.words.get(HEAD_WORDS + index) {
            word.store(count, Ordering::Relaxed);
        }
    }
}

/// A reader of a histogram.
#[derive(Clone)]
pub struct HistogramReader {
    words: View<AtomicU64>,
}

impl HistogramReader {
    pub(crate) fn new(words: View<AtomicU64>) -> Self {
        Self { words }
    }

    /// What it is of; `None` before the writer has said so.
    pub fn name(&self) -> Option<String> {
        label::load(&self.words[NAME])
    }

    /// How the counts are laid out; all zero before the writer has said so.
    pub fn shape(&self) -> HistogramShape {
        let word = |nth: usize| self.words[nth].load(Ordering::Relaxed);
        HistogramShape { lowest: word(0), highest: word(1), digits: word(2) }
    }

    /// Values beyond the highest.
    pub fn saturated(&self) -> u64 {
        self.words[3].load(Ordering::Relaxed)
    }

    /// The counts that are not 0, with their places in the array.
    pub fn counts(&self) -> impl Iterator<Item = (usize, u64)> + '_ {
        let counts = self.words[HEAD_WORDS..].iter().map(|word| word.load(Ordering::Relaxed));
        counts.enumerate().filter(|(_, count)| *count > 0)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn counts_lie_behind_the_shape() {
        let words = View::heap(HEAD_WORDS + 3, || AtomicU64::new(0));
        let (writer, reader) = (HistogramWriter::new(words.clone()), HistogramReader::new(words));
        let shape = HistogramShape { lowest: 1, highest: 60, digits: 3 };
        writer.set_shape(shape);
        writer.set(2, 5);
        writer.set(3, 9);
        writer.set_saturated(4);
        assert_eq!((reader.shape(), reader.saturated(), reader.name()), (shape, 4, None));
        let name = "x".repeat(label::NAME_BYTES);
        assert_eq!(writer.set_name(&format!("{name}x")), Err(NameError(format!("{name}x"))));
        writer.set_name(&name).unwrap();
        assert_eq!(reader.name(), Some(name));
        assert_eq!(reader.counts().collect::<Vec<_>>(), [(2, 5)]);
    }
}
