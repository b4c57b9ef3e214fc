//! The ledger's text form, and which ledger may follow which.

use super::*;

fn topic(name: &str) -> TopicName {
    name.parse().unwrap()
}

fn positions(id: u128, offsets: &[(i32, i64)]) -> Positions {
    let offsets = offsets.iter().map(|&(partition, offset)| (Partition(partition), Offset(offset))).collect();
    let orders = TopicPositions::new(TopicId(Uuid::from_u128(id)), offsets);
    Positions([(topic("orders"), orders)].into())
}

fn ledger(generation: u64, epoch: u64, positions: Positions) -> Ledger {
    Ledger {
        generation: Generation(generation),
        epoch: Epoch(epoch),
        writer: WriterId(Uuid::from_u128(7)),
        cut: Cut::Commit,
        positions,
    }
}

#[test]
fn i1_the_text_form_is_fixed() {
    let mut ledger = ledger(3, 17, positions(1, &[(10, 5), (2, 40)]));
    ledger.positions.0.get_mut(&topic("orders")).unwrap().leader_epochs = [(Partition(2), 4)].into();
    let text = "{\"version\":1,\"generation\":3,\"epoch\":17,\
                \"writer\":\"00000000-0000-0000-0000-000000000007\",\"cut\":\"commit\",\
                \"topics\":{\"orders\":{\"id\":\"00000000-0000-0000-0000-000000000001\",\
                \"offsets\":{\"2\":40,\"10\":5},\"leader_epochs\":{\"2\":4}}}}";
    assert_eq!(ledger.to_text().unwrap(), text);
    assert_eq!(Ledger::from_text(text).unwrap(), ledger);
    ledger.positions.0.get_mut(&topic("orders")).unwrap().tally = Tally { skipped: 3, dead_lettered: 0 };
    let text = text.replace("{\"2\":4}", "{\"2\":4},\"tally\":{\"skipped\":3}");
    assert_eq!(ledger.to_text().unwrap(), text);
    assert_eq!(Ledger::from_text(&text).unwrap(), ledger);
    assert_eq!(Ledger::property(&"bronze.orders".parse().unwrap()), "tableflow.ledger.bronze.orders");
}

#[test]
fn i1_another_version_and_damage_are_errors() {
    let good = ledger(1, 1, positions(1, &[(0, 1)])).to_text().unwrap();
    let cases = [
        (good.replace("\"version\":1", "\"version\":2"), "the ledger has version 2, this program knows version 1"),
        (good.replace("\"cut\":\"commit\",", ""), "the ledger is damaged"),
        (good.replace("\"epoch\":1", "\"epoch\":-1"), "the ledger is damaged"),
        (good.replace("\"epoch\":1", "\"epoch\":1,\"more\":1"), "the ledger is damaged"),
        (good.replace("\"0\":1", "\"x\":1"), "the ledger is damaged"),
        (good[..good.len() - 1].to_owned(), "the ledger is damaged"),
        (String::new(), "the ledger is damaged"),
    ];
    for (text, message) in cases {
        assert_eq!(Ledger::from_text(&text).unwrap_err().to_string(), message, "{text}");
    }
}

#[test]
fn i2_i3_a_ledger_advances_or_is_refused() {
    let before = ledger(3, 17, positions(1, &[(0, 10), (1, 20)]));
    let after = |generation, epoch, id, offsets: &[_]| {
        ledger(generation, epoch, positions(id, offsets)).advances_from(&before).map_err(|setback| setback.to_string())
    };
    assert_eq!(after(3, 18, 1, &[(0, 10), (1, 20)]), Ok(()), "an epoch without rows");
    assert_eq!(after(4, 18, 1, &[(0, 11), (1, 20), (2, 0)]), Ok(()), "a partition was added");
    let refused = [
        (after(3, 17, 1, &[(0, 11), (1, 20)]), "epoch 17 of generation 3 does not follow epoch 17 of generation 3"),
        (after(2, 18, 1, &[(0, 11), (1, 20)]), "epoch 18 of generation 2 does not follow epoch 17 of generation 3"),
        (after(3, 18, 1, &[(0, 11), (1, 19)]), "partition 1 of topic orders goes back from offset 20 to 19"),
        (after(3, 18, 1, &[(0, 11)]), "partition 1 of topic orders is missing"),
        (
            after(3, 18, 2, &[(0, 11), (1, 20)]),
            "topic orders was re-created: it was 00000000-0000-0000-0000-000000000001 \
             and is 00000000-0000-0000-0000-000000000002",
        ),
    ];
    for (outcome, message) in refused {
        assert_eq!(outcome, Err(message.to_owned()));
    }
    let nothing = ledger(3, 18, Positions::default()).advances_from(&before);
    assert_eq!(nothing, Err(Setback::TopicMissing { topic: topic("orders") }));
}
