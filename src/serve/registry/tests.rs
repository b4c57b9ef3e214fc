//! The registry over HTTP: the conformance suite through the client, and what only HTTP can get wrong.

use serde_json::{Value, json};
use tableflow_connectors::registry::client::{ClientOptions, Credentials};
use tableflow_connectors::registry::conformance::{self, Abilities};
use tableflow_connectors::registry::{RegistryClient, SchemaRegistry};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::home::Home;

struct Server {
    address: std::net::SocketAddr,
    _directory: TempDir,
}

impl Server {
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let home = Home::open(directory.path()).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = routes(home.registry());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Server { address, _directory: directory }
    }

    /// The status, and the answer.
    async fn ask(&self, method: &str, path: &str, media_type: &str, body: &str) -> (u16, Value) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request = format!(
            "{method} /registry{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {media_type}\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        // Who answers early does not read the rest.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(MEDIA_TYPE), "{head}");
        let value = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_owned()));
        (head.split(' ').nth(1).unwrap().parse().unwrap(), value)
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        self.ask("GET", path, MEDIA_TYPE, "").await
    }

    async fn send(&self, method: &str, path: &str, body: Value) -> (u16, Value) {
        self.ask(method, path, MEDIA_TYPE, &body.to_string()).await
    }
}

#[tokio::test]
async fn the_client_over_http_conforms() {
    let server = Server::start().await;
    let url = format!("http://{}/registry", server.address);
    let client = RegistryClient::new(ClientOptions::new(&url, Credentials::None).unwrap()).unwrap();
    let outcome = conformance::run(&client, "suite", Abilities::ALL).await;
    outcome.unwrap_or_else(|error| panic!("{}", error.report()));
    assert!(client.subjects("suite", tableflow_connectors::registry::Include::Deleted).await.unwrap().len() > 20);
}

#[tokio::test]
async fn i1_every_answer_is_json_with_a_number() {
    let server = Server::start().await;
    let int = json!({"schema": "\"int\""});
    server.send("POST", "/subjects/s/versions", int.clone()).await;
    server.send("POST", "/subjects/proto/versions", json!({"schema": "message M {}", "schemaType": "PROTOBUF"})).await;
    let cases = [
        ("GET", "/nowhere", Value::Null, 404, 404),
        ("GET", "/associations/resources/-/x", Value::Null, 404, 404),
        ("PUT", "/subjects", Value::Null, 405, 405),
        ("GET", "/schemas/ids/99", Value::Null, 404, 40403),
        ("GET", "/schemas/ids/x", Value::Null, 404, 40403),
        ("GET", "/schemas/ids/99/versions", Value::Null, 404, 40403),
        ("GET", "/schemas/guids/x", Value::Null, 404, 40403),
        ("GET", "/schemas/ids/2?format=serialized", Value::Null, 422, 42205),
        ("GET", "/subjects/none/versions", Value::Null, 404, 40401),
        ("GET", "/subjects/s/versions/2", Value::Null, 404, 40402),
        ("GET", "/subjects/s/versions/0", Value::Null, 422, 42202),
        ("GET", "/subjects/s/versions/two", Value::Null, 422, 42202),
        ("GET", "/config/s", Value::Null, 404, 40408),
        ("GET", "/mode/s", Value::Null, 404, 40409),
        ("PUT", "/config", json!({"compatibility": "SOME"}), 422, 42203),
        ("PUT", "/mode", json!({"mode": "IMPORT"}), 422, 42204),
        ("PUT", "/mode", json!({"mode": 1}), 422, 42204),
        ("PUT", "/config", json!({}), 422, 422),
        ("PUT", "/config", json!({"compatibility": "FULL", "normalize": true}), 422, 422),
        ("POST", "/subjects/s/versions", json!({"schema": "{nope"}), 422, 42201),
        ("POST", "/subjects/s/versions", json!({"schema": "\"string\""}), 409, 409),
        ("POST", "/subjects/s/versions", json!({"schema": "x", "schemaType": "THRIFT"}), 422, 422),
        ("POST", "/subjects/s", json!({"schema": "\"long\""}), 404, 40403),
        ("DELETE", "/subjects/s?permanent=true", Value::Null, 404, 40405),
        ("DELETE", "/subjects/s/versions/1?permanent=true", Value::Null, 404, 40407),
        ("POST", "/compatibility/subjects/none/versions/latest", int.clone(), 404, 40401),
    ];
    for (method, path, body, status, code) in cases {
        let (seen, answer) = server.send(method, path, body).await;
        assert_eq!((seen, &answer["error_code"]), (status, &json!(code)), "{method} {path}: {answer}");
        assert!(answer["message"].as_str().is_some_and(|message| !message.is_empty()), "{answer}");
    }
}

#[tokio::test]
async fn i2_what_is_no_json_or_too_much_of_it_is_refused() {
    let server = Server::start().await;
    let good = r#"{"schema":"\"int\""}"#;
    let path = "/subjects/s/versions";
    for media_type in
        ["application/x-www-form-urlencoded", "text/plain", "multipart/form-data", "", "application/jsonp"]
    {
        let (status, answer) = server.ask("POST", path, media_type, good).await;
        assert_eq!((status, &answer["error_code"]), (415, &json!(415)), "{media_type}");
    }
    assert_eq!(server.ask("POST", path, MEDIA_TYPE, "{").await.0, 400);
    let long = format!("{{\"schema\":\"{}\"}}", "x".repeat(BODY_BYTES_MAX));
    let (status, answer) = server.ask("POST", path, MEDIA_TYPE, &long).await;
    assert_eq!((status, &answer["error_code"]), (413, &json!(413)));
    assert_eq!(server.get("/subjects").await.1, json!([]), "nothing was registered");
    let also = [
        "application/json",
        "application/json; charset=utf-8",
        "application/vnd.schemaregistry+json",
        "application/octet-stream",
    ];
    for media_type in also {
        assert_eq!(server.ask("POST", path, media_type, good).await.0, 200, "{media_type}");
    }
}

/// Subject `address` with id 1, and `user` with id 2, which refers to it; the first one's GUID.
async fn two_subjects(server: &Server) -> String {
    let address = json!({"schema": r#"{"type":"record","name":"n.A","fields":[]}"#});
    let (_, registered) = server.send("POST", "/subjects/address/versions", address).await;
    let guid = registered["guid"].as_str().unwrap().to_owned();
    assert_eq!((&registered["id"], &registered["version"]), (&json!(1), &json!(1)));
    let user = json!({
        "schema": r#"{"type":"record","name":"n.U","fields":[{"name":"a","type":"n.A"}]}"#,
        "references": [{"name": "n.A", "subject": "address", "version": 1}],
        "metadata": {"properties": {"owner": "x"}},
    });
    assert_eq!(server.send("POST", "/subjects/user/versions?normalize=True", user).await.1["id"], 2);
    guid
}

#[tokio::test]
async fn answers_have_confluents_fields() {
    let server = Server::start().await;
    let guid = two_subjects(&server).await;
    let text = r#"{"fields":[],"name":"n.A","type":"record"}"#;
    let cases = [
        ("/", json!({})),
        ("/schemas/types", json!(["AVRO", "JSON", "PROTOBUF"])),
        ("/contexts", json!(["."])),
        ("/subjects", json!(["address", "user"])),
        ("/subjects?subjectPrefix=u", json!(["user"])),
        ("/subjects?subjectPrefix=:*:", json!(["address", "user"])),
        ("/subjects?offset=1&limit=1", json!(["user"])),
        ("/subjects?offset=0&limit=-1", json!(["address", "user"])),
        ("/subjects/address/versions", json!([1])),
        ("/subjects/address/versions/1/referencedby", json!([2])),
        ("/subjects/address/versions/-1/schema", json!({"type": "record", "name": "n.A", "fields": []})),
        ("/schemas/ids/1/schema", serde_json::from_str(text).unwrap()),
        ("/schemas/ids/1/subjects", json!(["address"])),
        ("/schemas/ids/1/versions", json!([{"subject": "address", "version": 1}])),
        ("/config", json!({"compatibilityLevel": "BACKWARD"})),
        ("/config/user?defaultToGlobal=true", json!({"compatibilityLevel": "BACKWARD"})),
        ("/mode", json!({"mode": "READWRITE"})),
    ];
    for (path, expected) in cases {
        assert_eq!(server.get(path).await, (200, expected), "{path}");
    }
    assert_eq!(server.get(&format!("/schemas/guids/{guid}/ids")).await.1, json!([1]));
    let by_id = server.get("/schemas/ids/1?fetchMaxId=true").await.1;
    assert_eq!(
        (&by_id["maxId"], by_id["guid"].as_str(), by_id.get("schemaType")),
        (&json!(2), Some(guid.as_str()), None)
    );
    assert_eq!(server.get("/subjects/user/versions/latest").await.1["metadata"]["properties"]["owner"], "x");
    assert_eq!(server.get("/subjects/user/versions/1?format=resolved").await.1["error_code"], 42205);
    // A descriptor, as Python registers it, is given back as one.
    server.send("POST", "/subjects/p/versions", json!({"schema": "CgFh", "schemaType": "PROTOBUF"})).await;
    assert_eq!(server.get("/subjects/p/versions/latest?format=serialized").await.1["schema"], "CgFh");
}

#[tokio::test]
async fn changes_are_answered_as_confluent_does() {
    let server = Server::start().await;
    two_subjects(&server).await;
    let refused = json!({"schema": r#"{"type":"record","name":"n.A","fields":[{"name":"x","type":"int"}]}"#});
    let (_, verdict) =
        server.send("POST", "/compatibility/subjects/address/versions/latest?verbose=true", refused).await;
    assert_eq!(verdict["is_compatible"], false);
    assert!(verdict["messages"][0].as_str().unwrap().contains("field \"x\""), "{verdict}");
    assert_eq!(
        server.send("PUT", "/config/user", json!({"compatibility": "FULL"})).await.1,
        json!({"compatibility": "FULL"})
    );
    assert_eq!(server.send("DELETE", "/config/user", Value::Null).await.1, json!({"compatibilityLevel": "FULL"}));
    assert_eq!(server.send("DELETE", "/subjects/user", Value::Null).await.1, json!([1]));
    let after = [
        ("/subjects", json!(["address"])),
        ("/subjects?deleted=true", json!(["address", "user"])),
        ("/subjects?deletedOnly=true", json!(["user"])),
        ("/subjects/user/versions?deletedOnly=true", json!([1])),
        ("/subjects/address/versions?deletedOnly=true", json!([])),
    ];
    for (path, expected) in after {
        assert_eq!(server.get(path).await, (200, expected), "{path}");
    }
}
