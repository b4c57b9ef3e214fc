use std::collections::BTreeMap;

use super::*;

fn at(snapshot: i64) -> Position {
    Position { snapshot: Some(snapshot), sequence: snapshot }
}

/// Snapshots called after their sequence numbers: parent, and what is in it.
fn table(snapshots: &[(i64, i64, &str)]) -> BTreeMap<i64, Link> {
    let link = |(id, parent, what): &(i64, i64, &str)| {
        let parent = (*parent > 0).then_some(*parent);
        let (has_same_rows, has_changes) = (*what == "same", *what == "file");
        (*id, Link { parent, sequence: *id, has_same_rows, has_changes })
    };
    snapshots.iter().map(link).collect()
}

fn next_of(links: &BTreeMap<i64, Link>, main: i64, own: Option<i64>, registered: Option<Registration>) -> FeedStep {
    let link = |id| links.get(&id).copied();
    next(Fed { main: Some(main), link: &link, floor: 2 }, own.map(at), registered, Start::Main, Rules::law())
}

fn followed(links: &BTreeMap<i64, Link>, main: i64, own: i64) -> FeedStep {
    next_of(links, main, Some(own), Some(Registration::At(at(own))))
}

#[test]
fn i1_a_consumer_registers_and_then_chooses_its_start_above_the_floor() {
    let links = table(&[(1, 0, ""), (2, 1, ""), (3, 2, ""), (4, 3, "")]);
    let link = |id| links.get(&id).copied();
    let fed = Fed { main: Some(4), link: &link, floor: 2 };
    let step = |registered, wanted| next(fed, None, registered, wanted, Rules::law());
    assert_eq!(step(None, Start::At(3)), FeedStep::Register);
    let registered = Some(Registration::Starting);
    assert_eq!(step(registered, Start::Main), FeedStep::Start(at(4)));
    assert_eq!(step(registered, Start::At(3)), FeedStep::Start(at(3)));
    assert_eq!(step(registered, Start::At(2)), FeedStep::Refuse(Refused::BelowFloor));
    assert_eq!(step(registered, Start::At(9)), FeedStep::Refuse(Refused::NotThere));
    let main = next(Fed { main: Some(2), ..fed }, None, registered, Start::Main, Rules::law());
    assert_eq!(main, FeedStep::Start(at(2)), "main stays, wherever the floor is");
    let empty = next(Fed { main: None, ..fed }, None, registered, Start::Main, Rules::law());
    assert_eq!(empty, FeedStep::Start(Position { snapshot: None, sequence: 0 }));
}

#[test]
fn i2_each_snapshot_after_the_position_is_one_step_by_its_parents() {
    let links = table(&[(1, 0, ""), (2, 1, "file"), (3, 2, "same"), (4, 3, ""), (5, 2, "")]);
    assert_eq!(followed(&links, 4, 1), FeedStep::Changes { from: at(1), to: at(2) });
    assert_eq!(followed(&links, 4, 2), FeedStep::Pass(at(3)));
    assert_eq!(followed(&links, 4, 3), FeedStep::Difference { from: at(3), to: at(4) });
    assert_eq!(followed(&links, 4, 4), FeedStep::Wait);
    assert_eq!(followed(&links, 5, 4), FeedStep::Difference { from: at(4), to: at(5) }, "4 is no ancestor of 5");
    assert_eq!(followed(&links, 2, 4), FeedStep::Move(at(2)), "main went back");
    let behind = next_of(&links, 2, Some(4), Some(Registration::At(at(2))));
    assert_eq!(behind, FeedStep::Difference { from: at(4), to: at(2) });
}

#[test]
fn i2_where_the_snapshot_of_the_position_is_gone_a_person_is_asked() {
    let links = table(&[(3, 2, "file"), (4, 3, "file")]);
    assert_eq!(followed(&links, 4, 2), FeedStep::Suspend, "rows that it replaced are in a snapshot that is gone");
    assert_eq!(followed(&links, 4, 1), FeedStep::Suspend);
    assert_eq!(followed(&table(&[(3, 2, "same")]), 3, 2), FeedStep::Pass(at(3)), "nothing of it is needed");
    let gap = table(&[(1, 0, ""), (3, 2, ""), (4, 3, "")]);
    assert_eq!(followed(&gap, 4, 1), FeedStep::Difference { from: at(1), to: at(4) });
}

#[test]
fn i3_a_registration_follows_what_was_committed() {
    let links = table(&[(3, 2, "file"), (4, 3, "file")]);
    let step = |registered| next_of(&links, 4, Some(4), registered);
    assert_eq!(step(Some(Registration::At(at(3)))), FeedStep::Move(at(4)));
    assert_eq!(step(Some(Registration::Starting)), FeedStep::Move(at(4)));
    assert_eq!(step(None), FeedStep::Move(at(4)));
    assert!(!may_move(Some(at(3)), at(4), Rules::law()) && !may_move(None, at(4), Rules::law()));
    assert!(may_move(Some(at(4)), at(4), Rules::law()) && may_move(Some(at(4)), at(2), Rules::law()));
}

#[test]
fn i4_snapshots_go_below_a_published_floor_where_no_consumer_needs_them() {
    let law = Rules::law();
    assert_eq!(raised_floor(5, 3, law), Some(5));
    assert_eq!(raised_floor(3, 3, law), None);
    assert!(!may_forget(4, 3, &[], law), "the floor was not published");
    assert!(may_forget(3, 3, &[], law));
    assert!(may_forget(3, 5, &[Registration::At(at(4))], law));
    assert!(!may_forget(4, 5, &[Registration::At(at(9)), Registration::At(at(4))], law));
    assert!(!may_forget(1, 5, &[Registration::Starting], law));
}

#[test]
fn a_registration_is_read_as_it_was_written() {
    for registration in
        [Registration::Starting, Registration::At(at(7)), Registration::At(Position { snapshot: None, sequence: 0 })]
    {
        assert_eq!(Registration::from_text(&registration.to_text().unwrap()).unwrap(), registration);
    }
    assert!(Registration::from_text("{}").unwrap_err().to_string().contains("damaged"));
    assert!(Registration::from_text(r#"{"version":2}"#).unwrap_err().to_string().contains("version 2"));
    let properties: BTreeMap<String, String> = BTreeMap::from([
        (Registration::property(&"gold.b".parse().unwrap()), Registration::Starting.to_text().unwrap()),
        (FLOOR_PROPERTY.to_owned(), "3".to_owned()),
    ]);
    let all = Registration::all(&properties).unwrap();
    assert_eq!(all, [("gold.b".parse().unwrap(), Registration::Starting)]);
    assert!(Registration::is_any(properties.keys()));
    let damaged = BTreeMap::from([(Registration::property(&"a".parse().unwrap()), "?".to_owned())]);
    assert_eq!(Registration::held(&damaged), [Registration::Starting], "what cannot be read holds everything");
}
