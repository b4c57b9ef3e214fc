//! The schemas that targets of records have: pairs, whose second one is another version of the first.

/// Columns that are declared before a record comes.
pub const DECLARED: &[&str] = &[
    "",
    "a BIGINT, b DOUBLE, c STRING, d DECIMAL(10, 2), e BOOLEAN NOT NULL",
    "t TIMESTAMP(6), z TIMESTAMP_LTZ(6), d DATE, h TIME(6), y BYTES, f FLOAT, i INT",
    "r ROW<x BIGINT, y ROW<z STRING>>, l ARRAY<ROW<x BIGINT>>, m MAP<STRING, DOUBLE>, n MAP<STRING, ARRAY<BIGINT>>",
];

pub const AVRO: &[[&str; 2]] = &[
    [
        r#"{"type":"record","name":"R","fields":[{"name":"t","type":"string"},{"name":"n","type":["null","long"]},
          {"name":"l","type":{"type":"array","items":{"type":"record","name":"E","fields":[
            {"name":"x","type":{"type":"map","values":"bytes"}},{"name":"y","type":["int","string","null"]}]}}},
          {"name":"d","type":{"type":"bytes","logicalType":"decimal","precision":5,"scale":2}},{"name":"b","type":"boolean"}]}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"n","type":["null","long"]},{"name":"t","type":"string"},
          {"name":"l","type":{"type":"array","items":{"type":"record","name":"E","fields":[
            {"name":"y","type":["null","int","string","boolean"]},{"name":"z","type":"double"}]}}}]}"#,
    ],
    [
        r#"{"type":"record","name":"R","fields":[{"name":"i","type":"int"},{"name":"f","type":"float"},
          {"name":"e","type":{"type":"enum","name":"C","symbols":["RED","GREEN"]}},
          {"name":"x","type":{"type":"fixed","name":"F","size":3}},
          {"name":"u","type":{"type":"fixed","name":"U","size":16,"logicalType":"uuid"}},
          {"name":"q","type":{"type":"fixed","name":"Q","size":9,"logicalType":"decimal","precision":20,"scale":3}}]}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"i","type":"long"},{"name":"f","type":"double"},
          {"name":"e","type":{"type":"enum","name":"C","symbols":["GREEN","RED","BLUE"]}},
          {"name":"g","type":["null","int"],"default":null}]}"#,
    ],
    [
        r#"{"type":"record","name":"R","fields":[{"name":"d","type":{"type":"int","logicalType":"date"}},
          {"name":"h","type":{"type":"int","logicalType":"time-millis"}},{"name":"k","type":{"type":"long","logicalType":"time-micros"}},
          {"name":"m","type":{"type":"long","logicalType":"timestamp-millis"}},
          {"name":"o","type":["null",{"type":"long","logicalType":"timestamp-micros"}]},
          {"name":"p","type":{"type":"long","logicalType":"local-timestamp-micros"}}]}"#,
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array","items":{"type":"array","items":["null","int"]}}},
          {"name":"m","type":{"type":"long","logicalType":"timestamp-micros"}},
          {"name":"v","type":["null",{"type":"record","name":"P","fields":[{"name":"s","type":"string"}]},
            {"type":"map","values":["null","string"]},{"type":"array","items":"long"},"bytes"]}]}"#,
    ],
];

pub const PROTOBUF: &[[&str; 2]] = &[
    [
        "syntax = \"proto3\"; package shop;
         message Order { string t = 1; repeated Point l = 2; map<string, Point> m = 3;
           oneof o { Point p = 4; int32 n = 5; string w = 6; } optional sint64 z = 7; Color c = 8; repeated Color d = 9; }
         message Point { int32 x = 1; repeated string s = 2; bytes b = 3; }
         enum Color { NONE = 0; RED = 1; }
         message Other { repeated fixed32 f = 1; repeated double g = 2; bool h = 3; message Inner { uint64 u = 1; } Inner i = 4; }",
        "syntax = \"proto3\"; package shop;
         message Order { string t = 1; repeated Point l = 2; int64 n = 5; map<int32, string> k = 10; }
         message Point { int32 x = 1; repeated string s = 2; uint32 y = 4; }",
    ],
    [
        "syntax = \"proto3\"; package shop;
         import \"google/protobuf/any.proto\"; import \"google/protobuf/duration.proto\"; import \"google/protobuf/struct.proto\";
         import \"google/protobuf/timestamp.proto\"; import \"google/protobuf/wrappers.proto\";
         message Order { google.protobuf.Timestamp t = 1; google.protobuf.Duration d = 2; google.protobuf.Any a = 3;
           google.protobuf.Struct s = 4; google.protobuf.Value v = 5; google.protobuf.ListValue l = 6;
           google.protobuf.Int64Value i = 7; google.protobuf.StringValue w = 8; repeated google.protobuf.Timestamp r = 9;
           map<string, google.protobuf.Value> m = 10; google.protobuf.UInt64Value u = 11; repeated google.protobuf.BytesValue b = 12; }",
        "syntax = \"proto3\"; package shop;
         import \"google/protobuf/timestamp.proto\";
         message Order { google.protobuf.Timestamp t = 1; map<uint64, bool> q = 20; map<bool, double> e = 21; }",
    ],
    [
        "syntax = \"proto2\"; package shop;
         message Order { required int32 a = 1; optional string s = 2 [default = \"none\"]; optional group G = 3 { optional int32 x = 1; }
           repeated int32 p = 4 [packed = true]; repeated group H = 5 { required string k = 1; } optional float f = 6 [default = 1.5];
           optional sfixed64 w = 7; optional fixed32 y = 8; extensions 100 to 200; }
         extend Order { optional string more = 100; }",
        "syntax = \"proto2\"; package shop;
         message Order { optional int32 a = 1; optional string s = 2; repeated sint32 p = 4; optional bytes z = 9; }",
    ],
];
