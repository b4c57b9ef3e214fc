//! The layers' order, and what is refused.

use std::path::Path;

use super::*;

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

#[test]
fn the_defaults_are_complete() {
    let config = Config::load(&Layers::default()).unwrap();
    assert_eq!(config.data_dir, PathBuf::from("./tableflow-data"));
    assert_eq!(config.service.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.defaults.namespace, "bronze");
    assert_eq!(config.defaults.commit_interval.as_ms(), 10_000);
    assert_eq!(config.memory.budget.bytes(8 << 30), (8 << 30) / 100 * 25);
}

#[test]
fn i1_later_layers_win_key_by_key() {
    let folder = tempfile::tempdir().unwrap();
    let low = "data_dir = 'low'\n[defaults]\nnamespace = 'low'\ncommit_interval = '1s'\n[memory]\nbudget = '1GiB'\n";
    let layers = Layers {
        files: vec![
            write(folder.path(), "low.toml", low),
            write(folder.path(), "high.toml", "[defaults]\nnamespace = 'high'\ncommit_interval = '2s'\n"),
            folder.path().join("absent.toml"),
        ],
        explicit_file: Some(write(folder.path(), "explicit.toml", "defaults.commit_interval = '3s'\n")),
        environment: environment(&[("TABLEFLOW__SERVICE__LISTEN", "[::1]:0"), ("TABLEFLOW_DATA_DIR", "a flag's")]),
    };
    let config = Config::load(&layers).unwrap();
    assert_eq!(config.data_dir, PathBuf::from("low"));
    assert_eq!(config.defaults.namespace, "high");
    assert_eq!(config.defaults.commit_interval.as_ms(), 3_000);
    assert_eq!(config.memory.budget.bytes(0), 1 << 30);
    assert_eq!(config.service.listen.to_string(), "[::1]:0");
}

#[test]
fn i1_an_environment_value_stays_the_text_it_is() {
    let layers =
        Layers { environment: environment(&[("TABLEFLOW__DEFAULTS__NAMESPACE", "2026")]), ..Layers::default() };
    assert_eq!(Config::load(&layers).unwrap().defaults.namespace, "2026");
}

#[test]
fn a_switch_is_a_text_in_the_environment() {
    let upkeep = |text: &str| {
        let environment = environment(&[("TABLEFLOW__UPKEEP__ENABLED", text)]);
        Config::load(&Layers { environment, ..Layers::default() })
    };
    assert!(upkeep("true").unwrap().upkeep.enabled && !upkeep("false").unwrap().upkeep.enabled);
    let error = upkeep("nope").unwrap_err().report();
    assert!(
        error.contains("\"nope\" is neither true nor false") && error.contains("TABLEFLOW__UPKEEP__ENABLED"),
        "{error}"
    );
}

#[test]
fn i2_unknown_keys_are_refused_with_the_nearest() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("[service]\nlisten_on = '127.0.0.1:1'", "service.listen_on", "did you mean service.listen?"),
        ("[default]\nnamespace = 'x'", "default.namespace", "did you mean defaults.namespace?"),
        ("commit_interval = '1s'", "commit_interval", "did you mean defaults.commit_interval?"),
        ("[kafak]\n'bootstrap.servers' = 'x'", "kafak.bootstrap.servers", "did you mean kafka.bootstrap.servers?"),
        ("[memory.budget]\nx = 1", "memory.budget.x", "did you mean memory.budget?"),
        ("[tables.orders]\nmode = 'append'", "tables.orders.mode", "the settings are: data_dir, "),
    ];
    for (text, key, hint) in cases {
        let path = write(folder.path(), "tableflow.toml", text);
        let error = Config::load(&Layers { files: vec![path.clone()], ..Layers::default() }).unwrap_err();
        assert_eq!(error.kind(), tableflow_model::ErrorKind::Usage);
        assert_eq!(error.message(), format!("file {} sets {key}, which is not a setting", path.display()));
        assert!(error.hint().unwrap().starts_with(hint), "{text}: {:?}", error.hint());
    }
    let layers = Layers { environment: environment(&[("TABLEFLOW__SERVCE__LISTEN", "x")]), ..Layers::default() };
    let error = Config::load(&layers).unwrap_err();
    assert_eq!(
        error.report(),
        "error: environment variable TABLEFLOW__SERVCE__LISTEN sets servce.listen, which is not a setting\n  \
         hint: did you mean service.listen?"
    );
}

#[test]
fn wrong_values_are_refused_with_their_place() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [
        ("defaults.commit_interval = '-5s'", "\"-5s\" is not a length of time", "setting=defaults.commit_interval"),
        ("defaults.commit_interval = 5", "found signed int `5`", "setting=defaults.commit_interval"),
        ("memory.budget = '99999999999GiB'", "is not a size", "setting=memory.budget"),
        ("memory.budget = '0%'", "\"0%\" is not a share", "setting=memory.budget"),
        ("service.listen = 'nowhere'", "invalid socket address", "setting=service.listen"),
        ("service = ", "wrong.toml cannot be read", "TOML parse error at line 1"),
    ];
    for (text, message, place) in cases {
        let path = write(folder.path(), "wrong.toml", text);
        let error = Config::load(&Layers { files: vec![path], ..Layers::default() }).unwrap_err();
        assert!(error.message().contains(message), "{text}: {}", error.report());
        assert!(error.report().contains(place) && error.report().contains("wrong.toml"), "{}", error.report());
    }
}

#[test]
fn i3_the_file_of_the_flag_must_exist() {
    let layers = Layers { explicit_file: Some("/nowhere/x.toml".into()), ..Layers::default() };
    assert_eq!(Config::load(&layers).unwrap_err().message(), "there is no configuration file /nowhere/x.toml");
}

#[test]
fn the_users_folder_is_xdgs() {
    let user = |pairs: &[(&str, &str)]| Layers::standard(None, environment(pairs)).files.get(1).cloned();
    assert_eq!(user(&[("HOME", "/h")]), Some("/h/.config/tableflow/tableflow.toml".into()));
    assert_eq!(user(&[("HOME", "/h"), ("XDG_CONFIG_HOME", "/x")]), Some("/x/tableflow/tableflow.toml".into()));
    assert_eq!(user(&[]), Some("tableflow.toml".into()));
}
