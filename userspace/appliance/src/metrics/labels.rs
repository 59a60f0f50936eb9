//! Labels in the names of the segment's counters and histograms.
//!
//! Arrives: `line_packets{channel="itch",line="A"}`. Leaves: the name, and its labels by themselves.

/// Names and values, in their order.
pub type Labels = Vec<(String, String)>;

/// A name of the segment without its labels, and these. The configuration allows no quotation mark in
/// what becomes a label.
pub fn split(name: &str) -> (&str, Labels) {
    let Some((name, told)) = name.strip_suffix("\"}").and_then(|name| name.split_once('{')) else {
        return (name, Vec::new());
    };
    (name, labels(told.split("\",").filter_map(|label| label.split_once("=\""))))
}

/// Labels of their names and values.
pub(super) fn labels<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Labels {
    labels.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_split_into_its_labels() {
        assert_eq!(split("supervision_stalls"), ("supervision_stalls", vec![]));
        let expected = labels([("channel", "a, b"), ("line", "A")]);
        assert_eq!(split("line_late{channel=\"a, b\",line=\"A\"}"), ("line_late", expected));
    }
}
