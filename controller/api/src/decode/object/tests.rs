//! Documents, envelopes and structure: one row per way to be wrong, with the exact message and line.

use super::*;

/// Every document's outcome: its key and `ok`, or its problems as shown.
fn outcomes(text: &str) -> Vec<String> {
    let shown = |document: Document| match document.result {
        Ok(decoded) => format!("{}: ok", decoded.key()),
        Err(problems) => problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
    };
    decode("test.yaml", text).into_iter().map(shown).collect()
}

fn problems(text: &str) -> Vec<DecodeProblem> {
    decode("test.yaml", text)
        .into_iter()
        .flat_map(|document| document.result.err().unwrap_or_default())
        .collect()
}

const ROUTE: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
";

#[test]
fn a_route_is_decoded_with_defaults_and_lines() {
    let text = format!(
        "# a comment\n{ROUTE}spec:
  parentRefs:
  - name: edge
  rules:
  - matches:
    - path: {{value: /cart}}
    backendRefs:
    - name: cart
      port: 80
"
    );
    let mut documents = decode("web.yaml", &text);
    assert_eq!(documents.len(), 1);
    let document = documents.remove(0);
    assert_eq!(&*document.source, "web.yaml");
    assert_eq!(document.line, 2);
    let decoded = document.result.expect("a good route");
    assert_eq!(decoded.key().to_string(), "HTTPRoute shop/web");
    let value = decoded.object.to_value().expect("JSON");
    assert_eq!(value.pointer("/spec/parentRefs/0/kind"), Some(&"Gateway".into()));
    assert_eq!(value.pointer("/spec/rules/0/matches/0/path/type"), Some(&"PathPrefix".into()));
    assert_eq!(value.pointer("/spec/rules/0/backendRefs/0/weight"), Some(&1.into()));
    for (path, line) in [
        ("spec", 5),
        ("spec.parentRefs[0].name", 7),
        ("spec.parentRefs[0].kind", 7),
        ("spec.rules[0].matches[0].path.value", 10),
        ("spec.rules[0].backendRefs[0].port", 13),
        ("spec.rules[7]", 8),
        ("metadata.name", 4),
    ] {
        assert_eq!(decoded.line_of(path), Some(line), "{path}");
    }
}

#[test]
fn structure_problems_say_field_line_and_mend() {
    for (spec, expected) in [
        (
            "spec: {hostname: [a.b]}",
            "4:8: spec.hostname: unknown field \"hostname\" (Did you mean hostnames?)",
        ),
        (
            "spec: {frobnicate: 1}",
            "4:8: spec.frobnicate: unknown field \"frobnicate\" (Known here: hostnames, parentRefs, rules, useDefaultGateways)",
        ),
        (
            "spce: {}",
            "1:1: spec: is required (Add spec)\n4:1: spce: unknown field \"spce\" (Did you mean spec?)",
        ),
        ("spec: {hostnames: a.b}", "4:8: spec.hostnames: must be a list, is a string"),
        (
            "spec:\n  hostnames:\n    a: b",
            "5:3: spec.hostnames: must be a list, is a mapping (Write the entries of a list with \"- \")",
        ),
        (
            "spec: {hostnames: [1]}",
            "4:20: spec.hostnames[0]: must be a string, is an integer (Put it in quotes)",
        ),
        ("spec: {hostnames: [null]}", "4:20: spec.hostnames[0]: must be a string, is null"),
        (
            "spec: {hostnames: ['*']}",
            "4:20: spec.hostnames[0]: \"*\" does not match ^(\\*\\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
        ),
        ("spec: {hostnames: ['']}", "4:20: spec.hostnames[0]: must not be empty"),
        (
            "spec: {parentRefs: [{name: a, port: 0}]}",
            "4:31: spec.parentRefs[0].port: must be at least 1, is 0",
        ),
        (
            "spec: {parentRefs: [{name: a, port: 70000}]}",
            "4:31: spec.parentRefs[0].port: must be at most 65535, is 70000",
        ),
        (
            "spec: {parentRefs: [{name: a, port: '80'}]}",
            "4:31: spec.parentRefs[0].port: must be an integer, is a string (Write the number without quotes)",
        ),
        ("spec: {parentRefs: [{port: 80}]}", "4:21: spec.parentRefs[0].name: is required (Add name)"),
        (
            "spec: {rules: [{matches: [{method: Get}]}]}",
            "4:28: spec.rules[0].matches[0].method: must be one of \"GET\", \"HEAD\", \"POST\", \"PUT\", \"DELETE\", \"CONNECT\", \
             \"OPTIONS\", \"TRACE\", \"PATCH\", is \"Get\" (Did you mean GET?)",
        ),
        ("spec: {rules: []}", "4:8: spec.rules: must have at least 1 entry, has 0"),
        (
            "spec: {rules: [{matches: [{headers: [{name: a, value: b}, {name: a, value: c}]}]}]}",
            "4:59: spec.rules[0].matches[0].headers[1]: an earlier entry has the same name \"a\" (Remove or change one of the two)",
        ),
        (
            "spec: {rules: [{name: a, name: b}]}",
            "4:26: spec.rules[0].name: the key \"name\" occurs twice in one mapping (Remove one of the two)",
        ),
        (
            "spec: {}\nstatus: {a: 1, a: 2}",
            "5:16: status.a: the key \"a\" occurs twice in one mapping (Remove one of the two)",
        ),
        ("spec: []", "4:1: spec: must be a mapping, is a list"),
        (
            "spec: {rules: [{timeouts: {request: 1.5}}]}",
            "4:28: spec.rules[0].timeouts.request: must be a string, is a number (Put it in quotes)",
        ),
        (
            "spec: {rules: [{timeouts: {request: 1y}}]}",
            "4:28: spec.rules[0].timeouts.request: \"1y\" does not match ^([0-9]{1,5}(h|m|s|ms)){1,4}$",
        ),
    ] {
        assert_eq!(outcomes(&format!("{ROUTE}{spec}\n")), [expected], "{spec}");
    }
}

#[test]
fn what_only_the_type_can_refuse_has_its_place_too() {
    let text = "apiVersion: diolkos.io/v1alpha1\nkind: ListenerPolicy\nmetadata: {name: a}\nspec:\n  proxyProtocol:\n    mode: Required\n    \
                trusted: [10.0.0.0/8, a]\n";
    let found = problems(text);
    assert_eq!(
        (&*found[0].path, found[0].line, found[0].column),
        ("spec.proxyProtocol.trusted[1]", 7, 27),
        "{}",
        found[0]
    );
}

#[test]
fn nulls_are_dropped_as_an_api_server_drops_them() {
    let text = format!(
        "{ROUTE}spec:\n  hostnames: null\n  parentRefs: [{{name: edge, sectionName: null, kind: null}}]\n  rules: ~\n"
    );
    let documents = decode("test.yaml", &text);
    let decoded = documents[0].result.as_ref().expect("nulls are no values");
    let value = decoded.object.to_value().expect("JSON");
    assert_eq!(value.pointer("/spec/hostnames"), None);
    assert_eq!(
        value.pointer("/spec/parentRefs/0/kind"),
        Some(&"Gateway".into()),
        "the default takes the place of null"
    );
    assert_eq!(
        value.pointer("/spec/rules/0/matches/0/path/value"),
        Some(&"/".into()),
        "defaults go all the way down"
    );
}

#[test]
fn envelope_problems() {
    let spec = "spec: {}\n";
    for (head, expected) in [
        (
            "kind: HTTPRoute\n",
            "1:1: apiVersion: is required, and must be a string (Every object says its apiVersion and kind)",
        ),
        (
            "apiVersion: v1\n",
            "1:1: kind: is required, and must be a string (Every object says its apiVersion and kind)",
        ),
        (
            "apiVersion: v1\nkind: 7\n",
            "2:7: kind: is required, and must be a string (Every object says its apiVersion and kind)",
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1alpha1\nkind: HTTPRoute\n",
            "1:13: apiVersion: HTTPRoute is not served as gateway.networking.k8s.io/v1alpha1 \
             (Write gateway.networking.k8s.io/v1 or gateway.networking.k8s.io/v1beta1)",
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HttpRoute\n",
            "2:7: kind: HttpRoute (gateway.networking.k8s.io/v1) is not a kind that Diolkos reads \
             (Did you mean HTTPRoute of gateway.networking.k8s.io?)",
        ),
        (
            "apiVersion: apps/v1\nkind: Deployment\n",
            "2:7: kind: Deployment (apps/v1) is not a kind that Diolkos reads",
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\n",
            "1:1: metadata.name: is required (Give the object a name)",
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {generateName: a-}\n",
            "3:1: metadata.name: is required (generateName needs an API server: write a name)",
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: A_b}\n",
            "3:12: metadata.name: \"A_b\" is not a name for this kind \
             (Lower-case letters, digits, '-' and '.', a letter or digit at both ends of each part)",
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a, namespace: a.b}\n",
            "3:21: metadata.namespace: \"a.b\" is not a namespace name \
             (At most 63 lower-case letters, digits and '-', a letter or digit at both ends)",
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a, label: {}}\n",
            "3:21: metadata.label: unknown field \"label\" (Did you mean labels?)",
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: a\n  labels:\n    app: 'no spaces'\n",
            "6:5: metadata.labels.app: \"no spaces\" is not a label value \
             (At most 63 letters, digits, '-', '_' and '.', a letter or digit at both ends)",
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: a\n  annotations:\n    a/b/c: x\n",
            "6:5: metadata.annotations[a/b/c]: \"a/b/c\" is not an annotation key \
             (NAME or PREFIX/NAME: a DNS subdomain as prefix; letters, digits, '-', '_' and '.' in the name)",
        ),
        (
            "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a, labels: {a: true}}\n",
            "3:30: metadata.labels.a: must be a string, is a boolean (Put it in quotes)",
        ),
    ] {
        assert_eq!(outcomes(&format!("{head}{spec}")), [expected], "{head}");
    }
    let class =
        "apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: a, namespace: b}\n";
    assert_eq!(
        outcomes(&format!("{class}spec: {{controllerName: a.b/c}}\n")),
        ["3:21: metadata.namespace: GatewayClass objects are not in a namespace (Remove it)"]
    );
}

#[test]
fn somebody_elses_kind_is_a_notice_and_a_mistyped_one_an_error() {
    for (api_version, kind, reason, severity) in [
        ("apps/v1", "Deployment", Reason::UnknownKind, Severity::Notice),
        ("v1", "PersistentVolumeClaim", Reason::UnknownKind, Severity::Notice),
        ("networking.istio.io/v1", "Gateway", Reason::NotImplemented, Severity::Error),
        ("gateway.networking.x-k8s.io/v1alpha1", "XMesh", Reason::UnknownKind, Severity::Notice),
        ("gateway.networking.k8s.io/v1", "HTTPRuote", Reason::UnknownKind, Severity::Error),
        ("gateway.networking.k8s.o/v1", "HTTPRoute", Reason::UnknownKind, Severity::Error),
        ("diolkos.io/v1alpha1", "Nonsense", Reason::UnknownKind, Severity::Error),
    ] {
        let found = problems(&format!("apiVersion: {api_version}\nkind: {kind}\nmetadata: {{name: a}}\n"));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].reason, found[0].severity), (reason, severity), "{kind} of {api_version}");
    }
}

#[test]
fn what_kubectl_prints_is_taken_back() {
    let text = format!(
        "{}  creationTimestamp: '2026-01-02T03:04:05Z'
  generation: 3
  resourceVersion: '77'
  uid: 11111111-2222-3333-4444-555555555555
  managedFields:
  - {{apiVersion: v1, fieldsType: FieldsV1, fieldsV1: {{'f:spec': {{}}}}, manager: kubectl, operation: Update, time: '2026-01-02T03:04:05Z'}}
spec: {{}}
status:
  parents: [{{anything: goes}}]
",
        ROUTE.replace("metadata: {name: web, namespace: shop}", "metadata:\n  name: web\n  namespace: shop")
    );
    let documents = decode("test.yaml", &text);
    let decoded = documents[0].result.as_ref().unwrap_or_else(|problems| panic!("{problems:?}"));
    let metadata = decoded.object.metadata();
    assert_eq!(metadata.generation, Some(3));
    assert!(metadata.creation_timestamp.is_some());
    assert!(metadata.managed_fields.is_none());
    assert_eq!(decoded.object.to_value().expect("JSON").get("status"), None);
}

#[test]
fn an_older_served_version_goes_on_as_the_newest() {
    let text = ROUTE.replace("io/v1", "io/v1beta1") + "spec: {}\n";
    assert_eq!(outcomes(&text), ["HTTPRoute shop/web: ok"]);
}

#[test]
fn a_broken_document_leaves_the_others() {
    let good = |name: &str| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n");
    for broken in [
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: x\n",
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: \"x}\n",
        "a: b: c\n",
        "\tkey: value\n",
        "key: |\n text\nrest\n  more: x\n",
        "- a\nb: c\n",
        "*nowhere\n",
        "? [a]\n: b\n",
        "a: !custom b\n",
        "'unclosed\n",
        "key: @at\n",
        "}\n",
        "%YAML 9\n",
    ] {
        let text = format!("{}---\n{broken}---\n{}---\n{}", good("a"), good("b"), good("c"));
        let outcomes = outcomes(&text);
        assert_eq!(outcomes.first().map(String::as_str), Some("Namespace a: ok"), "{broken:?}: {outcomes:?}");
        assert_eq!(
            outcomes.get(outcomes.len() - 2).map(String::as_str),
            Some("Namespace b: ok"),
            "{broken:?}: {outcomes:?}"
        );
        assert_eq!(outcomes.last().map(String::as_str), Some("Namespace c: ok"), "{broken:?}: {outcomes:?}");
        assert_eq!(outcomes.len(), 4, "{broken:?}: {outcomes:?}");
    }
}

#[test]
fn a_broken_document_says_where_and_what_it_was() {
    let text =
        "---\napiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\nspec: {finalizers: [a\n---\nkind: X\n";
    let documents = decode("test.yaml", text);
    let problem = &documents[0].result.as_ref().expect_err("broken")[0];
    assert_eq!(problem.reason, Reason::Syntax);
    assert!(problem.line >= 6 && problem.line <= 7, "{problem}");
    assert_eq!(documents[0].hints.kind.as_deref(), Some("Namespace"));
    assert_eq!(documents[0].hints.name.as_deref(), Some("a"));
    assert_eq!(documents[0].line, 2);
}

#[test]
fn documents_are_split_as_yaml_says() {
    let namespace = |name: &str| format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {name}}}\n");
    let map =
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n  text: |\n    one\n    ---\n    two\n";
    for (text, expected) in [
        (String::new(), vec![]),
        ("# only a comment\n---\n---\n".to_owned(), vec![]),
        (format!("\u{feff}{}", namespace("a")), vec!["Namespace a: ok"]),
        (
            format!("%YAML 1.2\n---\n{}...\n{}", namespace("a"), namespace("b")),
            vec!["Namespace a: ok", "Namespace b: ok"],
        ),
        (
            format!("{}--- # next\n{}", namespace("a"), namespace("b")),
            vec!["Namespace a: ok", "Namespace b: ok"],
        ),
        (
            namespace("a").replace('\n', "\r\n") + "---\r\n" + &namespace("b"),
            vec!["Namespace a: ok", "Namespace b: ok"],
        ),
        (map.to_owned(), vec!["ConfigMap default/a: ok"]),
        ("--- text\n".to_owned(), vec!["1:5: an object must be a mapping, is a string"]),
    ] {
        assert_eq!(outcomes(&text), expected, "{text:?}");
    }
}

#[test]
fn json_is_read_too() {
    let object = "{\n\t\"apiVersion\": \"v1\",\n\t\"kind\": \"Namespace\",\n\t\"metadata\": {\"name\": \"a\", \"annotations\": {\"x\": \"\\u00e9\\/\\ud83c\\udf89\"}}\n}";
    let documents = decode("test.json", &format!("{object}\n{object} {object}\n"));
    assert_eq!(documents.len(), 3);
    assert_eq!(documents.iter().map(|document| document.line).collect::<Vec<_>>(), [1, 6, 10]);
    for document in documents {
        let decoded = document.result.unwrap_or_else(|problems| panic!("{problems:?}"));
        assert_eq!(
            decoded.object.metadata().annotations.as_ref().and_then(|all| all.get("x")).map(String::as_str),
            Some("é/🎉")
        );
    }
    assert_eq!(
        outcomes("{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"a\"}"),
        {
            let problem = &problems(
                "{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\": {\"name\": \"a\"}",
            )[0];
            assert_eq!(problem.reason, Reason::Syntax);
            [problem.to_string()]
        }
    );
}

#[test]
fn lists_are_flattened() {
    let text = "apiVersion: v1
kind: List
metadata: {resourceVersion: ''}
items:
- apiVersion: v1
  kind: Namespace
  metadata: {name: a}
- apiVersion: v1
  kind: Namespace
  metadata: {name: B}
- apiVersion: v1
  kind: NamespaceList
  items:
  - metadata: {name: c}
";
    assert_eq!(
        outcomes(text),
        [
            "Namespace a: ok",
            "10:14: metadata.name: \"B\" is not a name for this kind \
             (At most 63 lower-case letters, digits and '-', a letter or digit at both ends)",
            "Namespace c: ok",
        ]
    );
    assert_eq!(
        decode("test.yaml", text).iter().map(|document| document.line).collect::<Vec<_>>(),
        [5, 8, 14]
    );
    assert_eq!(
        outcomes("apiVersion: v1\nkind: List\nitems: {}\n"),
        ["3:8: items: must be a list, is a mapping"]
    );
    assert!(outcomes("apiVersion: v1\nkind: List\nitems: null\n").is_empty());
}

#[test]
fn anchors_aliases_and_merge_keys() {
    let text = "apiVersion: v1
kind: ConfigMap
metadata: &meta {name: a}
data: {<<: {x: one, y: two}, y: three}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: b, labels: &l {app: web}, annotations: *l}
";
    assert_eq!(outcomes(text), ["ConfigMap default/a: ok", "ConfigMap default/b: ok"]);
    let decoded = decode("test.yaml", text)[0].result.clone().expect("good");
    assert_eq!(
        decoded.object.to_value().expect("JSON")["data"],
        serde_json::json!({"x": "one", "y": "three"})
    );
    assert_eq!(problems("a: *b\n")[0].reason, Reason::Syntax, "anchors end with their document");
}

#[test]
fn size_depth_and_aliases_are_bounded() {
    let deep =
        format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {}{}\n", "{a: ".repeat(200), "}".repeat(200));
    let mut laughs = String::from("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
    for level in 1..12 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        laughs.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    let nested_anchors =
        format!("a: {}{}\n", (0..90).map(|level| format!("&x{level} [")).collect::<String>(), "]".repeat(90));
    assert_eq!(problems(&nested_anchors)[0].reason, Reason::UnknownKind, "anchors alone do no harm");
    let large = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: a}}\ndata: {{a: {}}}\n",
        "x".repeat(4 << 20)
    );
    for (name, text, reason) in [
        ("deep", deep, Reason::Syntax),
        ("laughs", laughs, Reason::TooLarge),
        ("large", large, Reason::TooLarge),
    ] {
        let found = problems(&text);
        assert_eq!(found.len(), 1, "{name}");
        assert!(found[0].reason == reason || found[0].reason == Reason::TooLarge, "{name}: {}", found[0]);
    }
}

#[test]
fn problems_of_one_object_are_bounded() {
    let fields: String = (0..1000).map(|index| format!("  field{index}: 1\n")).collect();
    assert_eq!(problems(&format!("{ROUTE}spec:\n{fields}")).len(), 64);
}
