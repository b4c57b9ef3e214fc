//! The epoch manifest's text form, and which manifests a collection keeps.

use uuid::Uuid;

use super::*;

fn manifest(intent: Intent) -> EpochManifest {
    EpochManifest {
        job: "gold.re-venue".parse().unwrap(),
        epoch: Epoch(12),
        generation: Generation(3),
        writer: WriterId(Uuid::from_u128(7)),
        after: None,
        intent,
    }
}

#[test]
fn i1_the_text_form_is_fixed_and_read_back() {
    let work = SinkWork { follows: Epoch(9), files: vec!["{\"path\":\"a\"}".to_owned()] };
    let sinks = BTreeMap::from([(SinkName("main".to_owned()), work)]);
    let work = manifest(Intent::Work { positions: Positions::default(), sinks, state: Some("state/12".to_owned()) });
    let text = "{\"version\":1,\"job\":\"gold.re-venue\",\"epoch\":12,\"generation\":3,\
                \"writer\":\"00000000-0000-0000-0000-000000000007\",\"intent\":{\"work\":{\"positions\":{},\
                \"sinks\":{\"main\":{\"follows\":9,\"files\":[\"{\\\"path\\\":\\\"a\\\"}\"]}},\"state\":\"state/12\"}}}";
    assert_eq!(work.to_text().unwrap(), text);
    assert_eq!(EpochManifest::from_text(text).unwrap(), work);
    let claim = manifest(Intent::Claim);
    assert_eq!(EpochManifest::from_text(&claim.to_text().unwrap()).unwrap(), claim);
    assert!(work.is_work() && !claim.is_work());
    let newer = text.replace("\"version\":1", "\"version\":3");
    let message = "the epoch manifest has version 3, this program knows version 1";
    assert_eq!(EpochManifest::from_text(&newer).unwrap_err().to_string(), message);
    assert!(EpochManifest::from_text(&text[..40]).is_err());
}

/// M6: newest manifest, newest with work, ledgers, those of retained snapshots; manifests and state that may go are
/// below these.
#[test]
fn collection_keeps_what_a_sink_a_start_or_a_rollback_needs() {
    type Case<'a> = (u64, u64, &'a [u64], &'a [u64], u64, u64);
    let cases: [Case<'_>; 8] = [
        (9, 8, &[8, 8], &[], 8, 8),
        (9, 8, &[8, 5], &[], 5, 8),
        (9, 6, &[8, 8], &[], 6, 6),
        (9, 8, &[7], &[], 7, 8),
        (9, 8, &[], &[], 0, 8),
        (9, 8, &[8, 8], &[8, 3, 7], 3, 8),
        (9, 8, &[8, 5], &[7, 8], 5, 8),
        (9, 6, &[8, 8], &[7, 8], 6, 6),
    ];
    for (newest, newest_work, ledgers, retained, manifests, state) in cases {
        let [of_sinks, of_snapshots] =
            [ledgers, retained].map(|epochs| epochs.iter().copied().map(Epoch).collect::<Vec<_>>());
        let found = Collection::decide(Epoch(newest), Epoch(newest_work), &of_sinks, &of_snapshots, Rules::law());
        let expected = Collection { manifests_below: Epoch(manifests), state_below: Epoch(state) };
        assert_eq!(found, expected, "{newest_work} {ledgers:?} {retained:?}");
    }
}

/// Epochs 3 to 6 of writers 1 and 2; `after` is what each says of the one before.
#[test]
fn i4_a_manifest_under_a_name_that_was_collected_is_found_out() {
    let chain = |links: &[(u128, u128)]| -> Vec<EpochManifest> {
        let id = |nonce: u128| WriterId(Uuid::from_u128(nonce));
        let put = |&(writer, after): &(u128, u128)| {
            let (writer, after) = (id(writer), Some(id(after)));
            EpochManifest { writer, after, ..manifest(Intent::Claim) }
        };
        links.iter().map(put).collect()
    };
    let cases: [(&[(u128, u128)], usize); 5] = [
        (&[(1, 9), (1, 1), (2, 1), (2, 2)], 4),
        (&[(3, 9), (1, 1), (2, 1), (2, 2)], 3),
        (&[(3, 9), (3, 3), (2, 1), (2, 2)], 2),
        (&[(1, 9)], 1),
        (&[], 0),
    ];
    for (links, kept) in cases {
        let all = chain(links);
        assert_eq!(unbroken(&all, Rules::law()), &all[all.len() - kept..], "{links:?}");
    }
}
