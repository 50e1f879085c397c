//! Ids, money, times and counts: what they hold, and that they are read as they were written.

use proptest::prelude::*;
use turnpike_shop::types::{
    AccountId, ApiKeyId, Cents, ConnectionType, NetworkType, OrderKind, Quantity, RepeatCount, RotationPolicy, Span,
    SubscriptionId, SubscriptionState, UnixMillis,
};

proptest! {
    #[test]
    fn an_id_is_24_lowercase_letters_and_digits_and_nothing_else(text in "\\PC{0,30}|[a-z0-9]{20,28}|[a-zA-Z0-9]{24}") {
        let is_one = text.len() == 24 && text.chars().all(|c| "abcdefghijklmnopqrstuvwxyz0123456789".contains(c));
        match text.parse::<SubscriptionId>() {
            Ok(id) => {
                prop_assert!(is_one);
                prop_assert_eq!(id.to_string(), text);
            }
            Err(error) => {
                prop_assert!(!is_one);
                prop_assert!(error.to_string().contains("24"));
            }
        }
    }

    #[test]
    fn money_is_written_with_two_decimals(cents in any::<i64>()) {
        let text = Cents(cents).to_string();
        let digits: String = text.chars().filter(|c| *c != '.').collect();
        prop_assert_eq!(digits.parse::<i128>().unwrap(), i128::from(cents));
        prop_assert_eq!(text.rsplit_once('.').unwrap().1.len(), 2);
        prop_assert_eq!(text.starts_with('-'), cents < 0);
    }

    #[test]
    fn moments_and_spans_add_up_and_stop_at_the_ends_of_time(at in any::<i64>(), span in any::<i64>()) {
        let wide = |sum: i128| i64::try_from(sum.clamp(i64::MIN.into(), i64::MAX.into())).unwrap();
        let (moment, span) = (UnixMillis(at), Span(span));
        prop_assert_eq!(moment.plus(span).0, wide(i128::from(at) + i128::from(span.0)));
        prop_assert_eq!(moment.minus(span).0, wide(i128::from(at) - i128::from(span.0)));
        prop_assert_eq!(moment.since(UnixMillis(span.0)).0, wide(i128::from(at) - i128::from(span.0)));
        prop_assert_eq!(span.to_duration().as_millis(), u128::try_from(span.0).unwrap_or(0));
    }

    #[test]
    fn a_span_is_written_as_the_catalogue_reads_it(count in 1_i64..10_000, unit in 0_usize..4) {
        let (letter, size) = [("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)][unit];
        let text = Span(count * size).to_string();
        let (number, written) = text.split_at(text.len() - 1);
        let written = [("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)]
            .into_iter()
            .find(|(letter, _)| *letter == written)
            .unwrap();
        prop_assert_eq!(number.parse::<i64>().unwrap() * written.1, count * size, "{} {}", text, letter);
        prop_assert!(written.1 >= size, "in the largest unit that fits");
    }

    #[test]
    fn counts_are_1_to_100(number in prop_oneof![0_u64..300, any::<u64>()]) {
        let fits = (1..=100).contains(&number);
        let value = i64::try_from(number).ok().filter(|_| fits);
        prop_assert_eq!(Quantity::try_from(number).ok().map(Quantity::value), value);
        prop_assert_eq!(RepeatCount::try_from(number).ok().map(RepeatCount::value), value);
    }

    #[test]
    fn policies_are_the_six_allowed(minutes in prop_oneof![0_u64..100, any::<u64>()]) {
        let policy = RotationPolicy::try_from(minutes).ok();
        prop_assert_eq!(policy.is_some(), [0, 5, 10, 15, 30, 60].contains(&minutes));
        if let Some(policy) = policy {
            prop_assert_eq!(u64::try_from(policy.minutes()).unwrap(), minutes);
            prop_assert_eq!(policy.interval().is_none(), minutes == 0);
        }
    }
}

#[test]
fn ids_are_drawn_from_all_their_characters_and_never_twice() {
    let drawn: std::collections::BTreeSet<String> = (0..1_000).map(|_| AccountId::random().to_string()).collect();
    assert_eq!(drawn.len(), 1_000);
    let characters: std::collections::BTreeSet<char> = drawn.iter().flat_map(|id| id.chars()).collect();
    assert_eq!(characters.len(), 36);
    assert_eq!(ApiKeyId::random().as_str().len(), 12);
    assert!("a".repeat(24).parse::<ApiKeyId>().is_err());
}

#[test]
fn words_are_read_as_they_are_written_and_others_are_told_what_would_do() {
    macro_rules! check {
        ($kind:ty: $($word:literal),+) => {
            for word in [$($word),+] {
                assert_eq!(word.parse::<$kind>().unwrap().to_string(), word);
                assert_eq!(serde_json::to_value(word.parse::<$kind>().unwrap()).unwrap(), word);
            }
            let error = "other".parse::<$kind>().unwrap_err().to_string();
            assert_eq!(error, format!("\"other\" is not one of {}", [$($word),+].join(", ")));
        };
    }
    check!(ConnectionType: "private", "shared");
    check!(NetworkType: "mobile", "residential", "datacenter", "isp");
    check!(SubscriptionState: "active", "expired", "released");
    check!(OrderKind: "purchase", "renewal", "trial");
}
